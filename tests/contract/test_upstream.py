"""Upstreams: the same tree is the same content, however it is read.

Run against real servers. nginx prints chunked listings and makes ETags from time and size;
python's http.server speaks HTTP/1.0, has no ETag, and calls any file that is not newer unchanged.
"""

import contextlib
import hashlib
import os
import random
import time
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from tests.servers import NGINX, nginx_server, python_server

from firedoor.adapters.blobs.disk import DiskBlobs
from firedoor.adapters.clock import SystemClock
from firedoor.adapters.upstream.directory import DirectoryUpstream
from firedoor.adapters.upstream.http import HttpUpstream
from firedoor.adapters.upstream.index import Limits
from firedoor.core.errors import Untrusted, UpstreamMoved
from firedoor.core.release import FileEntry
from firedoor.core.units import Digest, UnixMs
from firedoor.ports import Instant, Listed, Upstream

LONG_AGO = 1_700_000_000

# Names that have to be escaped in a page, a URL, or both.
TREE = {
    "version.txt": b"1\n",
    "empty": b"",
    "bin/agent.tar.gz": bytes(range(256)) * 300,
    "bin/deep/er/rules.json": b"{}",
    "odd/a b+c%2Fd&e.txt": b"odd",
    'odd/what?#\': "x".txt': b"odder",
    "odd/\u706b\u9632.txt": "\u706b".encode(),
    "odd/dots..": b"not the parent",
}


class LaterClock:
    """The system's clock, an hour on: a change time cannot be set back, but it can grow old."""

    def now(self) -> Instant:
        """As the port says, an hour on."""
        now = SystemClock().now()
        return replace(now, wall_ms=UnixMs(now.wall_ms + 3_600_000))

    def monotonic_ms(self) -> int:
        """As the port says."""
        return self.now().mono_ms


@dataclass
class Site:
    """A vendor's tree and the way it is read."""

    root: Path
    kind: str
    url: str
    blobs: DiskBlobs

    def upstream(self, limits: Limits | None = None) -> Upstream:
        """The adapter that reads it."""
        if self.kind == "directory":
            return DirectoryUpstream(self.root, LaterClock(), limits=limits)
        return HttpUpstream(self.url, random.Random(1), SystemClock(), limits=limits)

    def write(self, path: str, data: bytes, mtime: float = LONG_AGO) -> None:
        """Put a file there that looks as old as ``mtime``."""
        place = self.root / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
        os.utime(place, (mtime, mtime))

    def file_of_blob(self, digest) -> int:
        """Changes whenever the blob is written anew."""
        return Path(self.blobs.path(digest)).stat().st_ino

    def stored(self) -> int:
        """How many files the store holds, temporary ones too."""
        return sum(path.is_file() for path in (self.root.parent / "blobs").rglob("*"))


@pytest.fixture(
    params=[
        "directory",
        "http.server",
        pytest.param("nginx", marks=pytest.mark.skipif(NGINX is None, reason="no nginx here")),
    ]
)
def site(request, tmp_path):
    root = tmp_path / "vendor"
    root.mkdir()
    with contextlib.ExitStack() as stack:
        match request.param:
            case "http.server":
                url = stack.enter_context(python_server(root))
            case "nginx":
                url = stack.enter_context(nginx_server(root, tmp_path / "nginx"))
            case _:
                url = ""
        yield Site(root, request.param, url, DiskBlobs(tmp_path / "blobs"))


@pytest.fixture
def tree(site):
    for path, data in TREE.items():
        site.write(path, data)
    return site


def digest_of(data: bytes) -> Digest:
    return Digest(hashlib.sha256(data).hexdigest())


def sums_of(files) -> bytes:
    return "".join(f"{digest_of(data)}  {path}\n" for path, data in files.items()).encode()


def test_every_file_of_the_tree_is_listed_in_order_of_path(tree):
    """A file the index misses is missing on every machine."""
    assert tree.upstream().index() == tuple(Listed(path, None, None) for path in sorted(TREE))


def test_every_file_arrives_byte_for_byte(tree):
    """The same tree gives the same entries from any upstream, so a move is no new release."""
    upstream = tree.upstream()
    for listed in upstream.index():
        fetched = upstream.fetch(listed, None, tree.blobs)

        data = TREE[listed.path]
        assert (fetched.entry.sha256, fetched.entry.size) == (digest_of(data), len(data))
        assert Path(tree.blobs.path(fetched.entry.sha256)).read_bytes() == data
    types = {
        path: upstream.fetch(Listed(path, None, None), None, tree.blobs).entry.type
        for path in ("bin/agent.tar.gz", "bin/deep/er/rules.json", "empty")
    }
    assert types == {
        "bin/agent.tar.gz": "application/gzip",
        "bin/deep/er/rules.json": "application/json",
        "empty": "application/octet-stream",
    }


def test_an_unchanged_file_is_not_brought_again(tree):
    """A poll every ten minutes must not cost the vendor the whole mirror."""
    upstream = tree.upstream()
    listed = Listed("bin/agent.tar.gz", None, None)
    known = upstream.fetch(listed, None, tree.blobs)
    written = tree.file_of_blob(known.entry.sha256)

    again = upstream.fetch(listed, known, tree.blobs)

    assert known.validator
    assert again == known
    assert tree.file_of_blob(known.entry.sha256) == written


