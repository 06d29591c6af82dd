"""Signals: the kinds of health facts about a machine, and the streams they are judged in.

::

    heartbeat  boot-clean  booted  service-started  check-passed   signs of life, no stream
    boot-unclean  panic  bugcheck  service-failed  coredump   -->  crash
    check-failed  false-positive                              -->  check
    (not heard from by the deadline)                          -->  silence

Any signal of any kind is also a sign of life. Silence has no kind: nobody can send it.
Boots and starts of services are *restarts*: from then on what was installed is in use.

Source: interfaces.md, Intake; decisions.md 5.
"""

from enum import IntEnum, StrEnum
from typing import Final, assert_never

CRASH: Final = "crash"
CHECK: Final = "check"
SILENCE: Final = "silence"
ANY: Final = "any"
"""Clearance's stream: the first critical harm of a machine, whichever signal told of it."""

TOLD_EARLY: Final = "told-early"
TOLD: Final = "told"
"""History's streams of what machines said: the first event of any signal that decides.

Early until the first of a deck's classes has been looked at: by then the treated have installed
something and the controls have not.
"""

STREAMS: Final = (CRASH, CHECK, SILENCE)
"""Every harm stream, in the order that settles ties: what was said comes before what was not."""


class Reports(IntEnum):
    """How a machine reports to the intake, known before its card: so much can be expected of it.

    ``BEATS``: it sends regular heartbeats, so that its silence shows there as well. ``TELLS``: what
    it tells comes (its journal, its logs, an event of it, within the last week) and no regular
    heartbeat does. What either tells counts; silence of the second is looked for at the gate alone.
    """

    NOTHING = 0
    BEATS = 1
    TELLS = 2


class SignalKind(StrEnum):
    """What a signal says happened."""

    HEARTBEAT = "heartbeat"
    BOOT_CLEAN = "boot-clean"
    BOOTED = "booted"
    BOOT_UNCLEAN = "boot-unclean"
    PANIC = "panic"
    BUGCHECK = "bugcheck"
    SERVICE_STARTED = "service-started"
    SERVICE_FAILED = "service-failed"
    COREDUMP = "coredump"
    CHECK_PASSED = "check-passed"
    CHECK_FAILED = "check-failed"
    FALSE_POSITIVE = "false-positive"


def stream_of(kind: SignalKind) -> str | None:
    """Name the harm stream a signal counts in, or None for one that is only a sign of life."""
    match kind:
        case (
            SignalKind.HEARTBEAT
            | SignalKind.BOOT_CLEAN
            | SignalKind.BOOTED
            | SignalKind.SERVICE_STARTED
            | SignalKind.CHECK_PASSED
        ):
            return None
        case (
            SignalKind.BOOT_UNCLEAN
            | SignalKind.PANIC
            | SignalKind.BUGCHECK
            | SignalKind.SERVICE_FAILED
            | SignalKind.COREDUMP
        ):
            return CRASH
        case SignalKind.CHECK_FAILED | SignalKind.FALSE_POSITIVE:
            return CHECK
        case _:
            assert_never(kind)


BOOTS: Final = frozenset(
    {SignalKind.BOOT_CLEAN, SignalKind.BOOT_UNCLEAN, SignalKind.BOOTED, SignalKind.BUGCHECK}
)
"""What tells that a machine was started. Windows tells of a bugcheck at the start after it."""

RESTARTS: Final = BOOTS | {SignalKind.SERVICE_STARTED}
"""What tells that it, or a service that the operator's definitions name, was started."""


def counts_as(kind: SignalKind) -> str:
    """In words, for people: the harm stream, or what else it is."""
    stream = stream_of(kind)
    if kind not in RESTARTS:
        return stream or "a sign of life"
    what = "a boot" if kind in BOOTS else "a start of a service"
    return f"{stream}, {what}" if stream else what
