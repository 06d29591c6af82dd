"""The first screen of the page: each kind of harm, ours, and the best of the others."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from tests.bench.judge.contests import FleetScore
from tests.bench.judge.score import Loss, Score, Scores, worst_world
from tests.bench.judge.tables import grouped, table, three
from tests.bench.rules.catalogue import HELD, OURS, OURS_LOOSE, RULES
from tests.bench.streams.policies import OUR_POLICY
from tests.bench.streams.scenarios import SCENARIOS, Scenario

_FAMILIES: Mapping[str, str] = {
    "large control": "9 controls for one treated: four harms",
    "B": "a flow of events: x1.5 to x20",
    "C": "with site bursts: x20, x200",
    "G": "a flow, harm from minute 0, 300 or 2000 on",
}
_FLEETS: Mapping[float, str] = {
    1.0: "8.5 million machines, all that install it die",
    0.05: "8.5 million machines, 5 % die",
    0.001: "8.5 million machines, .1 % die",
}


@dataclass(frozen=True, slots=True)
class Line:
    """One kind of harm, as means over its scenarios.

    Attributes:
        says: Which.
        ours: Our setting there.
        harmed: Machines harmed, ours.
        held: The same where holds count as halts, None where it was not played.
        peer: The rule that harms fewest of those whose false halts are nowhere more frequent
            than ours at their worst; empty where there is none.
        peer_harmed: Machines it harms.
        least: The rule that harms fewest at any price; ours are among them.
        least_harmed: Machines it harms.
        least_false: Its false halts per 1000 in the healthy world it likes least.
    """

    says: str
    ours: str
    harmed: float
    held: float | None
    peer: str
    peer_harmed: float
    least: str
    least_harmed: float
    least_false: float


def lines(scores: Scores) -> list[Line]:
    """Every kind of harm that was played."""
    healthy = [s.name for s in SCENARIOS if s.is_healthy and s.randomised and s.name in scores]
    false = {
        rule.key: worst_world(scores, healthy, rule.key)[0]
        for rule in RULES
        if any(rule.key in scores[name] for name in healthy)
    }
    found: list[Line] = []
    for says, kind in _kinds().items():
        played = [scores[s.name] for s in kind if s.name in scores]
        keys = [key for key in false if played and all(key in row for row in played)]
        mine = OURS if OURS in keys else OURS_LOOSE
        if mine not in keys:
            continue
        means = {key: _mean(row[key] for row in played) for key in keys}
        peers = [k for k in keys if not k.startswith(OURS) and false[k] <= false[mine]]
        peer = min(peers, key=means.__getitem__, default="")
        least = min(keys, key=means.__getitem__)
        found.append(
            Line(
                says,
                mine,
                means[mine],
                means.get(HELD),
                peer,
                means.get(peer, 0.0),
                least,
                means[least],
                1000.0 * false[least],
            )
        )
    return found


def shown(scores: Scores, fleet: Sequence[FleetScore]) -> str:
    """The lines as Markdown; those of the fleet below them."""
    rows = [
        (
            line.says + (f" ({line.ours})" if line.ours != OURS else ""),
            f"**{three(line.harmed)}**",
            "" if line.held is None else three(line.held),
            f"{three(line.peer_harmed)} ({line.peer})" if line.peer else "none",
            f"{line.harmed / line.peer_harmed:.2f}" if line.peer else "",
            f"{three(line.least_harmed)} ({line.least}: {three(line.least_false)})",
        )
        for line in lines(scores)
    ]
    return table(
        (
            "harm",
            "Firedoor: harmed",
            "or held",
            "best rule with false halts nowhere above ours",
            "ratio",
            "fewest of all (rule: its false halts per 1000, at worst)",
        ),
        [*rows, *_fleet_rows(fleet)],
    )


def exceptions(scores: Scores, lost: Sequence[Loss]) -> str:
    """In how many harmful scenarios a rule that is no worse anywhere did better."""
    harmful = [s.name for s in SCENARIOS if not s.is_healthy and s.healthy and s.name in scores]
    better = [loss for loss in lost if loss.everywhere]
    where = {loss.scenario for loss in better}
    if not where:
        return (
            f"In none of the {len(harmful)} harm scenarios did a rule whose false halts are "
            "nowhere more frequent than ours harm fewer machines, beyond two standard errors."
        )
    said = "; ".join(
        f"{loss.scenario}: {loss.rule} {three(loss.harmed)}, {loss.ours} {three(loss.harmed_ours)}"
        for loss in better
    )
    return (
        f"In {len(where)} of the {len(harmful)} harm scenarios a rule whose false halts are "
        f"nowhere more frequent than ours harmed fewer machines, beyond two standard errors: "
        f"{said}."
    )


def _kinds() -> Mapping[str, list[Scenario]]:
    kinds: dict[str, list[Scenario]] = {}
    for scenario in SCENARIOS:
        if scenario.is_healthy or not scenario.healthy:
            continue
        says = _FAMILIES.get(scenario.family, scenario.says.rpartition("; ")[2])
        kinds.setdefault(says, []).append(scenario)
    return {
        says
        if len(kind) == 1 or says in _FAMILIES.values()
        else f"{says}, {len(kind)} worlds": kind
        for says, kind in kinds.items()
    }


def _fleet_rows(found: Sequence[FleetScore]) -> list[tuple[str, ...]]:
    good = {cell.policy: cell.halts / cell.runs for cell in found if cell.harm == 0.0}
    rows: list[tuple[str, ...]] = []
    for harm, says in _FLEETS.items():
        cells = {cell.policy: cell for cell in found if cell.harm == harm}
        if OUR_POLICY not in cells or OUR_POLICY not in good:
            continue
        mine = cells[OUR_POLICY]
        others = [cells[p] for p in cells if not p.startswith(("firedoor", "valve"))]
        peers = [cell for cell in others if good[cell.policy] <= good[OUR_POLICY]]
        peer = min(peers, key=lambda cell: cell.harmed)
        least = min([mine, *others], key=lambda cell: cell.harmed)
        rows.append(
            (
                f"{says} ({OUR_POLICY})",
                f"**{grouped(mine.harmed)}**",
                "",
                f"{grouped(peer.harmed)} ({peer.policy})",
                f"{mine.harmed / peer.harmed:.2g}",
                f"{grouped(least.harmed)} ({least.policy}: {three(1000 * good[least.policy])})",
            )
        )
    return rows


def _mean(scores: Iterable[Score]) -> float:
    harmed = [score.harmed for score in scores]
    return sum(harmed) / len(harmed)
