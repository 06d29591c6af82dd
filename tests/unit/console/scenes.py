"""Scenes: what a day at the doors looks like, one scene per moment a stranger may come in.

Nothing yet, only the adopted release, a door opening, cleared, held, shut, and a fleet too large
for one mark per machine.
"""

import itertools
import math

import msgspec
from tests.unit.console.world import LINES, NOW, World

from firedoor.console.model import (
    Arm,
    Changes,
    ChannelView,
    Condition,
    DecisionView,
    DoorView,
    ExposureView,
    Judgement,
    ReleaseView,
    TrackPoint,
    VerdictSummary,
)
from firedoor.core.door import Reason, State

FIRST = "1f" + "0a9c4e7d" * 7 + "552b07"
SECOND = "2c" + "b81f3d60" * 7 + "91aa34"
THIRD = "3e" + "77d2059b" * 7 + "0c4fe1"


def nothing() -> World:
    """Just installed: no channel is configured."""
    return World()


def unsynced() -> World:
    """A channel whose vendor could not be reached yet."""
    return World(
        views=[_channel(serving=None, last_sync_ms=None, last_error="the vendor's name is unknown")]
    )


def adopted(machines: int = 200) -> World:
    """The first release was there before Firedoor."""
    world = World(views=[_channel(machines=machines)])
    door = DoorView(
        state=State.OPEN,
        reason=Reason.ADOPTED,
        since_ms=NOW - 3_600_000,
        machines=machines,
        budget=5,
        window=5,
    )
    world.boarded.append(
        _release(FIRST, 1, door, previous="", artefacts=Changes(added=14), exposed=0)
    )
    world.decide(_decision(1, FIRST, door, "14 files, 48.2 MB, verified against the index"))
    return world


def opening(machines: int = 200) -> World:
    """A good release on its way."""
    world = adopted(machines)
    door = DoorView(
        state=State.OPENING,
        reason=Reason.EVIDENCE,
        since_ms=NOW - 420_000,
        machines=machines,
        admitted=26,
        control=140,
        in_flight=8,
        matured=18,
        budget=5,
        window=11,
        harm_upper=0.42,
    )
    verdict = VerdictSummary(
        state=Judgement.UNDECIDED,
        log_e_harm=-0.9,
        log_e_clear=1.4,
        harm_upper=0.42,
        forecast_s=380,
    )
    release = _release(SECOND, 2, door, verdict=verdict, exposed=26)
    world.boarded.append(release)
    world.tracks[SECOND] = _track(18, harm=0.0, upper=0.42)
    world.enrolled += _machines(SECOND, 26, harmed=0)
    world.decide(_decision(2, SECOND, door, "boarded: 2 files changed; budget 5, delta 0.025"))
    world.views = [_channel(in_flight=SECOND, machines=machines, waiting=("4d" * 32,))]
    return world


def cleared(machines: int = 200) -> World:
    """The good release made it."""
    world = opening(machines)
    door = DoorView(
        state=State.OPEN,
        reason=Reason.CLEARED,
        since_ms=NOW - 60_000,
        note="harm_upper 0.0243 <= delta 0.025 after 118 installs, 0 harmed, E 0.31",
        machines=machines,
        admitted=118,
        control=0,
        matured=118,
        budget=5,
        window=205,
        harm_upper=0.0243,
    )
    verdict = VerdictSummary(
        state=Judgement.CLEARED, log_e_harm=-1.17, log_e_clear=4.2, harm_upper=0.0243
    )
    world.boarded[-1] = _release(SECOND, 2, door, verdict=verdict, exposed=118)
    world.tracks[SECOND] = _track(60, harm=0.0, upper=0.0243)
    world.views = [_channel(serving=SECOND, machines=machines)]
    world.decide(_decision(2, SECOND, door, door.note))
    return world


