"""The terms of a boarding: the policy's words turned into numbers for one fleet.

A policy may say "auto"; what that means depends on how many machines are active. The terms are
fixed when a release boards and are recorded with it, so a fleet that grows while a door is
opening changes nothing about the guarantee that was given.

Source: decisions.md 1, cohorts.md 4.4 (budget, alpha and delta of small fleets).
"""

from dataclasses import dataclass
from enum import StrEnum
from math import ceil
from typing import Final

from firedoor.core.risk import Risk, budget_for

LARGEST_AUTO_BUDGET: Final = 20
"""What "auto" gives the largest fleets, machines: the worst case while the fleet is unknown."""

LARGEST_AUTO_ALPHA_HARM: Final = 0.01
"""What "auto" gives the smallest fleets."""

DEFAULT_STRATA: Final = ("model", "site", "os")
"""Attributes by which localised harm is looked for where the operator named none."""

MOST_STRATA: Final = 8
"""Each attribute takes its part of the wealth that looks at groups."""

MOST_LIARS: Final = 10
MOST_SERVICES: Final = 20
"""Services whose starts one channel tells apart: each costs eight bytes a machine."""

"""The evidence of every stream is kept once more for each."""

_TINY: Final = 30
_SMALL: Final = 300
_LARGE: Final = 10_000
_LEAST_DELTA: Final = 0.001
# U starts at 1, so a delta of 1 would call a release cleared before its first install. Half is
# the last value that still asks a fleet of two or more for something; below it a door is walked.
_MOST_DELTA: Final = 0.5


_RESTART_WAIT_MS: Final = 24 * 3_600_000


class TakesEffect(StrEnum):
    """From when on a machine that has all bytes of a release can show what it does.

    Attributes:
        INSTALL: At once.
        RESTART: When it, or a service that the operator's definitions name, is started again.
        BOOT: When it is started again.
    """

    INSTALL = "install"
    RESTART = "restart"
    BOOT = "boot"


class Mode(StrEnum):
    """Whether a door holds anything."""

    ENFORCE = "enforce"
    SHADOW = "shadow"


@dataclass(frozen=True, slots=True)
class Policy:
    """What a policy says, before the fleet is known; ``None`` stands for "auto".

    Attributes:
        budget: Machines an unproven release may put at risk, >= 1.
        alpha_harm: Chance that evidence ever shuts a good release, in (0, 1).
        alpha_warn: Level of the warning that keeps a door from opening, in (0, 1).
        alpha_clear: Chance that an upper bound on harm is ever too low, in (0, 1).
        delta: Excess harmed machines per installed machine that clearance excludes, in (0, 1).
        control: Least share of machines kept as control, in (0, 1); also 0 in shadow mode.
        soak_ms: Observation before a door opens, >= 0.
        patience_ms: Time after which a newer snapshot may supersede an undecided release, > 0.
        install_wait_ms: Time after which a slot without a download is dormant, > 0.
        takes_effect: From when on a machine counts as having installed.
        restart_of: Units or definitions whose starts are restarts; empty: all that are defined.
        mode: Whether doors hold anything.
        expedite_needs_two: Whether widening a door against the evidence takes two people.
        strata: Attributes of machines by which localised harm is looked for.
        budget_growth: Slots that the budget gains for each control machine that failed while
            machines were at risk, in [0, 1); ADR 0018.
        ratio: Odds ratio of harm to control whose exclusion opens a door, too, > 1; None: only
            ``delta`` opens one.
        cluster: Most machines that one accident harms together, >= 1.
        liars: Treated machines that may fake harm and shut no door by it, in 0..MOST_LIARS.
    """

    budget: int | None = None
    alpha_harm: float | None = None
    alpha_warn: float = 0.05
    alpha_clear: float = 0.05
    delta: float | None = None
    control: float = 0.10
    soak_ms: int = 3_600_000
    patience_ms: int = 604_800_000
    install_wait_ms: int | None = None
    takes_effect: TakesEffect = TakesEffect.INSTALL
    restart_of: tuple[str, ...] = ()
    mode: Mode = Mode.ENFORCE
    expedite_needs_two: bool = False
    strata: tuple[str, ...] = DEFAULT_STRATA
    budget_growth: float = 0.0
    ratio: float | None = None
    cluster: int = 1
    liars: int = 0


