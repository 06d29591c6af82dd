"""What machines get from the gate of the running tree, asked by a client that knows nothing of it.

The doors are moved by people's orders here, so that each test says itself when they move.
"""

import contextlib
import hashlib
import re
import subprocess
import threading
import time
from collections.abc import Iterator
from email.utils import formatdate, parsedate_to_datetime
from itertools import count
from pathlib import Path
from urllib.parse import urljoin

import pytest
from tests.tree import RING, Reply, Tree, basic, until

from firedoor.adapters.clock import SystemClock
from firedoor.adapters.store.register import MachineRegister
from firedoor.simulator.stage import CHANNEL

IDLE_S = 1.0
PAYLOAD_BYTES = 200_000

_numbers = count(1)
_releases = count(100)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(90)]


def put_release(root: Path, version: str) -> dict[str, bytes]:
    """Publish a release whose payload has a name of its own; return its files."""
    files = {
        f"pool/app-{version}.bin": hashlib.shake_128(version.encode()).digest(PAYLOAD_BYTES),
        "VERSION": f"{version}\n".encode(),
    }
    for path, data in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(data)
    lines = (f"{hashlib.sha256(data).hexdigest()}  {path}\n" for path, data in files.items())
    files["SHA256SUMS"] = "".join(sorted(lines)).encode()
    aside = root.parent / "SHA256SUMS.new"
    aside.write_bytes(files["SHA256SUMS"])
    aside.replace(root / "SHA256SUMS")
    return files


@pytest.fixture
def tree(tmp_path) -> Iterator[Tree]:
    """A tree of its own for each test: a pin or a hold of one must not stop the next."""
    tree = Tree(tmp_path, session_idle=f"{IDLE_S:.0f}s")
    put_release(tree.vendor_root, "0")
    with tree:
        tree.until_open(1)
        yield tree


@pytest.fixture
def machine(tree) -> str:
    """A machine that has never asked for anything."""
    name = f"till-{next(_numbers)}"
    tree.enrol(name)
    until(lambda: tree.get("VERSION", name, method="HEAD").status == 200, "the gate knows it")
    return name


def board(tree: Tree) -> tuple[str, dict[str, bytes]]:
    """Publish the next release and wait until it has boarded; return its id and files."""
    # Other tests leave doors undecided, and shut releases; then the channel waits for a person.
    if tree.door().state in ("waiting", "opening", "held"):
        tree.order("shut", release=tree.door().release)
    tree.order("unblock", channel=CHANNEL)
    files = put_release(tree.vendor_root, str(next(_releases)))

    def boarded() -> str:
        with tree.judge() as judge:
            newest = judge.boardings(CHANNEL)[-1].release
            return newest if judge.manifest(newest).keys() >= files.keys() else ""

    return until(boarded, "the release boards", tree.tail), files


def promote(tree: Tree) -> tuple[str, dict[str, bytes]]:
    """Publish the next release and let everybody have it."""
    release, files = board(tree)
    if tree.door().state != "open":
        tree.obey("expedite", release, all=True)
    tree.until_open(tree.door().number)
    return release, files


def after_idle() -> None:
    """Let every session end."""
    time.sleep(IDLE_S + 0.2)


def modified(reply: Reply) -> float:
    """Last-Modified as Unix seconds."""
    return parsedate_to_datetime(reply.headers["last-modified"]).timestamp()


def test_strangers_are_turned_away_and_told_how_to_come_in(tree, machine):
    """A machine that cannot be told apart cannot be counted, let alone protected."""
    known = tree.machines[machine]
    path = f"/{CHANNEL}/VERSION"
    strange = [
        {},
        {"Authorization": basic(machine, "wrong")},
        {"Authorization": basic("somebody-else", known.read)},
        {"Authorization": basic(machine, known.signal)},
        {"Authorization": "Basic ?"},
    ]

    answers = [tree.ask("GET", path, headers=headers) for headers in strange]
    answers.append(tree.ask("GET", f"/m/wrong{path}"))
    answers.append(tree.ask("GET", f"/m/{known.signal}{path}"))

    assert [answer.status for answer in answers] == [401] * len(answers)
    assert all(a.headers["www-authenticate"].startswith("Basic ") for a in answers)
    assert all(a.headers["content-type"] == "application/problem+json" for a in answers)