def shut(machines: int = 200) -> World:
    """A bad release was stopped by the evidence."""
    world = cleared(machines)
    door = DoorView(
        state=State.SHUT,
        reason=Reason.HARMFUL,
        since_ms=NOW - 20_000,
        note="E 412 >= 100 after 6 harmed of 7 treated, 0 of 171 control; signal silence",
        machines=machines,
        admitted=7,
        control=171,
        in_flight=0,
        matured=1,
        harmed=6,
        budget=5,
        window=5,
        harm_upper=1.0,
    )
    verdict = VerdictSummary(
        state=Judgement.HARMFUL, log_e_harm=math.log(412), log_e_clear=-6.0, harm_upper=1.0
    )
    world.boarded.append(
        _release(THIRD, 3, door, verdict=verdict, exposed=7, harmed=6, previous=SECOND)
    )
    world.tracks[THIRD] = _track(14, harm=math.log(412), upper=1.0)
    world.enrolled += _machines(THIRD, 7, harmed=6, undo="needs remedy")
    began = msgspec.structs.replace(
        door, state=State.OPENING, reason=Reason.EVIDENCE, since_ms=NOW - 200_000
    )
    boarded = _decision(3, THIRD, began, "boarded: 1 file changed; budget 5, delta 0.025")
    world.decide(msgspec.structs.replace(boarded, kind="boarded", state=None, reason=None))
    world.decide(_decision(3, THIRD, door, door.note))
    return world


def held(machines: int = 200) -> World:
    """The budget is spent; a person has to decide."""
    world = cleared(machines)
    door = DoorView(
        state=State.HELD,
        reason=Reason.BUDGET_SPENT,
        since_ms=NOW - 20_000,
        note="5 of 5 slots are kept by harmed machines, nobody unresolved; E 31",
        machines=machines,
        admitted=6,
        control=171,
        matured=1,
        harmed=5,
        budget=5,
        window=5,
        harm_upper=1.0,
    )
    verdict = VerdictSummary(
        state=Judgement.UNDECIDED, log_e_harm=math.log(31), log_e_clear=-4.0, harm_upper=1.0
    )
    world.boarded.append(
        _release(THIRD, 3, door, verdict=verdict, exposed=6, harmed=5, previous=SECOND)
    )
    world.tracks[THIRD] = _track(14, harm=math.log(31), upper=1.0)
    world.enrolled += _machines(THIRD, 6, harmed=5, undo="")
    world.views = [_channel(serving=SECOND, in_flight=THIRD, machines=machines)]
    world.decide(_decision(3, THIRD, door, door.note))
    return world


def large() -> World:
    """Eight thousand machines in three rings, one door of each kind, and a person's hold."""
    world = cleared(8_400)
    doors = {
        "lab": DoorView(
            state=State.OPEN,
            reason=Reason.CLEARED,
            since_ms=NOW - 50_000_000,
            machines=400,
            admitted=400,
            matured=400,
            budget=5,
            window=900,
            harm_upper=0.006,
        ),
        "offices": DoorView(
            state=State.HELD,
            reason=Reason.PERSON,
            since_ms=NOW - 600_000,
            by="Amira Haddad",
            note="two sites report slow logons; looking",
            machines=5_000,
            admitted=310,
            control=2_400,
            in_flight=61,
            matured=247,
            harmed=2,
            budget=20,
            window=96,
            harm_upper=0.021,
        ),
        "control rooms": DoorView(
            state=State.WAITING,
            reason=Reason.EARLIER_RING,
            since_ms=NOW - 90_000_000,
            machines=3_000,
            budget=20,
            window=20,
        ),
    }
    verdict = VerdictSummary(
        state=Judgement.UNDECIDED, log_e_harm=1.3, log_e_clear=2.6, harm_upper=0.021
    )
    release = _release(THIRD, 3, doors["lab"], verdict=verdict, exposed=710, harmed=2)
    world.boarded.append(msgspec.structs.replace(release, door=doors))
    world.tracks[THIRD] = _track(900, harm=1.3, upper=0.021)
    world.enrolled += _machines(THIRD, 9, harmed=2, undo="")
    world.views = [
        _channel(serving=SECOND, in_flight=THIRD, machines=8_400),
        _channel(name="till-software", last_error="503 from the vendor", machines=900),
    ]
    world.boarded.append(
        msgspec.structs.replace(
            _release("5a" * 32, 1, doors["lab"], previous=""), channel="till-software"
        )
    )
    world.decide(
        DecisionView(
            index=0,
            time_ms=NOW - 900_000,
            kind="note",
            channel="till-software",
            sentence="upstream: 503 from the vendor",
        )
    )
    offices = doors["offices"]
    said = f"{offices.by} holds it: nobody new gets it; {offices.note}"
    hold = _decision(3, THIRD, offices, said, ring="offices")
    world.decide(msgspec.structs.replace(hold, note=offices.note))
    return world


