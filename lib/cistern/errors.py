"""Exceptions that cross rooms."""


class CisternError(Exception):
    """Base of all errors that Cistern raises on purpose; str() is a sentence for the user."""


class StoreError(CisternError):
    """The flash log cannot be used or cannot take more; the message says what to do."""


class LinkError(CisternError):
    """A request did not succeed.

    layer: the lowest layer that failed: dns, connect, tls, http2, call (cancelled, closed) or
    grpc; or "deadline" where none did in time.
    retry: trying the same request again later can help.
    maybe_seen: the server may have acted on the request although no answer arrived.
    memory: this board had not enough of it.
    """

    memory = False

    def __init__(self, layer, message, retry=True, maybe_seen=False):
        super().__init__(message)
        self.layer = layer
        self.retry = retry
        self.maybe_seen = maybe_seen


class GrpcError(LinkError):
    """The server answered with a gRPC status other than OK (doc/statuscodes.md of gRPC).

    of_login: the login of a call was refused, not the call.
    """

    of_login = False

    def __init__(self, status, message, retry=True, maybe_seen=False):
        super().__init__("grpc", message, retry, maybe_seen)
        self.status = status
        self.message = message
