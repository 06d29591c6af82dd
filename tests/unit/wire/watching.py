"""Steps that tests of the read model share: a release boards, its door gets somewhere."""

from tests.unit.wire.site import CHANNEL, Site

from firedoor.console.model import DoorView, ExposureView, ReleaseView
from firedoor.core.door import State

EVERYONE = "everyone"


def board_release(site: Site, version: str) -> str:
    """Publish, and go on until the first machines have it."""
    release = site.publish(version)
    number = len(site.views.releases(CHANNEL)) + 1
    for _ in range(8):
        site.round()
        if site.treated(number):
            return release
    raise AssertionError("nobody was admitted")


def door_of(site: Site, release: str) -> DoorView:
    view = site.views.release(release)
    assert view is not None
    return view.door[EVERYONE]


def go_on_until(site: Site, release: str, *states: State, bricked: bool = False) -> ReleaseView:
    """Let rounds pass until the door is there; what is bricked falls silent once it has it."""
    for _ in range(40):
        number = next((v.number for v in site.views.releases(CHANNEL) if v.id == release), 0)
        treated = set(site.treated(number)) if bricked and number else set()
        site.round(treated.__contains__)
        view = site.views.release(release)
        if view is not None and view.door[EVERYONE].state in states:
            return view
    raise AssertionError("the door never got there")


def exposure(site: Site, release: str, machine: int) -> ExposureView:
    (found,) = [e for e in site.views.machines(release, 1000) if e.machine == site.name(machine)]
    return found
