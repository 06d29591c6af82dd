"""Orders to pick packages: who is refused at once, and what is found out when it is done."""

import json
import threading
import time

import msgspec
import pytest
from tests.loop import AV, Loop, memory

from firedoor.adapters.blobs.disk import DiskBlobs
from firedoor.config.read import from_text
from firedoor.services.order import Order
from firedoor.services.records import Block
from firedoor.wire import pickings as module
from firedoor.wire.picking import Picked
from firedoor.wire.pickings import Made, Pickings

CONFIG = f"""
data = "data"
[[channel]]
name = "{AV}"
kind = "apt"
upstream = "https://example.org/debian"
suites = ["stable"]
trust = ["/etc/vendor.gpg"]
sign = "/etc/gate.key"
"""
ORDER = Order("pick", "Amira", "under attack", AV, packages=("openssh",))


@pytest.fixture
def loop():
    """A fleet that has release 1; release 2 is in flight."""
    with memory() as folder:
        made = Loop(folder, 60)
        made.settle_in()
        made.publish("2")
        made.bucket()
        yield made
        made.close()


@pytest.fixture
def pickings(loop, tmp_path):
    """Of a gate that signs the channel."""
    config = from_text(CONFIG, base=tmp_path)
    return Pickings(config, loop.store, DiskBlobs(tmp_path / "blobs"))


def refusal(answer):
    return answer.status, json.loads(answer.body)["error"]


@pytest.mark.parametrize(
    ("order", "says"),
    [
        ({"by": " "}, "say who asks"),
        ({"reason": " "}, "wants a reason"),
        ({"reason": "x" * 501}, "longer than 500"),
        ({"packages": ()}, "1 to 50 packages"),
        ({"packages": ("a",) * 51}, "1 to 50 packages"),
        ({"release": "zz"}, "no release id"),
        ({"release": "0123456"}, "no release of av begins with"),
    ],
)
def test_what_makes_no_sense_is_refused_at_once(pickings, loop, order, says):
    """No index is read for it."""
    answer = pickings.ask(1, msgspec.structs.replace(ORDER, **order), loop.train)

    assert says in refusal(answer)[1]


def test_of_a_pinned_channel_nothing_is_picked(pickings, loop):
    """Nothing would board."""
    loop.order("pin", channel=AV, release=loop.release_of(1))

    assert "is pinned" in refusal(pickings.ask(1, ORDER, loop.train))[1]


def test_of_a_channel_that_waits_for_a_person_nothing_is_picked(pickings, loop):
    """It would be answered that it boards next, and it would not."""
    with loop.store.step():
        loop.train.block(AV, Block.BAD_ENDS)

    answer = pickings.ask(1, ORDER, loop.train)

    assert "before a person resumes it (bad ends)" in refusal(answer)[1]


@pytest.mark.parametrize("boarded", [True, False])
def test_a_second_pick_is_made_of_the_first_while_that_is_tried(pickings, loop, boarded):
    """Else it would undo the first: machines would get the one package and not the other."""
    first = loop.pick({"av.db": "1", "fix": "1"})
    if boarded:
        loop.bucket()
        assert loop.release_of(3) == first
    made = Made(1, ORDER, loop.release_of(1), first, {}, ("openssh 2",))

    answer = pickings.take(made, loop.train, loop.judge.ledger, loop.clock.now())

    assert "changed meanwhile" in refusal(answer)[1]
    second = Made(2, ORDER, first, first, {}, ("openssh 2",))
    with loop.store.step():
        answer = pickings.take(second, loop.train, loop.judge.ledger, loop.clock.now())
    assert answer.status == "ok"


def test_a_few_are_made_at_a_time_and_the_next_is_told_to_come_again(pickings, loop, monkeypatch):
    """Each reads two indices: a script that asks a thousand times must not fill the memory."""
    go = threading.Event()
    monkeypatch.setattr(module, "pick", lambda *_: (go.wait(), Picked({}, ()))[1])
    asked = [pickings.ask(number, ORDER, loop.train) for number in range(1, 6)]
    go.set()

    assert asked[:4] == [None] * 4
    assert refusal(asked[4])[0] == "TooMuch"
    found: list[Made] = []
    until = time.monotonic() + 30
    while len(found) < 4 and time.monotonic() < until:
        found += pickings.collect(Undressed())
        time.sleep(0.01)
    assert [made.number for made in found] == [1, 2, 3, 4]
    assert pickings.ask(6, ORDER, loop.train) is None


def test_a_mistake_of_ours_is_an_answer_too(pickings, loop, monkeypatch):
    """Whoever asked would wait for nothing."""
    monkeypatch.setattr(module, "pick", lambda *_: 1 // 0)
    assert pickings.ask(1, ORDER, loop.train) is None
    until = time.monotonic() + 30
    found: list[Made] = []
    while not found and time.monotonic() < until:
        found = pickings.collect(Undressed())
        time.sleep(0.01)

    assert "ZeroDivisionError" in str(found[0].error)


def test_what_machines_have_may_have_changed_meanwhile(pickings, loop):
    """What was made of an older release would take them back."""
    was = loop.release_of(1)
    loop.order("expedite", release=loop.release_of(2), reason="x", all=True)
    loop.bucket()

    answer = pickings.take(
        Made(1, ORDER, was, was, {}, ("openssh 2",)),
        loop.train,
        loop.judge.ledger,
        loop.clock.now(),
    )

    assert "changed meanwhile" in refusal(answer)[1]


class Undressed:
    """Signs nothing."""

    def sign(self, _channel, manifest):
        """As it is."""
        return manifest
