"""Snapshots: all of an upstream at one moment, or nothing; and nothing twice."""

import hashlib
import os
import random
import threading

import pytest
from tests.servers import Answer, ToldVendor, page, serving

from firedoor.adapters.blobs.disk import DiskBlobs
from firedoor.adapters.clock import SystemClock
from firedoor.adapters.upstream.directory import DirectoryUpstream
from firedoor.adapters.upstream.get import Manners
from firedoor.adapters.upstream.http import HttpUpstream
from firedoor.core.errors import Unavailable, Untrusted, UpstreamMoved
from firedoor.services.mirror import (
    FIRST_RETRY_MS,
    JITTER,
    next_poll,
    take_snapshot,
)
from firedoor.services.snapshot import Snapshot

V1 = {"agent.bin": b"agent 1", "rules/a.rules": b"rules 1", "version": b"same"}
V2 = {**V1, "agent.bin": b"agent 2", "rules/a.rules": b"rules 2"}
V3 = {**V2, "new.bin": b"new"}


def digest_of(data):
    return hashlib.sha256(data).hexdigest()


def sums_of(files):
    return "".join(f"{digest_of(data)}  {path}\n" for path, data in files.items()).encode()


def contents(snapshot, blobs):
    """What a machine would find, without the list."""
    found = {}
    for path, entry in snapshot.manifest.items():
        with open(blobs.path(entry.sha256), "rb") as file:  # noqa: PTH123 - a string by contract
            found[path] = file.read()
    found.pop("SHA256SUMS", None)
    return found


class Publisher:
    """A vendor on HTTP that publishes its next version after a number of requests."""

    def __init__(self, told, *, sums):
        self.told = told
        self._sums = sums
        self._switch_at: int | None = None
        self._next: dict[str, bytes] = {}
        self.publish(V1)
        told.answer = self._answer

    def publish(self, files, after=None):
        """Serve these files, now or after so many more requests."""
        if after is None:
            self._files = files
        else:
            self._next, self._switch_at = files, len(self.told.asked) + after

    def _answer(self, asked):
        if self._switch_at is not None and len(self.told.asked) > self._switch_at:
            self._files, self._switch_at = self._next, None
        if asked.path.endswith("/"):
            inside = [path.removeprefix(asked.path[1:]) for path in self._files]
            names = {name.split("/")[0] + "/" * ("/" in name) for name in inside if name[:1] != "/"}
            body = page(*sorted(name for name in names if asked.path == "/" or "/" not in name))
            if asked.path == "/rules/":
                body = page("a.rules")
            return Answer(body, headers={"Content-Type": "text/html"})
        sums = sums_of(self._files) if self._sums else None
        return serving(self._files, sums)(asked)


@pytest.fixture
def told():
    with ToldVendor(serving({}), None) as vendor:
        yield vendor


@pytest.fixture
def blobs(tmp_path):
    return DiskBlobs(tmp_path / "blobs")


@pytest.fixture
def upstream(told):
    return HttpUpstream(
        told.url, random.Random(1), SystemClock(), manners=Manners(attempts=2, pause_s=0.01)
    )


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "vendor"
    root.mkdir()
    return root


@pytest.mark.parametrize("sums", [True, False], ids=["promised", "listed"])
def test_a_snapshot_is_all_of_the_upstream(told, upstream, blobs, sums):
    """Every file of the list, byte for byte."""
    Publisher(told, sums=sums)

    snapshot = take_snapshot(upstream, blobs)

    assert contents(snapshot, blobs) == V1
    assert snapshot.total_bytes == sum(entry.size for entry in snapshot.manifest.values())


@pytest.mark.parametrize("sums", [True, False], ids=["promised", "listed"])
def test_an_unchanged_upstream_costs_no_body(told, upstream, blobs, sums):
    """A thousand quiet polls must not be a thousand downloads."""
    Publisher(told, sums=sums)
    first = take_snapshot(upstream, blobs)
    del told.asked[:]

    second = take_snapshot(upstream, blobs, first)

    assert second == first
    files = [asked for asked in told.asked if asked.path.removeprefix("/") in V1]
    assert all(asked.headers["If-None-Match"] for asked in files)
    assert len(files) == (0 if sums else len(V1))


@pytest.mark.parametrize("sums", [True, False], ids=["promised", "listed"])
def test_only_what_changed_is_brought(told, upstream, blobs, sums):
    """An update of one file costs one file."""
    publisher = Publisher(told, sums=sums)
    first = take_snapshot(upstream, blobs)
    publisher.publish(V2)
    inode = os.stat(blobs.path(digest_of(b"same"))).st_ino  # noqa: PTH116 - a string by contract

    second = take_snapshot(upstream, blobs, first)

    assert contents(second, blobs) == V2
    assert second.manifest["version"] == first.manifest["version"]
    assert os.stat(blobs.path(digest_of(b"same"))).st_ino == inode  # noqa: PTH116


@pytest.mark.parametrize("later", [V2, V3], ids=["same names", "a new name"])
@pytest.mark.parametrize("sums", [True, False], ids=["promised", "listed"])
def test_whenever_upstream_changes_no_snapshot_is_a_mix(told, upstream, blobs, sums, later):
    """The new agent with the old rules was never tested by anybody."""
    publisher = Publisher(told, sums=sums)
    refused = 0
    for after in range(14):
        publisher.publish(V1)
        publisher.publish(later, after=after)
        try:
            found = contents(take_snapshot(upstream, blobs), blobs)
        except UpstreamMoved:
            refused += 1
        else:
            assert found in (V1, later)
        # The next poll finds it at rest.
        publisher.publish(later)
        assert contents(take_snapshot(upstream, blobs), blobs) == later

    assert refused > 0


