"""Parts: several collectors count different machines of one interval, and feed one run.

Each collector pushes its own part, and the parts of an interval add up. Who they are is said when
the run begins, for an interval is weighed once all of its parts are there: were it weighed part
by part, those with harm might come first, and who looks in between would stop at the worst of it.
Intervals are weighed in the order of time, and every collector sends its own in that order. So
whose part comes first changes no bit: what is weighed is a function of what has come.

An interval that one collector sends and another leaves out would hold up the run for ever, so it
is refused, whichever of the two is found out first.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from operator import attrgetter
from typing import Final

from firedoor.core.errors import BadInput
from firedoor.formats.counts import Row, written
from firedoor.services.alone import Asked
from firedoor.services.sites import check_named

MOST_PARTS: Final = 64
"""Collectors of one run."""


@dataclass(frozen=True, slots=True)
class Parts:
    """Who counts, and what is asked until it is known of how many machines.

    Attributes:
        names: Of the collectors, sorted, each once, at least one.
        asked: What is asked of what they count together.
    """

    names: tuple[str, ...]
    asked: Asked


@dataclass(frozen=True, slots=True)
class Waits:
    """What holds up the intervals that have come and are not weighed.

    Attributes:
        time_ms: Begin of the first of them, Unix milliseconds.
        parts: Whose counts of it are missing, at least one.
        intervals: How many there are, count >= 1.
    """

    time_ms: int
    parts: tuple[str, ...]
    intervals: int


def listed(names: Sequence[str], asked: Asked) -> Parts:
    """Parts of these collectors, in any order.

    Raises:
        BadInput: A name stands twice, or there are too many, or none.
    """
    if not 1 <= len(names) <= MOST_PARTS:
        raise BadInput(f"a run has 1 to {MOST_PARTS} parts, not {len(names)}")
    if len(set(names)) < len(names):
        raise BadInput("a part stands twice", hint="name every collector once: parts=east,west")
    return Parts(tuple(sorted(names)), asked)


def weighed(rows: Iterable[Row], parts: Parts) -> list[Row]:
    """Sums over the parts of all intervals that may be weighed, in the order of time.

    Args:
        rows: All that have come, in any order.
        parts: Whose they are.
    """
    found: list[Row] = []
    for own in _intervals(rows):
        if _missing(own, parts):
            break
        found += _summed(own)
    return found


def waits(rows: Iterable[Row], parts: Parts) -> Waits | None:
    """What the intervals that are not weighed wait for, None if there are none."""
    intervals = _intervals(rows)
    for number, own in enumerate(intervals):
        missing = _missing(own, parts)
        if missing:
            return Waits(own[0].time_ms, missing, len(intervals) - number)
    return None


def check(before: Sequence[Row], new: Sequence[Row], part: str, parts: Parts) -> None:
    """Refuse what could not be added up, or would hold up the run for ever.

    Args:
        before: All rows that have come.
        new: Further ones of one part in the order of time.
        part: Its name.
        parts: Whose counts the run consists of.

    Raises:
        BadInput: The part is none of the run's; it leaves out a signal, or an interval that
            another one has sent; or its interval comes after a later one of its own or, without
            this one, of another part.
    """
    if part not in parts.names:
        raise BadInput(
            f"the run has no part {part[:40]!r}",
            hint=f"it was begun for {', '.join(parts.names)}; a part is added in a run of its own",
        )
    if parts.asked.sites:
        check_named(new)
    _check_signals(before, new, part)
    came: dict[str, set[int]] = {name: set() for name in parts.names}
    for row in before:
        came[row.part].add(row.time_ms)
    for row in new:
        _check_order(row, came, part)
        came[part].add(row.time_ms)


def _check_signals(before: Sequence[Row], new: Sequence[Row], part: str) -> None:
    """All signals, in every stratum: else a sum would be of fewer machines than it says."""
    signals = {row.signal for row in (*before, *new)}
    for _, stratum in groupby(new, key=lambda row: (row.time_ms, row.stratum)):
        own = list(stratum)
        missing = sorted(signals - {row.signal for row in own})
        if missing:
            raise BadInput(
                f"{own[0].place}: part {part!r} leaves out the signal {missing[0]!r} of this "
                "interval and stratum",
                hint="every part gives all signals in each of its strata; counts may be 0",
            )


def _check_order(row: Row, came: dict[str, set[int]], part: str) -> None:
    own = came[part]
    if row.time_ms in own:
        return
    if row.time_ms < max(own, default=-1):
        raise BadInput(
            f"{row.place}: part {part!r} has sent a later interval before this one, so this one "
            "comes too late",
            hint="a collector sends its intervals in the order of time",
        )
    for name, times in sorted(came.items()):
        if row.time_ms < max(times, default=-1) and row.time_ms not in times:
            raise BadInput(
                f"{row.place}: part {name!r} has gone on to a later interval without this one, so "
                "this one can never be complete",
                hint="leave it out; all collectors cut time into the same intervals, and send each",
            )
        skipped = [time for time in times - own if time < row.time_ms]
        if skipped:
            raise BadInput(
                f"{row.place}: part {part!r} has not sent the interval of {written(min(skipped))}, "
                f"which part {name!r} has",
                hint="send it first, with 0 machines if there were none to count; all collectors "
                "cut time into the same intervals",
            )


def _intervals(rows: Iterable[Row]) -> list[list[Row]]:
    ordered = sorted(rows, key=lambda row: (row.time_ms, row.stratum, row.signal, row.part))
    return [list(own) for _, own in groupby(ordered, key=attrgetter("time_ms"))]


def _missing(own: Collection[Row], parts: Parts) -> tuple[str, ...]:
    came = {row.part for row in own}
    return tuple(name for name in parts.names if name not in came)


def _summed(own: Sequence[Row]) -> list[Row]:
    found: list[Row] = []
    for (stratum, _), same in groupby(own, key=lambda row: (row.stratum, row.signal)):
        rows = list(same)
        found.append(
            replace(
                rows[0],
                treated=sum(row.treated for row in rows),
                control=sum(row.control for row in rows),
                treated_harmed=sum(row.treated_harmed for row in rows),
                control_harmed=sum(row.control_harmed for row in rows),
                installed=sum(row.installed for row in rows),
                place=f"interval of {written(rows[0].time_ms)}, stratum {stratum[:40]!r}",
                part="",
            )
        )
    return found
