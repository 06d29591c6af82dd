"""Rings: the ordered cohorts of business order (lab, then offices, then control rooms).

A ring says who belongs to it by the attributes of machines, and which ring has to be open
before it begins. The ring "everyone" always exists: it takes the machines that no other ring
claims, and comes after all others.

Source: decisions.md 7.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

EVERYONE: Final = "everyone"
"""The ring of all machines that no other ring claims. It is last."""


@dataclass(frozen=True, slots=True)
class Ring:
    """One cohort.

    Attributes:
        name: Unique among the rings.
        match: Attributes a machine must have, each with the values that will do. All of them
            must match; a ring without any claims nobody (only "everyone" is like that).
        after: The ring that must be open before this one begins, or None: at once.
            None for "everyone", which waits for all others.
        budget: Harm budget of this ring alone, machines >= 1; None: the channel's or policy's.
    """

    name: str
    match: tuple[tuple[str, tuple[str, ...]], ...] = ()
    after: str | None = None
    budget: int | None = None

    def claims(self, attributes: Mapping[str, str]) -> bool:
        """Whether a machine with these attributes belongs here, other rings aside."""
        return bool(self.match) and all(
            attributes.get(attribute) in values for attribute, values in self.match
        )


def ring_of(attributes: Mapping[str, str], rings: Iterable[Ring]) -> str:
    """Name of the first ring, in file order, that claims a machine; else "everyone"."""
    return next((ring.name for ring in rings if ring.claims(attributes)), EVERYONE)


def with_everyone(rings: Sequence[Ring]) -> tuple[Ring, ...]:
    """The rings with "everyone" at the end, added if it was not named."""
    last = next((ring for ring in rings if ring.name == EVERYONE), Ring(EVERYONE))
    return (*(ring for ring in rings if ring.name != EVERYONE), last)


def waits_for(name: str, rings: Sequence[Ring]) -> tuple[str, ...]:
    """Names of the rings that must be open before this one begins, in file order.

    Raises:
        ValueError: There is no such ring.
    """
    if name == EVERYONE:
        return tuple(ring.name for ring in rings if ring.name != EVERYONE)
    for ring in rings:
        if ring.name == name:
            return () if ring.after is None else (ring.after,)
    raise ValueError(f"no ring {name!r}")


def find_cycle(rings: Iterable[Ring]) -> tuple[str, ...]:
    """A chain of ``after`` that comes back to where it began, from its first ring in file order.

    Returns:
        The names along the chain, each once; empty when there is no cycle.
    """
    after = {ring.name: ring.after for ring in rings}
    for start, earlier in after.items():
        chain = [start]
        ring = earlier
        while ring in after and ring not in chain:
            chain.append(ring)
            ring = after[ring]
        if ring == start:
            return tuple(chain)
    return ()


def order(rings: Sequence[Ring]) -> tuple[Ring, ...]:
    """The rings such that each stands after what it waits for; else in file order.

    "everyone" is last, and added if it was not named.

    Raises:
        ValueError: A ring waits for itself, for "everyone" or for one that does not exist.
    """
    waiting = list(with_everyone(rings))
    ordered: list[Ring] = []
    placed: set[str] = set()
    while waiting:
        ready = next((r for r in waiting if placed.issuperset(waits_for(r.name, rings))), None)
        if ready is None:
            names = ", ".join(ring.name for ring in waiting)
            raise ValueError(f"these rings wait for each other or for no ring: {names}")
        waiting.remove(ready)
        ordered.append(ready)
        placed.add(ready.name)
    return tuple(ordered)


def largest_in_flight(rings: Sequence[Ring], budget: Callable[[Ring], int]) -> int:
    """The largest sum of budgets that one release can have in flight at the same time, machines.

    A ring begins when the one before it is open, and an open door has no window. So a ring's
    budget is never in flight together with that of a ring it waits for, and "everyone" never
    together with any other: the answer is the heaviest set of rings that may run side by side.

    Args:
        rings: Rings without a cycle.
        budget: The budget of a ring, machines >= 0.
    """
    ordered = order(rings)
    heaviest: dict[str, int] = {}
    # Backwards: when a ring's turn comes, all that wait for it have been added up.
    for ring in reversed(ordered[:-1]):
        followers = sum(heaviest[r.name] for r in ordered[:-1] if r.after == ring.name)
        heaviest[ring.name] = max(budget(ring), followers)
    side_by_side = sum(heaviest[r.name] for r in ordered[:-1] if r.after is None)
    return max(budget(ordered[-1]), side_by_side)