def test_a_machine_may_show_its_token_as_a_password_or_in_the_path(tree, machine):
    """Some clients can send no credentials; they get the same bytes."""
    token = tree.machines[machine].read

    by_password = tree.get("VERSION", machine)
    by_path = tree.ask("GET", f"/m/{token}/{CHANNEL}/VERSION")

    assert (by_password.status, by_path.status) == (200, 200)
    assert by_password.body == by_path.body
    assert by_password.release == by_path.release == tree.door().release


def test_a_revoked_machine_is_a_stranger_at_once(tree, machine):
    """Whoever stole a token must not go on being counted."""
    assert tree.get("VERSION", machine).status == 200

    with contextlib.closing(MachineRegister(tree.files.register, SystemClock())) as register:
        register.revoke(machine, SystemClock().now().wall_ms)

    until(lambda: tree.get("VERSION", machine).status == 401, "it is refused", patience_s=5)


def test_unknown_channels_and_files_are_not_found(tree, machine):
    """A typing error in a client's configuration must look like one."""
    assert tree.ask("GET", "/nothing/VERSION", machine=machine).status == 404
    assert tree.ask("GET", "/", machine=machine).status == 404
    assert tree.get("no-such-file", machine).status == 404
    assert tree.get("../VERSION", machine).status == 404
    assert tree.ask("POST", f"/{CHANNEL}/VERSION", machine=machine).status == 405


