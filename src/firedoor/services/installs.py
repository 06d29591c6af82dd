"""Installs: what is known of a channel's installs before one of its releases boards.

Where machines install at a later poll than the one that draws their card, silence soon after the
card says nothing. So the silence windows of both arms begin later, by what the releases before
took: a time fixed before the first deck, so that closings look at no label of theirs (I8).
Source: ADR 0024.
"""

from collections.abc import Iterable

from firedoor.core.release import changes
from firedoor.services.hearing import Hearing
from firedoor.services.records import JudgeRecords

_SHARE = 0.9
_ENOUGH = 5
_LOOKED_AT = 3
_LONGEST_MS = 24 * 3_600_000


def delay_ms(channel: str, numbers: Iterable[int], hearing: Hearing, bucket_ms: int) -> int:
    """By how much later the windows of the channel's next release begin, ms in [0, a day].

    Args:
        channel: Name of the channel.
        numbers: Numbers of its boardings.
        hearing: Knows when machines drew their cards and when they had all bytes.
        bucket_ms: Interval of the judge's ticks: a window begins that late in any case.

    Returns:
        Within this time of their card nine of ten had all bytes, of the newest release that
        five or more installed; whole buckets. 0 where they take less than one, or nothing is
        known.
    """
    for number in sorted(numbers, reverse=True)[:_LOOKED_AT]:
        delays = hearing.install_delays(channel, number)
        if len(delays) >= _ENOUGH:
            usual = delays[min(len(delays) - 1, int(_SHARE * len(delays)))]
            return min(_LONGEST_MS, usual // bucket_ms * bucket_ms)
    return 0


def has_payload(store: JudgeRecords, release: str, previous: str) -> bool:
    """Say whether a release has bytes that the one before it has not: else nobody installs it."""
    found = changes(store.manifest(previous), store.manifest(release))
    return any(now is not None for _, _, now in found)
