"""Effects: when a release that was installed took effect on each machine.

A kernel is in use from the next boot on, a library from the next start of whatever loads it. Where
the policy says so (``policy.takes_effect``), a machine counts as having installed from the first
restart it tells of after its last byte, and not from that byte. Source: ADR 0041.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from firedoor.core.terms import TakesEffect
from firedoor.core.units import UnixMs
from firedoor.ports import Instant
from firedoor.services.places import AFTERWARDS
from firedoor.services.records import StoredEffect, StoredPlace
from firedoor.services.stores import JudgeRecords


@dataclass(slots=True)
class Effect:
    """When one boarding took effect.

    Attributes:
        by: What it takes.
        services: Whose starts are restarts; empty: all that are told of.
        installed: When machines had all bytes, on the axis of ``Restarts.when``, ms.
        since: When it took effect on them, monotonic ms; 0 for an earlier boot of this host.
    """

    by: TakesEffect
    services: tuple[str, ...] = ()
    installed: dict[int, int] = field(default_factory=dict)
    since: dict[int, int] = field(default_factory=dict)


class Restarts(Protocol):
    """Restarts that machines told of."""

    def restarted(self, machine: int, effect: Effect) -> int:
        """When it last restarted so that it counts, on the axis of ``when``, ms; 0 for never."""
        ...

    def when(self, at: Instant, now: Instant) -> int:
        """A place on one axis for installs and restarts, ms."""
        ...

    def moved(self) -> set[int]:
        """Machines that have installed or restarted since this was last asked."""
        ...


class Affected(Protocol):
    """A boarding."""

    @property
    def effect(self) -> Effect | None:
        """On whom it has taken effect; None where that takes no restart."""
        ...


class Effects:
    """Finds them, within the judge's steps."""

    def __init__(self, store: JudgeRecords) -> None:
        """Remember them in the judge's store."""
        self._store = store

    def look(
        self, flights: Mapping[tuple[str, int], Affected], restarts: Restarts, now: Instant
    ) -> None:
        """Note on whom releases have taken effect since the last look.

        A file that comes after the restart takes another one: which files a machine wants nobody
        knows, and what harms may be in the last.
        """
        moved, shift = restarts.moved(), restarts.when(now, now) - now.mono_ms
        for (channel, number), flight in flights.items():
            effect = flight.effect
            if effect is None:
                continue
            for machine in moved & effect.installed.keys():
                at, installed = restarts.restarted(machine, effect), effect.installed[machine]
                if machine in effect.since and installed > effect.since[machine] + shift:
                    del effect.since[machine]
                    self._store.drop_effect(channel, number, machine)
                if machine not in effect.since and at > installed:
                    mono_ms = effect.since[machine] = max(0, at - shift)
                    wall_ms = UnixMs(now.wall_ms - (now.mono_ms - mono_ms))
                    then = StoredEffect(machine, Instant(now.boot, mono_ms, wall_ms))
                    self._store.add_effect(channel, number, then)


def recall_effect(effect: Effect, known: Iterable[StoredEffect], now: Instant) -> None:
    """Take over what was noted before."""
    for each in known:
        # One of an earlier boot lies before everything that was heard in this one.
        effect.since[each.machine] = each.at.mono_ms if each.at.boot == now.boot else 0


def delays(known: Iterable[StoredEffect], places: Iterable[StoredPlace]) -> list[int]:
    """Times from a treated card of a boarding to its effect, ms, rising."""
    drawn = {each.place.machine: each for each in places if each.place.treated}
    return sorted(
        each.at.since(Instant(card.boot, card.place.mono_ms, UnixMs(card.wall_ms)))
        for each in known
        if (card := drawn.get(each.machine)) is not None and card.place.deck != AFTERWARDS
    )
