"""Kayenta's RemoteJudge: its request read as counts, its result written.

Kayenta hands a judge pairs of series, control and experiment, one value per step. Most of them
are latencies and loads, of which no count can be made. A metric is judged if its configuration
says that it counts first harms, and where the machines at risk are found::

    "analysisConfigurations": {"firedoor": {"atRisk": "instances"}}
    "analysisConfigurations": {"firedoor": {"atRisk": {"control": 450, "experiment": 50}}}

that is, in another metric of the same request, or known beforehand. Every other metric is
reported as Nodata, with the reason. A step without data (NaN) is left out of both arms, unless
the metric's ``nanStrategy`` is ``replace``, which says that nothing reported is nothing happened.

Jackson writes NaN as a text, and a field without a value as null or not at all.

Source: spinnaker/spinnaker, kayenta/kayenta-judge (RemoteJudge, RemoteJudgeService,
RemoteJudgeRequest) and kayenta-core (MetricSetPair, CanaryConfig, CanaryJudgeResult); where each
was read is noted in tests/contract/recorded/README.md.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from firedoor.core.errors import BadInput, TooLarge
from firedoor.formats.counts import MOST_SIGNALS, Row, in_time

CONTROL: Final = "control"
EXPERIMENT: Final = "experiment"
RELEASE: Final = "experiment"

_OURS: Final = "firedoor"
_AT_RISK: Final = "atRisk"
_KAYENTAS: Final = "canary"
_MOST_POINTS: Final = 200_000
_MOST_PAIRS: Final = 2_000
_MOST_MS: Final = 253_402_300_800_000  # the end of the year 9999
_MOST_MACHINES: Final = 10**12

Value = float | str | None


class Scope(msgspec.Struct, frozen=True, rename="camel"):
    """When a series begins and how far apart its values are, milliseconds."""

    start_time_millis: int = 0
    step_millis: int = 0


class Pair(msgspec.Struct, frozen=True, rename="camel"):
    """One metric in both arms; pairs of one name differ in their tags."""

    name: str
    values: dict[str, list[Value]]
    id: str = ""
    tags: dict[str, str] | None = None
    scopes: dict[str, Scope] | None = None


class Metric(msgspec.Struct, frozen=True, rename="camel"):
    """What the canary configuration says of a metric."""

    name: str
    groups: list[str] | None = None
    analysis_configurations: dict[str, Any] | None = None


class JudgeConfig(msgspec.Struct, frozen=True, rename="camel"):
    """What the canary configuration says to the judge."""

    judge_configurations: dict[str, Any] | None = None


class CanaryConfig(msgspec.Struct, frozen=True, rename="camel"):
    """The canary configuration, as far as it concerns us."""

    metrics: list[Metric] = []
    judge: JudgeConfig | None = None


class ScoreThresholds(msgspec.Struct, frozen=True):
    """Scores from which a canary passes, or may go on, in [0, 100]."""

    passing: float = msgspec.field(name="pass")
    marginal: float = 0.0


class JudgeRequest(msgspec.Struct, frozen=True, rename="camel"):
    """What Kayenta posts."""

    canary_config: CanaryConfig
    score_thresholds: ScoreThresholds
    metric_set_pair_list: list[Pair]


class AnalysisResult(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """The result of one metric."""

    name: str
    id: str
    tags: dict[str, str]
    classification: str
    classification_reason: str
    groups: list[str]
    experiment_metadata: dict[str, Any]
    control_metadata: dict[str, Any]
    result_metadata: dict[str, Any]
    critical: bool = False
    muted: bool = False


class GroupScore(msgspec.Struct, frozen=True, rename="camel"):
    """The share of a group's judged metrics that passed, in [0, 100]."""

    name: str
    score: float
    classification: str = ""
    classification_reason: str = ""


class Score(msgspec.Struct, frozen=True, rename="camel"):
    """The whole verdict as Kayenta wants it: a number, a word and a sentence."""

    score: float
    classification: str
    classification_reason: str


class JudgeResult(msgspec.Struct, frozen=True, rename="camel"):
    """What Kayenta is answered."""

    judge_name: str
    results: list[AnalysisResult]
    group_scores: list[GroupScore]
    score: Score


@dataclass(frozen=True, slots=True)
class Reading:
    """What a request says, in counts.

    Attributes:
        rows: Of all metrics that can be judged, in an order that the request's does not change.
        judged: For every pair that is judged, by its place in the request, how many of its steps
            were left out.
        reasons: For every other pair, why it is not.
        broken: Whether one of these was meant to be judged.
        mixed: Whether metrics are told apart by different kinds of tags: a machine may then
            stand in several strata, and nothing may be cleared.
    """

    rows: tuple[Row, ...]
    judged: Mapping[int, int]
    reasons: Mapping[int, str]
    broken: bool
    mixed: bool = False


class _Unjudged(Exception):
    """Why a pair is not judged; ``broken`` if it was meant to be. No error: few metrics count."""

    def __init__(self, reason: str, *, broken: bool = True) -> None:
        super().__init__(reason)
        self.broken = broken


