"""Installs: what is known of a channel's installs before one of its releases boards.

Where machines install at a later poll than the one that draws their card, silence soon after the
card says nothing. So the silence windows of both arms begin later, by what the releases before
took: a time fixed before the first deck, so that closings look at no label of theirs (I8).
Source: ADR 0024.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from firedoor.core import silence
from firedoor.core.channel import package_of
from firedoor.core.release import changes
from firedoor.core.risk import Risk, budget_for, worst
from firedoor.core.terms import TakesEffect, Terms, auto_budget
from firedoor.services.effects import delays
from firedoor.services.hearing import Hearing
from firedoor.services.stores import JudgeRecords

_SHARE = 0.9
_ENOUGH = 5
_LOOKED_AT = 3
_LONGEST_MS = 24 * 3_600_000


def delay_ms(
    channel: str,
    numbers: Iterable[int],
    hearing: Hearing,
    store: JudgeRecords,
    by: TakesEffect,
    *,
    bucket_ms: int,
) -> int:
    """By how much later the windows of the channel's next release begin, ms.

    Args:
        channel: Name of the channel.
        numbers: Numbers of its boardings.
        hearing: Knows when machines drew their cards and when they had all bytes.
        store: Knows when releases took effect by a restart.
        by: What it takes for the next release to take effect.
        bucket_ms: Interval of the judge's ticks: a window begins that late in any case.

    Returns:
        Within this time of their card nine of ten had all bytes, or had restarted with them, of
        the newest release of which that is known of five or more; whole buckets. 0 where they
        take less than one, or nothing is known; a day at most, a week where they restart.
    """
    restarts = by is not TakesEffect.INSTALL
    for number in sorted(numbers, reverse=True)[:_LOOKED_AT]:
        if restarts:
            took = delays(store.effects(channel, number), hearing.places_of(channel, number))
        else:
            took = hearing.install_delays(channel, number)
        if len(took) >= _ENOUGH:
            usual = took[min(len(took) - 1, int(_SHARE * len(took)))]
            longest = silence.LONGEST_WATCH_MS if restarts else _LONGEST_MS
            return min(longest, usual // bucket_ms * bucket_ms)
    return 0


@dataclass(frozen=True, slots=True)
class News:
    """What a release brings.

    Attributes:
        payload: It has bytes that the one before it has not: else nobody installs it.
        risk: The worst that these bytes are part of; what is new in a channel is none.
        package: A package of that class, "" for none.
    """

    payload: bool
    risk: Risk
    package: str

    def sentence(self, number: int, terms: Iterable[Terms]) -> str:
        """What a person is told of a budget that is smaller than usual; "" of any other."""
        smaller = [
            f"{each.budget} instead of {usual}"
            for each in terms
            if each.budget < (usual := auto_budget(each.active_machines))
            and each.budget == budget_for(self.risk, usual)
        ]
        if not smaller:
            return ""
        budgets = ", ".join(dict.fromkeys(smaller))
        return f"release {number} changes {self.package} ({self.risk}): harm budget {budgets}"


def news(store: JudgeRecords, release: str, previous: str) -> News:
    """What a release brings beyond the one before it, "" for none."""
    found = changes(store.manifest(previous), store.manifest(release))
    fresh = [path for path, _, now in found if now is not None]
    names = {package_of(path).partition(":")[0] for path in fresh} if previous else set()
    risk, package = worst(names - {""})
    return News(bool(fresh), risk, package)
