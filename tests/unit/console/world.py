"""A read model in memory that keeps requests: the fake behind every test of the console."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec
from tests.unit.console.explained import facts_of

from firedoor.console.facts import Facts
from firedoor.console.model import (
    ChannelView,
    Condition,
    DecisionView,
    ExposureView,
    MachineView,
    Outcome,
    ReleaseView,
    StreamView,
    Thresholds,
    TrackPoint,
    Verb,
    VerdictView,
)
from firedoor.console.reading import RELEASES_SHOWN
from firedoor.core.cell import Cell, Test
from firedoor.core.errors import FiredoorError
from firedoor.core.units import UnixMs
from firedoor.ports import Instant

NOW = 1_795_348_800_000
"""2026-11-22T12:00:00Z."""


LINES = Thresholds(log_e_shut=math.log(100), log_e_warn=math.log(20), delta=0.025)


class Still:
    """A clock that stands at ``NOW``."""

    def now(self) -> Instant:
        """The one moment there is."""
        return Instant(boot="scene", mono_ms=0, wall_ms=UnixMs(NOW))

    def monotonic_ms(self) -> int:
        """The same."""
        return 0


@dataclass
class World:
    """A read model and the requests made to it."""

    views: list[ChannelView] = field(default_factory=list)
    boarded: list[ReleaseView] = field(default_factory=list)
    ledger: list[DecisionView] = field(default_factory=list)
    tracks: dict[str, list[TrackPoint]] = field(default_factory=dict)
    enrolled: list[ExposureView] = field(default_factory=list)
    asked: list[tuple[Verb, str, dict[str, object], str]] = field(default_factory=list)
    refusal: FiredoorError | None = None
    changes: int = 0

    def channels(self) -> list[ChannelView]:
        """See ``ReadModel``."""
        return self.views

    def releases(
        self, channel: str, limit: int = RELEASES_SHOWN, before: int = 0
    ) -> list[ReleaseView]:
        """See ``ReadModel``."""
        mine = (view for view in self.boarded if view.channel == channel)
        older = (view for view in mine if not before or view.number < before)
        return sorted(older, key=lambda view: -view.number)[:limit]

    def release(self, release: str) -> ReleaseView | None:
        """See ``ReadModel``."""
        found = [view for view in self.boarded if view.id == release]
        return max(found, key=lambda view: view.number, default=None)

    def match(self, prefix: str) -> list[str]:
        """See ``ReadModel``."""
        return sorted({view.id for view in self.boarded if view.id.startswith(prefix)})

    def verdict(self, release: str) -> VerdictView | None:
        """See ``ReadModel``."""
        view = self.release(release)
        if view is None or release not in self.tracks:
            return None
        cell = Cell(1, "everyone", 1, 0, Test.HARM, "silence", "", 7, 45, view.harmed, 0)
        return VerdictView(
            release=release,
            thresholds=LINES,
            alpha_harm=0.01,
            alpha_warn=0.05,
            alpha_clear=0.05,
            randomised=True,
            sentence="undecided",
            streams=(
                StreamView(
                    test="harm",
                    signal="silence",
                    treated=7,
                    control=45,
                    treated_harmed=view.harmed,
                    log_e=view.verdict.log_e_harm,
                ),
            ),
            cells=(cell,),
            **msgspec.structs.asdict(view.verdict),
        )

    def explain(self, release: str) -> Facts | None:
        """See ``Explains``."""
        view = self.release(release)
        if view is None:
            return None
        enrolled = [each for each in self.enrolled if each.release == release]
        return facts_of(view, enrolled, self.track(release))

    def machines(
        self, release: str, limit: int, after: str = "", state: Condition | None = None
    ) -> list[ExposureView]:
        """See ``ReadModel``."""
        found = [
            each
            for each in self.enrolled
            if each.release == release
            and each.machine > after
            and (state is None or each.state is state)
        ]
        return sorted(found, key=lambda each: each.machine)[:limit]

    def machine(self, name: str) -> MachineView | None:
        """See ``ReadModel``."""
        found = tuple(each for each in self.enrolled if each.machine == name)
        return MachineView(name=name, enrolled_ms=NOW, exposures=found) if found else None

    def decisions(self, after: int, limit: int) -> list[DecisionView]:
        """See ``ReadModel``."""
        return [each for each in self.ledger if each.index > after][:limit]

    def track(self, release: str) -> list[TrackPoint]:
        """See ``ReadModel``."""
        return self.tracks.get(release, [])

    def last_index(self) -> int:
        """See ``ReadModel``."""
        return self.ledger[-1].index if self.ledger else -1

    def version(self) -> int:
        """See ``ReadModel``."""
        return self.changes

    async def submit(
        self, verb: Verb, target: str, arguments: Mapping[str, object], by: str
    ) -> Outcome:
        """See ``Requests``: remember it, or raise ``refusal``."""
        if self.refusal is not None:
            raise self.refusal
        self.asked.append((verb, target, dict(arguments), by))
        return Outcome(index=self.last_index() + 1, sentence=f"{verb} done", channel="tills-av")

    def decide(self, decision: DecisionView) -> None:
        """Add an entry to the ledger under the next index."""
        index = self.last_index() + 1
        self.ledger.append(msgspec.structs.replace(decision, index=index))
        self.changes += 1

    def show(self, release: ReleaseView, channel: ChannelView) -> None:
        """Replace a release and a channel by newer pictures of them."""
        self.boarded = [each for each in self.boarded if each.id != release.id] + [release]
        self.views = [channel if each.name == channel.name else each for each in self.views]
        self.changes += 1
