"""Pools: the members of the decks, and when what is known of them becomes a cell.

A pool is opened with its deck, *cut* when no more cards are drawn, and *closed* class by class.
Until its class closes, a member's label is used for nothing (invariant I1). Closings happen
once, at a moment that depends on no label (I8): the cut, the class and Firedoor's own uptime.

Members are columns, one row a card: a deck may hold a million of them.

Source: cohorts.md 1.3.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from firedoor.core.cell import Cell, Test, by_stratum
from firedoor.core.signal import ANY, SILENCE
from firedoor.ports import Instant
from firedoor.services.records import StoredPlace

Mask = NDArray[np.bool_]
"""One truth a member, shape (members,)."""


@dataclass(frozen=True, slots=True)
class Closing:
    """What one closing adds: its cells, and whom it revealed as harmed.

    Attributes:
        cells: Without their final ``seq`` (it is 0): the caller numbers them.
        harmed: Members counted as harmed, a mask.
        signal: The stream that counted them.
        closed_class: The class that closed, or None for a tick's crash events.
    """

    cells: tuple[Cell, ...]
    harmed: Mask
    signal: str
    closed_class: int | None = None


class Pool:
    """The membership of one deck.

    Attributes:
        ring: Ring of the deck.
        deck: Number of the deck.
        cut_ms: Monotonic time of the cut, None while cards may still be drawn.
        cut_at: When that was on all clocks.
        closed: Classes that have closed.
        rows: Row numbers of the places, in the order of the cards, shape (members,).
        machines: Register numbers.
        treated: The labels. Only the counting functions below may read them.
        cls: Deadline classes.
        beating: Regular heartbeats reach the intake.
        drawn_ms: When the card was drawn, on the axis of ``Hearing``, ms.
        stratum: Position of the stratum in ``strata``.
        harmed: Members that were counted as harmed: their label is known.
        strata: Strata of the members, in the order in which they came.
    """

    rows: NDArray[np.int64]
    machines: NDArray[np.uint32]
    treated: Mask
    cls: NDArray[np.uint8]
    beating: Mask
    drawn_ms: NDArray[np.int64]
    stratum: NDArray[np.int32]
    harmed: Mask

    def __init__(
        self,
        ring: str,
        deck: int,
        *,
        closed: Collection[int] = (),
        harmed_rows: Collection[int] = (),
    ) -> None:
        """Open a pool without members.

        Args:
            ring: Ring of the deck.
            deck: Number of the deck.
            closed: Classes that have closed already, when it is built again.
            harmed_rows: Rows that were counted as harmed already, likewise.
        """
        self.ring = ring
        self.deck = deck
        self.cut_ms: int | None = None
        self.cut_at: Instant | None = None
        self.closed = set(closed)
        self.strata: list[str] = []
        self._codes: dict[str, int] = {}
        self._known_harmed = np.array(sorted(harmed_rows), np.int64)
        for name, dtype in _COLUMNS.items():
            setattr(self, name, np.zeros(0, dtype))

    def __len__(self) -> int:
        """Cards drawn."""
        return len(self.rows)

    def seat(self, places: Sequence[StoredPlace]) -> None:
        """Add members whose places have become durable."""
        fresh = {
            "rows": [stored.id for stored in places],
            "machines": [stored.place.machine for stored in places],
            "treated": [stored.place.treated for stored in places],
            "cls": [stored.place.cls for stored in places],
            "beating": [stored.place.beating for stored in places],
            "drawn_ms": [stored.wall_ms for stored in places],
            "stratum": [self._code(stored.place.stratum) for stored in places],
            "harmed": np.isin([stored.id for stored in places], self._known_harmed),
        }
        for name, values in fresh.items():
            column = np.asarray(values, _COLUMNS[name])
            setattr(self, name, np.concatenate([getattr(self, name), column]))

    def _code(self, stratum: str) -> int:
        if stratum not in self._codes:
            self._codes[stratum] = len(self.strata)
            self.strata.append(stratum)
        return self._codes[stratum]

    def sealed(self) -> Mask:
        """Members whose label has not been used."""
        if not self.closed:
            return ~self.harmed
        return ~self.harmed & ~np.isin(self.cls, list(self.closed))

    def sealed_counts(self) -> tuple[int, int]:
        """Treated members in flight ("heard" does not resolve one before the close), and all."""
        sealed = self.sealed()
        return int(np.count_nonzero(sealed & self.treated)), int(np.count_nonzero(sealed))

    def is_closed(self) -> bool:
        """All classes have closed."""
        return self.cut_ms is not None and not self.open_classes()

    def open_classes(self) -> list[int]:
        """Classes that are still sealed, shortest deadline first."""
        present = np.flatnonzero(np.bincount(self.cls))
        return [cls for cls in present.tolist() if cls not in self.closed]

    def closed_mask(self) -> int:
        """Closed classes as a bit mask."""
        return sum(1 << cls for cls in self.closed)


def count_events(pool: Pool, hit: Mask, *, signal: str, epoch: int, age: int = 0) -> Closing | None:
    """Count a tick's new crash-like events of a cut pool.

    Args:
        pool: A pool that has been cut.
        hit: Members with an event of that stream since their card.
        signal: The stream.
        epoch: Epoch of the start-time mixture.
        age: Bucket of the time since the cut.

    Returns:
        A harm cell for each stratum, or None when nothing new happened. Only the members they
        count are revealed: those that can send this signal. All sealed members are their
        exposure, as for silence: with two different risk sets in one pool E would be no
        supermartingale.
    """
    sealed = pool.sealed()
    counted = sealed & pool.beating & hit
    if not counted.any():
        return None
    cells = _harm_cells(pool, sealed, counted, signal, epoch=epoch, age=age)
    return Closing(cells, counted, signal)


def close_class(
    pool: Pool,
    cls: int,
    *,
    silent: Mask,
    installed: Mask,
    epoch: int,
    age: int = 0,
    shown: Mapping[str, Mask] | None = None,
) -> Closing:
    """Close one deadline class: count its silent members, then release the class.

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

    Returns:
        A harm cell for each stratum in which anybody was silent, likewise for each signal that
        is only shown and was heard, and a clearance cell with one outcome per member.
    """
    mature = pool.cls == cls
    sealed = pool.sealed()
    quiet = sealed & mature & silent
    cells = [*_harm_cells(pool, sealed, quiet, SILENCE, epoch=epoch, age=age)]
    able = mature & pool.beating
    for signal, hit in (shown or {}).items():
        cells += _harm_cells(pool, able, able & hit, signal, epoch=epoch, age=age)
    harmed = quiet | pool.harmed
    treated, control = mature & pool.treated, mature & ~pool.treated
    cells.append(
        Cell(
            seq=0,
            ring=pool.ring,
            deck=pool.deck,
            epoch=epoch,
            test=Test.CLEARANCE,
            signal=ANY,
            stratum="",
            treated=int(treated.sum()),
            control=int(control.sum()),
            treated_harmed=int((treated & harmed).sum()),
            control_harmed=int((control & harmed).sum()),
            installed=int((treated & installed).sum()),
            age=age,
        )
    )
    return Closing(tuple(cells), quiet, SILENCE, cls)


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
    return by_stratum(whole, dict(zip(pool.strata, zip(x1, x0, strict=True), strict=True)))


_COLUMNS: dict[str, type[np.generic]] = {
    "rows": np.int64,
    "machines": np.uint32,
    "treated": np.bool_,
    "cls": np.uint8,
    "beating": np.bool_,
    "drawn_ms": np.int64,
    "stratum": np.int32,
    "harmed": np.bool_,
}


class Life:
    """When each machine was last heard, and since when Firedoor has listened without a break.

    All times are monotonic milliseconds of the present boot; nothing of an earlier boot is kept,
    so no window ever spans a reboot of the host, a crash of the gate or a pause of the intake:
    it begins again after them, and a restart never looks like harm.
    """

    def __init__(self, bucket_ms: int) -> None:
        """Start with nothing heard; ``bucket_ms`` is the interval of the listeners' records."""
        self._bucket_ms = bucket_ms
        self._last: NDArray[np.int64] = np.zeros(1024, np.int64)
        self._gate = _Uptime(3 * bucket_ms)
        self._intake = _Uptime(3 * bucket_ms)

    @property
    def until(self) -> int:
        """Everything that the gate heard until this moment is known, ms; -1 before anything."""
        return self._gate.until

    def heard_by_gate(
        self, run: str, mono_ms: int, machines: NDArray[np.uint32], *, final: bool
    ) -> None:
        """Take over one bucket of the gate."""
        self._gate.extend(run, mono_ms, final=final)
        self._heard(machines, mono_ms)

    def heard_by_intake(self, mono_ms: int, machines: Sequence[int]) -> None:
        """Take over one batch of signals."""
        self._heard(np.asarray(machines, np.uint32), mono_ms)

    def intake_listened(self, mono_ms: int) -> None:
        """Take over one record of the intake's own life."""
        # What the intake acknowledged is durable, so only a pause breaks its stretch.
        self._intake.extend("", mono_ms, final=True)

    def last(self, machine: int) -> int:
        """When this machine was last heard, 0 for never in this boot."""
        return int(self._last[machine]) if machine < len(self._last) else 0

    def silent(self, machines: NDArray[np.uint32], since: int) -> Mask:
        """Which of these machines were not heard after ``since``."""
        if len(machines):
            self._reach(int(machines.max()))
        quiet: Mask = self._last[machines] <= since
        return quiet

    def window(self, after: int, *, intake: bool) -> int | None:
        """Where the silence window of a pool begins.

        Args:
            after: Earliest begin, ms: the cut and the time to settle.
            intake: Heartbeats count for these members, so the intake must have listened too.

        Returns:
            Monotonic ms; later than ``after`` when a listener was away; None while one is.
            One bucket is added, since a sign of life is known to the bucket only.
        """
        since = [self._gate.since]
        if intake:
            if self._intake.until < self.until - 3 * self._bucket_ms:
                return None
            since.append(self._intake.since)
        if min(since) < 0:
            return None
        return max(after, *since) + self._bucket_ms

    def _heard(self, machines: NDArray[np.uint32], mono_ms: int) -> None:
        if not len(machines):
            return
        self._reach(int(machines.max()))
        self._last[machines] = np.maximum(self._last[machines], mono_ms)

    def _reach(self, machine: int) -> None:
        if machine >= len(self._last):
            more = max(machine + 1, 2 * len(self._last)) - len(self._last)
            self._last = np.pad(self._last, (0, more))


class _Uptime:
    """The present unbroken stretch in which one process listened."""

    def __init__(self, slack_ms: int) -> None:
        self._slack_ms = slack_ms
        self._run = ""
        self._final = False
        self.since = -1
        self.until = -1

    def extend(self, run: str, mono_ms: int, *, final: bool) -> None:
        late = self.until < 0 or mono_ms - self.until > self._slack_ms
        # Another run after one that was killed: what it heard in its last bucket is lost.
        broken = run != self._run and not self._final
        if late or broken:
            self.since = mono_ms
        self._run, self._final = run, final
        self.until = max(self.until, mono_ms)
