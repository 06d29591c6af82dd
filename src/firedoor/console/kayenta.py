"""The judge alone as Kayenta's remote judge.

The verdict becomes a score that Kayenta's thresholds turn into the right step: harmful fails,
cleared passes, and undecided is marginal, which lets a canary go on to its next interval but not
past its last one.
"""

import math
from collections.abc import Collection, Mapping
from typing import Any, Final

from firedoor.console import asked as asking
from firedoor.console.judged import judged
from firedoor.core.verdict import VerdictState
from firedoor.formats import kayenta
from firedoor.formats.kayenta import AnalysisResult, GroupScore, JudgeRequest, JudgeResult, Score
from firedoor.services.alone import DECLARED, MACHINES, SITES, Finding, Question, judge, machines_of

JUDGE_NAME: Final = "Firedoor"

_PASS, _MARGINAL, _FAIL = "Pass", "Marginal", "Fail"
_HIGH, _NODATA = "High", "Nodata"


def answer(request: JudgeRequest) -> JudgeResult:
    """Judge a request.

    Raises:
        BadInput: The judge's configuration makes no sense, or no machine has another to be
            compared with.
    """
    reading = kayenta.read(request)
    asks = asking.of_kayenta(kayenta.configured(request))
    machines = machines_of(reading.rows, sites=asks.sites) if reading.rows else 0
    asked = asks.of(machines)
    found = judge(reading.rows, asked) if reading.rows else None
    configs = {metric.name: metric for metric in request.canary_config.metrics}
    blamed = _to_blame(found) if found is not None else set[str]()
    results = [
        _result(request, at, reading, configs, found=found, blamed=blamed)
        for at in range(len(_pairs(request)))
    ]
    return JudgeResult(
        judge_name=JUDGE_NAME,
        results=results,
        group_scores=_groups(results),
        score=_score(request, reading, found),
    )


def _pairs(request: JudgeRequest) -> list[kayenta.Pair]:
    return request.metric_set_pair_list


def _result(
    request: JudgeRequest,
    at: int,
    reading: kayenta.Reading,
    configs: Mapping[str, kayenta.Metric],
    *,
    found: Finding | None,
    blamed: Collection[str],
) -> AnalysisResult:
    pair = _pairs(request)[at]
    config = configs.get(pair.name)
    classification, reason = _NODATA, reading.reasons.get(at, "")
    metadata: dict[str, Any] = {}
    if at in reading.judged and found is not None:
        stream = found.series.streams[pair.name]
        classification = _HIGH if pair.name in blamed else _PASS
        line = -math.log(found.question.alpha_harm)
        left_out = reading.judged[at]
        reason = (
            f"ln E of harm {stream.log_e:.2f}, at most {stream.max_log_e:.2f}; all metrics "
            f"together are harmful at {line:.2f}"
        ) + (f"; {left_out} steps without data were left out" if left_out else "")
        metadata = {
            "ratio": _ratio(stream.treated_harmed, stream.treated)
            / _ratio(stream.control_harmed, stream.control)
            if stream.control_harmed and stream.treated
            else None,
            "logE": stream.log_e,
            "maxLogE": stream.max_log_e,
            "randomised": DECLARED if found.question.randomised else None,
            "asked": _told(found.question),
            "logERatio": found.log_e_ratio,
        }
    return AnalysisResult(
        name=pair.name,
        id=pair.id,
        tags=pair.tags or {},
        classification=classification,
        classification_reason=reason,
        groups=(config.groups if config else None) or [],
        experiment_metadata=kayenta.summary(pair.values.get(kayenta.EXPERIMENT, [])),
        control_metadata=kayenta.summary(pair.values.get(kayenta.CONTROL, [])),
        result_metadata=metadata,
        critical=kayenta.setting(config, "critical") is True,
        muted=kayenta.setting(config, "muted") is True,
    )


def _told(asked: Question) -> dict[str, Any]:
    return {
        "randomised": DECLARED if asked.randomised else None,
        "together": asked.together,
        "units": SITES if asked.sites else MACHINES,
        "alphaHarm": asked.alpha_harm,
        "alphaClear": asked.alpha_clear,
        "delta": asked.delta,
        "followUp": asked.follow_up,
        "ratio": asked.ratio,
        "cluster": asked.cluster,
    }


def _ratio(part: int, whole: int) -> float:
    return part / whole


def _to_blame(found: Finding) -> set[str]:
    """Metrics whose own share of the wealth reaches the line, or the nearest to it."""
    if found.state is not VerdictState.HARMFUL:
        return set()
    streams = found.series.streams
    level = {name: s.log_weight + s.max_log_e for name, s in streams.items()}
    line = min(-math.log(found.question.alpha_harm), max(level.values()))
    return {name for name, reached in level.items() if reached >= line}


def _groups(results: list[AnalysisResult]) -> list[GroupScore]:
    members: dict[str, list[bool]] = {}
    for result in results:
        for group in result.groups:
            own = members.setdefault(group, [])
            if result.classification != _NODATA:
                own.append(result.classification == _PASS)
    return [
        GroupScore(name, 100.0 * sum(own) / len(own) if own else 0.0)
        for name, own in members.items()
    ]


def _span(asked: Question) -> str:
    return "step" if asked.follow_up <= 1 else f"{asked.follow_up} steps"


def _odds(found: Finding) -> str:
    asked = found.question
    if asked.ratio is None:
        return ""
    line = -math.log(asked.alpha_clear)
    return (
        f"ln E against {asked.ratio:g} times the odds {found.log_e_ratio:.2f}, cleared at "
        f"{line:.2f}; "
    )


def _score(request: JudgeRequest, reading: kayenta.Reading, found: Finding | None) -> Score:
    passing, marginal = request.score_thresholds.passing, request.score_thresholds.marginal
    if found is None:
        return Score(0.0, _NODATA, "no metric could be judged: see the reason of each")
    said = judged(kayenta.RELEASE, found)
    numbers = (
        f"ln E of harm {said.log_e_harm:.2f}, at most {said.max_log_e_harm:.2f}; excess harm at "
        f"most {said.harm_upper:.2g} per machine and {_span(found.question)}; {_odds(found)}"
        f"{said.assumes}"
    )
    if found.state is VerdictState.HARMFUL:
        return Score(0.0, _FAIL, f"harmful: {numbers}")
    if found.state is VerdictState.CLEARED and not (reading.broken or reading.mixed):
        return Score(100.0, _PASS, f"cleared: {numbers}")
    why = "not all metrics can be judged"
    if reading.mixed:
        why = (
            "metrics have different kinds of tags and may count a machine twice: give all the same"
        )
    elif found.state is VerdictState.UNDECIDED:
        why = "undecided"
    if marginal >= passing:
        return Score(
            0.0, _FAIL, f"{why}, and thresholds without a marginal range leave no room: {numbers}"
        )
    return Score(float(marginal), _MARGINAL, f"{why}: {numbers}")
