"""What the failure of a call says about what was sent: whether it is for its content."""

from cistern.errors import GrpcError

# What an error of a call says about what was sent.
AWAY = 0  # Nothing: the cloud is away or busy. All is tried again.
LATER = 1  # It is not welcome now, which somebody may change. It waits, other streams go on.
DOUBT = 2  # It may be for its content. A parcel that has it alone is suspect.
BAD = 3  # It is for its content. A parcel that has it alone is set aside.
# By the gRPC status (doc/statuscodes.md of gRPC); one that is not here is DOUBT.
KINDS = (
    AWAY,  # OK
    AWAY,  # CANCELLED
    DOUBT,  # UNKNOWN
    BAD,  # INVALID_ARGUMENT
    AWAY,  # DEADLINE_EXCEEDED
    DOUBT,  # NOT_FOUND
    DOUBT,  # ALREADY_EXISTS
    LATER,  # PERMISSION_DENIED
    DOUBT,  # RESOURCE_EXHAUSTED: too large, or too often
    DOUBT,  # FAILED_PRECONDITION
    AWAY,  # ABORTED
    BAD,  # OUT_OF_RANGE
    LATER,  # UNIMPLEMENTED: a newer server will know it
    DOUBT,  # INTERNAL
    AWAY,  # UNAVAILABLE
    DOUBT,  # DATA_LOSS
    AWAY,  # UNAUTHENTICATED
)


def of(error):
    """AWAY, LATER, DOUBT or BAD, of a LinkError."""
    if not isinstance(error, GrpcError) or error.of_login:
        return AWAY
    return KINDS[error.status] if error.status < len(KINDS) else DOUBT
