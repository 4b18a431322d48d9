"""A device's session with the cloud: one channel, one token, calls that log in when they must."""

from cistern.borrow import borrow
from cistern.errors import GrpcError

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
        self.secret = secret
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
                return await self.unary(path, message() if size else message, metadata, size)
            except GrpcError as e:
                if e.status != UNAUTHENTICATED:
                    raise
                # The token has expired or the server forgot it.
                if self.token == token:
                    self.token = None
                if fresh:
                    raise

    def login(self):
        """Get a token for the part. Raises LinkError."""
        return borrow("cistern.cloud.login").login(self)

    async def unary(self, path, message, metadata, size):
        """One call with this metadata; the answer's message. Raises LinkError."""
        reply = await self._channel.unary(path, message, metadata, CALL_TIMEOUT_MS, size)
        if self._on_date:
            self._on_date(reply.headers.get("date"))
        return reply.message

    async def close(self):
        """Close the connection; the token is kept."""
        await self._channel.close()
