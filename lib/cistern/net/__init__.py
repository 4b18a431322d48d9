"""HTTP/2 and gRPC as state machines fed with bytes; `channel` drives them over a byte stream.

hpack (RFC 7541), h2 (RFC 9113) and grpc know no sockets, no time and no asyncio.
"""

try:
    from micropython import const
except ImportError:

    def const(x):
        """What MicroPython's compiler folds; elsewhere just the value."""
        return x
