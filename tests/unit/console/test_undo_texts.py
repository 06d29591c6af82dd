"""How clients are undone is told in the reader's language, for every kind of client."""

import msgspec
import pytest
from tests.unit.console import scenes
from tests.unit.console.asking import console, get
from tests.unit.wire.site import CHANNEL, Site

from firedoor.console.language import Language
from firedoor.console.model import UndoView
from firedoor.core.channel import Kind, Traits, traits

KINDS = [traits(kind, signed=signed) for kind in Kind for signed in (False, True)]


@pytest.mark.parametrize("clients", KINDS)
def test_every_sentence_of_every_kind_is_translated(clients: Traits):
    """A kind that comes later must not speak English to a Chinese reader."""
    chinese = Language("zh_Hans")
    said = [way.how for way in clients.undo] + ([clients.refused] if clients.refused else [])

    assert [sentence for sentence in said if chinese.gettext(sentence) == sentence] == []


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("en", ("<b>revert</b>: suricata-update takes", "A client that is served nothing: suric")),
        ("zh_Hans", ("<b>回退</b>: suricata-update 拿到", "得不到任何内容的客户端： suric")),
    ],
)
def test_the_page_tells_the_verbs_and_what_a_client_does_that_is_served_nothing(name, words):
    """Before anything has to be undone, and beside the channel that it is about."""
    world = scenes.opening()
    (channel,) = world.channels()
    clients = next(each for each in KINDS if "--fail" in each.refused)
    undo = tuple(UndoView(verb=way.verb.value, how=way.how) for way in clients.undo)
    world.views = [msgspec.structs.replace(channel, undo=undo, served_nothing=clients.refused)]

    text = get(console(world), f"/?lang={name}").text

    assert all(word in text for word in words)


def test_a_channel_of_the_read_model_has_its_verbs(tmp_path):
    """Also before the judge has ever run."""
    site = Site(tmp_path)

    (channel,) = site.views.channels()
    site.close()

    assert channel.name == CHANNEL
    assert [way.verb for way in channel.undo] == ["contain", "revert", "remedy"]
