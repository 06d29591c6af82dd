"""The console's read model over the stores of all roles.

Every answer is made from what is stored, and remembered until something has been written.
A store that does not exist yet gives empty answers: the console may be the first to start.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Final, TypeVar, cast

import msgspec

from firedoor.adapters.clock import SystemClock
from firedoor.adapters.store.gate import GateReader
from firedoor.adapters.store.judge import JudgeReader
from firedoor.config import ChannelConfig, Config
from firedoor.console.facts import Facts, GroupFacts
from firedoor.console.model import (
    Changes,
    ChannelView,
    Condition,
    DecisionView,
    DoorView,
    ExposureView,
    Judgement,
    MachineView,
    PreflightView,
    ReleaseView,
    TrackPoint,
    VerdictSummary,
    VerdictView,
)
from firedoor.console.reading import RELEASES_SHOWN
from firedoor.core.door import Door, State
from firedoor.core.release import Change, diff
from firedoor.core.ring import EVERYONE
from firedoor.core.verdict import VerdictState
from firedoor.ports import Clock
from firedoor.services.boarding import Boarding
from firedoor.services.places import Census
from firedoor.wire import channels, decisions, explaining, urgency, verdicts
from firedoor.wire.files import Files
from firedoor.wire.followed import Followed
from firedoor.wire.machines import Machines
from firedoor.wire.sources import Sources
from firedoor.wire.verdicts import Stored

_FOLLOWED: Final = 128
_DIFFS: Final = 512
_UNDECIDED: Final = frozenset({State.WAITING, State.OPENING, State.HELD})
_UNDOABLE: Final = frozenset({State.SHUT, State.SUPERSEDED})

_K = TypeVar("_K")
_V = TypeVar("_V")


class Views:
    """Implements ``Explains``. One thread at a time."""

    def __init__(self, config: Config, files: Files, clock: Clock | None = None) -> None:
        """Nothing is opened or read yet.

        Args:
            config: Channels and rings, in the order in which they are shown.
            files: Where the stores lie.
            clock: For forecasts, and for who is overdue; the system's if left out.
        """
        self._config = config
        self._clock: Clock = SystemClock() if clock is None else clock
        self._sources = Sources(files, self._clock)
        self._machines = Machines(config, self._sources, self._clock)
        self._followed: dict[tuple[str, int], Followed] = {}
        self._diffs: dict[tuple[str, str], Changes] = {}
        self._memo: dict[object, object] = {}
        # Begins with the clock, so that a page of an earlier run is never taken for current.
        self._version: int = self._clock.now().wall_ms
        self._versions: tuple[int, ...] = ()

    def close(self) -> None:
        """Close the stores."""
        self._sources.close()

    def version(self) -> int:
        """A number that is another one whenever anything changed; a few microseconds."""
        versions = self._sources.versions()
        if versions != self._versions:
            self._versions = versions
            self._version += 1
            self._memo.clear()
        return self._version

    def channels(self) -> list[ChannelView]:
        """All channels, in the order of the configuration."""
        return self._fresh("channels", lambda: [*map(self._channel, self._config.channels)])

    def releases(
        self, channel: str, limit: int = RELEASES_SHOWN, before: int = 0
    ) -> list[ReleaseView]:
        """The last boardings of a channel, newest first, or those before one of them."""
        key = ("releases", channel, limit, before)
        return self._fresh(key, lambda: self._releases(channel, limit, before))

    def release(self, release: str) -> ReleaseView | None:
        """The latest boarding of exactly this release id."""
        return self._fresh(("release", release), lambda: self._release(release))

    def match(self, prefix: str) -> list[str]:
        """Release ids that begin with ``prefix``, two at most."""
        judge = self._sources.judge
        return [] if judge is None else [stored.id for stored in judge.matching(prefix)]

    def verdict(self, release: str) -> VerdictView | None:
        """The verdict on the latest boarding of this release, with all its cells."""
        self.version()
        with self._sources.snapshot() as judge:
            boarding = _latest(judge, release)
            if judge is None or boarding is None:
                return None
            stored = self._stored(judge, boarding)
            if stored is None:
                return None
            doors = judge.doors(boarding.channel, boarding.number)
            return verdicts.described(
                boarding,
                stored,
                self._summary(judge, boarding, stored, doors),
                self._doors(boarding, doors, stored).values(),
                judge.cells(boarding.channel, boarding.number),
                values=lambda: self._values(boarding),
            )

    def explain(self, release: str) -> Facts | None:
        """The facts behind the latest boarding of exactly this release id."""
        return self._fresh(("explained", release), lambda: self._explain(release))

    def machines(
        self, release: str, limit: int, after: str = "", state: Condition | None = None
    ) -> list[ExposureView]:
        """Machines enrolled for the latest boarding of a release, by name."""
        boarding = _latest(self._sources.judge, release)
        if boarding is None:
            return []
        return self._machines.enrolled(boarding, limit, after, state)

    def machine(self, name: str) -> MachineView | None:
        """One machine."""
        return self._machines.machine(name)

    def decisions(self, after: int, limit: int) -> list[DecisionView]:
        """Ledger entries with an index above ``after``, oldest first."""
        with self._sources.snapshot() as judge:
            if judge is None:
                return []

            def release_of(channel: str, number: int) -> str:
                boarding = judge.boarding(channel, number)
                return "" if boarding is None else boarding.release

            return [decisions.described(s.entry, release_of) for s in judge.entries(after, limit)]

    def track(self, release: str) -> list[TrackPoint]:
        """The history of the latest boarding, thinned."""
        judge = self._sources.judge
        boarding = _latest(judge, release)
        if judge is None or boarding is None:
            return []
        return self._follow(boarding).track(judge)

    def last_index(self) -> int:
        """Index of the newest ledger entry, -1 while the ledger is empty."""
        judge = self._sources.judge
        return -1 if judge is None else judge.last_index()

    def _fresh(self, key: object, make: Callable[[], _V]) -> _V:
        """Answer from the memo if nothing has been written since."""
        self.version()
        return self._once(key, make)

    def _once(self, key: object, make: Callable[[], _V]) -> _V:
        # Does not look at the version: the memo must not be emptied between what one answer
        # is made of, or old parts would be kept as new.
        if key not in self._memo:
            self._memo[key] = make()
        # The key says which type was put there; the memo itself holds any.
        return cast("_V", self._memo[key])

    def _channel(self, config: ChannelConfig) -> ChannelView:
        with self._sources.snapshot() as judge:
            if judge is None:
                return self._moded(channels.described(config, None, 0))
            boardings = judge.boardings(config.name)[-RELEASES_SHOWN:]
            in_flight = None
            for boarding in reversed(boardings):
                doors = judge.doors(config.name, boarding.number)
                if any(door.state in _UNDECIDED for door in doors):
                    in_flight = channels.InFlight(boarding.release, tuple(doors))
                    break
            boards = (each for each in judge.board().channels if each.name == config.name)
            snapshots = tuple(judge.snapshots(config.name))
            known = channels.Known(
                state=judge.channel(config.name),
                snapshots=snapshots,
                board=next(boards, None),
                pins={
                    ring: pinned.release
                    for ring, number in judge.pins(config.name).items()
                    if (pinned := judge.boarding(config.name, number)) is not None
                },
                in_flight=in_flight,
                offered_shut=bool(snapshots) and _is_shut(judge, snapshots[-1].release),
                report=judge.preflight(snapshots[-1].release) if snapshots else None,
            )
            gate = self._sources.gate
            active = sum(self._active(gate, config.name).values())
            unknown = self._unknown(gate, config.name).get(EVERYONE, 0)
            return self._moded(channels.described(config, known, active, unknown))

    def _releases(self, channel: str, limit: int, before: int) -> list[ReleaseView]:
        with self._sources.snapshot() as judge:
            if judge is None:
                return []
            boardings = judge.boardings(channel)
            if before:
                boardings = [each for each in boardings if each.number < before]
            return [self._view(judge, boarding) for boarding in reversed(boardings[-limit:])]

    def _release(self, release: str) -> ReleaseView | None:
        with self._sources.snapshot() as judge:
            boarding = _latest(judge, release)
            return None if judge is None or boarding is None else self._view(judge, boarding)

    def _explain(self, release: str) -> Facts | None:
        with self._sources.snapshot() as judge:
            boarding = _latest(judge, release)
            if judge is None or boarding is None:
                return None
            view = self._view(judge, boarding)
            followed = self._follow(boarding)
            evidence, epoch = followed.weighed(judge)
            gate, register = self._sources.gate, self._sources.register
            groups: list[GroupFacts] = []
            if gate is not None and register is not None and view.previous:
                members = explaining.members(judge, gate, boarding)
                groups = explaining.grouped(register, self._sources.signals, members)
            undone: list[ExposureView] = []
            if any(door.state in _UNDOABLE for door in view.door.values()):
                undone = self._machines.enrolled(boarding, explaining.MOST_LOOKED_AT, "", None)
            known = (each for each in self._config.channels if each.name == boarding.channel)
            config = next(known, None)
            return explaining.facts(
                view,
                boarding,
                evidence,
                epoch=epoch,
                early=explaining.early_harm(judge, gate, boarding),
                decks=len(judge.decks(boarding.channel, boarding.number)),
                traits=None if config is None else config.traits,
                kind="" if config is None else config.kind.value,
                groups=groups,
                values=lambda: self._values(boarding),
                suspect=explaining.suspected(judge, boarding),
                undone=undone,
                track=followed.track(judge),
            )

    def _values(self, boarding: Boarding) -> int:
        attributes = boarding.rules.attributes
        return explaining.values_of(self._sources.register, self._sources.signals, attributes)

    def _view(self, judge: JudgeReader, boarding: Boarding) -> ReleaseView:
        stored = self._stored(judge, boarding)
        doors = self._in_order(judge.doors(boarding.channel, boarding.number))
        views = self._doors(boarding, doors, stored)
        mirrored = judge.release(boarding.release)
        before = judge.boarding(boarding.channel, boarding.previous) if boarding.previous else None
        previous = "" if before is None else before.release
        return ReleaseView(
            id=boarding.release,
            channel=boarding.channel,
            number=boarding.number,
            created_ms=boarding.boarded_ms,
            door=views,
            verdict=self._summary(judge, boarding, stored, doors),
            thresholds=verdicts.thresholds(boarding.rules),
            harmed=sum(door.harmed for door in views.values()),
            exposed=sum(door.admitted for door in views.values()),
            artefacts=self._changes(judge, previous, boarding.release),
            size_bytes=0 if mirrored is None else mirrored.size,
            previous=previous,
            orders=urgency.waiting(judge, boarding.release),
            cves=len(judge.named(boarding.release)),
            exploited=()
            if self._config.exploited.feed is None
            else urgency.exploited(judge, boarding.release),
            preflight=channels.looked_at(judge.preflight(boarding.release)) or PreflightView(),
            takes_effect=boarding.takes_effect,
        )

    def _doors(
        self, boarding: Boarding, doors: Sequence[Door], stored: Stored | None
    ) -> dict[str, DoorView]:
        gate = self._sources.gate
        active = self._active(gate, boarding.channel)
        unknown = self._unknown(gate, boarding.channel)
        exposed = {} if gate is None else self._follow(boarding).exposed(gate)
        rings = {} if stored is None else stored.rings
        upper = 1.0 if stored is None else stored.verdict.harm_upper
        return {
            door.ring: verdicts.door_view(
                door,
                rings.get(door.ring),
                exposed.get(door.ring, (0, 0)),
                machines=active.get(door.ring, 0),
                unknown=unknown.get(door.ring, 0),
                harm_upper=upper,
            )
            for door in doors
        }

    def _summary(
        self,
        judge: JudgeReader,
        boarding: Boarding,
        stored: Stored | None,
        doors: Iterable[Door],
    ) -> VerdictSummary:
        if stored is None:
            return VerdictSummary(
                state=Judgement.UNDECIDED, log_e_harm=0.0, log_e_clear=0.0, harm_upper=1.0
            )
        found = stored.verdict
        forecast = None
        deciding = any(door.state is State.OPENING for door in doors)
        if deciding and found.state is VerdictState.UNDECIDED:
            key = ("forecast", boarding.channel, boarding.number)
            followed, now_ms = self._follow(boarding), self._clock.now().wall_ms
            forecast = self._once(key, lambda: followed.forecast_s(judge, now_ms))
        return VerdictSummary(
            state=Judgement(found.state.value),
            log_e_harm=found.log_e_harm,
            log_e_clear=found.log_e_clear,
            harm_upper=found.harm_upper,
            harm_lower=found.harm_lower,
            forecast_s=forecast,
        )

    def _stored(self, judge: JudgeReader, boarding: Boarding) -> Stored | None:
        body = judge.last_verdict(boarding.channel, boarding.number)
        return verdicts.parse(body) if body else None

    def _active(self, gate: GateReader | None, channel: str) -> dict[str, int]:
        return {c.ring: c.active for c in self._census(gate, channel)}

    def _unknown(self, gate: GateReader | None, channel: str) -> dict[str, int]:
        return {c.ring: c.unknown for c in self._census(gate, channel)}

    def _census(self, gate: GateReader | None, channel: str) -> list[Census]:
        if gate is None:
            return []
        census = self._once("census", gate.census)
        # Until the gate has a new board it keeps the last count of a ring that was removed; its
        # machines are elsewhere now.
        rings = {ring.name for ring in self._config.rings}
        return [c for c in census if c.channel == channel and c.ring in rings]

    def _moded(self, view: ChannelView) -> ChannelView:
        mode = self._config.policy_for(view.name).mode
        return msgspec.structs.replace(view, mode=mode.value)

    def _in_order(self, doors: Iterable[Door]) -> list[Door]:
        order = {ring.name: place for place, ring in enumerate(self._config.rings)}
        # Rings that are configured no more come last.
        return sorted(doors, key=lambda door: (order.get(door.ring, len(order)), door.ring))

    def _changes(self, judge: JudgeReader, previous: str, release: str) -> Changes:
        def compared() -> Changes:
            before = judge.manifest(previous) if previous else {}
            kinds = [artefact.change for artefact in diff(before, judge.manifest(release))]
            return Changes(
                added=kinds.count(Change.ADDED),
                changed=kinds.count(Change.CHANGED),
                removed=kinds.count(Change.REMOVED),
            )

        # Releases are immutable: what was compared once stays so.
        return _kept(self._diffs, (previous, release), compared, _DIFFS)

    def _follow(self, boarding: Boarding) -> Followed:
        key = (boarding.channel, boarding.number)
        return _kept(self._followed, key, lambda: Followed(boarding), _FOLLOWED)


def _latest(judge: JudgeReader | None, release: str) -> Boarding | None:
    boardings = [] if judge is None else judge.boardings_of(release)
    return boardings[-1] if boardings else None


def _is_shut(judge: JudgeReader, release: str) -> bool:
    """Whether the latest boarding of a release is shut in a ring."""
    boarding = _latest(judge, release)
    doors = [] if boarding is None else judge.doors(boarding.channel, boarding.number)
    return any(door.state is State.SHUT for door in doors)


def _kept(cache: dict[_K, _V], key: _K, make: Callable[[], _V], most: int) -> _V:
    if key not in cache:
        if len(cache) >= most:
            del cache[next(iter(cache))]
        cache[key] = make()
    return cache[key]
