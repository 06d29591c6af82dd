"""Reading a request's body: whole, limited, and unpacked."""

import asyncio
import zlib
from collections.abc import Awaitable, Callable
from typing import Any, Final

from firedoor.core.errors import BadInput, TooLarge

Receive = Callable[[], Awaitable[dict[str, Any]]]
"""ASGI: the next message from the server."""

_SECONDS: Final = 60.0
"""How long a client may take to send a body; a slow one must not hold memory for ever."""

_GZIP: Final = 16 + zlib.MAX_WBITS


class ClientLeft(Exception):
    """The client closed the connection before its request was complete."""


async def read_body(receive: Receive, declared: bytes, limit: int) -> bytes:
    """Read a body, whether its length was declared or it comes in chunks.

    Args:
        receive: From ASGI.
        declared: Value of ``Content-Length``, or empty.
        limit: Largest body in bytes.

    Raises:
        TooLarge: Declared or counted to be above the limit.
        BadInput: The client took too long.
        ClientLeft: The client closed the connection.
    """
    if declared.isdigit() and int(declared) > limit:
        raise _too_large(limit)
    first, more = await _next(receive)
    if not more and len(first) <= limit:
        return first
    chunks, size = [first], len(first)
    try:
        async with asyncio.timeout(_SECONDS):
            while more and size <= limit:
                chunk, more = await _next(receive)
                chunks.append(chunk)
                size += len(chunk)
    except TimeoutError:
        raise BadInput(f"the body was not complete after {_SECONDS:.0f} s") from None
    if size > limit:
        raise _too_large(limit)
    return b"".join(chunks)


def gunzip(packed: bytes, limit: int) -> bytes:
    """Unpack a gzip body of one or more members, never beyond the limit.

    Raises:
        TooLarge: It would unpack to more than ``limit`` bytes.
        BadInput: It is damaged or incomplete.
    """
    members: list[bytes] = []
    size = 0
    while packed or not members:
        unpacker = zlib.decompressobj(_GZIP)
        try:
            member = unpacker.decompress(packed, limit + 1 - size)
        except zlib.error as error:
            raise BadInput("the gzip body is damaged") from error
        members.append(member)
        size += len(member)
        if size > limit:
            raise _too_large(limit)
        if not unpacker.eof:
            raise BadInput("the gzip body is incomplete")
        packed = unpacker.unused_data
    return b"".join(members)


async def _next(receive: Receive) -> tuple[bytes, bool]:
    message = await receive()
    if message["type"] == "http.disconnect":
        raise ClientLeft
    return message.get("body", b""), message.get("more_body", False)


def _too_large(limit: int) -> TooLarge:
    return TooLarge(f"a body may have {limit:,} bytes", hint="send several requests")
