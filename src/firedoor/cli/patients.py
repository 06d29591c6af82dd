"""The machines of one release: who has it, how they are, and who has to be reached by a person."""

from collections.abc import Iterator
from enum import StrEnum
from typing import Final

from firedoor.cli import output
from firedoor.console.model import Arm, Condition, ExposureView, ReleaseView
from firedoor.core.door import Reason, State
from firedoor.wire.exposures import CONTAINED, NEEDS_REMEDY, REVERTED
from firedoor.wire.views import Views

HEADINGS: Final = ("machine", "ring", "part", "since", "condition", "harm", "undoing")

_SHOWN: Final = 20
_PAGE: Final = 1_000


class Looked(StrEnum):
    """Conditions that can be looked for."""

    HARMED = Condition.HARMED.value
    HEALTHY = Condition.HEALTHY.value
    IN_FLIGHT = Condition.IN_FLIGHT.value


def enrolled(views: Views, release: str, state: Condition | None = None) -> list[ExposureView]:
    """Machines of the latest boarding of a release by name, control machines last."""
    return sorted(_all(views, release, state), key=lambda each: each.arm is Arm.CONTROL)


def row(each: ExposureView) -> tuple[object, ...]:
    """A row under ``HEADINGS``."""
    return (
        each.machine,
        each.ring,
        each.arm.value,
        output.when(each.since_ms),
        each.state.value,
        each.harm,
        each.undo,
    )


def tell(views: Views, release: ReleaseView) -> None:
    """Print how far the undoing of a release has got; nothing where there is nothing to undo."""
    if not any(_may_be_undone(door.state, door.reason) for door in release.door.values()):
        return
    undone = [each for each in _all(views, release.id, None) if each.undo]
    if not undone:
        return
    output.heading("undoing")
    output.facts(
        (verb, sum(each.undo == verb for each in undone))
        for verb in (CONTAINED, REVERTED, NEEDS_REMEDY)
    )
    need = [each for each in undone if each.undo == NEEDS_REMEDY]
    if not need:
        return
    output.heading(f"{output.count(len(need))} that a person has to reach")
    output.table(HEADINGS[:-1], [row(each)[:-1] for each in need[:_SHOWN]])
    if len(need) > _SHOWN:
        output.say(f"firedoor release machines {output.short(release.id)} lists them all")


def _may_be_undone(state: State, reason: Reason) -> bool:
    return state is State.SHUT or (state is State.SUPERSEDED and reason is Reason.PINNED)


def _all(views: Views, release: str, state: Condition | None) -> Iterator[ExposureView]:
    after = ""
    while page := views.machines(release, _PAGE, after, state):
        yield from page
        after = page[-1].machine
