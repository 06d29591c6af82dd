"""A directory as an upstream: who writes into it must not make Firedoor read outside it."""

import os
import socket
from pathlib import Path

import pytest

from firedoor.adapters.blobs.disk import DiskBlobs
from firedoor.adapters.clock import SystemClock
from firedoor.adapters.upstream.directory import DirectoryUpstream
from firedoor.core.errors import BadConfig, Unavailable, Untrusted, UpstreamMoved
from firedoor.ports import Listed

LONGEST_PATH = 4095


@pytest.fixture
def root(tmp_path):
    root = tmp_path / "vendor"
    root.mkdir()
    (tmp_path / "secret").write_bytes(b"secret")
    return root


@pytest.fixture
def blobs(tmp_path):
    return DiskBlobs(tmp_path / "blobs")


@pytest.fixture
def upstream(root):
    return DirectoryUpstream(root, SystemClock())


def paths(index):
    return [listed.path for listed in index]


@pytest.mark.parametrize("target", ["../secret", "..", "/etc/hostname", "sub/../../secret"])
def test_a_link_that_leaves_the_directory_is_refused(root, upstream, blobs, target):
    """Skipping it would hide a missing file; following it would publish a secret."""
    (root / "sub").mkdir()
    (root / "file").symlink_to(target)

    with pytest.raises(Untrusted, match="leaves"):
        upstream.index()
    with pytest.raises(Untrusted, match="leaves"):
        upstream.fetch(Listed("file", None, None), None, blobs)


def test_a_link_that_stays_inside_is_followed(root, upstream, blobs):
    """Vendors link "latest" to a version."""
    (root / "v1").mkdir()
    (root / "v1" / "file").write_bytes(b"one")
    (root / "latest").symlink_to("v1")
    (root / "newest").symlink_to("v1/file")

    assert paths(upstream.index()) == ["latest/file", "newest", "v1/file"]
    fetched = upstream.fetch(Listed("latest/file", None, None), None, blobs)
    assert fetched.entry.size == 3


@pytest.mark.parametrize("target", ["nowhere", "link"])
def test_a_link_that_leads_nowhere_is_refused(root, upstream, target):
    """A broken tree is not a smaller release."""
    (root / "link").symlink_to(target)

    with pytest.raises(Untrusted, match="nowhere"):
        upstream.index()


def test_a_link_to_its_own_parent_ends(root, upstream):
    """It would be mirrored for ever."""
    (root / "loop").symlink_to(".")

    with pytest.raises(Untrusted, match="deeper"):
        upstream.index()


def test_a_pipe_is_refused_and_not_waited_for(root, upstream, blobs):
    """Reading a pipe would hang the mirror until somebody writes."""
    os.mkfifo(root / "pipe")

    with pytest.raises(Untrusted, match="neither"):
        upstream.index()
    with pytest.raises(Untrusted, match="neither"):
        upstream.fetch(Listed("pipe", None, None), None, blobs)


def test_a_socket_is_refused(root, upstream, monkeypatch):
    """What is not a file has no bytes to publish."""
    monkeypatch.chdir(root)  # names of sockets must be short
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("socket")
        with pytest.raises(Untrusted, match="neither"):
            upstream.index()


def test_a_name_that_is_not_text_is_refused(root, upstream):
    """It could not be asked for by any client, nor written into a manifest."""
    (root / os.fsdecode(b"caf\xe9")).write_bytes(b"")

    with pytest.raises(Untrusted, match="surrogate"):
        upstream.index()


def test_a_file_that_changes_while_it_is_read_means_upstream_moved(root, upstream):
    """Half of one version and half of the next is neither."""
    (root / "file").write_bytes(b"x" * 3_000_000)

    class Meddling(DiskBlobs):
        """While the first chunk is stored, somebody writes into the file."""

        def put(self, chunks, expected=None):
            first = next(chunks)
            with (root / "file").open("ab") as file:
                file.write(b"more")
            return super().put(iter([first, *chunks]), expected)

    with pytest.raises(UpstreamMoved, match="changed while it was read"):
        upstream.fetch(Listed("file", None, None), None, Meddling(root.parent / "meddled"))


def test_a_published_directory_may_be_swapped_as_a_whole(tmp_path, blobs):
    """The usual way to publish at once: files come from the directory that was listed."""
    for version in ("v1", "v2"):
        (tmp_path / version).mkdir()
        (tmp_path / version / "file").write_text(version)
    current = tmp_path / "current"
    current.symlink_to("v1")
    upstream = DirectoryUpstream(current, SystemClock())
    (listed,) = upstream.index()

    current.unlink()
    current.symlink_to("v2")
    first = upstream.fetch(listed, None, blobs)
    upstream.index()
    second = upstream.fetch(listed, None, blobs)

    assert Path(blobs.path(first.entry.sha256)).read_text() == "v1"
    assert Path(blobs.path(second.entry.sha256)).read_text() == "v2"


def test_a_directory_that_does_not_exist_is_a_mistake_in_the_configuration(tmp_path):
    """Found at the start, where a person is looking."""
    with pytest.raises(BadConfig, match="missing"):
        DirectoryUpstream(tmp_path / "missing", SystemClock())


def test_a_file_where_a_directory_should_be_is_refused(tmp_path):
    """A list of files is no directory, however it is reached."""
    (tmp_path / "list.json").write_bytes(b"[]")

    with pytest.raises(BadConfig):
        DirectoryUpstream(tmp_path / "list.json", SystemClock())


def test_a_directory_that_cannot_be_looked_at_is_unavailable(tmp_path):
    """A mount that gives faults is no mistake of the configuration, and may come back."""
    with pytest.raises(Unavailable, match="name too long") as caught:
        DirectoryUpstream(tmp_path / ("a" * 300), SystemClock())

    assert "long" in caught.value.hint


def test_a_list_that_cannot_be_looked_at_is_not_taken_for_its_absence(tmp_path):
    """Otherwise a fault of the mount would turn a verified channel into an unverified one."""
    root = tmp_path
    while (room := LONGEST_PATH - len(str(root)) - 5) > 1:
        root /= "d" * min(room - 1, 200)
    root.mkdir(parents=True)  # its own path may just be looked at, that of its list may not
    upstream = DirectoryUpstream(root, SystemClock())

    with pytest.raises(Unavailable, match="name too long"):
        upstream.index()


def test_a_look_that_takes_too_long_ends_between_two_reads(root, blobs):
    """A mount that is slow must end too: nobody sees that a channel is not looked at any more."""
    (root / "file").write_bytes(b"one")
    listed = Listed("file", None, None)

    late = DirectoryUpstream(root, SystemClock(), until_ms=SystemClock().now().mono_ms)

    with pytest.raises(Unavailable, match="took too long"):
        late.index()
    with pytest.raises(Unavailable, match="took too long"):
        late.fetch(listed, None, blobs)
    in_time = DirectoryUpstream(root, SystemClock(), until_ms=SystemClock().now().mono_ms + 60_000)
    assert in_time.fetch(listed, None, blobs).entry.size == 3
