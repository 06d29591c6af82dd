"""What a fleet of some size can hope for: how sure it can get, and how often chance will hold it.

A small fleet cannot clear a release to a thousandth, however harmless the release is; it has to
know that before, and not from a door that never says "cleared".
"""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from firedoor.core import valve
from firedoor.core.cell import Cell, Test
from firedoor.core.evidence import clearance
from firedoor.core.evidence.counts import Counts, Ints
from firedoor.core.signal import SILENCE as SILENCE_STREAM
from firedoor.core.terms import Terms
from firedoor.core.verdict import fold
from firedoor.services.boarding import rules_for

SILENCE: Final = 0.01
"""Share of healthy machines that miss a deadline by chance, as assumed for the forecast."""

_INSTALLS_FOLLOWED: Final = 200  # later the window is so wide that chance cannot fill it
_MOST_HARMED: Final = 32


@dataclass(frozen=True, slots=True)
class Prospect:
    """What a good release will meet in one ring.

    Attributes:
        machines: Active machines N.
        budget: B, machines.
        delta: Excess harm per installed machine at which a door opens as cleared.
        alpha_harm: Chance that evidence ever shuts a good release, at most.
        harm_upper: Smallest U: what cannot be excluded after every machine has installed and
            none was harmed, in (0, 1].
        clears: Whether that is enough to open as cleared; otherwise the door is walked.
        proof: Machines that a release has to harm, all it touches, until evidence shuts it; None:
            this fleet cannot prove it.
        hold_chance: About the chance that a good release is held (budget spent) because
            machines went silent by chance, in [0, 1].
    """

    machines: int
    budget: int
    delta: float
    alpha_harm: float
    harm_upper: float
    clears: bool
    proof: int | None
    hold_chance: float


def prospect(terms: Terms) -> Prospect:
    """What a fleet under these terms can hope for from a harmless release."""
    best = best_upper(terms)
    return Prospect(
        machines=terms.active_machines,
        budget=terms.budget,
        delta=terms.delta,
        alpha_harm=terms.alpha_harm,
        harm_upper=best,
        clears=best <= terms.delta,
        proof=proof(terms),
        hold_chance=hold_chance(terms),
    )


def best_upper(terms: Terms) -> float:
    """Smallest U_t this fleet can reach: every machine installs, none is harmed.

    The machines mature in two classes: all but the reserve beside it as control, then the
    reserve alone. More, smaller classes change it by a few per cent.
    """
    machines, reserve = terms.active_machines, _reserve(terms)
    state = clearance.start(1, terms.delta)
    for treated, control in ((machines - reserve, reserve), (reserve, 0)):
        counts = Counts.of(treated, control, 0, 0, installed=treated)
        state = clearance.absorb(state, counts, cluster=terms.cluster)
    return float(clearance.upper(state, terms.alpha_clear)[0])


def proof(terms: Terms) -> int | None:
    """Fewest machines that a release which harms whatever it touches has harmed when it is shut.

    All in one class, no control harmed, and by silence alone, which needs no agent. As many as
    ``terms.liars`` of them are taken to lie.
    """
    rules = rules_for(terms, reporting=0)
    line = -math.log(terms.alpha_harm)
    for harmed in range(1, min(_MOST_HARMED, terms.active_machines - 1) + 1):
        control = min(valve.CONTROLS_PER_TREATED * harmed, terms.active_machines - harmed)
        cell = Cell(1, "", 1, 0, Test.HARM, SILENCE_STREAM, "", harmed, control, harmed, 0)
        if fold(rules, [cell]).max_log_e >= line:
            return harmed
    return None


def hold_chance(terms: Terms, silence: float = SILENCE) -> float:
    """About the chance that a good release is held because its window fills up by chance.

    The exact first passage of a binomial walk: machines mature one by one, each silent with
    chance ``silence``; the door is held once as many are silent as the window has slots. No
    control is silent here and no silent machine speaks again, so the truth is rather lower. The
    reserve is left out: it has no control, so it cannot add to the debt.
    """
    installs = min(terms.active_machines - _reserve(terms), _INSTALLS_FOLLOWED)
    harmed = np.arange(_MOST_HARMED + 1)
    chance = np.zeros(_MOST_HARMED + 1)  # of being not held, with so many silent
    chance[0] = 1.0
    held = 0.0
    for installed in range(1, installs + 1):
        hit = chance * silence
        chance = chance * (1.0 - silence)
        chance[1:] += hit[:-1]
        # More silent than are followed: far beyond any window that small.
        held += float(hit[-1])
        spent = (harmed > 0) & (harmed >= _windows(terms, installed, harmed))
        held += float(chance[spent].sum())
        chance[spent] = 0.0
    return held


def _windows(terms: Terms, installed: int, harmed: Ints) -> Ints:
    """W = floor(B / U) after so many installs, for each number of harmed among them."""
    possible = np.minimum(harmed, installed)
    spare = terms.active_machines - installed
    control = min(valve.CONTROLS_PER_TREATED * installed, spare)
    state = clearance.absorb(
        clearance.start(len(harmed), terms.delta),
        Counts.of(installed, control, possible, 0, installed=installed),
        cluster=terms.cluster,
    )
    upper = clearance.upper(state, terms.alpha_clear)
    return np.array([valve.window(terms.budget, bound) for bound in upper])


def _reserve(terms: Terms) -> int:
    machines = terms.active_machines
    return min(machines, max(1, math.floor(terms.control * machines)))
