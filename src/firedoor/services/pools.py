"""Pools: the members of the decks, and when what is known of them becomes a cell.

A pool is opened with its deck, *cut* when no more cards are drawn, and *closed* class by class;
a class of a long deck *matures* first and closes days later (``core.silence``).
Until its class closes, a member's label is used for nothing (invariant I1). Closings happen
once, at a moment that depends on no label (I8): the cut, the class and Firedoor's own uptime.

Members are columns, one row a card: a deck may hold a million of them.

Source: cohorts.md 1.3.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from firedoor.core.cell import Cell, Test, by_stratum
from firedoor.core.signal import ANY, SILENCE, Reports
from firedoor.ports import Instant
from firedoor.services.records import StoredPlace

Mask = NDArray[np.bool_]
"""One truth a member, shape (members,)."""

_TOLD, _TOLD_SHARE = 3, 0.01  # both: some machines always report


@dataclass(frozen=True, slots=True)
class Closing:
    """What one closing adds: its cells, and whom it revealed as harmed.

    Attributes:
        cells: Without their final ``seq`` (it is 0): the caller numbers them.
        harmed: Members counted as harmed, a mask.
        signal: The stream that counted them.
        closed_class: The class that closed: its labels are no secret any more. None for a tick's
            crash events, and for a class that only matured.
        matured_class: The class of a long deck that was looked at and stays sealed, or None.
        spent: How long the members have been listened to at each age, if this is a look at what
            they told; None if it is none.
    """

    cells: tuple[Cell, ...]
    harmed: Mask
    signal: str
    closed_class: int | None = None
    matured_class: int | None = None
    spent: "Spent | None" = None


class Spent(NamedTuple):
    """How the mean member of a deck has spent its time, by the ages of ``core.cell``.

    Attributes:
        until_ms: Until when this is counted: how long the gate had listened, ms.
        entered: Seconds of the ages it has come to, whole ages but for the last.
        listened: Seconds that it was listened to at each age, each <= entered.
    """

    until_ms: int
    entered: tuple[float, ...]
    listened: tuple[float, ...]


class _Facts(NamedTuple):
    """What a pool is asked at every tick, see its methods of these names."""

    sealed_counts: tuple[int, int]
    watched: int
    open_classes: tuple[int, ...]
    beating_classes: frozenset[int]
    able: Mask
    looked: dict[str, int]  # events of a stream that had been read when it was last counted


class Pool:
    """The membership of one deck.

    A *long* deck's classes mature before they close: at their deadline the harmed are revealed
    and the class's totals are told, but not who of the others is treated. From then on the class
    is a *block* of its own: given its totals, its labels are uniform within it, and whatever
    happens in it later is compared with these totals alone. The classes that have not matured
    are one block together.

    Attributes:
        ring: Ring of the deck.
        deck: Number of the deck.
        cut_ms: Monotonic time of the cut, None while cards may still be drawn.
        cut_at: When that was on all clocks.
        long: Its members are watched beyond their deadline.
        closed: Classes that have closed.
        rungs: How often each class that has matured, and not closed, was looked at.
        began_ms: How long the gate had listened when the deck was opened, ms.
        told_ms: Until when it is counted what members told: how long the gate had listened, ms.
        looked: It has been looked at what members told.
        spent: How its members have spent their time until then; None before the first such look.
        rows: Row numbers of the places, in the order of the cards, shape (members,).
        machines: Register numbers.
        treated: The labels. Only the counting functions below may read them.
        cls: Deadline classes.
        beating: Regular heartbeats reach the intake.
        telling: What they tell reaches the intake, with heartbeats or without.
        drawn_ms: When the card was drawn, on the axis of ``Hearing``, ms.
        stratum: Position of the stratum in ``strata``.
        harmed: Members that were counted as harmed: their label is known.
        told: Those of them that said so themselves, since it was last looked at.
        strata: Strata of the members, in the order in which they came.
    """

    rows: NDArray[np.int64]
    machines: NDArray[np.uint32]
    treated: Mask
    cls: NDArray[np.uint8]
    beating: Mask
    telling: Mask
    drawn_ms: NDArray[np.int64]
    stratum: NDArray[np.int32]
    harmed: Mask
    told: Mask

    def __init__(
        self,
        ring: str,
        deck: int,
        *,
        long: bool = False,
        closed: Collection[int] = (),
        rungs: Mapping[int, int] = MappingProxyType({}),
        harmed_rows: Collection[int] = (),
        told_rows: Collection[int] = (),
        began_ms: int = 0,
        told_ms: int | None = None,
        looked: bool = False,
        spent: "Spent | None" = None,
    ) -> None:
        """Open a pool without members.

        Args:
            ring: Ring of the deck.
            deck: Number of the deck.
            long: Its members are watched beyond their deadline.
            closed: Classes that have closed already, when it is built again.
            rungs: Classes that have matured already, and how often they were looked at.
            harmed_rows: Rows that were counted as harmed already, likewise.
            told_rows: Those of them that said so since it was last looked at.
            began_ms: How long the gate had listened when the deck was opened, ms.
            told_ms: Until when what was told is counted, on the same axis; ``began_ms`` if it
                never was.
            looked: It has been looked at what members told.
            spent: How its members had spent their time by then.
        """
        self.ring = ring
        self.deck = deck
        self.cut_ms: int | None = None
        self.cut_at: Instant | None = None
        self.long = long
        self.closed = set(closed)
        self.rungs = dict(rungs)
        self.strata: list[str] = []
        self._codes: dict[str, int] = {}
        self.began_ms = began_ms
        self.told_ms = began_ms if told_ms is None else told_ms
        self.looked = looked
        self.spent = spent
        self._drawn: tuple[NDArray[np.int64], NDArray[np.int64]] | None = None
        self._known_harmed = np.array(sorted(harmed_rows), np.int64)
        self._known_told = frozenset(told_rows)
        self._facts: _Facts | None = None
        for name, dtype in _COLUMNS.items():
            setattr(self, name, np.zeros(0, dtype))

    def __len__(self) -> int:
        """Cards drawn."""
        return len(self.rows)

    def seat(self, places: Sequence[StoredPlace]) -> None:
        """Add members whose places have become durable."""
        beating = [stored.place.reports is Reports.BEATS for stored in places]
        fresh = {
            "rows": [stored.id for stored in places],
            "machines": [stored.place.machine for stored in places],
            "treated": [stored.place.treated for stored in places],
            "cls": [stored.place.cls for stored in places],
            "beating": beating,
            "telling": [stored.place.reports is not Reports.NOTHING for stored in places],
            "drawn_ms": [stored.wall_ms for stored in places],
            "stratum": [self._code(stored.place.stratum) for stored in places],
            "harmed": np.isin([stored.id for stored in places], self._known_harmed),
            "told": [
                beats and stored.id in self._known_told
                for beats, stored in zip(beating, places, strict=True)
            ],
        }
        for name, values in fresh.items():
            column = np.asarray(values, _COLUMNS[name])
            setattr(self, name, np.concatenate([getattr(self, name), column]))
        self._facts = self._drawn = None

    def drawn(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """In which seconds of the axis of ``drawn_ms`` cards were drawn, and how many in each."""
        if self._drawn is None:
            seconds, cards = np.unique(self.drawn_ms // 1000, return_counts=True)
            self._drawn = seconds, cards
        return self._drawn

    def _code(self, stratum: str) -> int:
        if stratum not in self._codes:
            self._codes[stratum] = len(self.strata)
            self.strata.append(stratum)
        return self._codes[stratum]

    def sealed(self) -> Mask:
        """Members whose label has not been used."""
        if not self.closed:
            return ~self.harmed
        return ~self.harmed & ~_among(self.cls, self.closed)

    def blocks(self, revealed: Mask | None = None) -> list[Mask]:
        """Sealed members among whom, as far as is known, all labels are equally likely.

        Args:
            revealed: Members that were sealed a moment ago, and belong to their blocks as well.
        """
        sealed = self.sealed() if revealed is None else self.sealed() | revealed
        if not self.rungs:
            return [sealed]
        early = sealed & ~_among(self.cls, self.rungs)
        return [early, *(sealed & (self.cls == cls) for cls in sorted(self.rungs))]

    def sealed_counts(self) -> tuple[int, int]:
        """Treated members in flight ("heard" does not resolve one before it matures), and all."""
        return self._known().sealed_counts

    def locked(self) -> int:
        """Members that may not draw another card: their class has not closed."""
        return int(np.count_nonzero(~_among(self.cls, self.closed)))

    def watched(self) -> int:
        """Sealed members whose class has matured."""
        return self._known().watched

    def is_closed(self) -> bool:
        """All classes have closed."""
        return self.cut_ms is not None and not self.open_classes()

    def is_matured(self) -> bool:
        """All classes have closed or matured: nobody is in flight."""
        return self.cut_ms is not None and self.rungs.keys() >= set(self.open_classes())

    def take(self, closing: Closing) -> None:
        """What a closing has revealed is known from now on."""
        self.harmed |= closing.harmed
        if closing.spent is not None:
            self.told_ms, self.looked, self.spent = closing.spent.until_ms, True, closing.spent
            self.told[:] = False
        elif closing.signal != SILENCE:
            # What the gate saw of a machine is nothing that it told, and a machine without
            # heartbeats has no seconds of which the past could be compared with it.
            self.told |= closing.harmed & self.beating
        self._facts = None
        if closing.matured_class is not None:
            self.rungs[closing.matured_class] = self.rungs.get(closing.matured_class, 0) + 1
        if closing.closed_class is not None:
            self.release(closing.closed_class)

    def release(self, cls: int) -> None:
        """Free a class, both arms at once. Without a closing its late harm is not counted."""
        self.closed.add(cls)
        self.rungs.pop(cls, None)
        self._facts = None

    def open_classes(self) -> list[int]:
        """Classes that are still sealed, shortest deadline first."""
        return list(self._known().open_classes)

    def beats(self, cls: int) -> bool:
        """Regular heartbeats of a member of the class reach the intake."""
        return cls in self._known().beating_classes

    def able(self) -> Mask:
        """Sealed members whose events would be new: those that can send any."""
        return self._known().able

    def unseen(self, signal: str, events: int) -> bool:
        """Say whether anything may have changed since this was last asked.

        Args:
            signal: A stream.
            events: How many events of the stream have ever been read.
        """
        looked = self._known().looked
        new = looked.get(signal) != events
        looked[signal] = events
        return new

    def _known(self) -> "_Facts":
        # Asked at every tick, and changed when somebody is seated or a closing reveals something.
        if self._facts is None:
            early, sealed = self.blocks()[0], self.sealed()
            present = np.flatnonzero(np.bincount(self.cls)).tolist()
            self._facts = _Facts(
                (int(np.count_nonzero(early & self.treated)), int(np.count_nonzero(early))),
                int(np.count_nonzero(sealed)) - int(np.count_nonzero(early)),
                tuple(cls for cls in present if cls not in self.closed),
                frozenset(self.cls[self.beating].tolist()),
                sealed & self.telling,
                {},
            )
        return self._facts

    def closed_mask(self) -> int:
        """Closed classes as a bit mask."""
        return sum(1 << cls for cls in self.closed)

    def looks(self) -> str:
        """How often each class that has matured was looked at, a digit for each class from 0 on."""
        return "".join(
            str(self.rungs.get(cls, 0)) for cls in range(max(self.rungs, default=-1) + 1)
        )


def ends_early(told: int, drawn: int) -> bool:
    """Say whether a deck, of which nothing counts before its cut, is cut for reported harm.

    Args:
        told: Members that have reported harm since their card, count >= 0.
        drawn: Cards drawn, count >= told.
    """
    return told >= max(_TOLD, _TOLD_SHARE * drawn)


def count_events(
    pool: Pool,
    hit: Mask,
    *,
    signal: str,
    epoch: int,
    age: int = 0,
    witnessed: Mask | None = None,
) -> Closing | None:
    """Count a tick's new crash-like events of a cut pool.

    Args:
        pool: A pool that has been cut.
        hit: Members with an event of that stream since their card.
        signal: The stream.
        epoch: Epoch of the start-time mixture.
        age: Bucket of the time since the cut.
        witnessed: Members of whom the gate itself saw one: these need no source that reports.

    Returns:
        A harm cell for each stratum, or None when nothing new happened. Only the members they
        count are revealed: those that can send this signal. All sealed members of a block are
        their exposure, as for silence: with two different risk sets in one pool E would be no
        supermartingale.
    """
    seen = None if witnessed is None else witnessed & pool.sealed()
    if not (hit & pool.able()).any() and (seen is None or not seen.any()):
        return None
    able = pool.telling & hit if seen is None else pool.telling & hit | seen
    cells: list[Cell] = []
    counted = np.zeros(len(pool), np.bool_)
    for block in pool.blocks():
        cells += _harm_cells(pool, block, block & able, signal, epoch=epoch, age=age)
        counted |= block & able
    return Closing(tuple(cells), counted, signal)


def close_class(
    pool: Pool,
    cls: int,
    *,
    silent: Mask,
    installed: Mask,
    epoch: int,
    age: int = 0,
    shown: Mapping[str, Mask] | None = None,
    last: bool = True,
) -> Closing:
    """Close one deadline class: count its silent members, then release the class.

    A class of a long deck is not released before its last rung: it matures.

    Args:
        pool: A pool that has been cut.
        cls: A class that is due.
        silent: Members that were not heard in the window.
        installed: Members known to have got all bytes of a changed file.
        epoch: Epoch of the start-time mixture.
        age: Bucket of the time since the cut.
        shown: Members with an event of a signal that decides nothing. It is counted when the
            class closes and not before, for then the labels are no secret any more; and it
            reveals nobody, or a machine that crashed first could not be found silent.
        last: The class is released now.

    Returns:
        A harm cell for each stratum in which anybody was silent, likewise for each signal that
        is only shown and was heard, and when it matures a clearance cell with one outcome per
        member. At every later look a late cell tells of all that were at risk, also where nobody
        was harmed: who is compared with the past is not chosen by what happened.
    """
    mature = pool.cls == cls
    first = cls not in pool.rungs
    early, *_ = pool.blocks()
    exposed = early if first else pool.sealed() & mature
    quiet = exposed & mature & silent
    cells = [*_harm_cells(pool, exposed, quiet, SILENCE, epoch=epoch, age=age)]
    able = mature & pool.telling
    for signal, hit in (shown if shown and last else {}).items():
        cells += _harm_cells(pool, able, able & hit, signal, epoch=epoch, age=age)
    closed, matured = (cls, None) if last else (None, cls)
    harmed = quiet | pool.harmed if first else quiet
    looked = mature if first else exposed
    treated, control = looked & pool.treated, looked & ~pool.treated
    cells.append(
        Cell(
            seq=0,
            ring=pool.ring,
            deck=pool.deck,
            epoch=epoch,
            test=Test.CLEARANCE if first else Test.LATE,
            signal=ANY if first else SILENCE,
            stratum="",
            treated=int(treated.sum()),
            control=int(control.sum()),
            treated_harmed=int((treated & harmed).sum()),
            control_harmed=int((control & harmed).sum()),
            installed=int((treated & installed).sum()) if first else 0,
            age=age,
        )
    )
    return Closing(tuple(cells), quiet, SILENCE, closed, matured)


def _harm_cells(
    pool: Pool, exposed: Mask, hit: Mask, signal: str, *, epoch: int, age: int
) -> tuple[Cell, ...]:
    """One closing's harm by stratum; nothing where nobody was hit."""
    if not hit.any():
        return ()
    treated = int((exposed & pool.treated).sum())
    whole = Cell(
        seq=0,
        ring=pool.ring,
        deck=pool.deck,
        epoch=epoch,
        test=Test.HARM,
        signal=signal,
        stratum="",
        treated=treated,
        control=int(exposed.sum()) - treated,
        treated_harmed=int((hit & pool.treated).sum()),
        control_harmed=int((hit & ~pool.treated).sum()),
        age=age,
    )
    size = len(pool.strata)
    x1 = np.bincount(pool.stratum[hit & pool.treated], minlength=size).tolist()
    x0 = np.bincount(pool.stratum[hit & ~pool.treated], minlength=size).tolist()
    codes = set(pool.stratum[hit].tolist())
    return by_stratum(whole, {pool.strata[code]: (x1[code], x0[code]) for code in codes})


def _among(cls: NDArray[np.uint8], classes: Collection[int]) -> Mask:
    """Which members are of one of these classes: a look-up, ten times as fast as ``np.isin``."""
    table = np.zeros(256, np.bool_)
    table[list(classes)] = True
    return table[cls]


_COLUMNS: dict[str, type[np.generic]] = {
    "rows": np.int64,
    "machines": np.uint32,
    "treated": np.bool_,
    "cls": np.uint8,
    "beating": np.bool_,
    "telling": np.bool_,
    "drawn_ms": np.int64,
    "stratum": np.int32,
    "harmed": np.bool_,
    "told": np.bool_,
}
