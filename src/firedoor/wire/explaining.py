"""The facts behind a verdict, gathered from what judge, gate and register have stored."""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from firedoor.adapters.store.gate import GateReader
from firedoor.adapters.store.judge import JudgeReader
from firedoor.adapters.store.register import MachineRegister
from firedoor.adapters.store.signals import SignalReader
from firedoor.console.advising import advice
from firedoor.console.facts import (
    Change,
    Facts,
    GroupFacts,
    Limit,
    ShutBy,
    SignalFacts,
    SuspectFacts,
    Undoing,
    Whose,
)
from firedoor.console.model import ExposureView, ReleaseView, TrackPoint
from firedoor.core.channel import Traits
from firedoor.core.door import State, ended
from firedoor.core.evidence import clearance, floor
from firedoor.core.evidence.attribution import Culprit
from firedoor.core.prospects import Sealed, clean_to_clear, harmed_to_shut
from firedoor.core.signal import SILENCE
from firedoor.core.stream import StreamVerdict
from firedoor.core.units import MachineNo
from firedoor.core.valve import CONTROLS_PER_TREATED
from firedoor.core.verdict import Evidence, Verdict, VerdictState, start, verdict
from firedoor.services.boarding import Boarding
from firedoor.services.ledger import SUSPECTS
from firedoor.services.naming import named
from firedoor.services.places import AFTERWARDS
from firedoor.services.suspects import told_of
from firedoor.wire.exposures import CONTAINED, NEEDS_REMEDY, REVERTED
from firedoor.wire.verdicts import claims_nothing

MOST_LOOKED_AT: Final = 2_000
"""Machines whose undoing is looked at one by one."""

MOST_COMPARED: Final = 10_000
"""Places, the oldest, whose machines are looked up for their attributes: about 150 ms."""

_MOST_GROUPS: Final = 50
_BEYOND_COMPARE: Final = 1e12  # the rate ratio where no control was harmed at all

_WHOSE: Final = {
    (Culprit.A, True): Whose.THIS,
    (Culprit.A, False): Whose.OTHER,
    (Culprit.B, True): Whose.OTHER,
    (Culprit.B, False): Whose.THIS,
    (Culprit.BOTH, True): Whose.EACH,
    (Culprit.BOTH, False): Whose.EACH,
    (Culprit.INTERACTION, True): Whose.TOGETHER,
    (Culprit.INTERACTION, False): Whose.TOGETHER,
}


@dataclass(frozen=True, slots=True)
class Members:
    """Who took part in a comparison, each machine once: treated before control.

    Attributes:
        treated: Register number of a treated machine -> it was harmed.
        control: Likewise of control machines.
    """

    treated: Mapping[int, bool]
    control: Mapping[int, bool]


def facts(
    release: ReleaseView,
    boarding: Boarding,
    evidence: Evidence,
    *,
    epoch: int,
    early: tuple[int, int],
    decks: int,
    traits: Traits | None,
    kind: str,
    groups: Sequence[GroupFacts],
    values: Callable[[], int],
    undone: Iterable[ExposureView],
    track: Iterable[TrackPoint],
    suspect: SuspectFacts | None = None,
) -> Facts:
    """Put together what an explanation tells.

    Args:
        release: The release and where its doors are.
        boarding: What was fixed when it boarded.
        evidence: The fold over all its cells.
        epoch: Epoch of the newest cell.
        early: As ``early_harm`` tells.
        decks: Decks dealt.
        traits: Of the channel's kind; None for a channel that is configured no more.
        kind: The channel's kind.
        groups: By attribute and value.
        values: As in ``services.naming.named``.
        undone: Its machines where there is something to undo.
        track: Its curve.
        suspect: Another release that is accused of the same harm, if there is one.
    """
    now = verdict(evidence)
    doors = release.door.values()
    randomised = None
    if not claims_nothing(doors):
        randomised = all(terms.control > 0.0 for terms in boarding.terms.values())
    reverts = traits is not None and traits.reverts
    over = now.state is VerdictState.HARMFUL or all(ended(door.state) for door in doors)
    return Facts(
        release=release,
        kind=kind,
        reverts=reverts,
        randomised=randomised,
        warn=now.warn,
        alpha_harm=boarding.rules.alpha_harm,
        alpha_clear=boarding.rules.alpha_clear,
        max_log_e_harm=now.max_log_e_harm,
        decks=decks,
        installed=now.matured.installed,
        treated=now.matured.treated,
        control=now.matured.control,
        signals=tuple(_signals(release, now, early)),
        attributes=boarding.rules.attributes,
        groups=tuple(_weighed(groups, now.streams, values)),
        suspect=suspect,
        least_harmed=_least_harmed(now, boarding.rules.alpha_harm),
        least_installed=_least_installed(evidence, now),
        ratio=boarding.rules.ratio,
        log_e_ratio=now.log_e_ratio,
        cluster=boarding.rules.cluster,
        budget_growth=max(terms.budget_growth for terms in boarding.terms.values()),
        liars=boarding.rules.liars,
        change=None if over else _change(release, evidence, now, epoch),
        undoing=_undoing(undone),
        advice=advice(release, reverts=reverts),
        limits=tuple(_limits(release, evidence, now, groups, randomised=randomised)),
        track=tuple(track),
    )


