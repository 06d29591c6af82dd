"""Reading HTTP/1.1 replies: bytes in, in whatever pieces they come; a `Reply` out. No I/O."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from firedoor.core.errors import TooLarge

HEAD_BYTES = 64 * 1024
"""Longest head, and longest line of the chunked coding, that is read."""

_STATUS_LINE = 2  # words that every status line has: version and status
_STATUS_DIGITS = 3
_INFORMATION = range(100, 200)
_BODILESS = frozenset({204, 304})


class BadReply(ConnectionError):
    """What came is no whole HTTP/1.1 reply; nothing on this connection can be trusted any more."""


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer.

    Attributes:
        status: HTTP status, 200 to 599.
        headers: Names in lower case; of a repeated header the last one.
        body: Bytes without any transfer coding.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes


class ReplyReader:
    """Collects one reply to a GET or a POST.

    Args:
        limit: Largest body accepted, bytes.
        on_body: Told once, when the first byte of a body is here, with status and headers
            (``body`` is still empty): the moment of exposure.
    """

    __slots__ = ("_body", "_chunked", "_head", "_last", "_left", "_limit", "_on_body", "_pending")

    def __init__(self, limit: int, on_body: Callable[[Reply], None] | None = None) -> None:
        self._limit, self._on_body = limit, on_body
        self._pending = bytearray()
        self._body = bytearray()
        self._head: Reply | None = None
        self._chunked = self._last = False
        # Bytes still to come, of the body or of the present chunk; None: until the end.
        self._left: int | None = None

    def feed(self, data: bytes) -> Reply | None:
        """Take the next bytes.

        Returns:
            The reply as soon as it is whole, else None.

        Raises:
            BadReply: This is not HTTP/1.1.
            TooLarge: The body is over the limit.
        """
        self._pending += data
        while self._head is None:
            head = self._until(b"\r\n\r\n")
            if head is None:
                return None
            self._read_head(head)
        if self._chunked:
            return self._read_chunks(self._head)
        self._take()
        return self._whole(self._head) if self._left == 0 else None

    def end(self) -> Reply:
        """Learn that the connection ended.

        Returns:
            The reply, if the end of the connection was to be its end.

        Raises:
            BadReply: Something is missing.
        """
        if self._head is None or self._chunked or self._left is not None:
            raise BadReply("the connection ended within the reply")
        return self._whole(self._head)

    @property
    def keeps_alive(self) -> bool:
        """Whether the connection may serve another request after this reply."""
        if self._head is None or self._pending:
            return False
        says_close = self._head.headers.get("connection", "").lower() == "close"
        return not says_close and (self._chunked or self._left is not None)

    def _read_head(self, head: bytes) -> None:
        first, *lines = head.decode("latin-1").split("\r\n")
        words = first.split(" ", _STATUS_LINE)
        if len(words) < _STATUS_LINE or not words[0].startswith("HTTP/1."):
            raise BadReply(f"not a reply: {first[:60]!r}")
        status = _number(words[1], 10)
        if len(words[1]) != _STATUS_DIGITS:
            raise BadReply(f"not a status: {words[1][:30]!r}")
        if status in _INFORMATION:
            return
        headers = {}
        for line in lines:
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        self._head = Reply(status, headers, b"")
        if status in _BODILESS:
            self._left = 0
        elif "chunked" in headers.get("transfer-encoding", "").lower():
            self._chunked, self._left = True, 0
        elif (length := headers.get("content-length")) is not None:
            self._left = _number(length, 10)
            self._check(self._left)

    def _read_chunks(self, head: Reply) -> Reply | None:
        while True:
            self._take()
            if self._left:
                return None
            line = self._until(b"\r\n")
            if line is None:
                return None
            if self._last:  # what follows the last chunk are trailers, up to an empty line
                if not line:
                    return self._whole(head)
            elif line:  # an empty one is the line end behind a chunk
                self._left = _number(line.partition(b";")[0].strip().decode("latin-1"), 16)
                self._check(len(self._body) + self._left)
                self._last = self._left == 0

    def _take(self) -> None:
        count = len(self._pending) if self._left is None else min(self._left, len(self._pending))
        if not count:
            return
        if not self._body and self._on_body is not None and self._head is not None:
            self._on_body(self._head)
        self._check(len(self._body) + count)
        self._body += self._pending[:count]
        del self._pending[:count]
        if self._left is not None:
            self._left -= count

    def _until(self, mark: bytes) -> bytes | None:
        end = self._pending.find(mark)
        if (end if end >= 0 else len(self._pending)) > HEAD_BYTES:
            raise BadReply("a head without an end")
        if end < 0:
            return None
        found = bytes(self._pending[:end])
        del self._pending[: end + len(mark)]
        return found

    def _check(self, size: int) -> None:
        if size > self._limit:
            raise TooLarge(f"a body over {self._limit} bytes")

    def _whole(self, head: Reply) -> Reply:
        return Reply(head.status, head.headers, bytes(self._body))


def _number(text: str, radix: int) -> int:
    # int() alone would also take signs, spaces and underscores.
    if not text.isascii() or not text.isalnum():
        raise BadReply(f"not a number: {text[:30]!r}")
    try:
        return int(text, radix)
    except ValueError:
        raise BadReply(f"not a number: {text[:30]!r}") from None
