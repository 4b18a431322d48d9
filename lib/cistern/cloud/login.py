"""Logging in to the cloud with the part's secret (proto/rpc/v1/auth.proto); borrowed."""

from cistern.cloud.protobuf import Writer, find
from cistern.errors import GrpcError, LinkError

AUTHENTICATE = "/proto.rpc.v1.AuthService/Authenticate"
INVALID_ARGUMENT = 3
FAILED_PRECONDITION = 9


async def login(cloud):
    """Give the Cloud a token. Raises LinkError."""
    w = Writer()
    w.field(2, cloud.secret)
    w.field(1, "robot-secret")
    w.head(2, 0)
    w.field(1, cloud.part_id)
    try:
        answer = await cloud.unary(AUTHENTICATE, w.view(), (), None)
        cloud.token = str(find(answer, 1), "utf-8")
    except GrpcError as e:
        # Nobody may take it for a refusal of what was to be sent after it.
        e.of_login = True
        if e.status == INVALID_ARGUMENT:
            e.status = FAILED_PRECONDITION
        raise
    except (TypeError, ValueError):
        raise LinkError("call", "the answer to the login has no token") from None
