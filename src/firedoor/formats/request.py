"""The head of an HTTP/1.1 request, as RFC 9112 spells it and in no other way.

What two readers of the same bytes could take for two requests is refused: a bare LF, a folded
line, blanks before a colon, two hosts. A request with a body is told, so that nothing is read
after it on the same connection.
"""

import re
from typing import Final, NamedTuple
from urllib.parse import unquote_to_bytes

MOST: Final = 64 * 1024
"""Bytes of a head, its end included; longer ones are not looked at."""

END: Final = b"\r\n\r\n"
"""Where a head ends."""

Header = tuple[bytes, bytes]
"""Name in lower case, value without the blanks around it."""

# RFC 9110, 5.6.2: token; 5.5: field-value. Neither can hold what the other ends with, so a match
# takes linear time.
_TOKEN: Final = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_FIELD: Final = rb"(%b):([\t\x20-\x7e\x80-\xff]*)\r\n" % _TOKEN
_HEAD: Final = re.compile(
    rb"(%b) ([\x21-\x7e\x80-\xff]+) HTTP/1\.([01])\r\n((?:%b)*)\r\n"
    % (_TOKEN, _FIELD.replace(b"(", b"(?:"))
)
_FIELDS: Final = re.compile(_FIELD)
_ABSOLUTE: Final = re.compile(rb"https?://[^/?#]*", re.IGNORECASE)


class Request(NamedTuple):
    """What a head says.

    Attributes:
        method: As it was sent; methods are case-sensitive.
        path: Percent-decoded; bytes that are not UTF-8 become U+FFFD.
        raw_path: As it was sent, without the query.
        query: What follows the first question mark.
        headers: In the order of the request.
        version: "1.0" or "1.1".
        keep: The client wants to ask again on this connection, and may: nothing follows the head
            that is not another request.
        body: Something follows the head that is no request.
    """

    method: str
    path: str
    raw_path: bytes
    query: bytes
    headers: list[Header]
    version: str
    keep: bool
    body: bool


def read_request(head: bytes) -> Request | None:
    """What a head says, or None if it is not exactly one.

    Args:
        head: All bytes up to and with ``END``, at most ``MOST``.
    """
    match = _HEAD.fullmatch(head)
    if match is None:
        return None
    method, target, minor, fields = match.groups()
    headers: list[Header] = []
    hosts, keep, body = 0, minor == b"1", False
    for name, value in _FIELDS.findall(fields):
        key, said = name.lower(), value.strip(b" \t")
        headers.append((key, said))
        if key == b"host":
            hosts += 1
        elif key == b"connection":
            keep = keep and b"close" not in said.lower()
        elif key == b"transfer-encoding" or (key == b"content-length" and said != b"0"):
            body = True
    if hosts > 1 or (minor == b"1" and not hosts):
        return None  # RFC 9112, 3.2
    raw_path, _, query = target.partition(b"?")
    if not raw_path.startswith(b"/"):
        # RFC 9112, 3.2.2: a server takes the form that is meant for proxies as well.
        authority = _ABSOLUTE.match(raw_path)
        if authority is not None:
            raw_path = raw_path[authority.end() :] or b"/"
        elif method != b"OPTIONS" or raw_path != b"*":
            return None
    path = (unquote_to_bytes(raw_path) if b"%" in raw_path else raw_path).decode(errors="replace")
    return Request(
        method.decode(),
        path,
        raw_path,
        query,
        headers,
        "1.1" if minor == b"1" else "1.0",
        keep and not body,
        body,
    )
