"""What clients have acknowledged of replies that went through the relay.

The relay tells, for each of its calls, how much of what it was given its client has acknowledged:
bytes of HTTP/1.1, whose server knows how many it has sent; whole replies of HTTP/2, whose server
mixes them and tells nobody which bytes are whose. Source of the frames: RFC 9113, 4.1 and 6.
"""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

from firedoor.adapters.tls.peers import Peers
from firedoor.ports import ARRIVAL, Arrival

_HEAD: Final = 9
_DATA_OR_HEADERS: Final = (0, 1)
_END_STREAM: Final = 0x1

Send = Callable[[Any], Awaitable[None]]
"""What an application sends by."""


class Endings:
    """Counts the replies that end in what an HTTP/2 server sends."""

    __slots__ = ("_ends", "_head", "_left", "count")

    def __init__(self) -> None:
        """Nothing was sent yet."""
        self._head = b""
        self._left = 0
        self._ends = False
        self.count = 0

    def read(self, data: memoryview) -> None:
        """The next bytes, however they were cut."""
        at = 0
        while at < len(data):
            if self._left:
                step = min(self._left, len(data) - at)
                self._left -= step
                at += step
            else:
                piece = data[at : at + _HEAD - len(self._head)]
                self._head += piece
                at += len(piece)
                if len(self._head) < _HEAD:
                    return
                self._left = int.from_bytes(self._head[:3])
                self._ends = self._head[3] in _DATA_OR_HEADERS and self._head[4] & _END_STREAM > 0
                self._head = b""
            if self._ends and not self._left:
                self._ends = False
                self.count += 1


class _Call:
    """One call of the relay."""

    def __init__(self, peers: Peers, port: int, number: int) -> None:
        self._peers, self._port, self._number = peers, port, number
        self.replies = 0

    def taken(self) -> int:
        """What was acknowledged, as far as is known."""
        taken = self._peers.taken(self._port)
        return taken if self._peers.call(self._port) == self._number else 0

    def over(self) -> bool:
        """Whether it is this call no more."""
        again = self._peers.call(self._port) != self._number
        return again or not self._peers.is_open(self._port)


class _Bytes(_Call):
    """HTTP/1.1, and what its server says of the loopback connection."""

    def __init__(self, peers: Peers, port: int, number: int, inner: Arrival) -> None:
        super().__init__(peers, port, number)
        self.given = inner.given


class _Replies(_Call):
    """HTTP/2. A reply has arrived when as many have as the application has finished."""

    def given(self) -> int:
        """Replies that were finished."""
        return self.replies


class Arrivals:
    """Puts ``ports.Arrival`` into scopes."""

    def __init__(self, peers: Peers) -> None:
        """Of the calls that a relay enters there."""
        self._peers = peers
        self._calls: dict[int, tuple[int, _Replies]] = {}

    def tell(self, scope: MutableMapping[str, Any], port: int, send: Send) -> Send:
        """Put it into the scope of a request from this port; what to send the reply by."""
        number = self._peers.call(port)
        if ARRIVAL in scope:
            scope[ARRIVAL] = _Bytes(self._peers, port, number, scope[ARRIVAL])
            return send
        if scope["http_version"] != "2":
            return send
        known, call = self._calls.get(port, (0, None))
        if call is None or known != number:
            call = _Replies(self._peers, port, number)
            self._calls[port] = (number, call)
        scope[ARRIVAL] = finished = call

        def count(message: Any) -> Awaitable[None]:
            # Also what is sent by its path, which is whole in one message.
            if message["type"] != "http.response.start" and not message.get("more_body"):
                finished.replies += 1
            return send(message)

        return count
