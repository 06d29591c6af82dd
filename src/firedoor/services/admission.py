"""Admission: which release a machine's session gets, and who draws a card.

Runs inside the gate and decides from memory alone. What must be on disk before the first byte
comes back as a ``Place``; the gate makes it durable and then calls ``settle``.

A *session* begins with the first GET after the channel's idle time and keeps its release to the
end, even while the door moves; only a revoked release ends it at once.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from firedoor.core.board import ChannelBoard, Lane
from firedoor.core.ring import EVERYONE
from firedoor.core.signal import Reports
from firedoor.services.decks import Card, Decks, sealed_mask
from firedoor.services.exposures import Exposure, Exposures
from firedoor.services.holders import Holders
from firedoor.services.places import AFTERWARDS, Census, Cut, Place, Standing
from firedoor.services.rates import Rates
from firedoor.services.roster import Roster, chunks
from firedoor.services.rows import Rows
from firedoor.services.strangers import Strangers

ACTIVE_MS = 7 * 24 * 3_600_000
"""A machine is active on a channel for seven days after its last request there."""

_NO_CARD = Card(AFTERWARDS, 0, treated=True)


@dataclass(frozen=True, slots=True)
class Choice:
    """What a session gets.

    Attributes:
        number: Boarding number; 0 when the channel has nothing to serve yet.
        places: What must be durable before the first byte; empty for most sessions.
    """

    number: int
    places: tuple[Place, ...] = ()


class Holding(NamedTuple):
    """A card in the boarding in flight.

    Attributes:
        number: Boarding number.
        deck: Deck of the card.
        control: It is a card of control.
    """

    number: int
    deck: int
    control: bool


class Admission(Rows):
    """One channel's door keeper, by register number."""

    def __init__(
        self,
        channel: str,
        roster: Roster,
        ring_of: Callable[[int], str],
        stratum_of: Callable[[int], str],
        *,
        idle_ms: int,
        max_ms: int,
    ) -> None:
        """Start with an empty memory.

        Args:
            channel: Name of the channel.
            roster: Habits of all machines, shared by the channels.
            ring_of: Ring of a register number by its attributes. It is asked at the machine's
                first session, and again at its next one that is not in flight after
                ``forget_rings``.
            stratum_of: Stratum of a register number. It is asked before a card is drawn.
            idle_ms: A session ends after this long without a request, ms.
            max_ms: A session is over after this long in any case, ms.
        """
        super().__init__()
        self.channel = channel
        self._roster = roster
        self._ring_of = ring_of
        self._stratum_of = stratum_of
        self._idle_ms = idle_ms
        self._max_ms = max_ms
        self._lanes: dict[str, Lane] = {}
        self._closed: dict[str, dict[int, int]] = {}
        self._decks = Decks(channel)
        self._exposures = Exposures()
        self.strangers = Strangers(ACTIVE_MS)
        self.holders = Holders()
        self._rates = Rates()
        self._woke = 0
        self._standing: set[int] = set()
        self._ring_names: list[str] = [""]
        self._grow(1024)

    def restore(
        self, exposures: Iterable[Exposure], cuts: Iterable[Cut], held: Iterable[Standing]
    ) -> None:
        """Load what is durable: exposures and standing of every machine, and every cut."""
        self._decks.restore(cuts)
        for known in chunks(exposures):
            self._ensure(max(each.machine for each in known))
            self._exposures.restore(*known)
        for stands in chunks(held):
            _, numbers, releases, since_s = zip(*stands, strict=True)
            self._ensure(max(numbers))
            machines = np.array(numbers, np.int64)
            self.assigned[machines] = releases
            self.assigned_at[machines] = since_s
            # Active, as far as its last session anywhere says; sessions themselves do not last.
            self.touched[machines] = self._roster.start[machines]
            # Counted in its ring at once, not only when it polls: nobody must find it empty.
            self.rings[machines] = [self._ring_code(self._ring_of(no)) for no in numbers]

    def left_at(self) -> list[int]:
        """Boarding numbers that machines were last assigned."""
        return sorted(set(np.unique(self.assigned).tolist()) - {0})

    def wake(self, numbers: Collection[int], now: int) -> None:
        """After a restart: a session that the last run began goes on with its release.

        The next request of a machine may be one in the middle of such a session; nobody knows.
        So for one idle time from now every machine is taken to be in the middle of what it was
        last assigned.

        Args:
            numbers: Boarding numbers that can be served.
            now: Monotonic clock, ms.
        """
        known = np.isin(self.assigned, list(numbers))
        self.serving[known] = self.assigned[known]
        self._woke = now

    def apply(self, board: ChannelBoard, now: int, places: Iterable[Place] = ()) -> list[Cut]:
        """Take over a new board; return the decks that it ends.

        From here on a revoked release has no sessions any more.

        Args:
            board: The channel's part of the board.
            now: Monotonic clock, ms.
            places: What is on record of the boardings that this board brings into flight, and
                of those whose decks it withdraws, where this run has not seen them yet.
        """
        self._lanes = {lane.ring: lane for lane in board.lanes}
        self._closed = {lane.ring: dict(lane.closed) for lane in board.lanes}
        self._decks.apply(self._lanes, board.withdrawn)
        self.resume(places, now)
        return self.expire(now)

    def resume(self, places: Iterable[Place], now: int) -> None:
        """Seat the members of a boarding in flight whose places are on record."""
        places = list(places)
        for place in places:
            self.settle(place)
            lane = self._lanes.get(place.ring)
            if lane is not None and place.number == lane.candidate:
                # In flight it stays in the ring it was enrolled in, whatever the register says.
                self.rings[place.machine] = self._ring_code(place.ring)
                self.moved[place.machine] = 1
        self._decks.reseat(places, now)

    def expire(self, now: int) -> list[Cut]:
        """Cut the decks whose time is up or whose leave was withdrawn."""
        return self._decks.expire(now)

    def current(self, machine: int, now: int) -> int:
        """Boarding number of the machine's running session, or 0 when it has none."""
        if machine >= self._size:
            return 0
        # `item` gives a plain number at a third of what an index costs; this is every request.
        number = self.serving.item(machine)
        if not number or not self.allows(machine, number):
            return 0
        if now - self._woke <= self._idle_ms:
            return number
        idle_ms = now - self.touched.item(machine)
        run_ms = now - max(self.began.item(machine), self._woke)
        return 0 if idle_ms > self._idle_ms or run_ms > self._max_ms else number

    def allows(self, machine: int, number: int) -> bool:
        """Whether a machine (0: nobody) may get bytes of a release: not if shut or left behind."""
        lane = self._lane_of(machine) if 0 < machine < self._size else self._lanes.get(EVERYONE)
        return lane is not None and number not in lane.revoked

    def touch(self, machine: int, now: int) -> None:
        """Note a request within the running session."""
        self.touched[machine] = now
        self._roster.touch(machine, now)

    def begin(
        self, machine: int, now: int, wall_s: int, *, lease: bool
    ) -> tuple[Choice, list[Cut]]:
        """Begin a session: the only place where anybody is admitted.

        Args:
            machine: Register number.
            now: Monotonic clock, ms.
            wall_s: Wall clock, Unix seconds: for ``Last-Modified``.
            lease: The judge ticked lately. Without it nobody new is enrolled.

        Returns:
            The choice, and the decks that this draw ended.
        """
        self._ensure(machine)
        roster = self._roster
        quiet_ms = now - roster.last.item(machine)
        run_ms = now - roster.start.item(machine)
        if not roster.sessions.item(machine) or quiet_ms > self._idle_ms or run_ms > self._max_ms:
            roster.begin_session(machine, now)
        roster.touch(machine, now)
        lane = self._lane_of(machine)
        if lane is None:
            return Choice(0), []
        places: list[Place] = []
        cuts: list[Cut] = []
        number = lane.base
        if self._keeps(machine, lane):
            number = lane.candidate
        elif lane.candidate and self._free(machine, lane, now):
            self._rates.note(lane.ring)
            if lease:
                places, cuts = self._draw(machine, lane, now)
            if places and places[0].treated:
                number = lane.candidate
        if not places and self._takes(machine, lane):
            number = lane.candidate
        if (
            number
            and not (places and places[0].treated)
            and not self._exposures.has(machine, number)
        ):
            places.append(self._place(machine, number, lane.ring, now, _NO_CARD))
        self._serve(machine, number, now, wall_s)
        return Choice(number, tuple(places)), cuts

    def peek(self, machine: int) -> int:
        """What a session would get without admitting anybody: for HEAD."""
        if machine >= self._size:
            lane = self._lanes.get(self._ring_of(machine))
        else:
            lane = self._lane_of(machine)
        if lane is None:
            return 0
        if machine >= self._size:
            return self.anonymous(lane.ring)
        gets = self._keeps(machine, lane) or self._takes(machine, lane)
        return lane.candidate if gets else lane.base

    def anonymous(self, ring: str) -> int:
        """Boarding number for clients without an identity: the ring's base."""
        lane = self._lanes.get(ring)
        if lane is None:
            return 0
        return lane.candidate if lane.shadow and not lane.held else lane.base

    def settle(self, place: Place) -> None:
        """Remember a place that is durable (or is being loaded)."""
        no = place.machine
        self._ensure(no)
        if place.treated:
            self._exposures.add(no, place.number)
        if place.deck != AFTERWARDS:
            self._join(place)

    def forget(self, place: Place) -> None:
        """A place could not be made durable: it never was. The session is of what it had.

        The deck stays short of this card. Why a disk fails does not depend on a label, so the
        members that did get in are still a fair deal.
        """
        no = place.machine
        if place.deck != AFTERWARDS and self.member.item(no) == place.number:
            self.member[no] = 0
            self.arm[no] = 0
        # Nobody must take it for exposed: it gets what it had, and for the whole session. A disk
        # that has room again must not change its release midway.
        had = self.serving[no] = self.fallback(no)
        if self.assigned.item(no) != had:
            self.assigned[no] = had
            self.assigned_at[no] += 1
            self._standing.add(no)

    def fallback(self, machine: int) -> int:
        """What a machine may get when nothing can be recorded: only what it is on record for."""
        lane = self._lane_of(machine)
        if lane is None:
            return 0
        if lane.base and self._exposures.has(machine, lane.base):
            return lane.base
        known = self._exposures.highest(machine)
        return 0 if known in lane.revoked else known

    def in_flight(self, machine: int) -> int:
        """Boarding number the machine is treated in, while that door is undecided; else 0."""
        if machine >= self._size or not self.arm.item(machine):
            return 0
        lane = self._lane_of(machine)
        member = self.member.item(machine)
        return member if lane is not None and member == lane.candidate else 0

    def card(self, machine: int) -> Holding | None:
        """The card that a machine holds while its door is undecided, or None."""
        lane = self._lane_of(machine) if machine < self._size else None
        if lane is None or not lane.candidate or self.member.item(machine) != lane.candidate:
            return None
        control = not self.arm.item(machine) and not lane.shadow
        return Holding(lane.candidate, self.deck.item(machine), control=control)

    def in_session_since(self, machine: int) -> int:
        """Monotonic time at which the machine's session began, ms."""
        return self.began.item(machine)

    def since(self, machine: int, number: int) -> int | None:
        """Unix second in which the machine was assigned this boarding; None before it is."""
        if machine >= self._size or self.assigned.item(machine) != number:
            return None
        return self.assigned_at.item(machine)

    def had(self, machine: int, number: int) -> bool:
        """Say whether a machine was given a release before, and may have more of it."""
        return self.allows(machine, number) and self._exposures.has(machine, number)

    def renew(self, number: int) -> None:
        """What this boarding serves was signed anew: nobody may keep what a date calls the same."""
        self.assigned_at[self.assigned == number] += 1

    def forget_rings(self) -> None:
        """The register changed: ask for rings again, but not of machines in flight."""
        self.moved[:] = 1

    def drain_standing(self) -> list[Standing]:
        """Machines that were assigned something else since the last call, by number."""
        numbers = np.sort(np.fromiter(self._standing, np.int64, len(self._standing)))
        self._standing = set()
        columns = numbers, self.assigned[numbers], self.assigned_at[numbers]
        rows = zip(*(column.tolist() for column in columns), strict=True)
        return [Standing(self.channel, *row) for row in rows]

    def census(
        self,
        now: int,
        bucket_ms: int,
        wall_ms: int = 0,
        enrolled: Mapping[str, int] = MappingProxyType({}),
    ) -> list[Census]:
        """Count each ring's machines, vectorised, and the clients without an identity.

        Args:
            now: Monotonic clock, ms.
            bucket_ms: Interval that ``polls`` are counted in.
            wall_ms: Wall clock at ``now``.
            enrolled: Ring -> enrolled machines, as the register has them.
        """
        self._rates.smooth(self._lanes, now, bucket_ms)
        active = now - self.touched < ACTIVE_MS
        self._roster.grow(self._size - 1)
        seasoned = self._roster.all_seasoned(now)[: self._size]
        comparable = self._roster.comparable()[: self._size]
        unknown, last = self.strangers.count(now), self.strangers.last()
        counts = []
        for ring, lane in self._lanes.items():
            here = active & (self.rings == self._ring_code(ring))
            # Clones, patients and the penalty box are in no arm: a door must not wait for them.
            able = here & comparable & ~np.isin(self.assigned, lane.revoked)
            joined = (self.member == lane.candidate) if lane.candidate else np.zeros_like(here)
            treated = joined & (self.arm > 0)
            locked = joined & sealed_mask(lane, self.deck, self.cls)
            if lane.shadow:
                # Whoever was control once has waited; it does not wait again.
                treated, locked = self._exposures.holders(lane.candidate), joined
            strange = unknown if ring == EVERYONE else 0
            free = able & seasoned & ~treated & ~locked
            free = self.holders.count(lane, free, now - self.touched, self._roster.usual_gap_ms)
            counts.append(
                Census(
                    channel=self.channel,
                    ring=ring,
                    active=int(here.sum()),
                    free=int(free.sum()),
                    polls=self._rates.of(ring),
                    untreated=int((able & ~treated).sum()),
                    gap_ms=self._roster.usual_gap_ms,
                    unknown=strange,
                    unknown_ms=wall_ms - (now - last) if strange and last is not None else 0,
                    enrolled=enrolled.get(ring, 0),
                )
            )
        return counts

    def _serve(self, machine: int, number: int, now: int, wall_s: int) -> None:
        self.serving[machine] = number
        self.began[machine] = self.touched[machine] = now
        if self.assigned.item(machine) != number:
            self.assigned[machine] = number
            # Strictly rising, so that an exact match of If-Modified-Since means this content.
            self.assigned_at[machine] = max(wall_s, self.assigned_at.item(machine) + 1)
            self._standing.add(machine)

    def _keeps(self, machine: int, lane: Lane) -> bool:
        """Whether a machine has the candidate already."""
        if not lane.candidate:
            return False
        if lane.shadow or lane.kept:
            return self._exposures.has(machine, lane.candidate)
        return self.member.item(machine) == lane.candidate and bool(self.arm.item(machine))

    def _takes(self, machine: int, lane: Lane) -> bool:
        """Whether the candidate is given to a machine that drew no card: only in shadow mode."""
        if not lane.shadow or lane.held:
            return False
        joined = self.member.item(machine) == lane.candidate
        return not (joined and not self.arm.item(machine) and self._sealed(machine, lane))

    def _free(self, machine: int, lane: Lane, now: int) -> bool:
        joined = self.member.item(machine) == lane.candidate
        if joined and (lane.shadow or self.arm.item(machine) or self._sealed(machine, lane)):
            return False
        # A patient still has a shut release in place: it is in no arm of a later one.
        if self.assigned.item(machine) in lane.revoked:
            return False
        return self.holders.may_draw(machine, lane.ring) and self._roster.seasoned(machine, now)

    def _sealed(self, machine: int, lane: Lane) -> bool:
        deck = self.deck.item(machine)
        if deck < lane.closed_below:
            return False
        mask = self._closed[lane.ring].get(deck, 0)
        return not mask >> self.cls.item(machine) & 1

    def _draw(self, machine: int, lane: Lane, now: int) -> tuple[list[Place], list[Cut]]:
        # Asked while the card is still face down: it may not depend on it, and asking may fail.
        stratum = self._stratum_of(machine) if lane.grant is not None else ""
        card, cuts = self._decks.draw(lane.ring, now)
        if card is None:
            return [], cuts
        place = self._place(machine, lane.candidate, lane.ring, now, card, stratum=stratum)
        self._join(place)
        return [place], cuts

    def _place(
        self, machine: int, number: int, ring: str, now: int, card: Card, *, stratum: str = ""
    ) -> Place:
        return Place(
            channel=self.channel,
            number=number,
            ring=ring,
            deck=card.deck,
            card=card.position,
            machine=machine,
            treated=card.treated,
            cls=self._roster.deadline_class(machine),
            reports=Reports(self._roster.reports.item(machine)),
            mono_ms=now,
            stratum=stratum,
        )

    def _join(self, place: Place) -> None:
        no = place.machine
        self.member[no] = place.number
        self.deck[no] = place.deck
        self.cls[no] = place.cls
        self.arm[no] = place.treated

    def _lane_of(self, machine: int) -> Lane | None:
        code = self.rings.item(machine)
        if not code or (self.moved.item(machine) and not self._in_flight(machine, code)):
            code = self._ring_code(self._ring_of(machine))
            self.rings[machine] = code
            self.moved[machine] = 0
        return self._lanes.get(self._ring_names[code])

    def _in_flight(self, machine: int, code: int) -> bool:
        lane = self._lanes.get(self._ring_names[code])
        candidate = 0 if lane is None else lane.candidate
        return candidate > 0 and self.member.item(machine) == candidate

    def _ring_code(self, ring: str) -> int:
        if ring not in self._ring_names:
            self._ring_names.append(ring)
        return self._ring_names.index(ring)

    def _ensure(self, machine: int) -> None:
        self._roster.grow(machine)
        if machine >= self._size:
            self._grow(max(machine + 1, 2 * self._size))

    def _grow(self, size: int) -> None:
        super()._grow(size)
        self._exposures.grow(size)
