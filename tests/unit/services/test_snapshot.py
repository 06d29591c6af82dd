"""Snapshots as they are kept from one poll to the next."""

import pytest

from firedoor.core.errors import BadInput
from firedoor.core.packed import packed
from firedoor.core.release import FileEntry
from firedoor.core.units import Digest
from firedoor.ports import Fetched
from firedoor.services.snapshot import Snapshot

DIGEST = Digest("a" * 64)
FILES = {
    "b/two": Fetched(FileEntry(Digest("b" * 64), 2, "t"), ""),
    "a": Fetched(FileEntry(DIGEST, 1, "text/plain"), '"etag"'),
}


def test_a_snapshot_comes_back_as_it_was():
    """What upstream holds is known by it after a restart."""
    first = Snapshot.of(FILES)

    restored = Snapshot.from_bytes(first.to_bytes())

    assert restored == first
    assert {path: restored.fetched(path) for path in restored.manifest} == FILES
    assert restored.fetched("c") is None
    assert restored.total_bytes == 3


def test_a_snapshot_of_a_version_before_comes_back():
    """An upgrade must not fetch all of a mirror anew."""
    text = b'{"v":1,"files":{"a":{"sha256":"%s","size":1,"type":"text/plain","validator":"x"}}}'

    restored = Snapshot.from_bytes(text % DIGEST.encode())

    assert restored.fetched("a") == Fetched(FileEntry(DIGEST, 1, "text/plain"), "x")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        b'{"v": 2, "files": {}}',
        b'{"v": 1, "files": {}, "more": 1}',
        b'{"v": 1, "files": {"a": {"sha256": "x", "size": 1, "type": "t", "validator": ""}}}',
        b'{"v": 1, "files": {"../a": {"sha256": "%s", "size": 1, "type": "t", "validator": ""}}}'
        % (b"a" * 64),
        b'{"v": 1, "files": {"a": {"sha256": "%s", "size": -1, "type": "t", "validator": ""}}}'
        % (b"a" * 64),
        Snapshot.of(FILES).to_bytes()[:-9],
    ],
)
def test_a_stored_snapshot_that_cannot_be_read_is_refused(data):
    """Whoever stored it can then go on without: it only costs traffic."""
    with pytest.raises(BadInput):
        Snapshot.from_bytes(data)


def test_two_tables_are_equal_if_they_name_the_same_files():
    """A look that found nothing new is known by that, without an object for each file."""
    one = packed({path: file.entry for path, file in FILES.items()})
    same = packed({path: file.entry for path, file in reversed(FILES.items())})
    other = packed({"a": FILES["a"].entry})

    assert one == same
    assert one != other
    assert one == dict(one)
    assert one != dict(other)
