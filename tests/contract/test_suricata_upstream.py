"""Rule feeds as an upstream: a feed that boards has rules, and a digest that fits.

suricata-update itself reads what the mirror took in ``tests/e2e/test_suricata.py``.
"""

import io
import os
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import pytest
from tests.debian import replace
from tests.servers import NGINX, nginx_server
from tests.suricata import FEED, md5, packed, publish, rules

from firedoor.adapters.blobs.disk import DiskBlobs
from firedoor.adapters.clock import SystemClock
from firedoor.adapters.upstream.directory import DirectoryUpstream
from firedoor.adapters.upstream.http import HttpUpstream
from firedoor.adapters.upstream.repository import nothing_before
from firedoor.adapters.upstream.suricata import SuricataUpstream
from firedoor.core.errors import FiredoorError, Unavailable, Untrusted, UpstreamMoved
from firedoor.core.units import Digest, UnixMs
from firedoor.ports import BlobStore, Fetched, Instant, Listed
from firedoor.services.mirror import take_snapshot
from firedoor.services.snapshot import Snapshot

LONG_AGO = 1_700_000_000


class CountedBlobs(DiskBlobs):
    """A blob store that remembers how much was put into it."""

    written = 0

    def put(self, chunks: Iterator[bytes], expected: Digest | None = None) -> tuple[Digest, int]:
        """As the port says."""
        digest, size = super().put(chunks, expected)
        self.written += size
        return digest, size


@pytest.fixture
def vendor(tmp_path: Path) -> Path:
    """What the vendor serves: one feed of two rules."""
    folder = tmp_path / "vendor"
    folder.mkdir()
    publish(folder, "worm", "scan")
    return folder


def mirrored(
    vendor: Path, *feeds: str, before: Snapshot | None = None, blobs: DiskBlobs | None = None
) -> Snapshot:
    """What the mirror takes of it."""
    blobs = blobs or DiskBlobs(vendor.parent / "blobs")
    source = DirectoryUpstream(vendor, SystemClock())
    known = nothing_before if before is None else before.fetched
    upstream = SuricataUpstream(source, feeds or (FEED,), blobs, previous=known)
    return take_snapshot(upstream, blobs, before)


def content(vendor: Path, snapshot: Snapshot, path: str) -> bytes:
    """Bytes of a file that was taken."""
    blobs = DiskBlobs(vendor.parent / "blobs")
    return Path(blobs.path(snapshot.manifest[path].sha256)).read_bytes()


def test_a_feed_comes_with_the_digest_that_clients_ask_for_first(vendor: Path) -> None:
    """With a digest of another release a client would never fetch, or always."""
    found = mirrored(vendor)

    assert set(found.manifest) == {FEED, f"{FEED}.md5"}
    feed = (vendor / FEED).read_bytes()
    assert content(vendor, found, FEED) == feed
    assert content(vendor, found, f"{FEED}.md5").decode().strip() == md5(feed)


@pytest.mark.parametrize("form", ["{}", "{}\n", "{}  vendor.rules.tar.gz\n"])
def test_the_digest_of_a_vendor_is_checked_and_not_passed_on(vendor: Path, form: str) -> None:
    """Some write a name behind it, which the client would take for a part of the digest."""
    feed = (vendor / FEED).read_bytes()
    (vendor / f"{FEED}.md5").write_text(form.format(md5(feed).upper()))
    assert content(vendor, mirrored(vendor), f"{FEED}.md5").decode() == f"{md5(feed)}\n"

    publish(vendor, "worm", "scan", "flood")
    with pytest.raises(Untrusted, match=r"not what its \.md5 says"):
        mirrored(vendor)
    (vendor / f"{FEED}.md5").write_text("<html>not found</html>")
    with pytest.raises(Untrusted, match="no MD5 digest"):
        mirrored(vendor)


def test_a_feed_that_did_not_change_is_not_fetched_again(vendor: Path) -> None:
    """Five megabytes every ten minutes, for each channel, would not be liked by a vendor."""
    os.utime(vendor / FEED, (LONG_AGO, LONG_AGO))
    blobs = CountedBlobs(vendor.parent / "blobs")
    source = DirectoryUpstream(vendor, _Later())
    first = take_snapshot(SuricataUpstream(source, (FEED,), blobs), blobs)
    once = blobs.written
    kept = Snapshot.from_bytes(first.to_bytes())

    again = take_snapshot(
        SuricataUpstream(source, (FEED,), blobs, previous=kept.fetched), blobs, kept
    )

    assert again.manifest == first.manifest
    size = (vendor / FEED).stat().st_size
    assert once >= size
    assert blobs.written - once < size

    publish(vendor, "other")
    renewed = take_snapshot(
        SuricataUpstream(source, (FEED,), blobs, previous=kept.fetched), blobs, kept
    )
    assert content(vendor, renewed, FEED) == (vendor / FEED).read_bytes()


