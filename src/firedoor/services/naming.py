"""Naming: which groups of machines a release harms, with few innocents among those named.

A verdict tells the evidence of every group in which somebody was harmed. Whoever reads down that
list for the largest e-value has looked at all of them, and has to pay for it. The list of those
*named* is by e-BH over the evidence as it stands now, and the expected share of innocent groups
on it is at most ``LEVEL``, however the groups depend on each other.

A hypothesis is one value of one watched attribute in one signal that decides. Values among whose
machines nothing happened count too: their e-value is 1, and to leave them out would be to choose
the family by what was seen.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from firedoor.core.evidence.fdr import guilty
from firedoor.core.stream import StreamVerdict

LEVEL: Final = 0.05
"""q: bound on the expected share of innocents among those named."""

_NO_EVIDENCE: Final = 0.0  # ln 1


@dataclass(frozen=True, slots=True)
class Named:
    """One group that is harmed, as one signal shows it.

    Attributes:
        signal: The signal.
        attribute: Name of the attribute.
        value: Its value.
        log_e: ln E of the group now, not the largest it has been.
    """

    signal: str
    attribute: str
    value: str
    log_e: float


def named(streams: Sequence[StreamVerdict], values: Callable[[], int]) -> tuple[Named, ...]:
    """Name the groups that are harmed.

    Args:
        streams: Of one verdict. Signals that decide nothing name nobody.
        values: Counts the values of the watched attributes that machines may have, harmed or
            not. Only asked where somebody might be named: to count a large fleet takes time.

    Returns:
        Those named, most evidence first.
    """
    deciding = [stream for stream in streams if stream.share > 0.0]
    hit = [
        Named(stream.signal, group.attribute, group.value, group.log_e)
        for stream in deciding
        for group in stream.groups
    ]
    # A larger family names nobody whom the smallest one that is possible does not.
    found = _listed(hit, len(hit))
    if found:
        found = _listed(hit, len(deciding) * values())
    return tuple(sorted(found, key=lambda each: (-each.log_e, each.attribute, each.value)))


def _listed(hit: Sequence[Named], family: int) -> list[Named]:
    quiet = max(0, family - len(hit))
    log_e = [each.log_e for each in hit] + [_NO_EVIDENCE] * quiet
    chosen = guilty(log_e, LEVEL)[: len(hit)]
    return [each for each, is_named in zip(hit, chosen, strict=True) if is_named]
