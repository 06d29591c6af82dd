"""Clients that tell what they installed: each request is weighed against what they got before."""

from collections.abc import Iterable
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import Final

from firedoor.core.release import FileEntry
from firedoor.gate.asgi import Header
from firedoor.gate.keeper import Channel, Keeper
from firedoor.gate.telling import Delivered
from firedoor.services.fetches import Asked

_LATEST_S: Final = 0xFFFF_FFFF
_DECKS: Final = 0xFFFF


def asked_by(
    channel: Channel,
    machine: int,
    *,
    number: int,
    path: str,
    entry: FileEntry,
    headers: Iterable[Header],
) -> Asked:
    """What a machine's request is weighed by.

    A machine of control gets each file that the new release changed once more, although it has
    it: it installs when those with other cards do, and what fails then fails in both arms.
    """
    held, card, sham = channel.admission.card(machine), 0, False
    if held is not None:
        card = (held.number << 16 | held.deck & _DECKS) & _LATEST_S
        offered = channel.catalog.get(held.number)
        sham = held.control and offered is not None and path in offered.payload
    return Asked(
        machine=machine,
        path=path,
        digest=entry.sha256,
        date_s=_date_shown(headers),
        began_ms=channel.admission.in_session_since(machine),
        number=number,
        card=card,
        sham=sham,
    )


def noting(
    keeper: Keeper, channel: Channel, asked: Asked, size: int, then: Delivered | None
) -> Delivered:
    """Callback that notes when the machine has all ``size`` bytes; ``then`` is called as well."""
    had = 0

    def delivered(start: int, end: int) -> None:
        nonlocal had
        if then is not None:
            then(start, end)
        if start == had:
            had = end
        if had == size and channel.fetches is not None:
            now = keeper.now()
            channel.fetches.sent(asked, mono_ms=now, wall_s=keeper.wall_s())
            # A session does not end while it waits for a long file.
            if channel.admission.in_session_since(asked.machine) == asked.began_ms:
                channel.admission.touch(asked.machine, now)

    return delivered


def _date_shown(headers: Iterable[Header]) -> int:
    """Unix seconds of If-Modified-Since, 0 where there is none that makes sense."""
    for name, value in headers:
        if name == b"if-modified-since":
            return _seconds(value)
    return 0


@lru_cache(4096)
def _seconds(date: bytes) -> int:
    try:
        moment = parsedate_to_datetime(date.decode("ascii"))
        return min(max(0, int(moment.timestamp())), _LATEST_S)
    except (ValueError, OverflowError):
        return 0
