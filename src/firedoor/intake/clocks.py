"""When a thing happened that a machine tells of by its own clock.

An event counts against a release only if it happened after the machine drew its card, so a wrong
clock must not date a crash back to before it. How far a machine's clock is off is seen from its
heartbeats, which are sent as they happen (``Heartbeats.behind``). Where there are none nothing is
known, and its times are believed as far as they can be.
"""

from typing import Final

from firedoor.core.units import UnixMs

TOLERATED_MS: Final = 2 * 60_000
"""Clocks this far off, and heartbeats this long on their way, are not corrected."""

OLDEST_MS: Final = 7 * 86_400_000
"""What is dated further back than this, by a clock of which nothing is known, is of a clock that
lost its time: late harm is watched for no longer."""


def happened(said_ms: int, received_ms: UnixMs, behind_ms: int | None) -> UnixMs:
    """When an event happened, by our clock.

    Args:
        said_ms: When, by the machine's clock, Unix ms.
        received_ms: When it was received, Unix ms.
        behind_ms: By how much the machine's clock is behind ours, negative: ahead; None: unknown.

    Returns:
        Never after it was received, and never before the epoch.
    """
    # Compared by hand: a call of min costs as much as all the rest, for every event there is.
    if behind_ms is None:
        believed = received_ms if said_ms < received_ms - OLDEST_MS else said_ms
    elif -TOLERATED_MS <= behind_ms <= TOLERATED_MS:
        believed = max(said_ms, 0)
    else:
        believed = max(said_ms + behind_ms, 0)
    return UnixMs(believed) if believed < received_ms else received_ms
