"""What a reply is made of on its way to the socket: a head that is spelled out, bytes, a file."""

import os
from collections.abc import Sequence
from functools import lru_cache
from http import HTTPStatus
from typing import Final

STATUS_LINES: Final = {
    status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus
}
WITHOUT_BODY: Final = frozenset({HTTPStatus.NO_CONTENT.value, HTTPStatus.NOT_MODIFIED.value})
"""Statuses of replies that end with their head."""

_FIELDS_KEPT: Final = 1024


class Part:
    """What is left to send of a part of a file."""

    __slots__ = ("at", "fd", "own", "stop")

    def __init__(self, fd: int, at: int, count: int) -> None:
        """Of the file that is open as ``fd``: so many bytes, from there on."""
        self.fd, self.at, self.stop, self.own = fd, at, at + count, False

    def keep(self) -> None:
        """Outlive the descriptor of who wants it sent."""
        self.fd, self.own = os.dup(self.fd), True

    def close(self) -> None:
        """Nothing more is sent."""
        if self.own:
            os.close(self.fd)


def spelled(headers: Sequence[tuple[bytes, bytes]]) -> tuple[bytes, int | None]:
    """The header fields of a reply as they are sent, and its Content-Length, if it has one."""
    length = None
    for name, value in headers:
        if name == b"content-length":
            length = int(value)
    fields = b"".join(b"%b: %b\r\n" % header for header in headers)
    if fields.count(b"\n") != len(headers) or fields.count(b"\r") != len(headers):
        raise RuntimeError("a header of the reply has a line break in it")
    return fields, length


kept: Final = lru_cache(_FIELDS_KEPT)(spelled)
"""The same of headers that are in a tuple, as those are that many replies share."""


def after(pieces: Sequence[bytes | memoryview], sent: int) -> Sequence[bytes | memoryview]:
    """What is left of some pieces of which so many bytes were sent."""
    left = []
    for piece in pieces:
        if sent < len(piece):
            left.append(memoryview(piece)[sent:])
        sent = max(0, sent - len(piece))
    return left
