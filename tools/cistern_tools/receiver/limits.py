"""What clients may use of the receiver, and for how long. docs/CLOUD.md shows the main ones."""

MAX_MESSAGE = 32 * 2**20  # bytes of a request, as goutils, the RPC library of Viam's cloud
SMALL_MESSAGE = 64 * 1024  # bytes of a request to any method that is not made for data
# Bytes of all requests above SMALL_MESSAGE that are being received; decoded they take some 10
# times more.
MAX_BUFFERED = 2 * MAX_MESSAGE
MESSAGE_S = 60  # for a whole message, plus its bytes at
MIN_RATE = 2048  # bytes a second, a bad GPRS connection

# Unread bytes a client may send on one stream: 2.5 MB/s at 100 ms round trip.
STREAM_WINDOW = 256 * 1024
CONNECTION_WINDOW = 2**20  # unread bytes on one connection
MAX_FRAME = 16384  # RFC 9113 section 6.5.2: what clients may send unless told otherwise
ANSWER_S = 60  # for a client to take an answer, once there is one
MAX_STREAMS = 64  # requests at once on one connection; a device has one, viam-server some ten
MAX_RESETS = 200  # cancelled requests between two sweeps; more is an attack (CVE-2023-44487)
# Bytes of answers that a client has not taken; the largest answer is a configuration.
MAX_UNSENT = 2**20

# times CONNECTION_WINDOW is 512 MiB at the very worst; a process may open 1024 files.
MAX_CONNECTIONS = 512
HANDSHAKE_S = 15  # TLS handshake; an ESP32 needs 0.7 s, a bad network some round trips
FIRST_REQUEST_S = 30  # from the accept to the first request with a valid token or login
IDLE_S = 240  # without a byte from the client: send a PING
PING_S = 20  # and without a byte for this long after it: it is gone
WRITE_STALL_S = 60  # a client that takes nothing of its answer
SWEEP_S = 2  # how often connections are looked at
STOP_S = 5  # for requests that are being answered when the receiver stops
GOODBYE_S = 1  # for the closing handshakes of TLS
ACCEPT_PAUSE_S = 0.5  # when the process has no file descriptors left