def decode(body: bytes) -> JudgeRequest:
    """Read a request.

    Raises:
        BadInput: It is not what Kayenta sends.
        TooLarge: It has too many series, or these have too many values.
    """
    try:
        # NaN and Infinity come as texts, which JSON has; a bare NaN it has not.
        request = msgspec.json.decode(body, type=JudgeRequest)
    except (msgspec.ValidationError, msgspec.DecodeError) as error:
        raise BadInput(str(error)) from error
    pairs = len(request.metric_set_pair_list)
    if pairs > _MOST_PAIRS:
        raise TooLarge(f"{pairs:,} pairs of series; at most {_MOST_PAIRS:,} are judged at once")
    points = sum(len(series) for pair in request.metric_set_pair_list for series in _all(pair))
    if points > _MOST_POINTS:
        raise TooLarge(f"{points:,} values; at most {_MOST_POINTS:,} are judged at once")
    return request


def read(request: JudgeRequest) -> Reading:
    """Make counts of a request, as far as its metrics are counts."""
    asked = _Asked.of(request)
    rows: list[Row] = []
    judged: dict[int, int] = {}
    reasons: dict[int, str] = {}
    seen = _Seen()
    broken = False
    for at, pair in enumerate(request.metric_set_pair_list):
        try:
            seen.check(pair)
            own, left_out = _rows(pair, asked)
        except _Unjudged as reason:
            reasons[at] = str(reason)
            broken = broken or reason.broken
            continue
        seen.add(pair)
        judged[at] = left_out
        rows += own
    return Reading(
        rows=tuple(in_time(rows, mixed=True)),
        judged=judged,
        reasons=reasons,
        broken=broken,
        mixed=len(set(seen.tags.values())) > 1,
    )


def configured(request: JudgeRequest) -> Mapping[str, Any]:
    """What the canary configuration says to the judge."""
    judge = request.canary_config.judge
    return (judge.judge_configurations if judge else None) or {}


def setting(metric: Metric | None, name: str) -> Any:
    """One of Kayenta's own settings of a metric, or None."""
    return _section(metric, _KAYENTAS).get(name)


def summary(series: Sequence[Value]) -> dict[str, Any]:
    """Count, mean, smallest and largest of the values that are there."""
    values = [value for value in map(number, series) if value is not None]
    if not values:
        return {"stats": {"count": 0}}
    found = {"count": len(values), "min": min(values), "max": max(values)}
    try:
        mean = math.fsum(values) / len(values)
    except (OverflowError, ValueError):  # of numbers without a mean: two infinities, or too large
        return {"stats": found}
    return {"stats": found | {"mean": mean}}


def number(value: Value) -> float | None:
    """A value as Jackson wrote it, None where there is none."""
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return None
    return None if value is None or math.isnan(value) else value


@dataclass(frozen=True, slots=True)
class _Asked:
    """A request, so that nothing has to be searched for.

    Attributes:
        configs: Metrics by name.
        pairs: The first pair of each name and stratum.
        sources: Names of metrics that give the machines at risk, and to which metric.
    """

    configs: Mapping[str, Metric]
    pairs: Mapping[tuple[str, str], Pair]
    sources: Mapping[str, str]

    @classmethod
    def of(cls, request: JudgeRequest) -> "_Asked":
        configs = {metric.name: metric for metric in request.canary_config.metrics}
        pairs: dict[tuple[str, str], Pair] = {}
        for pair in request.metric_set_pair_list:
            pairs.setdefault((pair.name, _stratum(pair)), pair)
        sources: dict[str, str] = {}
        for metric in configs.values():
            source = _section(metric, _OURS).get(_AT_RISK)
            if isinstance(source, str):
                sources.setdefault(source, metric.name)
        return cls(configs, pairs, sources)


@dataclass(slots=True)
class _Seen:
    """Pairs that are judged so far: their strata, and by which tags each metric is told apart."""

    strata: set[tuple[str, str]] = field(default_factory=set)
    tags: dict[str, frozenset[str]] = field(default_factory=dict)

    def check(self, pair: Pair) -> None:
        """Refuse a pair that cannot be judged beside them."""
        if (pair.name, _stratum(pair)) in self.strata:
            raise _Unjudged("another pair has the same name and tags")
        tags = frozenset(pair.tags or {})
        if self.tags.get(pair.name, tags) != tags:
            raise _Unjudged(
                "another pair of the same name has other kinds of tags, so both may count the "
                "same machines"
            )
        if pair.name not in self.tags and len(self.tags) >= MOST_SIGNALS:
            raise _Unjudged(f"{MOST_SIGNALS} metrics are judged together, and this is one more")

    def add(self, pair: Pair) -> None:
        """Remember a pair that is judged."""
        self.strata.add((pair.name, _stratum(pair)))
        self.tags.setdefault(pair.name, frozenset(pair.tags or {}))