def members(judge: JudgeReader, gate: GateReader, boarding: Boarding) -> Members:
    """Who drew a card of a boarding, and who of them was harmed."""
    channel, number = boarding.channel, boarding.number
    harmed = {(each.machine, each.treated) for each in judge.harmed(channel, number)}
    treated: dict[int, bool] = {}
    control: dict[int, bool] = {}
    for stored in gate.places_of(channel, number, limit=MOST_COMPARED):
        place = stored.place
        if place.deck != AFTERWARDS:
            arm = treated if place.treated else control
            arm[place.machine] = (place.machine, place.treated) in harmed
    # Whoever was control in an earlier deck and treated later has the release.
    return Members(treated, {no: hit for no, hit in control.items() if no not in treated})


def early_harm(judge: JudgeReader, gate: GateReader | None, boarding: Boarding) -> tuple[int, int]:
    """Count the machines (treated, control) that were harmed and whose class has not matured."""
    channel, number = boarding.channel, boarding.number
    decks = [deck for deck in judge.decks(channel, number) if deck.closed >= 0]
    if gate is None or not decks:
        return 0, 0
    over = {(deck.ring, deck.deck): deck.classes() | deck.rungs().keys() for deck in decks}
    rows = {each.place for each in judge.harmed(channel, number)}
    counts = [0, 0]
    for stored in gate.places_of(channel, number, limit=MOST_COMPARED):
        place = stored.place
        key = (place.ring, place.deck)
        if stored.id in rows and key in over and place.cls not in over[key]:
            counts[not place.treated] += 1
    return counts[0], counts[1]