SCENES = {
    each.__name__: each
    for each in (nothing, unsynced, adopted, opening, cleared, held, shut, large)
}


def _channel(
    name: str = "tills-av",
    *,
    serving: str | None = FIRST,
    in_flight: str | None = None,
    last_sync_ms: int | None = NOW - 45_000,
    last_error: str = "",
    machines: int = 200,
    waiting: tuple[str, ...] = (),
) -> ChannelView:
    return ChannelView(
        name=name,
        kind="files",
        upstream="https://updates.vendor.example/av/",
        serving=serving,
        in_flight=in_flight,
        last_sync_ms=last_sync_ms,
        last_error=last_error,
        state="following upstream; nothing else",
        machines=machines,
        waiting=waiting,
    )


def _release(
    release: str,
    number: int,
    door: DoorView,
    *,
    previous: str = FIRST,
    verdict: VerdictSummary | None = None,
    artefacts: Changes | None = None,
    exposed: int = 0,
    harmed: int = 0,
) -> ReleaseView:
    unasked = VerdictSummary(
        state=Judgement.UNDECIDED, log_e_harm=0.0, log_e_clear=0.0, harm_upper=1.0
    )
    return ReleaseView(
        id=release,
        channel="tills-av",
        number=number,
        created_ms=NOW - (4 - number) * 3_600_000,
        door={"everyone": door},
        verdict=verdict or unasked,
        thresholds=LINES,
        harmed=harmed,
        exposed=exposed,
        artefacts=artefacts or Changes(added=1, changed=2),
        size_bytes=48_200_000,
        previous=previous,
    )


def _decision(
    number: int, release: str, door: DoorView, sentence: str, ring: str = "everyone"
) -> DecisionView:
    return DecisionView(
        index=0,
        time_ms=door.since_ms,
        kind="door",
        channel="tills-av",
        release=release,
        number=number,
        ring=ring,
        state=door.state,
        reason=door.reason,
        by=door.by,
        sentence=sentence,
    )


def _track(ticks: int, *, harm: float, upper: float) -> list[TrackPoint]:
    points = []
    for tick in range(ticks):
        share = tick / (ticks - 1)
        # Evidence comes in jumps, with every closing of a deck; the bound falls like 1/installs.
        jump = math.floor(share * 7) / 7
        wave = -1.1 * share if harm <= 0 else harm * jump
        points.append(
            TrackPoint(
                time_ms=NOW - (ticks - tick) * 12_000,
                log_e_harm=wave,
                harm_upper=math.exp(math.log(upper) * jump),
                admitted=tick,
                control=5 * tick,
                harmed=0 if harm <= 0 else tick // 2,
                in_flight=tick % 5,
                window=5,
            )
        )
    return points


def _machines(release: str, count: int, *, harmed: int, undo: str = "") -> list[ExposureView]:
    kinds = itertools.cycle(("silence", "silence", "boot-unclean"))
    return [
        ExposureView(
            machine=f"till-{place:03d}.prague",
            channel="tills-av",
            release=release,
            ring="everyone",
            arm=Arm.TREATED,
            deck=1 + place // 5,
            since_ms=NOW - 180_000,
            state=Condition.HARMED if place < harmed else Condition.HEALTHY,
            harm=next(kinds) if place < harmed else "",
            undo=undo,
        )
        for place in range(count)
    ]
