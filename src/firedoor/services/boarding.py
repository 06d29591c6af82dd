"""What is fixed when a release boards a channel."""

from collections.abc import Mapping
from dataclasses import dataclass

from firedoor.core.signal import CHECK, CRASH, SILENCE
from firedoor.core.terms import TakesEffect, Terms
from firedoor.core.units import UnixMs
from firedoor.core.verdict import Rules

WATCHED = 5
"""A signal is watched where at least this many machines' sources reported lately."""

_ALONE = {SILENCE: 1.0, CRASH: 0.0, CHECK: 0.0}
_SHARES = {SILENCE: 0.8, CRASH: 0.5, CHECK: 0.3}
_TOLD_SHARE = 0.5  # of what the gate itself hears from every machine


@dataclass(frozen=True, slots=True)
class Boarding:
    """One release's way through a channel.

    Attributes:
        channel: Name of the channel.
        number: Rises with each boarding of the channel, from 1.
        release: Release id.
        previous: Boarding number of what was open before, 0 for nothing.
        boarded_ms: Wall clock.
        commitment: ``valve.seed_commitment`` of its seed, in the ledger before the first deck.
        terms: Numbers per ring.
        rules: How its evidence is judged.
        nonce: Drawn for this boarding; part of what its seed is made from.
    """

    channel: str
    number: int
    release: str
    previous: int
    boarded_ms: UnixMs
    commitment: str
    terms: Mapping[str, Terms]
    rules: Rules
    nonce: str = ""

    @property
    def takes_effect(self) -> TakesEffect:
        """From when on a machine counts as having installed it: the same in all rings."""
        return next((each.takes_effect for each in self.terms.values()), TakesEffect.INSTALL)

    @property
    def restart_of(self) -> tuple[str, ...]:
        """Whose starts are restarts, if not all that are defined: the same in all rings."""
        return next((each.restart_of for each in self.terms.values()), ())


def rules_for(
    terms: Terms, *, reporting: int, told: bool = False, strata: tuple[str, ...] = ()
) -> Rules:
    """Fix the rules of a boarding: which signals count, and for how much.

    Args:
        terms: The channel's terms.
        reporting: Machines whose sources reported to the intake lately, count >= 0.
        told: Clients tell the gate by their next request whether they threw away what they got.
        strata: Attributes of machines by which localised harm is looked for.

    Returns:
        Silence alone where nobody reports (it needs no agent); otherwise the shares of ADR 0012:
        silence .8, crash .5, check .3, or .5 where the gate is told. A signal that is not watched
        is counted and shown, and decides nothing.
    """
    watched = dict(_ALONE if reporting < WATCHED else _SHARES)
    if told:
        watched = {**watched, SILENCE: _SHARES[SILENCE], CHECK: _TOLD_SHARE}
    return Rules(
        alpha_harm=terms.alpha_harm,
        alpha_warn=terms.alpha_warn,
        alpha_clear=terms.alpha_clear,
        delta=terms.delta,
        shares=tuple(watched.items()),
        attributes=strata,
        ratio=terms.ratio,
        cluster=terms.cluster,
        liars=terms.liars,
        past_liars=terms.liars,
    )
