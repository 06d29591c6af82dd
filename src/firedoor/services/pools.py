"""Pools: the members of the decks, and when what is known of them becomes a cell.

A pool is opened with its deck, *cut* when no more cards are drawn, and *closed* class by class.
Until its class closes, a member's label is used for nothing (invariant I1). Closings happen
once, at a moment that depends on no label (I8): the cut, the class and Firedoor's own uptime.

Source: cohorts.md 1.3.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from firedoor.core.cell import Cell, Test
from firedoor.core.signal import ANY, SILENCE
from firedoor.services.places import Place


@dataclass(frozen=True, slots=True)
class Member:
    """One drawn card, the row it is stored in, and the wall clock of the draw."""

    row: int
    place: Place
    wall_ms: int


@dataclass(frozen=True, slots=True)
class Closing:
    """What one closing adds: its cells, and whom it revealed as harmed.

    Attributes:
        cells: Without their final ``seq`` (it is 0): the caller numbers them.
        harmed: (row of the place, signal) of members counted as harmed.
        closed_class: The class that closed, or None for a tick's crash events.
    """

    cells: tuple[Cell, ...]
    harmed: tuple[tuple[int, str], ...]
    closed_class: int | None = None


@dataclass(slots=True)
class Pool:
    """The membership of one deck.

    Attributes:
        ring: Ring of the deck.
        deck: Number of the deck.
        cut_ms: Monotonic time of the cut, None while cards may still be drawn.
        boot: Boot in which it was cut.
        members: In the order of their cards.
        harmed: Row of the place -> signal of the first harm that was counted.
        closed: Classes that have closed.
    """

    ring: str
    deck: int
    cut_ms: int | None = None
    boot: str = ""
    members: list[Member] = field(default_factory=list)
    harmed: dict[int, str] = field(default_factory=dict)
    closed: set[int] = field(default_factory=set)

    def sealed(self) -> list[Member]:
        """Members whose label has not been used."""
        return [
            m for m in self.members if m.row not in self.harmed and m.place.cls not in self.closed
        ]

    def sealed_treated(self) -> int:
        """Treated members in flight: "heard" does not count as resolved before the close."""
        return sum(m.place.treated for m in self.sealed())

    def is_closed(self) -> bool:
        """All classes have closed."""
        return self.cut_ms is not None and all(m.place.cls in self.closed for m in self.members)

    def open_classes(self) -> list[int]:
        """Classes that are still sealed, shortest deadline first."""
        return sorted({m.place.cls for m in self.members} - self.closed)

    def closed_mask(self) -> int:
        """Closed classes as a bit mask."""
        return sum(1 << cls for cls in self.closed)


def count_events(pool: Pool, *, signal: str, events: Collection[int], epoch: int) -> Closing | None:
    """Count a tick's new crash-like events of a cut pool.

    Args:
        pool: A pool that has been cut.
        signal: Stream of the events.
        events: Machines with an event of that stream since their card.
        epoch: Epoch of the start-time mixture.

    Returns:
        One harm cell over the sealed members that can send this signal, or None when nothing
        new happened. Only the members it counts are revealed.
    """
    able = [m for m in pool.sealed() if m.place.beating]
    hit = [m for m in able if m.place.machine in events]
    if not hit:
        return None
    cell = _harm_cell(pool, able, hit, signal, epoch)
    return Closing((cell,), tuple((m.row, signal) for m in hit))


def close_class(
    pool: Pool,
    cls: int,
    *,
    silent: Callable[[int], bool],
    installed: Collection[int],
    epoch: int,
) -> Closing:
    """Close one deadline class: count its silent members, then release the class.

    Args:
        pool: A pool that has been cut.
        cls: A class that is due.
        silent: Says of a machine that it was not heard in the window.
        installed: Machines known to have got all bytes of a changed file.
        epoch: Epoch of the start-time mixture.

    Returns:
        A harm cell when anybody was silent, and a clearance cell with one outcome per member.
    """
    sealed = pool.sealed()
    quiet = [m for m in sealed if m.place.cls == cls and silent(m.place.machine)]
    cells = []
    if quiet:
        cells.append(_harm_cell(pool, sealed, quiet, SILENCE, epoch))
    harmed = {m.row for m in quiet} | pool.harmed.keys()
    mature = [m for m in pool.members if m.place.cls == cls]
    treated = [m for m in mature if m.place.treated]
    control = [m for m in mature if not m.place.treated]
    cells.append(
        Cell(
            seq=0,
            ring=pool.ring,
            deck=pool.deck,
            epoch=epoch,
            test=Test.CLEARANCE,
            signal=ANY,
            stratum="",
            treated=len(treated),
            control=len(control),
            treated_harmed=sum(m.row in harmed for m in treated),
            control_harmed=sum(m.row in harmed for m in control),
            installed=sum(m.place.machine in installed for m in treated),
        )
    )
    return Closing(tuple(cells), tuple((m.row, SILENCE) for m in quiet), cls)


def _harm_cell(
    pool: Pool, exposed: Sequence[Member], hit: Sequence[Member], signal: str, epoch: int
) -> Cell:
    treated = sum(m.place.treated for m in exposed)
    harmed = sum(m.place.treated for m in hit)
    return Cell(
        seq=0,
        ring=pool.ring,
        deck=pool.deck,
        epoch=epoch,
        test=Test.HARM,
        signal=signal,
        stratum="",
        treated=treated,
        control=len(exposed) - treated,
        treated_harmed=harmed,
        control_harmed=len(hit) - harmed,
    )


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
        """When this machine was last heard, -1 for never in this boot."""
        return int(self._last[machine]) if machine < len(self._last) else -1

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
        top = int(machines.max())
        if top >= len(self._last):
            more = max(top + 1, 2 * len(self._last)) - len(self._last)
            self._last = np.pad(self._last, (0, more))
        self._last[machines] = np.maximum(self._last[machines], mono_ms)


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
