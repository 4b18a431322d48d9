"""The kinds of h2's events: the numbers of the frame types that they come from, and END."""

DATA = 0
HEADERS = 1
RESET = 3
SETTINGS = 4
PONG = 6
GOAWAY = 7
WINDOW = 8
END = 10