@dataclass(frozen=True, slots=True)
class Terms:
    """The numbers one release boards under in one ring. Units and ranges as in ``Policy``.

    Attributes:
        active_machines: The fleet the terms were made for, machines >= 0.
        budget: B, machines >= 1.
        alpha_harm: In (0, 1).
        alpha_warn: In (0, 1).
        alpha_clear: In (0, 1).
        delta: In (0, 1).
        control: In (0, 1).
        soak_ms: Milliseconds >= 0.
        patience_ms: Milliseconds > 0.
        install_wait_ms: Milliseconds > 0, or None: twice the machine's own deadline, a day where
            a restart is waited for.
        shadow: Nothing is held; ``control`` of the machines wait one deadline, 0 for nobody.
        budget_growth: In [0, 1).
        ratio: > 1, or None.
        cluster: Machines >= 1.
        liars: Machines, in 0..MOST_LIARS.
        install_delay_ms: By how much later the silence windows begin, of both arms, since
            machines of the channel take so long to install, >= 0; ADR 0024.
        installs: There are bytes to install: nobody is late where nothing is new.
        risk: What the release touches.
        takes_effect: From when on a machine counts as having installed; ADR 0041.
        restart_of: As in ``Policy``.
    """

    active_machines: int
    budget: int
    alpha_harm: float
    alpha_warn: float
    alpha_clear: float
    delta: float
    control: float
    soak_ms: int
    patience_ms: int
    install_wait_ms: int | None
    shadow: bool = False
    budget_growth: float = 0.0
    ratio: float | None = None
    cluster: int = 1
    liars: int = 0
    install_delay_ms: int = 0
    installs: bool = True
    risk: Risk = Risk.OTHER
    takes_effect: TakesEffect = TakesEffect.INSTALL
    restart_of: tuple[str, ...] = ()

    @property
    def restarts(self) -> bool:
        """A machine counts as having installed from a restart on."""
        return self.takes_effect is not TakesEffect.INSTALL

    def install_wait_for(self, deadline_ms: int) -> int:
        """How long a machine with this silence deadline may hold a slot and not count, ms."""
        if self.install_wait_ms is not None:
            return self.install_wait_ms
        return max(_RESTART_WAIT_MS, 2 * deadline_ms) if self.restarts else 2 * deadline_ms


def resolve(policy: Policy, active_machines: int, risk: Risk = Risk.OTHER) -> Terms:
    """Turn a policy into the numbers for a fleet of this size.

    Args:
        policy: What the configuration says.
        active_machines: N, machines that polled the channel in the last 7 days, >= 0.
        risk: What the release touches; only an "auto" budget depends on it.

    Raises:
        ValueError: ``active_machines`` is negative.
    """
    if active_machines < 0:
        raise ValueError(f"active_machines {active_machines}")
    budget = policy.budget
    if budget is None:
        budget = budget_for(risk, auto_budget(active_machines))
    alpha_harm = policy.alpha_harm
    if alpha_harm is None:
        alpha_harm = LARGEST_AUTO_ALPHA_HARM if active_machines < _SMALL else 0.001
    delta = policy.delta
    if delta is None:
        delta = auto_delta(budget, active_machines)
    return Terms(
        active_machines=active_machines,
        budget=budget,
        alpha_harm=alpha_harm,
        alpha_warn=policy.alpha_warn,
        alpha_clear=policy.alpha_clear,
        delta=delta,
        control=policy.control,
        soak_ms=policy.soak_ms,
        patience_ms=policy.patience_ms,
        install_wait_ms=policy.install_wait_ms,
        shadow=policy.mode is Mode.SHADOW,
        budget_growth=policy.budget_growth,
        ratio=policy.ratio,
        cluster=policy.cluster,
        liars=policy.liars,
        risk=risk,
        takes_effect=policy.takes_effect,
        restart_of=policy.restart_of,
    )


def auto_budget(active_machines: int) -> int:
    """The harm budget of a fleet whose operator named none, machines >= 1.

    A tenth of a small fleet, but from 30 machines on at least the 3 that can stop a brick and
    at most 5; the 20 of a large fleet buy speed, which only pays where clearing is possible.
    """
    tenth = max(1, ceil(active_machines / 10))
    if active_machines < _TINY:
        return tenth
    if active_machines < _SMALL:
        return min(max(tenth, 3), 5)
    return 5 if active_machines < _LARGE else LARGEST_AUTO_BUDGET


def auto_delta(budget: int, active_machines: int) -> float:
    """The excess harm that clearance has to exclude where the operator named none, in (0, 1).

    ``B/N``: if no more than that can be true, the whole fleet's expected harm is within the
    budget. Kept between .001 and .5; see the comment at the upper end.
    """
    share = budget / max(1, active_machines)
    return min(max(share, _LEAST_DELTA), _MOST_DELTA)
