"""A finding of the judge alone as JSON: the same from a file, a run or a foreign tool's request."""

import msgspec

from firedoor.console.model import Judgement, StreamView
from firedoor.core.cell import Test
from firedoor.core.signal import ANY
from firedoor.services.alone import DECLARED, MACHINES, SITES, Finding


class Judged(msgspec.Struct, frozen=True, kw_only=True):
    """The verdict on one release.

    Attributes:
        release: As named by whoever counted.
        state: What the evidence says.
        randomised: ``declared`` if the caller says that chance chose who was treated, else None:
            counts cannot tell.
        together: Whether machines were taken to fail together.
        units: What was counted: ``machines``, or ``sites``.
        assumes: What the error rates rest on, a sentence.
        log_e_harm: ln E against "no worse than control", now.
        max_log_e_harm: The largest it has been; harmful goes by this one.
        log_e_clear: ln E against "worse by at least delta".
        harm_upper: Upper bound of the excess harm per installed machine over ``follow_up``
            intervals; over one where that is 0.
        alpha_harm: Chance that a harmless release is ever called harmful.
        alpha_warn: The same for the warning that keeps a release from being cleared.
        alpha_clear: Chance that ``harm_upper`` is ever below the truth.
        delta: At or below it ``harm_upper`` clears.
        machines: The fleet that alpha and delta were made for, in these units.
        streams: Every signal with its counts, then the clearance's.
        ratio: Odds ratio of harm whose exclusion clears as well, or None.
        log_e_ratio: ln E against it; at ln(1/alpha_clear) it clears.
        cluster: Most machines that one accident was taken to harm.
        follow_up: Intervals for which a machine is followed; 0: nobody said, and no delta clears.
    """

    release: str
    state: Judgement
    randomised: str | None = None
    together: bool = False
    units: str = MACHINES
    assumes: str
    log_e_harm: float
    max_log_e_harm: float
    log_e_clear: float
    harm_upper: float
    alpha_harm: float
    alpha_warn: float
    alpha_clear: float
    delta: float
    machines: int
    streams: tuple[StreamView, ...]
    ratio: float | None = None
    log_e_ratio: float = 0.0
    cluster: int = 1
    follow_up: int = 0


def judged(release: str, found: Finding) -> Judged:
    """Put a finding into its JSON form."""
    asked = found.question
    return Judged(
        release=release,
        state=Judgement(found.state.value),
        randomised=DECLARED if asked.randomised else None,
        together=asked.together,
        units=SITES if asked.sites else MACHINES,
        assumes=asked.assumes,
        log_e_harm=found.log_e_harm,
        max_log_e_harm=found.max_log_e_harm,
        log_e_clear=found.log_e_clear,
        harm_upper=found.harm_upper,
        alpha_harm=asked.alpha_harm,
        alpha_warn=asked.alpha_warn,
        alpha_clear=asked.alpha_clear,
        delta=asked.delta,
        machines=asked.machines,
        streams=_streams(found),
        ratio=asked.ratio,
        log_e_ratio=found.log_e_ratio,
        cluster=asked.cluster,
        follow_up=asked.follow_up,
    )


def _streams(found: Finding) -> tuple[StreamView, ...]:
    harm = tuple(
        StreamView(
            test=Test.HARM.value,
            signal=signal,
            treated=stream.treated,
            control=stream.control,
            treated_harmed=stream.treated_harmed,
            control_harmed=stream.control_harmed,
            log_e=stream.log_e,
        )
        for signal, stream in found.series.streams.items()
    )
    matured = found.series.matured
    clear = StreamView(
        test=Test.CLEARANCE.value,
        signal=ANY,
        treated=matured.treated,
        control=matured.control,
        treated_harmed=matured.treated_harmed,
        control_harmed=matured.control_harmed,
        installed=matured.installed,
        log_e=found.log_e_clear,
    )
    return (*harm, clear)
