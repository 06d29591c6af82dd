"""The law of the mirror: a snapshot is one moment of upstream, whatever upstream does."""

import hashlib
from dataclasses import dataclass

from hypothesis import example, given, settings
from hypothesis import strategies as st

from firedoor.core.errors import Unavailable, Untrusted, UpstreamMoved
from firedoor.core.release import FileEntry
from firedoor.core.units import Digest
from firedoor.ports import Fetched, Listed
from firedoor.services.mirror import take_snapshot


class Memory:
    """Blobs in memory."""

    def __init__(self):
        self.blobs = {}

    def put(self, chunks, expected=None):
        """As the port says."""
        data = b"".join(chunks)
        digest = digest_of(data)
        if expected not in {None, digest}:
            raise Untrusted("other bytes than promised")
        self.blobs[digest] = data
        return digest, len(data)

    def path(self, digest):
        """Not needed here."""
        raise NotImplementedError

    def has(self, digest):
        """As the port says."""
        return digest in self.blobs

    def claim(self, digest):
        """As the port says; nothing is ever swept here."""
        return self.has(digest)

    def scrub(self):
        """Not needed here."""
        raise NotImplementedError


@dataclass
class Restless:
    """A vendor who moves on to the next version whenever the schedule says so.

    Validators tell every version of a file apart, as a strong ETag does.
    """

    versions: list[dict[str, bytes]]
    moves: list[bool]
    promises: bool
    now: int = 0
    bodies: int = 0

    @property
    def files(self):
        """What it serves now."""
        return self.versions[self.now]

    def move(self):
        """Go on to the next version, if the schedule says so at this request."""
        if self.moves and self.moves.pop(0) and self.now + 1 < len(self.versions):
            self.now += 1

    def index(self):
        """As the port says."""
        self.move()
        return [
            Listed(path, digest_of(data) if self.promises else None, None)
            for path, data in sorted(self.files.items())
        ]

    def fetch(self, listed, known, into):
        """As the port says."""
        self.move()
        data = self.files.get(listed.path)
        if data is None:
            raise UpstreamMoved("listed but not there")
        if known and known.validator == data.hex() and listed.sha256 in {None, digest_of(data)}:
            return known
        self.bodies += 1
        digest, size = into.put(iter([data]), listed.sha256)
        return Fetched(FileEntry(digest, size, "t"), data.hex())


def digest_of(data):
    return Digest(hashlib.sha256(data).hexdigest())


@st.composite
def histories(draw):
    """Versions in which a file may come, go, stay or change, but never return to an old content."""
    paths = "abcd"
    versions = []
    contents = dict.fromkeys(paths, 0)
    for _ in range(draw(st.integers(1, 5))):
        for path in draw(st.sets(st.sampled_from(paths))):
            contents[path] += 1
        present = draw(st.sets(st.sampled_from(paths), min_size=1))
        versions.append({path: b"%s%d" % (path.encode(), contents[path]) for path in present})
    return versions


# At which requests upstream moves on.
schedules = st.sets(st.integers(0, 12), max_size=4).map(
    lambda moments: [number in moments for number in range(13)]
)


def manifest_of(files):
    return {path: FileEntry(digest_of(data), len(data), "t") for path, data in files.items()}


@settings(max_examples=300)
@given(histories(), schedules, st.booleans(), st.booleans())
# The second look at the files stands against the first, at the index against the second.
@example([{"a": b"a0", "b": b"b0"}, {"a": b"a1", "b": b"b1"}], [False, False, True], False, False)
@example([{"a": b"a0"}, {"a": b"a1", "b": b"b0"}], [False, True], False, False)
def test_a_snapshot_is_one_version_of_upstream_or_none(versions, moves, promises, warm):
    """A machine must never get the new agent with the old rules, nor a list without its file.

    Files may change while their index stays the same, between any two requests. What no reader
    can see is excluded: content that changes and changes back between two looks.
    """
    blobs = Memory()
    previous = take_snapshot(Restless(versions[:1], [], promises), blobs) if warm else None
    upstream = Restless(versions, moves, promises)

    try:
        snapshot = take_snapshot(upstream, blobs, previous)
    except (UpstreamMoved, Untrusted):
        assert upstream.now > 0
    except Unavailable as error:
        raise AssertionError("upstream was there all the time") from error
    else:
        assert snapshot.manifest in [manifest_of(files) for files in versions]
        assert all(blobs.has(entry.sha256) for entry in snapshot.manifest.values())


@given(histories(), st.booleans())
def test_an_upstream_at_rest_is_always_mirrored_and_the_second_time_for_nothing(versions, promises):
    """Refusing everything would be safe, and useless."""
    blobs = Memory()
    upstream = Restless(versions[-1:], [True] * 50, promises)

    first = take_snapshot(upstream, blobs)
    assert first.manifest == manifest_of(versions[-1])
    upstream.bodies = 0

    assert take_snapshot(upstream, blobs, first) == first
    assert upstream.bodies == 0
