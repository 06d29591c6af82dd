"""The tables of docs/explanation/benchmark.md as Markdown."""

from collections.abc import Callable, Iterable, Sequence

from tests.bench.judge.contests import FleetScore, RaceScore
from tests.bench.judge.score import Loss, Score, Scores
from tests.bench.rules.catalogue import RULES
from tests.bench.streams.policies import HARMS, POLICIES
from tests.bench.streams.scenarios import SCENARIOS, Scenario

_OURS = tuple(rule.key for rule in RULES if rule.ours)


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


def three(number: float) -> str:
    """Three digits, and never a power of ten."""
    return f"{number:.0f}" if abs(number) >= 99.95 else f"{number:.3g}"


def grouped(machines: float) -> str:
    """A number of machines, with a space for every thousand."""
    return f"{machines:,.0f}".replace(",", " ")


def catalogue() -> str:
    """The rules and their parameters."""
    return table(("rule", "what it does here"), ((_name(r.key), r.says) for r in RULES))


def worlds() -> str:
    """The scenarios."""
    return table(
        ("scenario", "what happens", "runs at scale 1"),
        ((s.name, s.says, str(s.runs)) for s in SCENARIOS),
    )


def false_halts(scores: Scores) -> str:
    """Healthy worlds: false halts per 1000, with their intervals."""

    def cell(score: Score) -> str:
        rate, low, high = (1000.0 * x for x in (score.halt_rate, score.halt_low, score.halt_high))
        return f"{three(rate)} ({three(low)} to {three(high)})"

    healthy = [s for s in SCENARIOS if s.is_healthy]
    return _by_rule(scores, healthy, cell)


def harm(scores: Scores, family: str) -> str:
    """Harmful worlds of a family: machines harmed, and how often it was found."""

    def cell(score: Score) -> str:
        found = "" if score.halts == score.runs else f", {three(100 * score.halt_rate)} %"
        floor = "" if score.floor_ratio is None else f" [{score.floor_ratio:.2f}]"
        return f"{three(score.harmed)} ({three(score.harmed_95)}){floor}{found}"

    return _by_rule(scores, [s for s in SCENARIOS if s.family == family and not s.is_healthy], cell)


def ring_harm(scores: Scores, world: str | None) -> str:
    """Harm in one world of the ring, or the two common harms in all other worlds."""
    chosen = [
        s
        for s in SCENARIOS
        if s.family == "ring" and not s.is_healthy and (s.healthy == world or not world)
    ]
    if not world:
        chosen = [s for s in chosen if s.healthy != "calm"]

    def cell(score: Score) -> str:
        found = "" if score.halts == score.runs else f", {three(100 * score.halt_rate)} %"
        return f"{three(score.harmed)} ({three(score.harmed_95)}){found}"

    return _by_rule(scores, chosen, cell)


def clearance(scores: Scores) -> str:
    """Time to clear a good release, and bad releases cleared."""
    names = ("calm", "day and night", "9000 controls")
    bad = ("calm: x10", "calm: silent bricks 5 %", "calm: latent bricks", "harm at delta")

    def good_cell(score: Score) -> str:
        if score.clear_hours is None:
            return "–"
        return f"{three(score.clear_hours)} h ({three(100 * score.cleared)} %)"

    def bad_cell(score: Score) -> str:
        return f"{three(100 * score.cleared)} %"

    rows = []
    for rule in RULES:
        cells = [_name(rule.key)]
        for name, cell in [*((n, good_cell) for n in names), *((n, bad_cell) for n in bad)]:
            score = scores.get(name, {}).get(rule.key)
            cells.append("" if score is None else cell(score))
        rows.append(cells)
    return table(
        ("rule", *(f"good: {n}" for n in names), *(f"cleared although: {n}" for n in bad)), rows
    )


def lost(found: Sequence[Loss]) -> str:
    """The cells where another rule did better."""
    if not found:
        return "None."
    return table(
        (
            "scenario",
            "ours",
            "harmed",
            "false halts per 1000",
            "rule",
            "harmed",
            "false halts per 1000 there",
            "in the healthy world it likes least",
            "no worse than ours anywhere",
        ),
        (
            (
                x.scenario,
                x.ours,
                three(x.harmed_ours),
                three(x.false_ours),
                x.rule,
                three(x.harmed),
                three(x.false),
                f"{three(x.worst)} ({x.worst_world})",
                "**yes**" if x.everywhere else "no",
            )
            for x in found
        ),
    )


def fleet(found: Sequence[FleetScore]) -> str:
    """Table F."""
    cells = {(x.policy, x.harm): x for x in found}
    bad = [h for h in HARMS if h > 0.0]

    def cell(x: FleetScore | None) -> str:
        if x is None:
            return ""
        held = "" if x.halts == x.runs else f", halted {three(100 * x.halts / x.runs)} %"
        return f"{grouped(x.harmed)} ({grouped(x.harmed_95)}){held}"

    rows = []
    for policy in POLICIES:
        good = cells.get((policy.name, 0.0))
        pace = ""
        if good is not None:
            pace = f"{good.half_minutes:.0f} / {good.most_minutes:.0f} min"
            if good.reached < 1.0:
                pace += f" ({three(100 * good.reached)} % of runs)"
        false = "" if good is None else f"{good.halts} of {good.runs}"
        name = (
            f"**{policy.name}**" if policy.name.startswith(("firedoor", "valve")) else policy.name
        )
        rows.append(
            [name, policy.says, *(cell(cells.get((policy.name, h))) for h in bad), pace, false]
        )
    return table(
        ("policy", "", *(f"h = {h:g}" for h in bad), "good: 50 % / 90 %", "false halts"), rows
    )


def floors(found: Sequence[RaceScore]) -> str:
    """Table A."""

    def cell(x: RaceScore) -> str:
        return f"{x.floor_ratio:.2f} ± {2 * x.harmed_error / max(1.0, x.floor):.2f}"

    pairs = sorted({(x.share, x.ratio) for x in found})
    cells = {(x.share, x.ratio, x.full): x for x in found}
    rows = []
    for share, ratio in pairs:
        alone, full = cells.get((share, ratio, False)), cells.get((share, ratio, True))
        some = alone or full
        rows.append(
            (
                f"{share:g}",
                f"{ratio:g}",
                "" if some is None else f"{some.floor:.1f}",
                "" if alone is None else f"{alone.harmed:.1f}",
                "" if alone is None else cell(alone),
                "" if full is None else f"{full.harmed:.1f}",
                "" if full is None else cell(full),
            )
        )
    return table(
        ("w", "ratio", "floor", "one signal: harmed", "x floor", "all signals: harmed", "x floor"),
        rows,
    )


def _by_rule(scores: Scores, chosen: Sequence[Scenario], cell: Callable[[Score], str]) -> str:
    chosen = [s for s in chosen if s.name in scores]
    rows = []
    for rule in RULES:
        if any(rule.key in scores[s.name] for s in chosen):
            found = [scores[s.name].get(rule.key) for s in chosen]
            rows.append([_name(rule.key), *("" if x is None else cell(x) for x in found)])
    return table(("rule", *(s.name for s in chosen)), rows)


def _name(key: str) -> str:
    return f"**{key}**" if key in _OURS else key