def grouped(
    register: MachineRegister, signals: SignalReader | None, found: Members
) -> list[GroupFacts]:
    """Count members by attribute and value; only attributes that can tell machines apart.

    One that all members share tells nothing, and one that is different for nearly each of them
    (a serial number) is a name and no group.
    """
    arms: dict[tuple[str, str], list[int]] = {}
    size = len(found.treated) + len(found.control)
    for no in sorted({*found.treated, *found.control}):
        told = {} if signals is None else signals.told(MachineNo(no))
        for key in {**told, **register.attributes(MachineNo(no))}.items():
            counts = arms.setdefault(key, [0, 0, 0, 0])
            place, hit = (0, found.treated) if no in found.treated else (2, found.control)
            counts[place] += 1
            counts[place + 1] += hit[no]
    values = Counter(attribute for attribute, _ in arms)
    groups = [
        GroupFacts(
            attribute=attribute,
            value=value,
            treated=counts[0],
            treated_harmed=counts[1],
            control=counts[2],
            control_harmed=counts[3],
        )
        for (attribute, value), counts in arms.items()
        if 1 < values[attribute] <= max(2, size // 2)
    ]
    return sorted(groups, key=_badness)[:_MOST_GROUPS]


def values_of(
    register: MachineRegister | None, signals: SignalReader | None, attributes: Sequence[str]
) -> int:
    """Values of these attributes that machines have, set by the operator or told by themselves."""
    if register is None or not attributes:
        return 0
    known = {pair for own, _ in register.count_by(attributes) for pair in own.items()}
    told = [] if signals is None else signals.profiles()
    known |= {pair for own, _ in told for pair in own.items() if pair[0] in attributes}
    return len(known)


def suspected(judge: JudgeReader, boarding: Boarding) -> SuspectFacts | None:
    """The newest note on a release of another channel that is accused of the same harm."""
    index = judge.cursor(told_of(boarding.channel, boarding.number)) - 1
    if index < 0:
        return None
    for signed in judge.entries(after=index - 1, limit=1):
        note = msgspec.convert(signed.entry.body.get(SUSPECTS), _Suspects)
        return _from_the_side_of((boarding.channel, boarding.number), note)
    return None  # The ledger was lost, and the cursor was not.


class _Suspects(msgspec.Struct, frozen=True):
    """What ``services.suspects`` writes into a note."""

    a: tuple[str, int]
    b: tuple[str, int]
    culprit: Culprit
    harmed: tuple[tuple[int, int], tuple[int, int]]
    sealed: int


def _from_the_side_of(key: tuple[str, int], note: _Suspects) -> SuspectFacts:
    (neither, only_b), (only_a, both) = note.harmed
    first = note.a == key
    channel, number = note.b if first else note.a
    return SuspectFacts(
        channel=channel,
        number=number,
        whose=_WHOSE.get((note.culprit, first), Whose.UNKNOWN),
        both=both,
        only_this=only_a if first else only_b,
        only_other=only_b if first else only_a,
        neither=neither,
        sealed=note.sealed,
    )


def _badness(group: GroupFacts) -> tuple[float, ...]:
    """Worst first: by evidence where there is any, then by how much more harm than in control."""
    hit = group.treated_harmed / group.treated if group.treated else 0.0
    by_chance = group.control_harmed / group.control if group.control else 0.0
    evidence = 0.0 if group.log_e is None else group.log_e
    return (-evidence, by_chance - hit, -group.treated_harmed, -group.treated)


def _weighed(
    groups: Sequence[GroupFacts], streams: Sequence[StreamVerdict], values: Callable[[], int]
) -> Iterable[GroupFacts]:
    """Add the evidence of the groups that the rules watch, and who of them is named.

    The evidence is that of the worst signal; a group is named if it is in any signal.
    """
    log_e: dict[tuple[str, str], float] = {}
    for stream in streams:
        for group in stream.groups:
            key = (group.attribute, group.value)
            log_e[key] = max(group.log_e, log_e.get(key, -math.inf))
    listed = {(each.attribute, each.value) for each in named(streams, values)}
    found = []
    for each in groups:
        key = (each.attribute, each.value)
        on_it = key in listed if key in log_e else None
        found.append(msgspec.structs.replace(each, log_e=log_e.get(key), named=on_it))
    return sorted(found, key=_badness)


def _signals(release: ReleaseView, now: Verdict, early: tuple[int, int]) -> Iterator[SignalFacts]:
    """Every signal with the machines at risk, each once where the streams count closings.

    Silence is counted where a class closes, events as they come: also of machines in flight, and
    of harmed ones whose class is open, which are neither in flight nor matured. Who was harmed
    after its class had matured is among those that matured.
    """
    matured, doors = now.matured, release.door.values()
    in_flight = sum(door.in_flight - door.waiting for door in doors) + early[0]
    control = sum(door.control for door in doors) + early[1]
    for stream in now.streams:
        comes_early = stream.signal != SILENCE
        treated = matured.treated + (in_flight if comes_early else 0)
        compared = matured.control + (control if comes_early else 0)
        yield SignalFacts(
            signal=stream.signal,
            watched=stream.share > 0.0,
            treated=max(stream.treated_harmed, treated),
            treated_harmed=stream.treated_harmed,
            control=max(stream.control_harmed, compared),
            control_harmed=stream.control_harmed,
            expected=stream.expected,
            log_e=stream.log_e,
        )


def _change(release: ReleaseView, evidence: Evidence, now: Verdict, epoch: int) -> Change:
    doors = release.door.values()
    # Whoever waits has no control: it adds nothing to any evidence.
    in_flight = sum(door.in_flight - door.waiting for door in doors)
    control = sum(door.control for door in doors)
    going = {State.WAITING, State.OPENING, State.HELD}
    untried = sum(max(0, d.machines - d.admitted) for d in doors if d.state in going)
    sealed = Sealed(in_flight, control, epoch)
    matured = now.matured
    ratio = matured.control / matured.treated if matured.treated else CONTROLS_PER_TREATED
    likely = clearance.installs_to_clear(
        evidence.clearance, evidence.rules.alpha_clear, treated=matured.treated
    )
    return Change(
        in_flight=in_flight,
        control=control,
        untried=untried,
        shut_by=tuple(
            ShutBy(signal=s.signal, machines=harmed_to_shut(evidence, sealed, s.signal))
            for s in now.streams
            if s.share > 0.0
        ),
        clean_to_clear=clean_to_clear(
            evidence,
            controls=min(CONTROLS_PER_TREATED, max(1, round(ratio))),
            most=in_flight + untried,
        ),
        likely_to_clear=None if likely is None else math.ceil(likely),
    )


def _undoing(machines: Iterable[ExposureView]) -> Undoing | None:
    counted = Counter(each.undo for each in machines if each.undo)
    if not counted:
        return None
    return Undoing(
        looked_at=counted.total(),
        contained=counted[CONTAINED],
        reverted=counted[REVERTED],
        needs_remedy=counted[NEEDS_REMEDY],
    )


def _limits(
    release: ReleaseView,
    evidence: Evidence,
    now: Verdict,
    groups: Sequence[GroupFacts],
    *,
    randomised: bool | None,
) -> Iterator[Limit]:
    if randomised is None:
        yield Limit.NOTHING_COMPARED
        return
    if not randomised:
        yield Limit.NOT_RANDOMISED
    yield Limit.LATE
    yield Limit.SHARED
    if any(stream.signal != SILENCE and stream.share <= 0.0 for stream in now.streams):
        yield Limit.UNWATCHED
    if not evidence.rules.attributes:
        yield Limit.POOLED
    if any(not group.treated for group in groups):
        yield Limit.UNTRIED
    if now.state is not VerdictState.HARMFUL and now.harm_upper < 1.0:
        yield Limit.BELOW
        yield Limit.TOGETHER
    everybody = sum(door.machines for door in release.door.values())
    spotless = clean_to_clear(start(evidence.rules), controls=1, most=everybody)
    if now.state is VerdictState.UNDECIDED and everybody and spotless is None:
        yield Limit.SMALL


def _least_harmed(now: Verdict, alpha: float) -> int | None:
    """The floor for the stream that tells most, at the rates it has shown; None without one."""
    if now.state is not VerdictState.HARMFUL:
        return None
    stream = max((s for s in now.streams if s.share), key=lambda s: s.log_e, default=None)
    if stream is None or not (stream.treated and stream.control and stream.treated_harmed):
        return None
    ratio = _BEYOND_COMPARE
    if stream.control_harmed:
        treated_rate = stream.treated_harmed / stream.treated
        ratio = treated_rate / (stream.control_harmed / stream.control)
    if ratio <= 1.0:
        return None  # A verdict of harm stays, even if its rates have come together since.
    share_treated = stream.treated / (stream.treated + stream.control)
    return _whole(floor.harmed_floor(alpha, ratio, share_treated))


def _least_installed(evidence: Evidence, now: Verdict) -> int | None:
    matured = now.matured
    if now.state is VerdictState.HARMFUL or not (matured.treated and matured.control):
        return None
    return _whole(
        floor.clearance_floor(
            evidence.rules.alpha_clear,
            evidence.rules.delta,
            base_rate=matured.control_harmed / matured.control,
            controls_per_treated=matured.control / matured.treated,
        )
    )


def _whole(machines: float) -> int:
    """An expected number of machines as "about" may say it."""
    return max(1, round(machines))
