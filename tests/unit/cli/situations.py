"""Every situation a verdict can be in when somebody asks for it, on a site with real stores."""

from collections.abc import Callable, Mapping
from pathlib import Path

from tests.unit.cli.desk import Desk
from tests.unit.wire.site import CHANNEL
from tests.unit.wire.watching import board_release, go_on_until

from firedoor.core.door import State

Situation = tuple[Desk, str]
"""The desk, and the release it is about."""


def no_data(folder: Path) -> Situation:
    """It has boarded, and nobody has polled since."""
    desk = Desk(folder)
    desk.site.settle_in()
    release = desk.site.publish("2")
    desk.site.tick()
    return desk, release


def undecided(folder: Path) -> Situation:
    """The first deck of a fleet of a hundred is in flight."""
    desk = Desk(folder, machines=100)
    desk.site.settle_in()
    release = desk.site.publish("2")
    desk.site.round()
    desk.site.poll(desk.site.machines)
    desk.site.flush()
    desk.site.tick()
    return desk, release


def cleared(folder: Path) -> Situation:
    """A policy that asks for little is satisfied soon."""
    desk = Desk(folder, machines=60, policy="delta = 0.4\nbudget = 6")
    desk.site.settle_in()
    release = board_release(desk.site, "2")
    go_on_until(desk.site, release, State.OPEN)
    return desk, release


def walked(folder: Path) -> Situation:
    """Everybody has it, and the fleet was too small to clear it."""
    desk = Desk(folder)
    return desk, desk.adopt_and_walk()[1]


def harmful(folder: Path) -> Situation:
    """A brick was stopped by the evidence."""
    desk = Desk(folder)
    desk.site.settle_in()
    return desk, desk.brick("2")


def budget_spent(folder: Path) -> Situation:
    """One machine of six fell silent: no proof, and no slot left."""
    desk = Desk(folder, machines=6, policy="budget = 1")
    desk.site.settle_in()
    return desk, desk.brick("2")


def held(folder: Path) -> Situation:
    """A person holds it while it is in flight."""
    desk, release = undecided(folder)
    desk.site.order("hold", release=release, reason="two sites are slow")
    return desk, release


def adopted(folder: Path) -> Situation:
    """It was there before Firedoor."""
    desk = Desk(folder)
    return desk, desk.site.settle_in()


def expedited(folder: Path) -> Situation:
    """A person let everybody through before the first card was drawn."""
    desk, release = no_data(folder)
    desk.site.order("expedite", release=release, reason="zero day", all=True)
    for _ in range(2):
        desk.site.round()
    return desk, release


def left_behind(folder: Path) -> Situation:
    """A person pinned the release before it."""
    desk, release = walked(folder)
    first = desk.site.views.releases(CHANNEL)[-1].id
    desk.site.order("pin", release=first, channel=CHANNEL, reason="audit week")
    desk.site.round()
    return desk, release


SITUATIONS: Mapping[str, Callable[[Path], Situation]] = {
    each.__name__: each
    for each in (
        no_data,
        undecided,
        cleared,
        walked,
        harmful,
        budget_spent,
        held,
        adopted,
        expedited,
        left_behind,
    )
}
