"""What strangers, broken agents and broken vendors send to the running tree."""

import gzip
import hashlib
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from http import HTTPStatus

import pytest
from tests.tree import Reply, Tree, basic, until

from firedoor.adapters.store.signals import SignalReader
from firedoor.simulator.content import LIST
from firedoor.simulator.stage import CHANNEL

LIMIT = 64 * 1024

pytestmark = [pytest.mark.slow, pytest.mark.timeout(90)]


@pytest.fixture(scope="module")
def tree(tmp_path_factory) -> Iterator[Tree]:
    """A tree that has adopted release 1.0, and two machines."""
    tree = Tree(tmp_path_factory.mktemp("input"))
    tree.publish("1.0")
    with tree:
        tree.enrol("till-1", "till-2")
        tree.until_open(1)
        until(lambda: tree.get("version.json", "till-1").status == HTTPStatus.OK, "it is served")
        yield tree


def line(machine: str, kind: str, key: str) -> bytes:
    """A signal as an agent sends it."""
    return json.dumps(
        {"machine": machine, "time": time.time_ns() // 1_000_000, "kind": kind, "id": key}
    ).encode()


def post(tree: Tree, body: bytes, machine: str = "till-1", **headers: str) -> Reply:
    """Send signals as a machine."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return tree.ask("POST", "/v1/signals", role="intake", machine=machine, body=body, headers=named)


def stored(tree: Tree, key: str) -> bool:
    """Say whether an event with this id is in the intake's store."""
    reader = SignalReader(tree.files.signals)
    try:
        return any(event.event.key == key for event in reader.events_after(0, 10_000))
    finally:
        reader.close()


def channel_error(tree: Tree) -> str:
    """Why the last look at upstream failed, "" if it did not."""
    with tree.judge() as judge:
        return judge.channel(CHANNEL).error


def channel_show(tree: Tree) -> str:
    """What the command line says of the channel."""
    command = [sys.executable, "-m", "firedoor", "channel", "show", CHANNEL, "--json"]
    config = ("--config", str(tree.root / "firedoor.toml"))
    done = subprocess.run([*command, *config], check=True, capture_output=True, text=True)
    return done.stdout


def test_an_unknown_machine_is_refused_by_the_intake(tree):
    """Health that anybody may report is no evidence."""
    known = tree.machines["till-1"]
    body = line("till-1", "panic", "from-a-stranger")
    credentials = ["", basic("till-1", "wrong"), "Bearer wrong", basic("till-1", known.read)]

    answers = [
        tree.ask(
            "POST", "/v1/signals", role="intake", body=body, headers={"Authorization": given}
        ).status
        for given in credentials
    ]

    assert answers == [401] * len(credentials)
    assert not stored(tree, "from-a-stranger")


def test_a_malformed_line_is_named_and_the_others_are_accepted(tree):
    """One broken line must not cost the crash report beside it."""
    body = b"\n".join(
        (
            line("till-1", "panic", "line-1"),
            b'{"machine": "till-1", "kind": ',
            line("till-1", "bugcheck", "line-3"),
            line("till-1", "on-fire", "line-4"),
            b"",
            line("till-2", "panic", "line-6"),
            b"\xff\xfe\x00",
            line("till-1", "coredump", "line-8"),
        )
    )

    reply = post(tree, body)

    answer = json.loads(reply.body)
    assert (reply.status, answer["accepted"], answer["duplicates"]) == (200, 3, 0)
    assert sorted(each["line"] for each in answer["rejected"]) == [2, 4, 6, 7]
    assert all(each["error"] for each in answer["rejected"])
    assert [stored(tree, f"line-{number}") for number in (1, 3, 4, 6, 8)] == [
        True,
        True,
        False,
        False,
        True,
    ]


def test_a_body_over_the_limit_is_refused_whole(tree):
    """The limit holds for what is sent and for what it unpacks to."""
    big = line("till-1", "panic", "too-big") + b"\n" + b" " * LIMIT
    unpacks_to_big = gzip.compress(big)

    announced = post(tree, big)
    packed = post(tree, unpacks_to_big, content_encoding="gzip")
    within = post(tree, line("till-1", "panic", "just-right"))

    assert (announced.status, packed.status, within.status) == (413, 413, 200)
    assert len(unpacks_to_big) < LIMIT
    assert not stored(tree, "too-big")
    assert stored(tree, "just-right")


def test_a_body_that_is_not_what_it_says_is_refused(tree):
    """A damaged body must not be taken for an empty one."""
    damaged = gzip.compress(line("till-1", "panic", "damaged"))[:-6]

    assert post(tree, damaged, content_encoding="gzip").status == 400
    assert post(tree, b"x", content_encoding="br").status == 415
    assert not stored(tree, "damaged")


def test_while_upstream_is_down_the_last_good_release_is_served(tree):
    """A vendor's outage is not the machines' outage, and the operator is told why nothing comes."""
    before = tree.get("version.json", "till-1")

    tree.stop_vendor()
    try:
        until(lambda: channel_error(tree), "the judge notes that upstream is down", tree.tail)
        during = tree.get("version.json", "till-1")
        said = channel_error(tree)
        shown = channel_show(tree)
    finally:
        tree.start_vendor()
    until(lambda: not channel_error(tree), "the mirror finds upstream again", tree.tail)

    assert (during.status, during.body, during.release) == (200, before.body, before.release)
    assert "refused" in said
    assert said in shown


def test_while_upstream_contradicts_itself_the_last_good_release_is_served(tree):
    """Bytes that are not what the vendor's own list promises never become a release."""
    before = tree.get("version.json", "till-1")
    with tree.judge() as judge:
        boardings = len(judge.boardings(CHANNEL))
    listing = tree.vendor_root / LIST
    kept = listing.read_text()
    promised = hashlib.sha256(before.body).hexdigest()

    listing.write_text(kept.replace(promised, hashlib.sha256(b"something else").hexdigest()))
    try:
        until(lambda: channel_error(tree), "the judge notes what is wrong upstream", tree.tail)
        said = channel_error(tree)
        during = tree.get("version.json", "till-1")
    finally:
        listing.write_text(kept)
    until(lambda: not channel_error(tree), "the mirror is content again", tree.tail)

    assert "version.json" in said
    assert (during.status, during.body, during.release) == (200, before.body, before.release)
    with tree.judge() as judge:
        assert len(judge.boardings(CHANNEL)) == boardings
