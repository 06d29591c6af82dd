"""Reading a request's body: whole, limited, paid for, and unpacked."""

import asyncio
import zlib
from collections.abc import Awaitable, Callable, Hashable
from types import TracebackType
from typing import Any, Final, Self

from firedoor.core.errors import BadInput, TooLarge, TooMuch, Unavailable

Receive = Callable[[], Awaitable[dict[str, Any]]]
"""ASGI: the next message from the server."""

MAX_MEMBERS: Final = 64
"""Members in one gzip body. Each costs an unpacker, and an empty one has only twenty bytes."""

_SECONDS: Final = 60.0
"""How long a client may take to send a body; a slow one must not hold memory for ever."""

_GZIP: Final = 16 + zlib.MAX_WBITS

_SLICE_BYTES: Final = 64 * 1024
"""Packed bytes given to an unpacker at once: what is copied where a member ends."""

_UNPACKED_AT_ONCE: Final = 2

_FREE_BYTES: Final = 4 * 1024
"""Bytes of every body that cost nothing: a machine's own signals fit, so whoever uses up the
budget shuts out large bodies only."""


class ClientLeft(Exception):
    """The client closed the connection before its request was complete."""


class Budget:
    """Bytes of bodies that may be in memory at once, over all requests. For one event loop.

    The requests of one sender may hold its share of them together and no more, so that nobody shuts
    out everybody else. A request of a sender that has no other may take what there is: a body that
    is decoded takes many times its own size, and would else be refused for ever.
    """

    def __init__(self, total: int, share: int | None = None) -> None:
        """Begin with nothing taken.

        Args:
            total: Bytes, >= 0.
            share: Bytes that several requests of one sender may hold, at most ``total``; None:
                all.
        """
        self._left = total
        self._share = total if share is None else share
        self._held: dict[Hashable, int] = {}
        self.unpacking = asyncio.Semaphore(_UNPACKED_AT_ONCE)
        """What is unpacked is paid for when it is known how much it is: a few at a time."""

    def open(self, sender: Hashable = None) -> "Account":
        """An account for one request; close it when the request was answered.

        Args:
            sender: Who sends it; None: nobody who is known, and no share is asked.
        """
        return Account(self, sender)

    def _take(self, sender: Hashable, own: int, size: int) -> None:
        before = self._held.get(sender, 0)
        held = before + size
        if before > own and held > self._share:
            raise TooMuch("you have too many bodies under way", hint="send it again later")
        if size > self._left:
            raise Unavailable("too many bodies are being received", hint="send it again later")
        self._left -= size
        if sender is not None:
            self._held[sender] = held

    def _give_back(self, sender: Hashable, size: int) -> None:
        self._left += size
        if sender in self._held:
            self._held[sender] -= size
            if not self._held[sender]:
                del self._held[sender]


class Account:
    """What one request takes of a ``Budget``; a context manager that gives it back."""

    __slots__ = ("_budget", "_sender", "_size", "_taken")

    def __init__(self, budget: Budget, sender: Hashable) -> None:
        """See ``Budget.open``."""
        self._budget = budget
        self._sender = sender
        self._size = self._taken = 0

    def __enter__(self) -> Self:
        """Begin with nothing taken."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Give everything back."""
        self._budget._give_back(self._sender, self._taken)  # noqa: SLF001 - the two are one thing
        self._size = self._taken = 0

    @property
    def unpacking(self) -> asyncio.Semaphore:
        """To be held while a large body is unpacked and not paid for yet."""
        return self._budget.unpacking

    def add(self, size: int) -> None:
        """Take note of ``size`` more bytes that the request holds.

        Raises:
            TooMuch: The sender holds its share.
            Unavailable: The budget does not have them.
        """
        self._size += size
        more = max(self._size - _FREE_BYTES, 0) - self._taken
        if more:
            self._budget._take(self._sender, self._taken, more)  # noqa: SLF001 - the two are one thing
            self._taken += more


async def read_body(receive: Receive, declared: bytes, limit: int, account: Account) -> bytes:
    """Read a body, whether its length was declared or it comes in chunks.

    Args:
        receive: From ASGI.
        declared: Value of ``Content-Length``, or empty.
        limit: Largest body in bytes.
        account: Pays for what has come; never for what was only declared.

    Raises:
        TooLarge: Declared or counted to be above the limit.
        BadInput: The client took too long.
        TooMuch: The sender's other requests hold its share.
        Unavailable: Other requests hold too much.
        ClientLeft: The client closed the connection.
    """
    if declared.isdigit() and int(declared) > limit:
        raise _too_large(limit)
    try:
        # Around the first message too: a client may declare a body and never begin it.
        async with asyncio.timeout(_SECONDS):
            return await _read(receive, limit, account)
    except TimeoutError:
        raise BadInput(f"the body was not complete after {_SECONDS:.0f} s") from None


async def next_piece(receive: Receive) -> tuple[bytes, bool]:
    """The next piece of a body, and whether more comes.

    Raises:
        ClientLeft: The client closed the connection.
    """
    message = await receive()
    if message["type"] == "http.disconnect":
        raise ClientLeft
    return message.get("body", b""), message.get("more_body", False)


async def unpack(packed: bytes, limit: int, account: Account) -> bytes:
    """Unpack a gzip body, a large one beside the event loop; see ``gunzip``.

    Raises:
        TooLarge: It would unpack to more than ``limit`` bytes.
        BadInput: It is damaged or incomplete.
        TooMuch: The sender's other requests hold its share.
        Unavailable: Other requests hold too much.
    """
    if len(packed) <= _SLICE_BYTES:
        body = gunzip(packed, limit)
        account.add(len(body))
        return body
    async with account.unpacking:
        body = await asyncio.to_thread(gunzip, packed, limit)
        account.add(len(body))
    return body


def gunzip(packed: bytes, limit: int) -> bytes:
    """Unpack a gzip body of one or more members, never beyond the limit.

    Raises:
        TooLarge: It would unpack to more than ``limit`` bytes.
        BadInput: It is damaged or incomplete, or has more than ``MAX_MEMBERS`` members.
    """
    view = memoryview(packed)
    body = bytearray()
    for _ in range(MAX_MEMBERS):
        view = _unpack_member(view, limit, body)
        if not view:
            return bytes(body)
    raise BadInput(f"more than {MAX_MEMBERS} gzip members", hint="pack the body as one")


async def _read(receive: Receive, limit: int, account: Account) -> bytes:
    first, more = await next_piece(receive)
    account.add(len(first))
    if not more and len(first) <= limit:
        return first
    # One buffer, not a list: chunks of a byte each would cost forty times what they hold.
    body = bytearray(first)
    while more and len(body) <= limit:
        chunk, more = await next_piece(receive)
        account.add(len(chunk))
        body += chunk
    if len(body) > limit:
        raise _too_large(limit)
    return bytes(body)


def _unpack_member(view: memoryview, limit: int, into: bytearray) -> memoryview:
    unpacker = zlib.decompressobj(_GZIP)
    at = 0
    while not unpacker.eof:
        piece = view[at : at + _SLICE_BYTES]
        if not piece:
            raise BadInput("the gzip body is incomplete")
        try:
            into += unpacker.decompress(piece, limit + 1 - len(into))
        except zlib.error as error:
            raise BadInput("the gzip body is damaged") from error
        if len(into) > limit:
            raise _too_large(limit)
        at += len(piece)
    return view[at - len(unpacker.unused_data) :]


def _too_large(limit: int) -> TooLarge:
    return TooLarge(f"a body may have {limit:,} bytes", hint="send several requests")
