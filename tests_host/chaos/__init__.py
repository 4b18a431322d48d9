"""The loss experiment: a board and a receiver with everything between them failing, all the time.

A board under MicroPython captures counters and syncs them through a proxy that speaks TLS and
HTTP/2 with both sides and breaks whatever a seeded plan says; board and receiver are killed and
started again. At the end the receiver's store, the board's flash and what the board had said are
compared reading by reading. `make chaos` runs it; faults.py lists what fails, verify.py what
must be true.
"""