def test_a_lie_that_stays_is_no_update_in_progress(told, upstream, blobs):
    """When the list has not moved, wrong bytes are wrong bytes: a person should look."""
    told.answer = serving({"agent.bin": b"tampered"}, sums_of({"agent.bin": b"agent 1"}))

    with pytest.raises(Untrusted, match=r"agent\.bin"):
        take_snapshot(upstream, blobs)


def test_an_emptied_upstream_is_no_release(folder, blobs):
    """Someone's failed sync must not take every file from every machine."""
    with pytest.raises(Unavailable, match="no files at all"):
        take_snapshot(DirectoryUpstream(folder, SystemClock()), blobs)


def test_more_than_the_disk_should_hold_is_refused(folder, blobs):
    """Before the disk is full, and with at most one file too many."""
    for number in range(10):
        (folder / f"{number}").write_bytes(b"%d" % number * 100)
    upstream = DirectoryUpstream(folder, SystemClock())

    with pytest.raises(Untrusted, match="more than 250 bytes"):
        take_snapshot(upstream, blobs, max_total_bytes=250)

    assert [blobs.has(digest_of(b"%d" % n * 100)) for n in range(4)] == [True, True, True, False]


def test_promises_over_the_limit_are_refused_before_the_first_byte(told, upstream, blobs):
    """The list said so."""
    url = told.url + "list.json"
    text = b'[{"path": "a", "size": 200}, {"path": "b", "size": 200}]'
    told.answer = serving({"list.json": text, "a": b"a" * 200, "b": b"b" * 200})
    upstream = HttpUpstream(url, random.Random(1), SystemClock())

    with pytest.raises(Untrusted, match="more than 300 bytes"):
        take_snapshot(upstream, blobs, max_total_bytes=300)

    assert not blobs.has(digest_of(b"a" * 200))


def test_a_snapshot_survives_a_restart(told, upstream, blobs):
    """After a restart the quiet poll is quiet too."""
    Publisher(told, sums=False)
    first = take_snapshot(upstream, blobs)

    restored = Snapshot.from_bytes(first.to_bytes())

    assert restored == first
    assert restored.to_bytes() == first.to_bytes()
    assert take_snapshot(upstream, blobs, restored) == first


def test_polls_are_spread_around_their_interval():
    """Many channels and installations must not come in step."""
    rng = random.Random(3)

    waits = [next_poll(600_000, 0, rng) for _ in range(500)]

    assert min(waits) >= 600_000 * (1 - JITTER)
    assert max(waits) <= 600_000 * (1 + JITTER)
    assert max(waits) - min(waits) > 600_000 * JITTER


def test_after_failures_the_next_poll_is_soon_and_then_ever_later():
    """A short outage must not delay a security fix; a long one must not become a storm."""
    rng = random.Random(3)

    waits = [next_poll(600_000, failures, rng) for failures in (1, 2, 3, 6, 7, 100, 10**9)]

    for wait, expected in zip(waits, (1, 2, 4, 32, 40, 40, 40), strict=True):
        assert abs(wait - expected * FIRST_RETRY_MS) <= JITTER * expected * FIRST_RETRY_MS


def test_a_failing_channel_is_never_asked_less_often_than_usual():
    """Whoever polls every second, as the demo does, means it."""
    assert next_poll(1000, 50, random.Random(3)) <= 1100


@pytest.mark.parametrize(("interval", "failures"), [(0, 0), (-1, 0), (1000, -1)])
def test_a_poll_that_makes_no_sense_is_a_mistake_of_the_caller(interval, failures):
    """It would become a busy loop against the vendor."""
    with pytest.raises(ValueError, match="interval"):
        next_poll(interval, failures, random.Random(3))


MANY = {f"{number:02d}.bin": b"%d" % number * 50_000 for number in range(12)}


def test_files_are_fetched_side_by_side(told, blobs, tmp_path):
    """A mirror of ten thousand packages waits for its line, not for each answer."""
    meeting, answer = threading.Barrier(4), serving(MANY, sums_of(MANY))

    def together(asked):
        if asked.path.endswith(".bin"):
            meeting.wait(20)
        return answer(asked)

    told.answer = together
    upstream = HttpUpstream(told.url, random.Random(1), SystemClock(), at_once=4)

    snapshot = take_snapshot(upstream, blobs, at_once=4)

    assert contents(snapshot, blobs) == MANY
    told.answer = answer
    others = DiskBlobs(tmp_path / "one after the other")
    alone = take_snapshot(HttpUpstream(told.url, random.Random(1), SystemClock()), others)
    assert alone.manifest == snapshot.manifest
    assert alone.validators == snapshot.validators


def test_the_first_file_that_fails_ends_a_look_side_by_side(told, upstream, blobs):
    """What is under way ends, and nothing else is begun."""
    answer = serving(MANY, sums_of(MANY))

    def broken(asked):
        return Answer(b"", 404) if asked.path == "/03.bin" else answer(asked)

    told.answer = broken

    with pytest.raises(UpstreamMoved, match=r"03\.bin"):
        take_snapshot(upstream, blobs, at_once=4)

    asked = {each.path for each in told.asked if each.path.endswith(".bin")}
    assert "/11.bin" not in asked
