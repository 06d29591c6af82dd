"""Trains: what boards a channel, when, and what every ring is served.

A channel has at most one release in flight. When it ends, the newest snapshot boards; those in
between are listed as skipped. Source: decisions.md 2.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from firedoor.config import ChannelConfig, Config
from firedoor.core import valve
from firedoor.core.board import Board
from firedoor.core.door import Boarded, Door, EarlierOpened, Reason, State, Supersede, ended
from firedoor.core.door import step as step_door
from firedoor.core.release import Manifest
from firedoor.core.ring import EVERYONE, waits_for
from firedoor.core.terms import resolve
from firedoor.core.units import UnixMs
from firedoor.ports import Instant
from firedoor.services import past, reports
from firedoor.services.arrivals import Arrivals
from firedoor.services.boarding import Boarding, rules_for
from firedoor.services.boards import channel_board
from firedoor.services.fallback import Fallback, Held
from firedoor.services.flight import Flight
from firedoor.services.inspection import Inspection
from firedoor.services.installs import delay_ms, news
from firedoor.services.judging import Judge
from firedoor.services.lines import (
    UNDECIDED,
    Line,
    ended_badly,
    has_failed,
    held_for_cause,
    in_flight,
    open_in,
    shut_releases,
)
from firedoor.services.penalty import PenaltyBox
from firedoor.services.preflight import Looks
from firedoor.services.records import PICKED, PICKED_BOARDED, WAITING, Block
from firedoor.services.snapshot import Snapshot
from firedoor.services.stalls import is_inert, missed

_BAD_ENDS = 2
_MISSING = "machines would fall back to it, but files of it are missing"
_LACKING_FILES = "machines fall back to a release of which files are missing: no other is whole"
_NOTHING_LEFT = "nothing is left to fall back to: machines get nothing until a release opens"


class Train:
    """Boards releases and draws up the board. One thread at a time, within the judge's steps."""

    def __init__(
        self,
        judge: Judge,
        config: Config,
        root_key: Callable[[], bytes],
        nonce: Callable[[], str] = lambda: "",
        held: Held = lambda _: True,
        *,
        whole: Callable[[ChannelConfig, str, str], bool] = lambda *_: True,
        looks: Looks | None = None,
    ) -> None:
        """Read all boardings.

        Args:
            judge: Where a boarding is watched.
            config: Channels, rings and policies.
            root_key: Gives the secret that seeds are made from.
            nonce: Draws what makes the seed of each boarding its own.
            held: Asked of a release before machines fall back to it.
            whole: Asked before a release boards, of its channel, the release and the one before:
                whether all that machines are about to ask for is held.
            looks: Looks at a release before it boards; None: nobody does.
        """
        self._judge = judge
        self._store = judge.store
        self._config = config
        self._root_key = root_key
        self._nonce = nonce
        self._whole = whole
        self._fallback = Fallback(held, self._store.board())
        self._arrivals = Arrivals(self._store)
        self._penalty = PenaltyBox(self._store)
        self.inspection = Inspection(self._store, judge.ledger, config, looks)
        self.lines: dict[str, dict[int, Line]] = {
            channel.name: {
                boarding.number: Line(boarding, self._doors(channel.name, boarding.number))
                for boarding in self._store.boardings(channel.name)
            }
            for channel in config.channels
        }

    def unfinished(self) -> list[Flight]:
        """Boardings the judge has to watch: undecided ones, and those with open decks."""
        return [
            flight
            for lines in self.lines.values()
            for line in lines.values()
            if (flight := self._flight(line)).watched() or self._has_open_decks(line)
        ]

    def flight(self, channel: str, number: int, now: Instant) -> Flight:
        """A boarding with its evidence, watched or not."""
        known = self._judge.flights.get((channel, number))
        if known is not None:
            return known
        flight = self._flight(self.lines[channel][number])
        self._judge.recall(flight, now)
        return flight

    def arrived(
        self,
        channel: ChannelConfig,
        snapshot: Snapshot,
        now: Instant,
        dressed: Manifest | None = None,
    ) -> str:
        """Take over a good snapshot, as it is or as clients are to read it; return its id."""
        return self._arrivals.take(channel, snapshot, now, dressed)

    def picked(
        self, channel: ChannelConfig, release: str, manifest: Manifest, now: Instant
    ) -> None:
        """Take over a release that a person has put together: it boards next."""
        base = self._base(channel.name, EVERYONE)
        self._arrivals.picked(channel, release, manifest, base, now)

    def failed(self, channel: str, error: str, now: Instant) -> None:
        """Note that a synchronisation failed; what is served does not change."""
        self._arrivals.failed(channel, error, now, self._judge.ledger)

    def consider(self, channel: ChannelConfig, now: Instant) -> None:
        """Board what a person has picked, else the newest snapshot, if it is time."""
        if self.pinned(channel.name):
            return
        base = max(self._bases(channel.name), default=0)
        before = self._in_place(channel.name, base)
        newest = self._arrivals.due(
            channel.name,
            self._base(channel.name, EVERYONE),
            lambda release: self._whole(channel, release, before),
            lambda note: self._judge.ledger.note(channel.name, note, now, alert=True),
        )
        if newest is None:
            return
        number = in_flight(self.lines[channel.name])
        if not self.lines[channel.name]:
            if not self.inspection.may_adopt(channel, newest):
                return
            self._board(channel, newest.release, now, adopted=True)
        elif newest.release in shut_releases(self.lines[channel.name]):
            self._store.set_snapshot(newest.seq, "refused")
            note = f"release {newest.release[:12]} was shut and does not board by itself"
            self._judge.ledger.note(channel.name, note, now)
            return
        elif newest.release == self._in_place(channel.name, number):
            pass  # Upstream came back to what is in flight.
        elif {newest.release} == self._served(channel.name):
            if number:
                self._supersede(channel.name, number, Reason.WITHDRAWN, now)
        elif self._may_board(channel.name, number, now, at_once=newest.is_picked):
            if not self._whole(channel, newest.release, before):
                return
            report = self.inspection.of(channel, newest.release, before)
            if report is None:
                return
            failed = self.inspection.holds(channel, report)
            if failed and number and not has_failed(self.lines[channel.name][number]):
                return  # It takes no place from one that may yet prove good.
            if number:
                self._supersede(channel.name, number, Reason.NEWER, now)
            self._board(channel, newest.release, now, failed=report.sentence if failed else "")
        else:
            return
        for snapshot in self._store.snapshots(channel.name):
            gives_way = snapshot.state == WAITING or (snapshot.waits and newest.is_picked)
            if gives_way and snapshot.seq < newest.seq:
                self._store.set_snapshot(snapshot.seq, "skipped")
        self._store.set_snapshot(newest.seq, PICKED_BOARDED if newest.is_picked else "boarded")

    def advance(self, channel: ChannelConfig, now: Instant) -> None:
        """Find fallbacks; open waiting rings whose turn it is; block a channel that fails twice."""
        self.fall_back(channel.name, now)
        number = in_flight(self.lines[channel.name])
        known = {ring.name for ring in self._config.rings}
        if number:
            flight = self.flight(channel.name, number, now)
            for ring, door in list(flight.doors.items()):
                if ring not in known and door.state in UNDECIDED:
                    note = "the ring is no longer in the configuration"
                    event: Supersede | EarlierOpened = Supersede(Reason.WITHDRAWN, note=note)
                    self._judge.apply(flight, ring, event, now)
                    continue
                if door.state is not State.WAITING or self.is_blocked(ring, flight.doors):
                    continue
                if not self._count_is_stale(channel.name):
                    event = EarlierOpened(empty=self._is_empty(channel.name, ring))
                    self._judge.apply(flight, ring, event, now)
                    self._tell_of_the_missed(flight.doors[ring], now)
        lines = self.lines[channel.name]
        self._block_after([lines[each] for each in sorted(lines)[-_BAD_ENDS:]], now)

    def fall_back(self, channel: str, now: Instant) -> None:
        """Where what a ring was served is contained, pass over releases whose bytes are missing."""
        lines = self.lines[channel]
        for ring in (known.name for known in self._config.rings):
            is_open = sorted(open_in(lines, ring), reverse=True)
            found = self._fallback.find(channel, ring, [lines[number] for number in is_open])
            for number in found.missing:
                flight = self.flight(channel, number, now)
                where = ring if ring in flight.doors else EVERYONE
                self._judge.apply(flight, where, Supersede(Reason.MISSING, note=_MISSING), now)
            if found.lacking:
                what = _LACKING_FILES if found.base else _NOTHING_LEFT
                self._judge.ledger.note(channel, f"ring {ring}: {what}", now, alert=True)

    def served(self, channel: str, ring: str) -> tuple[str, bool]:
        """The release a ring is served, "" for none, and whether all its bytes are held."""
        release = self._in_place(channel, self._base(channel, ring))
        return release, bool(release) and self._fallback.is_held(release)

    def is_blocked(self, ring: str, doors: Mapping[str, Door]) -> bool:
        """Say whether a ring still has to wait for an earlier one of the same boarding."""
        if all(ring != known.name for known in self._config.rings):
            # The configuration has it no more, so it has no machines and waits for nobody.
            return False
        return any(
            earlier not in doors or doors[earlier].state is not State.OPEN
            for earlier in waits_for(ring, self._config.rings)
        )

    def block(self, channel: str, why: Block) -> None:
        """Nothing boards before a person resumes the channel, whatever door opens meanwhile."""
        state = self._store.channel(channel)
        if state.blocked is not Block.LEDGER_LOST:  # What to look at first stays what it was.
            self._store.put_channel(replace(state, blocked=why))
        self._store.put_cursor(_bad_ends(channel), 0)

    def unblock(self, channel: str, by: str, note: str, now: Instant) -> None:
        """A person lets the next release board."""
        self.inspection.overrule(channel)
        self._store.put_channel(replace(self._store.channel(channel), blocked=Block.NONE))
        self._store.put_cursor(_forgiven(channel), max(self.lines[channel], default=0))
        self._judge.ledger.note(channel, f"boarding resumed by {by}: {note}", now)

    def pinned(self, channel: str) -> list[str]:
        """Rings of the configuration that are pinned: nothing boards their channel."""
        pins = self._store.pins(channel)
        return [ring.name for ring in self._config.rings if ring.name in pins]

    def look_again(self, channel: str) -> None:
        """Let what upstream offers board again, if it is not what is served."""
        seen = self._store.snapshots(channel)
        states = {"boarded": WAITING, PICKED_BOARDED: PICKED}
        if seen and seen[-1].state in states and {seen[-1].release} != self._served(channel):
            self._store.set_snapshot(seen[-1].seq, states[seen[-1].state])

    def board(self) -> Board:
        """Draw up the board from the doors as they are."""
        before = self._store.board()
        rings = [ring.name for ring in self._config.rings]
        channels = tuple(
            channel_board(
                name := channel.name,
                self.lines[name],
                {ring: self._base(name, ring) for ring in rings},
                in_flight(self.lines[name]),
                self._judge.flights,
            )
            for channel in self._config.channels
        )
        active = {key: count.active for key, count in self._judge.hearing.census.items()}
        benched = self._penalty.inside(self.lines, active)
        if (channels, benched) == (before.channels, before.benched):
            return before
        return Board(before.version + 1, channels, benched)

    def bases(self, channel: str) -> Mapping[str, int]:
        """Boarding number that every ring is served, 0 for nothing."""
        return {ring.name: self._base(channel, ring.name) for ring in self._config.rings}

    def _board(
        self,
        channel: ChannelConfig,
        release: str,
        now: Instant,
        *,
        adopted: bool = False,
        failed: str = "",
    ) -> None:
        lines = self.lines[channel.name]
        self._reveal_the_ended(channel.name, now)
        # The gate may know numbers that a restored judge does not: none is ever used again.
        hearing = self._judge.hearing
        number = max(max(lines, default=0), hearing.highest_number(channel.name)) + 1
        previous = lines.get(max(self._bases(channel.name), default=0))
        bases = {base: self._in_place(channel.name, base) for base in self._bases(channel.name)}
        found = {base: news(self._store, release, was) for base, was in bases.items()}
        brings = found[max(found)]
        nonce = self._nonce()
        seed = valve.boarding_seed(self._root_key(), channel.name, number, nonce)
        policy, told = self._config.policy_for(channel.name), channel.traits.tells_installs
        fleet = {ring.name: hearing.fleet(channel.name, ring.name) for ring in self._config.rings}
        whole = resolve(policy, sum(fleet.values()), brings.risk)
        bucket_ms, by = self._config.time.bucket_ms, whole.takes_effect
        late = delay_ms(channel.name, lines, hearing, self._store, by, bucket_ms=bucket_ms)
        rules = rules_for(whole, reporting=hearing.reporting(), told=told, strata=policy.strata)
        rules = replace(rules, past=past.known(lines.values(), rules, self._store))
        boarding = Boarding(
            channel=channel.name,
            number=number,
            release=release,
            previous=previous.boarding.number if previous else 0,
            boarded_ms=now.wall_ms,
            commitment=valve.seed_commitment(seed),
            terms={
                ring.name: replace(
                    resolve(
                        self._config.policy_for(channel.name, ring.name),
                        fleet[ring.name],
                        brings.risk,
                    ),
                    install_delay_ms=late,
                    installs=found[self._base(channel.name, ring.name)].payload,
                )
                for ring in self._config.rings
            },
            rules=rules,
            nonce=nonce,
        )
        flight = Flight.begin(boarding, seed, ())
        line = lines[number] = Line(boarding, flight.doors)
        self._store.add_boarding(boarding)
        for ring in self._config.rings:
            event = Boarded(
                adopted=adopted,
                empty=self._is_empty(channel.name, ring.name),
                blocked=not whole.shadow and self.is_blocked(ring.name, line.doors),
                failed=failed,
            )
            new = self._new_door(boarding, ring.name)
            line.doors[ring.name], _ = step_door(new, event, now.wall_ms)
            self._store.put_door(line.doors[ring.name])
        facts = reports.terms_of(boarding, line.doors.values())
        self._judge.ledger.board(boarding, bases.get(boarding.previous, ""), facts, now)
        if risky := brings.sentence(number, boarding.terms.values()):
            self._judge.ledger.note(channel.name, risky, now)
        for door in line.doors.values():
            self._tell_of_the_missed(door, now)
        self._judge.flights[(channel.name, number)] = flight
        self._judge.publish(flight, now)

    def _tell_of_the_missed(self, door: Door, now: Instant) -> None:
        """Enrolled machines of a ring that opened as empty will get the release untried."""
        count = self._judge.hearing.census.get((door.channel, door.ring))
        if door.reason is Reason.EMPTY and count is not None and count.enrolled:
            note = missed(door.ring, door.number, count.enrolled)
            self._judge.ledger.note(door.channel, note, now, alert=True)

    def _reveal_the_ended(self, channel: str, now: Instant) -> None:
        """A newer release boards: no card of an earlier one will be dealt again."""
        for line in self.lines[channel].values():
            if all(ended(door.state) for door in line.doors.values()):
                self._judge.reveal(self._flight(line), now)

    def _new_door(self, boarding: Boarding, ring: str) -> Door:
        base = self._base(boarding.channel, ring)
        lines = self.lines[boarding.channel]
        return Door(
            channel=boarding.channel,
            number=boarding.number,
            ring=ring,
            release=boarding.release,
            previous=lines[base].boarding.release if base else "",
            budget=boarding.terms[ring].budget,
            state=State.WAITING,
            reason=Reason.EARLIER_RING,
            since_ms=UnixMs(boarding.boarded_ms),
            shadow=boarding.terms[ring].shadow,
        )

    def _supersede(self, channel: str, number: int, reason: Reason, now: Instant) -> None:
        flight = self.flight(channel, number, now)
        for ring, door in flight.doors.items():
            if door.state in UNDECIDED:
                self._judge.apply(flight, ring, Supersede(reason), now)

    def _may_board(self, channel: str, number: int, now: Instant, *, at_once: bool) -> bool:
        """Whether a newer release may board now, in place of ``number`` if there is one."""
        if number and not self._may_supersede(channel, number, now, at_once=at_once):
            return False
        lines = self.lines[channel]
        if number:
            # If it is about to end held, and the one before ended badly, a person looks first.
            last = [each for each in sorted(lines) if each <= number][-_BAD_ENDS:]
            self._block_after([lines[each] for each in last], now)
        return not self._store.channel(channel).blocked and not self._count_is_stale(channel)

    def _may_supersede(self, channel: str, number: int, now: Instant, *, at_once: bool) -> bool:
        """A newer release takes over at once from a held door, after patience from any other.

        What a person has picked takes over at once, but not from a door that is held for cause:
        that release would board again after it as if nothing had been found.
        """
        line = self.lines[channel][number]
        if at_once:
            return held_for_cause(line) is None
        doors = [door for door in line.doors.values() if door.state in UNDECIDED]
        if any(d.state is State.HELD and d.reason is Reason.PERSON for d in doors):
            return False
        if any(d.state is State.HELD for d in doors) or all(d.shadow for d in doors):
            return True
        if self._is_inert(channel, number):
            return True
        patience = self._config.policy_for(channel).patience_ms
        return now.wall_ms - line.boarding.boarded_ms >= patience

    def _is_inert(self, channel: str, number: int) -> bool:
        """Nobody installs it: all that were let in are dormant, and nobody else may be let in."""
        flight = self._judge.flights.get((channel, number))
        if flight is None or flight.installed:
            return False
        rings = [ring for ring, door in flight.doors.items() if door.state in UNDECIDED]
        found = flight.all_numbers(flight.verdict())
        return any(is_inert(found[ring]) for ring in rings)

    def _block_after(self, last: Sequence[Line], now: Instant) -> None:
        """Two releases in a row that ended held or shut: the next one waits for a person."""
        if not last:
            return
        channel = last[-1].boarding.channel
        state = self._store.channel(channel)
        newest = last[-1].boarding.number
        by_itself = state.blocked and self._store.cursor(_bad_ends(channel)) == newest
        if by_itself and any(d.state is State.OPEN for d in last[-1].doors.values()):
            self.unblock(channel, "the train", "the newest release is open after all", now)
            return
        # What ended before a person last let the channel go on is forgiven.
        counted = [x for x in last if x.boarding.number > self._store.cursor(_forgiven(channel))]
        if len(counted) < _BAD_ENDS or not all(ended_badly(line) for line in counted):
            return
        if state.blocked:
            return
        self._store.put_channel(replace(state, blocked=Block.BAD_ENDS))
        self._store.put_cursor(_bad_ends(channel), newest)
        note = "two releases in a row ended held or shut: the next boards when a person resumes"
        self._judge.ledger.note(channel, note, now, alert=True)

    def _in_place(self, channel: str, number: int) -> str:
        return self.lines[channel][number].boarding.release if number else ""

    def _served(self, channel: str) -> set[str]:
        return {self._in_place(channel, base) for base in self._bases(channel)}

    def _bases(self, channel: str) -> set[int]:
        return set(self.bases(channel).values())

    def _base(self, channel: str, ring: str) -> int:
        return max(open_in(self.lines[channel], ring), default=0)

    def _is_empty(self, channel: str, ring: str) -> bool:
        return self._judge.hearing.is_empty(channel, ring, {r.name for r in self._config.rings})

    def _count_is_stale(self, channel: str) -> bool:
        """No gate has counted this channel's rings yet: a boarding would think them empty."""
        board = self._store.board().version
        return any(
            self._judge.hearing.count(channel, ring.name, board=board) is None
            for ring in self._config.rings
        )

    def _doors(self, channel: str, number: int) -> dict[str, Door]:
        """Doors in the order of the rings, so that a restart changes no order in the ledger."""
        stored = {door.ring: door for door in self._store.doors(channel, number)}
        known = [ring.name for ring in self._config.rings if ring.name in stored]
        return {ring: stored[ring] for ring in (*known, *sorted(stored.keys() - set(known)))}

    def _flight(self, line: Line) -> Flight:
        boarding = line.boarding
        seed = valve.boarding_seed(
            self._root_key(), boarding.channel, boarding.number, boarding.nonce
        )
        flight = Flight.begin(boarding, seed, ())
        flight.doors = line.doors
        return flight

    def _has_open_decks(self, line: Line) -> bool:
        decks = self._store.decks(line.boarding.channel, line.boarding.number)
        return any(deck.closed >= 0 for deck in decks)


def _forgiven(channel: str) -> str:
    return f"forgiven:{channel}"


def _bad_ends(channel: str) -> str:
    return f"bad-ends:{channel}"
