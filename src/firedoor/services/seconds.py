"""Seconds: orders that the policy lets no one person give, kept until a second one approves.

What is approved is an order by its number, not "what somebody asked of this release": an order
cannot be changed between the look at it and the approval. It lapses when the doors it was asked
of have moved, and after an hour.

Names are what people say of themselves; whoever has the console's token can say any. What two
names on one order prove is for the record, not for a court (SECURITY.md).
"""

from datetime import UTC, datetime
from typing import Final

import msgspec

from firedoor.core.errors import NotAllowed, NotFound
from firedoor.ports import Instant
from firedoor.services.ledger import LedgerWriter
from firedoor.services.order import Order
from firedoor.services.stores import JudgeRecords

WAITS_MS: Final = 3_600_000
"""How long an order waits for a second person, ms."""

_MOST = 50
_SHORT = 12
_LAST = "asked"


class Asked(msgspec.Struct, frozen=True):
    """An order that waits.

    Attributes:
        number: Its number; none is used twice.
        order: The order.
        asked_ms: When it came, wall clock.
        until_ms: When it lapses, wall clock.
        doors: (ring, state, since) of its release's doors when it came.
    """

    number: int
    order: Order
    asked_ms: int
    until_ms: int
    doors: tuple[tuple[str, str, int], ...]


class Seconds:
    """Keeps them. Within the judge's steps."""

    def __init__(self, store: JudgeRecords, ledger: LedgerWriter) -> None:
        """Nothing is read before it is needed."""
        self._store = store
        self._ledger = ledger

    def keep(self, order: Order, doors: tuple[tuple[str, str, int], ...], now: Instant) -> Asked:
        """Let an order wait, on the record and told: whoever is to approve it has to hear of it.

        Raises:
            NotAllowed: As many wait as may.
        """
        if len(self._store.asked()) >= _MOST:
            raise NotAllowed(
                f"{_MOST} orders wait for a second person already",
                hint="approve some, or let them lapse: they do after an hour",
            )
        number = self._store.cursor(_LAST) + 1
        self._store.put_cursor(_LAST, number)
        asked = Asked(number, order, now.wall_ms, now.wall_ms + WAITS_MS, doors)
        self._store.put_asked(number, msgspec.json.encode(asked).decode())
        self._note(
            asked,
            f"{_said(asked)}; it waits for a second person until {_clock(asked.until_ms)}: "
            f"firedoor release approve {order.release[:_SHORT]} {number} --by NAME",
            now,
        )
        return asked

    def waiting(self, number: int, release: str, now: Instant) -> Asked:
        """The order of this number.

        Raises:
            NotFound: No such order of this release waits.
        """
        for body in self._store.asked():
            asked = read(body)
            if (asked.number, asked.order.release) == (number, release):
                if asked.until_ms > now.wall_ms:
                    return asked
                break
        raise NotFound(
            f"no order {number} of release {release[:_SHORT]} waits for a second person",
            hint="it may have lapsed: firedoor release show lists those that wait",
        )

    def done(self, asked: Asked, approval: Order, now: Instant) -> None:
        """It was carried out."""
        self._store.drop_asked(asked.number)
        if approval.reason.strip():
            said = f"order {asked.number} approved by {approval.by}: {approval.reason}"
            self._note(asked, said, now, alert=False)

    def expire(self, now: Instant) -> None:
        """Drop those whose time is over, and tell of each."""
        for body in self._store.asked():
            asked = read(body)
            if asked.until_ms <= now.wall_ms:
                self._store.drop_asked(asked.number)
                said = f"{_said(asked)}; no second person approved it in time, so it has lapsed"
                self._note(asked, said, now)

    def _note(self, asked: Asked, text: str, now: Instant, *, alert: bool = True) -> None:
        release = asked.order.release
        stored = self._store.release(release)
        channel = "" if stored is None else stored.channel
        self._ledger.note(channel, text, now, alert=alert, facts={"release": release})


def read(body: str) -> Asked:
    """An order as it was stored."""
    return msgspec.json.decode(body, type=Asked)


def summary(order: Order) -> str:
    """What an order asks for, in a few words."""
    words = [order.verb]
    if order.budget is not None:
        words.append(f"by {order.budget} machines")
    if order.lasts_ms is not None:
        words.append(f"for {order.lasts_ms // 60_000} min")
    if order.all:
        words.append("for everybody")
    if order.ring:
        words.append(f"in ring {order.ring}")
    return " ".join(words)


def _said(asked: Asked) -> str:
    order = asked.order
    return f"order {asked.number} of {order.by}: {summary(order)} ({order.reason})"


def _clock(time_ms: int) -> str:
    return f"{datetime.fromtimestamp(time_ms / 1000, UTC):%H:%M}Z"
