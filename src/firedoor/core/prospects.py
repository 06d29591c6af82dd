"""What would change a verdict: hypothetical cells, folded through the verdict itself.

Nothing here has a formula of its own. A question such as "how many of the machines in flight
would have to go silent" is put to :func:`~firedoor.core.verdict.absorb` with the cell that
closing would be, and the smallest number for which the verdict says so is found by halving:
more machines harmed are never less evidence of harm, and more that stay well never less of safety.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from firedoor.core.cell import Cell, Test
from firedoor.core.signal import ANY
from firedoor.core.verdict import Evidence, VerdictState, absorb, verdict

FARTHEST: Final = 1 << 24
"""Most installs that are asked about, machines: more than a fleet has is no prospect."""


@dataclass(frozen=True, slots=True)
class Sealed:
    """The machines whose outcome is open, as the closing that reveals them would find them.

    Attributes:
        treated: Treated members, count >= 0.
        control: Control members, count >= 0.
        epoch: Epoch the closing would fall in, >= 0; in a later one a bet has less of the wealth.
    """

    treated: int
    control: int
    epoch: int = 0


def harmed_to_shut(evidence: Evidence, sealed: Sealed, signal: str) -> int | None:
    """Fewest treated members whose harm, and no control's, would prove the release harmful.

    Args:
        evidence: What the cells so far have said.
        sealed: Who could still be harmed; all of them are taken to be revealed by one closing.
        signal: The stream that would tell.

    Returns:
        Machines in [1, ``sealed.treated``]; 0 if harm is proved already; None if not even all of
        them would do, or the signal decides nothing.
    """
    if verdict(evidence).state is VerdictState.HARMFUL:
        return 0
    if all(stream.signal != signal or stream.share <= 0.0 for stream in evidence.streams):
        return None

    def is_harmful(harmed: int) -> bool:
        return _after(evidence, _closing(evidence, sealed, signal, harmed)) is VerdictState.HARMFUL

    return _fewest(is_harmful, sealed.treated)


def clean_to_clear(evidence: Evidence, *, controls: int, most: int) -> int | None:
    """Fewest further installs that would clear the release if nobody at all comes to harm.

    Args:
        evidence: What the cells so far have said.
        controls: Control machines that mature well with each of them, count >= 0.
        most: Machines that are left to install it, count >= 0; ``FARTHEST`` at most are asked
            about.

    Returns:
        Machines in [1, ``most``]; 0 if the release is cleared already; None if the machines left
        are too few, or no number would do because a warning stands or harm is proved.
    """
    if verdict(evidence).state is VerdictState.CLEARED:
        return 0

    def is_cleared(installed: int) -> bool:
        return _after(evidence, _matured(evidence, installed, controls)) is VerdictState.CLEARED

    return _fewest(is_cleared, min(most, FARTHEST))


def _after(evidence: Evidence, cell: Cell) -> VerdictState:
    return verdict(absorb(evidence, cell)).state


def _fewest(suffices: Callable[[int], bool], most: int) -> int | None:
    """Smallest number in [1, most] that suffices, where every larger one does too."""
    if most < 1 or not suffices(most):
        return None
    low, high = 1, most
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if suffices(middle) else (middle + 1, high)
    return low


def _closing(evidence: Evidence, sealed: Sealed, signal: str, harmed: int) -> Cell:
    return Cell(
        seq=evidence.seq + 1,
        ring="",
        deck=0,
        epoch=sealed.epoch,
        test=Test.HARM,
        signal=signal,
        stratum="",
        treated=sealed.treated,
        control=sealed.control,
        treated_harmed=harmed,
        control_harmed=0,
    )


def _matured(evidence: Evidence, installed: int, controls: int) -> Cell:
    return Cell(
        seq=evidence.seq + 1,
        ring="",
        deck=0,
        epoch=0,
        test=Test.CLEARANCE,
        signal=ANY,
        stratum="",
        treated=installed,
        control=controls * installed,
        treated_harmed=0,
        control_harmed=0,
        installed=installed,
    )