def _rows(pair: Pair, asked: _Asked) -> tuple[list[Row], int]:
    """Rows of one pair, and how many of its steps were left out."""
    metric = asked.configs.get(pair.name)
    ours = _section(metric, _OURS)
    if not ours:
        raise _not_a_count(pair, asked)
    if setting(metric, "muted") is True:
        raise _Unjudged("it is muted", broken=False)
    begin, step = _times(pair)
    harmed = {arm: pair.values.get(arm, []) for arm in (CONTROL, EXPERIMENT)}
    steps = len(harmed[CONTROL])
    if len(harmed[EXPERIMENT]) != steps:
        raise _Unjudged(
            f"control has {steps} values, experiment {len(harmed[EXPERIMENT])}: they cannot be "
            "of the same steps"
        )
    at_risk = {arm: _at_risk(arm, ours, pair, asked, steps) for arm in (CONTROL, EXPERIMENT)}
    silent_is_none = setting(metric, "nanStrategy") == "replace"
    rows: list[Row] = []
    for at in range(steps):
        counts = {
            arm: (
                _count(at_risk[arm][at], "machines at risk", at),
                _count(harmed[arm][at], arm, at, missing=0 if silent_is_none else None),
            )
            for arm in (CONTROL, EXPERIMENT)
        }
        (control, control_harmed), (treated, treated_harmed) = counts[CONTROL], counts[EXPERIMENT]
        if None in (control, control_harmed, treated, treated_harmed):
            continue
        rows.append(_row(pair, begin + at * step, counts, at))
    if not rows:
        raise _Unjudged("no step has data in both arms")
    return rows, steps - len(rows)


def _row(
    pair: Pair, time_ms: int, counts: Mapping[str, tuple[int | None, int | None]], at: int
) -> Row:
    for arm, (machines, harmed) in counts.items():
        if (harmed or 0) > (machines or 0):
            raise _Unjudged(f"{arm}[{at}] is {harmed}, of {machines} machines at risk")
    treated = counts[EXPERIMENT][0] or 0
    return Row(
        time_ms=time_ms,
        release=RELEASE,
        signal=pair.name,
        stratum=_stratum(pair),
        treated=treated,
        control=counts[CONTROL][0] or 0,
        treated_harmed=counts[EXPERIMENT][1] or 0,
        control_harmed=counts[CONTROL][1] or 0,
        installed=treated,
        place=f"{pair.name}[{at}]",
    )


def _not_a_count(pair: Pair, asked: _Asked) -> _Unjudged:
    if pair.name in asked.sources:
        return _Unjudged(
            f"it gives the machines at risk to {asked.sources[pair.name]}", broken=False
        )
    return _Unjudged(
        "it is not said to count first harms: analysisConfigurations.firedoor.atRisk is missing",
        broken=False,
    )


def _times(pair: Pair) -> tuple[int, int]:
    scopes = pair.scopes or {}
    control, experiment = scopes.get(CONTROL), scopes.get(EXPERIMENT)
    if control is None or experiment is None:
        raise _Unjudged("it does not say when its series begin")
    if control != experiment:
        raise _Unjudged(
            "control and experiment are not of the same time, so they do not share what else "
            "happened then"
        )
    if control.step_millis <= 0 or control.start_time_millis < 0:
        raise _Unjudged(f"its steps are {control.step_millis} ms")
    steps = max(map(len, pair.values.values()), default=0)
    if control.start_time_millis + steps * control.step_millis >= _MOST_MS:
        raise _Unjudged("its series end after the year 9999")
    return control.start_time_millis, control.step_millis


def _at_risk(
    arm: str, ours: Mapping[str, Any], pair: Pair, asked: _Asked, steps: int
) -> Sequence[Value]:
    match ours.get(_AT_RISK):
        case str() as name:
            source = asked.pairs.get((name, _stratum(pair)))
            if source is None:
                raise _Unjudged(f"there is no metric {name} with the same tags")
            series = source.values.get(arm, [])
            if source.scopes != pair.scopes or len(series) != steps:
                raise _Unjudged(f"{name} has other steps")
            return series
        case {"control": int() | float() as control, "experiment": int() | float() as experiment}:
            machines = control if arm == CONTROL else experiment
            # JSON has whole numbers that no float holds.
            return [float(machines) if abs(machines) < _MOST_MACHINES else math.inf] * steps
        case _:
            raise _Unjudged(
                "analysisConfigurations.firedoor.atRisk is neither a metric's name nor two counts"
            )


def _count(value: Value, what: str, at: int, *, missing: int | None = None) -> int | None:
    found = number(value)
    if found is None:
        return missing
    # Infinity is no whole number either, and int() would raise.
    if not 0 <= found < _MOST_MACHINES or found != int(found):
        raise _Unjudged(f"{what}[{at}] is {found:g}, which is no count")
    return int(found)


def _section(metric: Metric | None, name: str) -> Mapping[str, Any]:
    found = ((metric.analysis_configurations if metric else None) or {}).get(name)
    return found if isinstance(found, dict) else {}


def _stratum(pair: Pair) -> str:
    return ",".join(f"{key}={value}" for key, value in sorted((pair.tags or {}).items()))


def _all(pair: Pair) -> Iterator[Sequence[Value]]:
    yield from pair.values.values()
