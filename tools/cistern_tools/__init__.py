"""Cistern's tools on the host."""

# Exit status of a command that Ctrl-C ended, as a shell has it: 128 and SIGINT.
INTERRUPTED = 130
