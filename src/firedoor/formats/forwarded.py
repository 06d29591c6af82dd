"""Whom a proxy asks for: ``Forwarded`` (RFC 7239) and ``X-Forwarded-For``.

Both list addresses from the client to the last proxy but one, and each proxy adds the address it
was called from at the end. What stands left of the first address that is no trusted proxy's, seen
from the end, was written by somebody nobody knows.
"""

import re
from collections.abc import Callable, Iterable
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final

Address = IPv4Address | IPv6Address

_MOST: Final = 4096
"""Bytes that are looked at; a longer header is no proxy's."""

_PAIR: Final = re.compile(
    r"""[ \t]*([!#$%&'*+.^_`|~0-9A-Za-z-]+)=("(?:[^"\\]|\\.)*"|[^\s",;]*)[ \t]*"""
)
_PORT: Final = re.compile(r":[0-9]{1,5}")


def client_of(
    peer: str, headers: Iterable[tuple[bytes, bytes]], trusted: Callable[[Address], bool]
) -> str:
    """Address of whom a connection asks for.

    Args:
        peer: Address that the connection comes from.
        headers: Of the request, names in lower case.
        trusted: Says whose word is taken.

    Returns:
        The last address that no trusted proxy has; ``peer`` where it is none, where it says
        nothing, and where it says so in a way that cannot be read: a request with both headers
        may have one from the client, and nobody can tell which.
    """
    address = _address(peer)
    if address is None or not trusted(address):
        return peer if address is None else str(address)
    found = {
        name: [value for key, value in headers if key == name]
        for name in (b"forwarded", b"x-forwarded-for")
    }
    standard, usual = found[b"forwarded"], found[b"x-forwarded-for"]
    if bool(standard) == bool(usual):
        return str(address)
    said = b",".join(standard or usual)
    if len(said) > _MOST:
        return str(address)
    text = said.decode("latin-1")
    steps = _forwarded(text) if standard else [_node(word) for word in text.split(",")]
    client = address
    for step in reversed(steps):
        if step is None:
            break
        client = step
        if not trusted(step):
            break
    return str(client)


def _forwarded(text: str) -> list[Address | None]:
    """The ``for`` of each element, None where there is none that can be read."""
    steps: list[Address | None] = []
    at, node = 0, ""
    while at <= len(text):
        pair = _PAIR.match(text, at)
        if pair is not None:
            if pair[1].lower() == "for":
                node = pair[2]
            at = pair.end()
        else:
            at += len(text[at:]) - len(text[at:].lstrip(" \t"))
        if at < len(text) and text[at] not in ",;":
            # Nothing after it can be told apart; what is right of it counts first, and is lost.
            return [None]
        if at == len(text) or text[at] == ",":
            steps.append(_node(node))
            node = ""
        at += 1
    return steps


def _node(written: str) -> Address | None:
    """An address as one of the headers writes it, with or without a port."""
    text = written.strip()
    if text.startswith('"') and text.endswith('"') and len(text) > 1:
        text = re.sub(r"\\(.)", r"\1", text[1:-1])
    if text.startswith("["):
        inner, bracket, port = text[1:].partition("]")
        return _address(inner) if bracket and (not port or _PORT.fullmatch(port)) else None
    host, colon, port = text.partition(":")
    if colon and ":" not in port:
        return _address(host) if _PORT.fullmatch(colon + port) else None
    return _address(text)


def _address(text: str) -> Address | None:
    try:
        address = ip_address(text)
    except ValueError:
        return None
    # A socket for both families shows an IPv4 client in IPv6's clothes.
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address
