"""Intervals by hand, for one release."""

import numpy as np
from tests.bench.rules.rule import Answer, Briefing, Interval, Watch


def briefed(treated: int = 1000, control: int = 1000, per_hour: int = 0) -> Briefing:
    """One release whose previous version sent so many crash reports an hour, always."""
    return Briefing(1, treated, control, np.full((1, 360), per_hour))


def interval(start: int, end: int, **counts: int) -> Interval:
    """What became known between two minutes; what is not named is 0, and data arrived."""

    def column(name: str, default: int = 0) -> "np.ndarray[tuple[int], np.dtype[np.int64]]":
        return np.array([counts.get(name, default)])

    return Interval(
        start=start,
        end=end,
        reporting=np.array([bool(counts.get("reporting", 1))]),
        treated=column("treated", 1000),
        control=column("control", 1000),
        crashes=column("crashes"),
        control_crashes=column("control_crashes"),
        bucket=column("bucket"),
        finished=column("finished"),
        failed=column("failed"),
        overdue=column("overdue"),
        control_overdue=column("control_overdue"),
        closings=[()],
    )


def hours(
    watch: Watch, crashes: list[int], *, first: int = 0, **counts: int
) -> list[tuple[bool, bool]]:
    """Halt and clear after each hour, from the first on, with so many crashes of treated ones."""
    return [
        said(watch.look(interval(60 * hour, 60 * hour + 60, crashes=count, **counts)))
        for hour, count in enumerate(crashes, start=first)
    ]


def said(answer: Answer) -> tuple[bool, bool]:
    """Halt and clear of the one release."""
    return bool(answer.halt[0]), bool(answer.clear[0])
