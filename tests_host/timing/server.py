"""A cloud that takes everything: HTTP/2 by the h2 library, answers without a thought."""

import h2.config
import h2.connection
import h2.events

from cistern.cloud.datasync import UPLOAD
from cistern.cloud.login import AUTHENTICATE

_EPOCH = "Sun, 22 Nov 2026 12:00:00 GMT"
_OK, _UNIMPLEMENTED = "0", "12"
_TOKEN = b"\x0a\x05token"


class Server:
    """One connection."""

    def __init__(self, cloud):
        config = h2.config.H2Configuration(client_side=False, header_encoding="utf-8")
        self._h2 = h2.connection.H2Connection(config)
        self._h2.initiate_connection()
        self._paths = {}
        self._cloud = cloud

    def take(self, data):
        """Bytes from the board; the bytes to answer with."""
        conn = self._h2
        for event in conn.receive_data(data):
            if isinstance(event, h2.events.RequestReceived):
                self._paths[event.stream_id] = dict(event.headers)[":path"]
            elif isinstance(event, h2.events.DataReceived):
                conn.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            elif isinstance(event, h2.events.StreamEnded):
                self._answer(event.stream_id, self._paths.pop(event.stream_id))
        return conn.data_to_send()

    def _answer(self, stream, path):
        message = _TOKEN if path == AUTHENTICATE else b""
        status = _OK if path in (AUTHENTICATE, UPLOAD) else _UNIMPLEMENTED
        self._cloud.calls += path == UPLOAD
        head = [(":status", "200"), ("content-type", "application/grpc"), ("date", _EPOCH)]
        self._h2.send_headers(stream, head)
        self._h2.send_data(stream, b"\0" + len(message).to_bytes(4, "big") + message)
        self._h2.send_headers(stream, [("grpc-status", status)], end_stream=True)


class Cloud:
    """calls: uploads that were answered."""

    def __init__(self):
        self.calls = 0

    def connection(self):
        """For one more connection."""
        return Server(self)