class _Later(SystemClock):
    """The system's clock, an hour on: a file that was written now has settled."""

    def now(self) -> Instant:
        """As the port says, an hour on."""
        now = super().now()
        return Instant(now.boot, now.mono_ms, UnixMs(now.wall_ms + 3_600_000))


def test_a_feed_that_changes_while_it_is_read_is_no_release(vendor: Path) -> None:
    """The digest of one and the bytes of another freeze every client that reads them."""
    blobs = DiskBlobs(vendor.parent / "blobs")

    class Moving(SuricataUpstream):
        """Its vendor publishes while the files are fetched."""

        def fetch(self, listed: Listed, known: Fetched | None, into: BlobStore) -> Fetched:
            """As the port says."""
            publish(vendor, "other")
            return super().fetch(listed, known, into)

    with pytest.raises(UpstreamMoved, match="changed while upstream was mirrored"):
        take_snapshot(Moving(DirectoryUpstream(vendor, SystemClock()), (FEED,), blobs), blobs)


@pytest.mark.skipif(NGINX is None, reason="needs nginx")
def test_a_feed_is_the_same_over_http(vendor: Path, tmp_path: Path) -> None:
    """Vendors publish with a digest beside it, or without; a server says 404 of it then."""
    os.utime(vendor / FEED, (LONG_AGO, LONG_AGO))
    here = mirrored(vendor)
    blobs = CountedBlobs(tmp_path / "other")

    with nginx_server(vendor, tmp_path / "nginx") as url:
        source = HttpUpstream(url, Random(0), SystemClock())
        there = take_snapshot(SuricataUpstream(source, (FEED,), blobs), blobs)
        assert there.manifest == here.manifest
        once = blobs.written
        again = SuricataUpstream(source, (FEED,), blobs, previous=there.fetched)
        assert take_snapshot(again, blobs, there).manifest == here.manifest
        assert blobs.written - once < (vendor / FEED).stat().st_size

        (vendor / f"{FEED}.md5").write_text("0" * 32)
        with pytest.raises(Untrusted, match=r"not what its \.md5 says"):
            take_snapshot(SuricataUpstream(source, (FEED,), blobs), blobs)


def zipped(files: dict[str, bytes]) -> bytes:
    """The same as ``packed`` for vendors that like zip better."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return data.getvalue()


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("all.rules", rules("worm")),
        ("all.zip", zipped({"all.rules": rules("worm")})),
        ("all.tar.gz", packed({"a/all.rules": b"drop ip any any -> any any (sid:1;)"})),
    ],
)
def test_a_feed_may_be_an_archive_or_plain_rules(vendor: Path, name: str, data: bytes) -> None:
    """suricata-update takes tar, zip and plain files."""
    (vendor / name).write_bytes(data)

    assert {name, FEED} < set(mirrored(vendor, name, FEED).manifest)


@pytest.mark.parametrize(
    ("name", "spoil", "complaint"),
    [
        (FEED, lambda feed: feed[: len(feed) // 2], "cannot be"),
        (FEED, lambda _: b"<html>maintenance</html>", "cannot be"),
        (FEED, lambda _: packed({"readme.txt": rules("worm")}), "has no rule"),
        (
            FEED,
            lambda _: packed({"a.rules": rules("worm").replace(b"alert", b"# alert")}),
            "no rule",
        ),
        (FEED, lambda _: packed({"a.rules": b"a" * (3 << 20)}), "a line is longer"),
        (FEED, lambda _: packed({"a.bin": bytes(300 << 20)}), "unpacks to more than"),
        (FEED, lambda _: packed({f"{n}.txt": b"" for n in range(10_002)}), "more than 10000 files"),
        (FEED, lambda _: b"", "cannot be"),
        ("a.zip", lambda _: b"PK\x03\x04", "cannot be read"),
        ("a.zip", lambda _: zipped({"a.rules": bytes(300 << 20)}), "unpacks to more than"),
        ("a.rules", lambda _: b"", "has no rule"),
    ],
    ids=[
        "cut",
        "page",
        "none",
        "disabled",
        "line",
        "bomb",
        "files",
        "empty",
        "zip",
        "zip bomb",
        "0",
    ],
)
def test_a_broken_feed_is_refused(
    vendor: Path, name: str, spoil: Callable[[bytes], bytes], complaint: str
) -> None:
    """Clients take it for a feed without rules, end well, and have no protection any more."""
    replace(vendor / name, spoil((vendor / FEED).read_bytes()))

    with pytest.raises(Untrusted, match=complaint):
        mirrored(vendor, name)


def test_a_feed_that_is_not_there_is_named(vendor: Path) -> None:
    """Vendors name feeds after the version of the engine, and take old ones away."""
    with pytest.raises(Unavailable, match=r"no other\.tar\.gz") as refused:
        mirrored(vendor, "other.tar.gz")
    assert isinstance(refused.value, FiredoorError)
    assert "feeds" in refused.value.hint
