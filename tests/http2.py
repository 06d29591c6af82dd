"""As much of HTTP/2 as it takes to break off one reply and go on: frames, written out.

Libraries and command line tools close the connection or wait for the end; what is asked here is
what happens when a stream is reset and its connection lives on. Source: RFC 9113 (frames, 4.1;
RST_STREAM, 6.4), RFC 7541 (header fields without compression, 6.2.2).
"""

import socket
import ssl
import struct
from collections.abc import Iterator

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _RST_STREAM, _SETTINGS, _PING, _GOAWAY, _WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
_END_STREAM, _ACK, _END_HEADERS = 0x1, 0x1, 0x4
_INITIAL_WINDOW_SIZE = 4
_CANCEL = 8
_GET, _HTTPS, _AUTHORITY, _PATH = b"\x82", b"\x87", 1, 4


class Connection:
    """One connection over TLS. Streams have odd numbers, from 1.

    Args:
        port: On localhost.
        context: Believes the server.
        window: Bytes of a stream that may be on the way, >= 1.
        source: Address that it comes from.
    """

    def __init__(
        self, port: int, context: ssl.SSLContext, *, window: int, source: str = "127.0.0.1"
    ) -> None:
        context.set_alpn_protocols(["h2"])
        plain = socket.create_connection(("127.0.0.1", port), 20, (source, 0))
        self._tls = context.wrap_socket(plain, server_hostname="localhost")
        assert self._tls.selected_alpn_protocol() == "h2"
        self._tls.sendall(_PREFACE)
        self._send(_SETTINGS, 0, 0, struct.pack(">HI", _INITIAL_WINDOW_SIZE, window))
        self._send(_WINDOW_UPDATE, 0, 0, struct.pack(">I", 1 << 30))
        self._next = 1

    def close(self) -> None:
        """End it."""
        self._tls.close()

    def get(self, path: str) -> int:
        """Ask for a file; the number of its stream."""
        stream, self._next = self._next, self._next + 2
        fields = _GET + _HTTPS + _literal(_AUTHORITY, "localhost") + _literal(_PATH, path)
        self._send(_HEADERS, _END_STREAM | _END_HEADERS, stream, fields)
        return stream

    def reset(self, stream: int) -> None:
        """Break one reply off."""
        self._send(_RST_STREAM, 0, stream, struct.pack(">I", _CANCEL))

    def body(self, stream: int, *, widen: bool) -> Iterator[bytes]:
        """The reply on a stream as it comes, to its end.

        Args:
            stream: Its number; what comes on others is dropped.
            widen: Let as much come again as has come.
        """
        while True:
            kind, flags, of, payload = self._receive()
            if kind == _SETTINGS and not flags & _ACK:
                self._send(_SETTINGS, _ACK, 0, b"")
            elif kind == _PING and not flags & _ACK:
                self._send(_PING, _ACK, 0, payload)
            assert kind != _GOAWAY, payload
            if of != stream:
                continue
            assert kind != _RST_STREAM, payload
            if kind == _DATA and payload:
                yield payload
                if widen:
                    self._send(_WINDOW_UPDATE, 0, stream, struct.pack(">I", len(payload)))
            if kind in (_DATA, _HEADERS) and flags & _END_STREAM:
                return

    def _send(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        head = struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream)
        self._tls.sendall(head + payload)

    def _receive(self) -> tuple[int, int, int, bytes]:
        head = self._exactly(9)
        kind, flags, stream = struct.unpack(">BBI", head[3:])
        return kind, flags, stream, self._exactly(int.from_bytes(head[:3]))

    def _exactly(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            piece = self._tls.recv(count - len(data))
            assert piece, "the server has closed the connection"
            data += piece
        return data


def _literal(index: int, value: str) -> bytes:
    """A field with a name of the static table, not indexed."""
    return bytes([index, len(value)]) + value.encode()
