"""Outages: machines with a release and machines without it that fall silent together.

A network, a site or a collector that goes down takes both arms, as the cards were dealt by chance.
It is no evidence of harm, and no debt: the controls show it. A person should be told what it is
all the same, or the numbers of a verdict look like a disaster.

Source: issue "Signals from what machines already run", 7; evidence.md 1.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Final

from firedoor.core.cell import Cell, Test
from firedoor.core.signal import SILENCE
from firedoor.core.stratum import values_of

LEAST_SHARE: Final = 0.25
"""Of the controls of a class: chance alone silences a hundredth of them or so."""

LEAST_CONTROLS: Final = 5
_LIKE_THEM: Final = 1.5
_NEARLY_ALL: Final = 0.8


def outage(cells: Sequence[Cell]) -> str | None:
    """Say of a closing that both arms fell silent, if they did.

    Args:
        cells: The harm cells of one closing: of one block and signal, one for each stratum.

    Returns:
        A sentence with the counts, and what nearly all of the silent have in common; None where
        few controls are silent, or so many more of the treated that it is not what they share.
    """
    silent = [cell for cell in cells if cell.test is Test.HARM and cell.signal == SILENCE]
    if not silent:
        return None
    treated, control = silent[0].treated, silent[0].control
    x1 = sum(cell.treated_harmed for cell in silent)
    x0 = sum(cell.control_harmed for cell in silent)
    if x0 < LEAST_CONTROLS or x0 < LEAST_SHARE * control:
        return None
    if x1 * control > _LIKE_THEM * x0 * treated:
        return None
    where = _common(silent, x1 + x0)
    return (
        f"{x1} of {treated} machines with the release and {x0} of {control} without it fell silent "
        f"together{where}; what both share is no harm of the release"
    )


def _common(cells: Sequence[Cell], silent: int) -> str:
    """What nearly all of the silent have in common, of what is known of them."""
    count: Counter[tuple[str, str]] = Counter()
    for cell in cells:
        for attribute in values_of(cell.stratum).items():
            count[attribute] += cell.treated_harmed + cell.control_harmed
    shared = [f"{name}={value}" for (name, value), n in count.items() if n >= _NEARLY_ALL * silent]
    return f" ({', '.join(sorted(shared))})" if shared else ""
