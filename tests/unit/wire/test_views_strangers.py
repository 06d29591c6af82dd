"""What people are told of a channel that only clients without an identity read."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.unit.wire.site import CHANNEL, Site

from firedoor.adapters.store.gate import GateWriter
from firedoor.cli.claims import stalled
from firedoor.console.language import LANGUAGES, load
from firedoor.console.phrases import headline, situation
from firedoor.core.door import Reason, State
from firedoor.services.places import Census
from firedoor.services.records import Bucket

SENTENCE = (
    "40 clients that are not enrolled read this channel; nobody can try the release: "
    "enrol some, or expedite it"
)


@pytest.fixture
def nameless(tmp_path: Path) -> Iterator[Site]:
    """Release 2 has boarded a channel that forty unknown clients read, and nobody else."""
    site = Site(tmp_path, machines=0)
    site.publish("1")
    site.tick()
    count = Census(CHANNEL, "everyone", 0, 0, 0.0, 0, 0, 40, site.clock.wall_ms)
    writer = GateWriter(site.config.data)
    board = site.store.board().version
    writer.flush(Bucket("run-1", False, (), (), (), (), (count,), board), site.clock.now())
    site.publish("2")
    site.tick()
    writer.flush(Bucket("run-1", False, (), (), (), (), (count,), board + 1), site.clock.now())
    site.tick()
    yield site
    writer.close()
    site.close()


def test_the_channel_says_that_nobody_can_try_its_release(nameless: Site) -> None:
    """To be in flight for ever, with no reason given, is how a fix gets forgotten."""
    (channel,) = nameless.views.channels()

    assert (channel.machines, channel.unknown) == (0, 40)
    assert channel.state.endswith(SENTENCE)


def test_the_release_says_which_door_stands_and_why(nameless: Site) -> None:
    """The command line and the page tell of the same door."""
    _, release = [nameless.views.release(r.id) for r in reversed(nameless.views.releases(CHANNEL))]
    assert release is not None
    door = release.door["everyone"]

    assert (door.state, door.reason, door.unknown) == (State.OPENING, Reason.EVIDENCE, 40)
    assert list(stalled(release)) == [f"the door of ring everyone stands still: {SENTENCE}"]


@pytest.mark.parametrize("name", LANGUAGES)
def test_the_page_says_so_in_every_language(nameless: Site, name: str) -> None:
    """That it is being tried on 0 of 0 machines would be nonsense."""
    (channel,) = nameless.views.channels()
    release = nameless.views.releases(CHANNEL)[0]
    reader = load()[name]

    said = [*situation(reader, channel, None, release)]

    assert any("40" in sentence for sentence in said)
    assert "0" not in headline(reader, 2, release.door["everyone"])


def test_a_person_is_alerted(nameless: Site) -> None:
    """Whoever does not look at the page must hear of it."""
    notes = [s.entry.body for s in nameless.store.entries() if s.entry.kind == "note"]

    assert [(note["alert"], str(note["note"]).endswith(SENTENCE)) for note in notes] == [
        (True, True)
    ]
