"""Doors and verdicts as the console shows them, from what the judge has stored."""

import math
from collections.abc import Callable, Collection, Iterable
from typing import Final

import msgspec

from firedoor.console.model import (
    DoorView,
    GroupView,
    StreamView,
    Thresholds,
    VerdictSummary,
    VerdictView,
)
from firedoor.console.urgent import LaneView
from firedoor.core.cell import Cell, Test
from firedoor.core.door import Door, Reason, State
from firedoor.core.signal import ANY
from firedoor.core.verdict import Rules, Verdict
from firedoor.services.boarding import Boarding
from firedoor.services.flight import Numbers
from firedoor.services.naming import named

_LIVE: Final = frozenset({State.OPENING, State.HELD})
_DECREED: Final = frozenset({Reason.ADOPTED, Reason.EMPTY, Reason.EXPEDITED, Reason.PINNED})


class Stored(msgspec.Struct, frozen=True):
    """A verdict as ``reports.verdict_json`` wrote it; the fields are that function's."""

    verdict: Verdict
    rings: dict[str, Numbers]
    rules: Rules
    sentence: str


_STORED = msgspec.json.Decoder(Stored)


def parse(body: str) -> Stored:
    """Read a stored verdict."""
    return _STORED.decode(body)


def door_view(
    door: Door,
    numbers: Numbers | None,
    exposed: tuple[int, int],
    *,
    machines: int,
    unknown: int = 0,
    harm_upper: float,
) -> DoorView:
    """Tell of a door.

    Args:
        door: The door.
        numbers: The judge's account of its ring, None before the first.
        exposed: Machines that the gate has on record: by a card, and without one afterwards.
        machines: Active machines of the ring, count >= 0.
        unknown: Clients that are not enrolled and are served like the ring, count >= 0.
        harm_upper: U of the release, in (0, 1].
    """
    dealt, afterwards = exposed
    in_flight = 0 if numbers is None else numbers.in_flight
    harmed = 0 if numbers is None else numbers.harmed
    dormant = 0 if numbers is None else numbers.dormant
    if numbers is not None and door.state in _LIVE:
        # The judge's own count, so that the numbers of one door add up.
        dealt, afterwards = numbers.admitted, 0
    return DoorView(
        state=door.state,
        reason=door.reason,
        since_ms=door.since_ms,
        by=door.by,
        note=door.note,
        machines=machines,
        unknown=unknown,
        admitted=dealt + afterwards,
        control=0 if numbers is None else numbers.control,
        in_flight=in_flight,
        matured=max(0, dealt - in_flight - dormant - harmed),
        harmed=harmed,
        waiting=0 if numbers is None else numbers.waiting,
        dormant=dormant,
        budget=door.budget,
        window=door.budget if numbers is None else numbers.window,
        harm_upper=harm_upper,
        shadow=door.shadow,
        lane=None
        if door.lane is None
        else LaneView(slots=door.lane.slots, ends_ms=door.lane.ends_ms),
    )


def thresholds(rules: Rules) -> Thresholds:
    """The lines that the evidence is held against."""
    return Thresholds(
        log_e_shut=-math.log(rules.alpha_harm),
        log_e_warn=-math.log(rules.alpha_warn),
        delta=rules.delta,
        log_e_ratio=None if rules.ratio is None else -math.log(rules.alpha_clear),
    )


def claims_nothing(doors: Collection[DoorView]) -> bool:
    """Say whether all doors opened by decree before anybody drew a card.

    Such doors compared nothing with nothing: no verdict on their release is under way.
    """
    decreed = all(door.state is State.OPEN and door.reason in _DECREED for door in doors)
    return bool(doors) and decreed and not any(_drew(door) for door in doors)


def described(
    boarding: Boarding,
    stored: Stored,
    summary: VerdictSummary,
    doors: Collection[DoorView],
    cells: Iterable[Cell],
    *,
    values: Callable[[], int],
) -> VerdictView:
    """Tell of a verdict with every stream and every cell it was computed from.

    ``values`` is that of ``services.naming.named``.
    """
    found, rules = stored.verdict, stored.rules
    harm = [
        StreamView(
            test=Test.HARM.value,
            signal=stream.signal,
            treated=stream.treated,
            control=stream.control,
            treated_harmed=stream.treated_harmed,
            control_harmed=stream.control_harmed,
            log_e=stream.log_e,
            watched=stream.share > 0.0,
            groups=tuple(
                GroupView(
                    attribute=group.attribute,
                    value=group.value,
                    treated_harmed=group.treated_harmed,
                    control_harmed=group.control_harmed,
                    expected=group.expected,
                    log_e=group.log_e,
                )
                for group in stream.groups
            ),
        )
        for stream in found.streams
    ]
    clearance = StreamView(
        test=Test.CLEARANCE.value,
        signal=ANY,
        treated=found.matured.treated,
        control=found.matured.control,
        treated_harmed=found.matured.treated_harmed,
        control_harmed=found.matured.control_harmed,
        installed=found.matured.installed,
        log_e=found.log_e_clear,
    )
    controlled = all(terms.control > 0.0 for terms in boarding.terms.values())
    return VerdictView(
        release=boarding.release,
        thresholds=thresholds(rules),
        alpha_harm=rules.alpha_harm,
        alpha_warn=rules.alpha_warn,
        alpha_clear=rules.alpha_clear,
        randomised=None if claims_nothing(doors) else controlled,
        sentence=stored.sentence,
        streams=(*harm, clearance),
        guilty=named(found.streams, values),
        cells=tuple(cells),
        log_e_history=found.log_e_history,
        frozen=found.frozen,
        past=rules.past,
        ratio=rules.ratio,
        log_e_ratio=found.log_e_ratio,
        **msgspec.structs.asdict(summary),
    )


def _drew(door: DoorView) -> bool:
    """Whether a card of the deck was drawn: the three add up to the treated ones."""
    return bool(door.control or door.in_flight or door.matured or door.harmed)