@pytest.mark.parametrize(
    ("data", "mtime"),
    [
        pytest.param(b"2\n", LONG_AGO + 60, id="newer"),
        pytest.param(b"2\n", LONG_AGO - 60, id="older, as when a vendor goes back"),
        pytest.param(b"2.1\n", LONG_AGO, id="of the same second"),
    ],
)
def test_a_changed_file_is_brought_again(tree, data, mtime):
    """Whatever its date, a change is a change: a vendor's own retreat has to get through."""
    upstream = tree.upstream()
    listed = Listed("version.txt", None, None)
    known = upstream.fetch(listed, None, tree.blobs)

    tree.write("version.txt", data, mtime)
    again = upstream.fetch(listed, known, tree.blobs)

    assert again.entry.sha256 == digest_of(data)


def test_a_file_that_was_written_just_now_is_not_trusted_to_stay(site):
    """Dates count seconds: two writes within one would look like one."""
    site.write("version.txt", b"1\n", mtime=time.time())
    upstream = (
        DirectoryUpstream(site.root, SystemClock()) if site.kind == "directory" else site.upstream()
    )

    fetched = upstream.fetch(Listed("version.txt", None, None), None, site.blobs)

    assert fetched.validator == ""


def test_an_unchanged_file_whose_blob_is_gone_is_brought_again(tree):
    """A validator without bytes is worth nothing: the scrub may have moved them aside."""
    upstream = tree.upstream()
    listed = Listed("version.txt", None, None)
    known = upstream.fetch(listed, None, tree.blobs)
    Path(tree.blobs.path(known.entry.sha256)).unlink()

    again = upstream.fetch(listed, known, tree.blobs)

    assert again.entry == known.entry
    assert tree.blobs.has(known.entry.sha256)


def test_a_checksum_list_is_believed_before_the_directory(tree):
    """What the vendor signs off is the content; the list belongs to it, for clients read it."""
    promised = {path: TREE[path] for path in ("version.txt", "bin/agent.tar.gz")}
    sums = sums_of(promised)
    tree.write("SHA256SUMS", sums)

    index = tree.upstream().index()

    assert index == (
        Listed("SHA256SUMS", digest_of(sums), len(sums)),
        Listed("bin/agent.tar.gz", digest_of(TREE["bin/agent.tar.gz"]), None),
        Listed("version.txt", digest_of(b"1\n"), None),
    )


def test_bytes_that_are_not_what_was_promised_are_refused(tree):
    """Torn or tampered: either way no machine may get them."""
    listed = Listed("version.txt", digest_of(b"2\n"), None)

    with pytest.raises(Untrusted, match=r"version\.txt"):
        tree.upstream().fetch(listed, None, tree.blobs)

    assert tree.stored() == 0


def test_what_was_promised_outweighs_that_a_file_did_not_change(tree):
    """The list is new and the file still old: the vendor is in the middle of an update."""
    upstream = tree.upstream()
    known = upstream.fetch(Listed("version.txt", None, None), None, tree.blobs)
    assert known.validator

    with pytest.raises(Untrusted, match=r"version\.txt"):
        upstream.fetch(Listed("version.txt", digest_of(b"2\n"), None), known, tree.blobs)


def test_a_file_of_another_size_than_promised_is_refused(tree):
    """A list may promise sizes only: then they have to be right."""
    with pytest.raises(Untrusted, match="promises 3"):
        tree.upstream().fetch(Listed("version.txt", None, 3), None, tree.blobs)


def test_promised_bytes_that_are_held_already_are_not_asked_for(tree):
    """A renamed file, or a mirror that starts over, costs nothing."""
    digest, _ = tree.blobs.put(iter([b"held from before"]))

    fetched = tree.upstream().fetch(Listed("not/there.gz", digest, None), None, tree.blobs)

    assert fetched.entry == FileEntry(digest, 16, "application/gzip")


def test_a_listed_file_that_is_not_there_means_upstream_moved(tree):
    """Between index and fetch a vendor may take a file away: try again, keep nothing."""
    with pytest.raises(UpstreamMoved, match="gone"):
        tree.upstream().fetch(Listed("gone", None, None), None, tree.blobs)


def test_a_file_over_the_limit_is_refused_and_leaves_nothing(tree):
    """One endless file must not fill the disk of the gate."""
    upstream = tree.upstream(Limits(max_file_bytes=1000))

    with pytest.raises(Untrusted, match="larger than 1000"):
        upstream.fetch(Listed("bin/agent.tar.gz", None, None), None, tree.blobs)

    assert tree.stored() == 0


@pytest.mark.parametrize(
    "limits",
    [Limits(max_files=3), Limits(max_depth=2), Limits(max_depth=1)],
    ids=["files", "depth", "no directories"],
)
def test_a_tree_that_may_never_end_is_refused(tree, limits):
    """A link that leads back to its parent would be mirrored for ever."""
    with pytest.raises(Untrusted):
        tree.upstream(limits).index()


def test_a_checksum_list_that_makes_no_sense_is_refused(tree):
    """Half a list is no smaller release."""
    tree.write("SHA256SUMS", b"<html>Service is down</html>\n")

    with pytest.raises(Untrusted, match="line 1"):
        tree.upstream().index()
