"""A device's session with the cloud: one channel, one token, calls that log in when they must."""

from cistern.cloud import httpdate
from cistern.cloud.protobuf import field, string, text
from cistern.errors import GrpcError

AUTHENTICATE = "/proto.rpc.v1.AuthService/Authenticate"
INVALID_ARGUMENT = 3
FAILED_PRECONDITION = 9
UNAUTHENTICATED = 16
CALL_TIMEOUT_MS = 20000


class Cloud:
    """Viam's cloud, or a receiver of one's own, for the part `part_id`.

    channel: net.Channel; secret: the part's secret; on_date(utc_us): told the time of each answer.
    """

    def __init__(self, channel, part_id, secret, on_date=None):
        self.part_id = part_id
        self._channel = channel
        self._secret = secret
        self._on_date = on_date
        self._token = None

    async def call(self, path, message, size=None):
        """One unary call with the part's token; the answer's message. Raises LinkError."""
        if self._token is None:
            await self.login()
        metadata = (("authorization", "Bearer " + self._token),)
        try:
            return await self._unary(path, message, metadata, size)
        except GrpcError as e:
            if e.status == UNAUTHENTICATED:
                # The token has expired or the server forgot it; the caller's next try logs in
                # again.
                self._token = None
            raise

    async def login(self):
        """Get a token for the part. Raises LinkError."""
        credentials = text(1, "robot-secret") + text(2, self._secret)
        request = text(1, self.part_id) + field(2, credentials)
        try:
            self._token = string(await self._unary(AUTHENTICATE, request, (), None), 1)
        except GrpcError as e:
            if e.status == INVALID_ARGUMENT:
                # Of the login: nobody may take it for a refusal of what was to be sent after it.
                e.status = FAILED_PRECONDITION
            raise

    async def _unary(self, path, message, metadata, size):
        reply = await self._channel.unary(path, message, metadata, CALL_TIMEOUT_MS, size)
        if self._on_date:
            utc_us = httpdate.parse(reply.headers.get("date"))
            if utc_us:
                self._on_date(utc_us)
        return reply.message

    async def close(self):
        """Close the connection; the token is kept."""
        await self._channel.close()