def test_a_folder_is_listed_as_mirroring_clients_read_it(tree, machine):
    """Mirroring tools and people with a browser find their way by links."""
    _, files = promote(tree)
    root = tree.get("", machine)
    page = root.body.decode()
    links = [link for link in re.findall(r'href="([^"]+)"', page) if link != "../"]

    found = [urljoin(f"/{CHANNEL}/", link) for link in links]
    pool = tree.ask("GET", f"/{CHANNEL}/pool/", machine=machine)

    assert (root.status, root.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert found == [f"/{CHANNEL}/{name}" for name in ("SHA256SUMS", "VERSION", "pool/")]
    assert re.findall(r'href="(?:\./)?(app-[^"]+)"', pool.body.decode()) == [
        path.removeprefix("pool/") for path in files if path.startswith("pool/")
    ]
    assert tree.get("nowhere/", machine).status == 404


def test_curl_gets_the_vendors_bytes(tree, machine, tmp_path):
    """Exact bytes through an unmodified client, whatever way the gate sends them."""
    release, files = promote(tree)
    url = f"http://127.0.0.1:{tree.ports['gate']}/{CHANNEL}"
    token = tree.machines[machine].read

    for path, data in files.items():
        target = tmp_path / path.replace("/", "-")
        command = ["curl", "-sSf", "-u", f"{machine}:{token}", "-o", str(target), f"{url}/{path}"]
        subprocess.run(command, check=True, timeout=30)
        assert target.read_bytes() == data

    assert tree.get("VERSION", machine).release == release


def test_what_a_machine_has_is_not_sent_again_until_it_changes(tree, machine):
    """Nearly every poll ends in a 304: it must be right, and it must end."""
    promote(tree)
    first = tree.get("VERSION", machine)

    again = tree.get("VERSION", machine, if_none_match=first.headers["etag"])
    _, files = promote(tree)
    after_idle()
    changed = tree.get("VERSION", machine, if_none_match=first.headers["etag"])

    assert (again.status, again.body) == (304, b"")
    assert again.headers["etag"] == first.headers["etag"]
    assert (changed.status, changed.body) == (200, files["VERSION"])


def test_the_date_of_a_release_rises_with_every_assignment_and_matches_exactly(tree, machine):
    """Clients that compare dates must take what they are assigned, newer or older."""
    seen = [tree.get("SHA256SUMS", machine)]
    for _ in range(2):
        promote(tree)
        after_idle()
        seen.append(tree.get("SHA256SUMS", machine))
    dates = [modified(reply) for reply in seen]
    now = seen[-1].headers["last-modified"]

    def since(date: str) -> int:
        reply: Reply = tree.get("SHA256SUMS", machine, if_modified_since=date)
        return reply.status

    assert dates == sorted(set(dates))
    assert since(now) == 304
    assert since(formatdate(dates[-1] + 1, usegmt=True)) == 200
    assert since(formatdate(dates[-2], usegmt=True)) == 200


def test_head_tells_the_same_and_exposes_nobody(tree, machine):
    """Monitoring asks by HEAD; it must not admit a machine to a release."""
    number = tree.machines[machine].no

    head = tree.get("VERSION", machine, method="HEAD")
    with tree.gate() as gate:
        before = gate.places_of_machine(number)
    get = tree.get("VERSION", machine)
    with tree.gate() as gate:
        after = gate.places_of_machine(number)

    assert (head.status, head.body) == (200, b"")
    for name in ("content-length", "etag", "firedoor-release", "accept-ranges"):
        assert head.headers[name] == get.headers[name]
    assert before == []
    assert [stored.place.treated for stored in after] == [True]


def test_a_download_is_resumed_only_on_the_same_bytes(tree, machine):
    """Half of one release and half of another is worse than nothing."""
    _, files = promote(tree)
    (path,) = (name for name in files if name.startswith("pool/"))
    whole = tree.get(path, machine)
    etag = whole.headers["etag"]

    rest = tree.get(path, machine, range="bytes=150000-", if_range=etag)
    other = tree.get(path, machine, range="bytes=150000-", if_range='"of-another-file"')
    beyond = tree.get(path, machine, range=f"bytes={PAYLOAD_BYTES}-")

    assert (rest.status, rest.body) == (206, files[path][150_000:])
    assert rest.headers["content-range"] == f"bytes 150000-{PAYLOAD_BYTES - 1}/{PAYLOAD_BYTES}"
    assert (other.status, other.body) == (200, files[path])
    assert (beyond.status, beyond.headers["content-range"]) == (416, f"bytes */{PAYLOAD_BYTES}")


def test_a_machine_in_the_middle_of_a_release_finishes_it(tree, machine):
    """Promise 1: it read release A's index, so it gets A's files, even while the door moves."""
    old, old_files = promote(tree)
    after_idle()
    (payload,) = (name for name in old_files if name.startswith("pool/"))
    index = tree.get("SHA256SUMS", machine)
    during: list[Reply] = []
    moved = threading.Event()

    def go_on_reading() -> None:
        while not moved.wait(0.2):
            during.append(tree.get("VERSION", machine))

    reading = threading.Thread(target=go_on_reading)
    reading.start()
    try:
        new, _ = promote(tree)
    finally:
        moved.set()
        reading.join()
    last = tree.get(payload, machine)
    after_idle()
    afterwards = tree.get("VERSION", machine)

    assert index.release == old
    assert {reply.release for reply in during} == {old}
    assert (last.status, last.release, last.body) == (200, old, old_files[payload])
    assert afterwards.release == new


def test_a_machine_in_the_middle_of_a_release_finishes_it_although_the_gate_was_killed(
    tree, machine
):
    """Promise 1 again: the door moves while the gate is down, and the machine tries on."""
    old, old_files = promote(tree)
    after_idle()
    index = tree.get("SHA256SUMS", machine)
    new, _ = board(tree)
    with tree.down("gate"):
        tree.order("expedite", new, all=True)
    (payload,) = (name for name in old_files if name.startswith("pool/"))
    resumed = tree.get(payload, machine)
    after_idle()
    afterwards = tree.get("VERSION", machine)

    assert index.release == old
    assert (resumed.status, resumed.release) == (200, old)
    assert resumed.body == old_files[payload]
    assert afterwards.release == new


def test_shutting_a_release_withholds_it_at_once_even_within_a_session(tree, machine):
    """Containment: whoever holds its index already must not get its payload any more."""
    old, _ = promote(tree)
    bad, bad_files = promote(tree)
    after_idle()
    (payload,) = (name for name in bad_files if name.startswith("pool/"))
    index = tree.get("SHA256SUMS", machine)
    assert index.release == bad
    assert tree.get(payload, machine, method="HEAD").status == 200

    tree.obey("shut", bad)

    assert tree.get(payload, machine).status == 404
    again = tree.get("SHA256SUMS", machine)
    assert again.release == old
    assert modified(again) > modified(index)


def test_pinning_an_older_release_takes_the_ring_back_to_it(tree, machine):
    """A revert is the previous content, given so that this client accepts it."""
    old, old_files = promote(tree)
    promote(tree)
    after_idle()
    before = tree.get("SHA256SUMS", machine)

    tree.obey("pin", old, channel=CHANNEL, ring=RING)
    try:
        index = tree.get("SHA256SUMS", machine, if_none_match=before.headers["etag"])
        files = {path: tree.get(path, machine).body for path in old_files}
    finally:
        tree.obey("unpin", channel=CHANNEL, ring=RING)

    assert (index.status, index.release) == (200, old)
    assert modified(index) > modified(before)
    assert files == old_files
