"""A verdict in plain sentences: what was compared, what happened, and what would change it."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

from firedoor.cli.claims import unproven, waiting
from firedoor.cli.output import count, share, span
from firedoor.console.model import ReleaseView, VerdictView
from firedoor.core.cell import Cell, Test
from firedoor.core.door import ended
from firedoor.core.evidence import clearance, floor
from firedoor.core.signal import SILENCE
from firedoor.core.stream import StreamVerdict
from firedoor.core.verdict import (
    Evidence,
    Rules,
    Verdict,
    VerdictState,
    absorb,
    fold,
    verdict,
)

_LARGEST_WRITTEN_OUT = 1e6
_BEYOND_COMPARE = 1e12  # the rate ratio where no control was harmed at all


def explain(
    release: ReleaseView, found: VerdictView, rules: Rules
) -> list[tuple[str, Sequence[str]]]:
    """Explain a verdict.

    Everything is computed from the cells again, so the page cannot say anything else than the
    numbers do.

    Args:
        release: The release and where its doors are.
        found: The verdict with its cells.
        rules: What the judgement was fixed on when the release boarded.

    Returns:
        Headings, each with its sentences.
    """
    evidence = fold(rules, found.cells)
    now = verdict(evidence)
    claimless = unproven(release)
    if claimless:
        return [
            (f"release {release.id[:12]} of channel {release.channel} has no verdict", ()),
            ("why", (f"It is {claimless}. Its machines got it without drawing a card.",)),
        ]
    return [
        (f"release {release.id[:12]} of channel {release.channel} is {now.state.value}", ()),
        ("what was compared", list(_compared(release, found, now))),
        ("what happened", [_happened(stream) for stream in now.streams]),
        ("what it amounts to", [*_amounts(now, rules), *_floors(now, rules)]),
        (
            "what would change it",
            [*_changes(release, evidence, now, _epoch(found)), *waiting(release)],
        ),
        ("when", [_when(release, found.forecast_s, now)]),
    ]


def e_value(log_e: float) -> str:
    """An e-value from its natural logarithm, readable at any size."""
    if log_e > math.log(_LARGEST_WRITTEN_OUT):
        return f"10^{log_e / math.log(10):.0f}"
    return f"{math.exp(log_e):,.3g}"


def _compared(release: ReleaseView, found: VerdictView, now: Verdict) -> Iterator[str]:
    matured = now.matured
    yield f"{release.exposed} machines were let through."
    if matured.treated:
        yield (
            f"{matured.treated} of them have been followed to their deadline ({matured.installed} "
            f"are known to have installed the release), and in the same way {matured.control} "
            "times a machine that stayed on the one before."
        )
    else:
        yield "None of them has come to its deadline yet."
    if found.randomised:
        yield (
            "Cards of a sealed deck chose who was who, so nothing but the release and chance can "
            "make the two differ. Once its doors have ended, firedoor verdict replay audits the "
            "deal."
        )
    else:
        yield "Chance did not choose who was who: the guarantees below are void."


def _happened(stream: StreamVerdict) -> str:
    said = (
        f"{stream.signal}: {stream.treated_harmed} treated and {stream.control_harmed} control "
        f"machines were harmed"
    )
    if stream.treated_harmed + stream.control_harmed:
        said += f"; by chance it would be about {stream.expected:.2g} treated ones"
    if not stream.share:
        said += ", and too few machines report it to decide anything"
    return f"{said}."


def _amounts(now: Verdict, rules: Rules) -> Iterator[str]:
    shut = e_value(-math.log(rules.alpha_harm))
    yield (
        f'The evidence against "no worse than before" is an e-value of {e_value(now.log_e_harm)}, '
        f"at most {e_value(now.max_log_e_harm)} so far. At {shut} the door shuts. A harmless "
        f"release ever gets there with a chance of at most {share(rules.alpha_harm)}, however "
        "often one looks."
    )
    confidence = share(1.0 - rules.alpha_clear)
    if now.harm_upper >= 1.0:
        yield f"Nothing is excluded yet with {confidence} confidence."
        return
    yield (
        f"With {confidence} confidence the release harms at most {share(now.harm_upper)} of the "
        "machines that install it, beyond what happens anyway. "
        f"The door opens as cleared at {share(rules.delta)}."
    )


def _floors(now: Verdict, rules: Rules) -> Iterator[str]:
    """What the best rule there could be would have needed, on average."""
    if now.state is VerdictState.HARMFUL:
        least = _least_harmed(now, rules)
        if least is not None:
            yield (
                "No rule that errs as seldom could have proved this harm with fewer than about "
                f"{count(least)} harmed."
            )
        return
    matured = now.matured
    if not (matured.treated and matured.control):
        return
    least = _whole(
        floor.clearance_floor(
            rules.alpha_clear,
            rules.delta,
            base_rate=matured.control_harmed / matured.control,
            controls_per_treated=matured.control / matured.treated,
        )
    )
    yield (
        "No rule that errs as seldom could clear it with fewer than about "
        f"{count(least)} that installed it; so far {matured.installed} have."
    )


def _least_harmed(now: Verdict, rules: Rules) -> int | None:
    """The floor for the stream that tells most, at the rates it has shown; None without one."""
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
    return _whole(floor.harmed_floor(rules.alpha_harm, ratio, share_treated))


def _whole(machines: float) -> int:
    """An expected number of machines as "about" may say it."""
    return max(1, round(machines))


def _changes(release: ReleaseView, evidence: Evidence, now: Verdict, epoch: int) -> Iterator[str]:
    if now.state is VerdictState.HARMFUL:
        yield (
            "Nothing that happens from here on: a verdict of harm stays. A person may expedite "
            "the release or pin one, on the record."
        )
        return
    if _ended(release):
        doors = ", ".join(
            f"ring {ring}: {door.state} ({door.reason})" for ring, door in release.door.items()
        )
        yield f"Nothing more is dealt: its doors have ended ({doors})."
        return
    in_flight = sum(door.in_flight for door in release.door.values())
    control = sum(door.control for door in release.door.values())
    needed = _silent_to_shut(evidence, epoch, in_flight, control)
    if needed is not None:
        yield (
            f"It would be harmful if {needed} of the {in_flight} machines in flight went silent "
            f"and none of the {control} controls."
        )
    elif in_flight:
        yield (
            f"Even if all {in_flight} machines in flight went silent it would not be proved "
            "harmful yet; the harm budget then holds the door."
        )
    if now.state is VerdictState.CLEARED:
        yield "It is cleared as long as the evidence stays as it is."
        return
    if now.warn:
        yield "A warning stands: no door opens until its e-value has fallen again."
    missing = clearance.installs_to_clear(
        evidence.clearance, evidence.rules.alpha_clear, treated=now.matured.treated
    )
    if missing is None:
        yield (
            "It cannot be cleared at the present rate of failures: they hide what delta asks "
            "about. The door can only be walked open."
        )
    else:
        yield (
            f"It would be cleared by about {math.ceil(missing)} more machines that install it, if "
            "they fail no more often than the controls do."
        )


def _silent_to_shut(evidence: Evidence, epoch: int, in_flight: int, control: int) -> int | None:
    """Fewest machines in flight whose silence would prove harm, or None if none would."""
    if SILENCE not in (stream.signal for stream in evidence.streams):
        return None
    closing = Cell(
        seq=evidence.seq + 1,
        ring="",
        deck=0,
        epoch=epoch,
        test=Test.HARM,
        signal=SILENCE,
        stratum="",
        treated=in_flight,
        control=control,
        treated_harmed=0,
        control_harmed=0,
    )

    def is_harmful(silent: int) -> bool:
        after = absorb(evidence, replace(closing, treated_harmed=silent))
        return verdict(after).state is VerdictState.HARMFUL

    low, high = 1, in_flight
    if high < 1 or not is_harmful(high):
        return None
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if is_harmful(middle) else (middle + 1, high)
    return low


def _epoch(found: VerdictView) -> int:
    """The newest epoch there is; in a later one a bet has a little less of the wealth."""
    return max((cell.epoch for cell in found.cells), default=0)


def _when(release: ReleaseView, forecast_s: int | None, now: Verdict) -> str:
    if now.state is not VerdictState.UNDECIDED:
        return "It is decided."
    if _ended(release):
        return "The evidence stays undecided, and no door waits for it."
    if forecast_s is None:
        return "Nobody can say when it will be decided."
    return f"At present traffic it will be decided in about {span(forecast_s)}."


def _ended(release: ReleaseView) -> bool:
    return all(ended(door.state) for door in release.door.values())
