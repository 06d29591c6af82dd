"""The facts behind a scene, put together as the console's process does it.

A scene knows its counts; here they become cells, so that what is explained is really computed.
"""

from collections.abc import Sequence

import msgspec

from firedoor.console.facts import Facts, GroupFacts
from firedoor.console.model import Condition, ExposureView, Judgement, ReleaseView, TrackPoint
from firedoor.core.cell import Cell, Test
from firedoor.core.channel import Kind, traits
from firedoor.core.signal import ANY, CHECK, CRASH, SILENCE
from firedoor.core.terms import Policy, resolve
from firedoor.core.units import UnixMs
from firedoor.core.verdict import Rules, fold, verdict
from firedoor.services.boarding import Boarding
from firedoor.wire.explaining import facts

SITES = ("Praha-1", "Brno", "a site with a name that is rather long, Ústí nad Labem")


def facts_of(
    view: ReleaseView, enrolled: Sequence[ExposureView], track: Sequence[TrackPoint]
) -> Facts:
    """The facts of a boarding: its counts as one closing and one class that matured."""
    delta = view.thresholds.delta
    rules = Rules(0.01, 0.05, 0.05, delta, ((SILENCE, 0.8), (CRASH, 0.5), (CHECK, 0.0)))
    doors = view.door.values()
    cells = _cells(view) if any(door.control or door.matured for door in doors) else []
    evidence = fold(rules, cells)
    now = verdict(evidence)
    found = msgspec.structs.replace(
        view.verdict,
        state=Judgement(now.state.value),
        log_e_harm=now.log_e_harm,
        log_e_clear=now.log_e_clear,
        harm_upper=now.harm_upper,
    )
    boarding = Boarding(
        view.channel, view.number, view.id, view.number - 1, UnixMs(view.created_ms), "",
        {ring: resolve(Policy(delta=delta), door.machines) for ring, door in view.door.items()},
        rules,
    )  # fmt: skip
    return facts(
        msgspec.structs.replace(view, verdict=found),
        boarding,
        evidence,
        epoch=0,
        early=(0, 0),
        decks=3 if cells else 0,
        traits=traits(Kind.FILES),
        kind="files",
        groups=_groups(enrolled),
        values=lambda: 0,
        undone=enrolled,
        track=track,
    )


def _cells(view: ReleaseView) -> list[Cell]:
    doors = view.door.values()
    matured = sum(door.matured + door.harmed for door in doors)
    control = max(9 * matured, sum(door.control for door in doors))
    counts = ("everyone", 1, 0)
    cells = [
        Cell(1, *counts, Test.CLEARANCE, ANY, "", matured, control, view.harmed, 0, matured),
    ]
    if view.harmed:
        cells.append(Cell(2, *counts, Test.HARM, SILENCE, "", matured, control, view.harmed, 0))
    return cells


def _groups(enrolled: Sequence[ExposureView]) -> list[GroupFacts]:
    harmed = sum(each.state is Condition.HARMED for each in enrolled)
    if not enrolled:
        return []
    return [
        GroupFacts(
            attribute="site",
            value=site,
            treated=0 if place == 2 else len(enrolled) - 1 if place == 0 else 1,
            treated_harmed=harmed if place == 0 else 0,
            control=40,
            control_harmed=0,
        )
        for place, site in enumerate(SITES)
    ]
