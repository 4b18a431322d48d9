"""A device's session with the cloud: one channel, one token, calls that log in when they must."""

from cistern.cloud.protobuf import Writer, find
from cistern.errors import GrpcError, LinkError

AUTHENTICATE = "/proto.rpc.v1.AuthService/Authenticate"
INVALID_ARGUMENT = 3
FAILED_PRECONDITION = 9
UNAUTHENTICATED = 16
CALL_TIMEOUT_MS = 20000


class Cloud:
    """Viam's cloud, or a receiver of one's own, for the part `part_id`.

    channel: net.Channel; secret: the part's secret; on_date(text): told the `date` header of each
    answer, or None. token: of the login, None before the cloud answered one.
    """

    def __init__(self, channel, part_id, secret, on_date=None):
        self.part_id = part_id
        self._channel = channel
        self._secret = secret
        self._on_date = on_date
        self.token = None

    def ready(self):
        """Whether there is a connection, and on it a login."""
        return self.token and self._channel.connected()

    async def call(self, path, message, size=None):
        """One unary call with the part's token; the answer's message. Raises LinkError.

        message: bytes-like, or with size= what makes an iterator of pieces of it.
        """
        while True:
            fresh = self.token is None
            if fresh:
                await self.login()
            token = self.token
            metadata = (("authorization", "Bearer " + token),)
            try:
                return await self._unary(path, message() if size else message, metadata, size)
            except GrpcError as e:
                if e.status != UNAUTHENTICATED:
                    raise
                # The token has expired or the server forgot it.
                if self.token == token:
                    self.token = None
                if fresh:
                    raise

    async def login(self):
        """Get a token for the part. Raises LinkError."""
        w = Writer()
        w.field(2, self._secret)
        w.field(1, "robot-secret")
        w.head(2, 0)
        w.field(1, self.part_id)
        try:
            answer = await self._unary(AUTHENTICATE, w.view(), (), None)
            self.token = str(find(answer, 1), "utf-8")
        except GrpcError as e:
            # Nobody may take it for a refusal of what was to be sent after it.
            e.of_login = True
            if e.status == INVALID_ARGUMENT:
                e.status = FAILED_PRECONDITION
            raise
        except (TypeError, ValueError):
            raise LinkError("call", "the answer to the login has no token") from None

    async def _unary(self, path, message, metadata, size):
        reply = await self._channel.unary(path, message, metadata, CALL_TIMEOUT_MS, size)
        if self._on_date:
            self._on_date(reply.headers.get("date"))
        return reply.message

    async def close(self):
        """Close the connection; the token is kept."""
        await self._channel.close()
