"""The head of an HTTP/1.1 request, as RFC 9112 spells it and in no other way.

What two readers of the same bytes could take for two requests is refused: a bare LF, a folded
line, blanks before a colon, two hosts, two lengths. A request with a body is told, so that nothing
is read after it on the same connection.
"""

import re
from typing import Final, NamedTuple
from urllib.parse import unquote_to_bytes

MOST: Final = 16 * 1024
"""Bytes of a head, its end included; longer ones are not looked at.

No updater sends a tenth of it, and as many heads as there may be connections fit into 200 MiB.
"""

MOST_FIELDS: Final = 100
"""Header fields of a head; an application that is told of sixteen thousand answers nobody else."""

END: Final = b"\r\n\r\n"
"""Where a head ends."""

BARE_END: Final = b"\n\n"
"""Where a head ends for readers that take a bare LF; here it is none, and nothing else follows."""

Header = tuple[bytes, bytes]
"""Name in lower case, value without the blanks around it."""

# RFC 9110, 5.6.2: token; 5.5: field-value. Neither can hold what the other ends with, so a match
# takes linear time.
_TOKEN: Final = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_FIELD: Final = rb"(%b):([\t\x20-\x7e\x80-\xff]*)\r\n" % _TOKEN
# The target has no fragment: what comes after it the next reader might drop.
_HEAD: Final = re.compile(
    rb"(%b) ([\x21\x22\x24-\x7e\x80-\xff]+) HTTP/1\.([01])\r\n((?:%b)*)\r\n"
    % (_TOKEN, _FIELD.replace(b"(", b"(?:"))
)
_FIELDS: Final = re.compile(_FIELD)
# RFC 3986, 3.2: authority, without the name of a user.
_AUTHORITY: Final = rb"[A-Za-z0-9._~!$&'()*+,;=%:\[\]-]"
_ABSOLUTE: Final = re.compile(rb"https?://%b+(?=/|\Z)" % _AUTHORITY, re.IGNORECASE)
_HOST: Final = re.compile(rb"%b*" % _AUTHORITY)


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
        head: All bytes up to and with ``END``, at most ``MOST``, ``MOST_FIELDS`` lines of it.
    """
    match = _HEAD.fullmatch(head)
    if match is None:
        return None
    method, target, minor, fields = match.groups()
    headers: list[Header] = []
    keep = minor == b"1"
    hosts: list[bytes] = []
    lengths: list[bytes] = []
    codings: list[bytes] = []
    for name, value in _FIELDS.findall(fields):
        key, said = name.lower(), value.strip(b" \t")
        headers.append((key, said))
        if key == b"host":
            hosts.append(said)
        elif key == b"connection":
            keep = keep and b"close" not in said.lower()
        elif key == b"content-length":
            lengths.append(said)
        elif key == b"transfer-encoding":
            codings.append(said)
    if len(hosts) > 1 or (minor == b"1" and not hosts):
        return None  # RFC 9112, 3.2
    if hosts and _HOST.fullmatch(hosts[0]) is None:
        return None
    if (lengths or codings) and not _is_framed(lengths, codings, minor):
        return None
    body = bool(codings) or lengths not in ([], [b"0"])
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


def _is_framed(lengths: list[bytes], codings: list[bytes], minor: bytes) -> bool:
    """Whether all readers agree where a body ends. Source: RFC 9112, 6.1 and 6.3."""
    if codings:
        return not lengths and minor == b"1" and [one.lower() for one in codings] == [b"chunked"]
    return len(lengths) == 1 and lengths[0].isdigit()
