"""A TUF repository as an upstream: nothing is believed but what the trusted root leads to.

The repository is signed with real keys; python-tuf's own client reads what the mirror took of it
in ``tests/e2e/test_tuf.py``.
"""

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest
from tests.debian import replace
from tests.servers import NGINX, nginx_server
from tests.tuf import Repository, days
from tuf.api.metadata import MetaFile, SuccinctRoles

from firedoor.adapters.blobs.disk import DiskBlobs
from firedoor.adapters.clock import SystemClock
from firedoor.adapters.upstream.directory import DirectoryUpstream
from firedoor.adapters.upstream.http import HttpUpstream
from firedoor.adapters.upstream.index import Limits
from firedoor.adapters.upstream.tuf import Layout, TufUpstream
from firedoor.core.channel import Kind
from firedoor.core.errors import FiredoorError, Unavailable, Untrusted, UpstreamMoved
from firedoor.core.release import release_id
from firedoor.formats.tuf import CONTENT, parse_content
from firedoor.ports import BlobStore, Fetched, Listed, Source
from firedoor.services.mirror import take_snapshot
from firedoor.services.snapshot import Snapshot

TOOL = b"tool, version 1"


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    """A published repository with one target of its own and one of a delegated role."""
    made = Repository.new(tmp_path / "vendor")
    made.add("tool", TOOL)
    made.delegate("rules", "rules/*")
    made.add("rules/one.txt", b"a rule", role="rules")
    made.publish()
    return made


class Counting:
    """A vendor's directory that remembers what was asked of it."""

    def __init__(self, root: Path) -> None:
        self._directory = DirectoryUpstream(root, SystemClock())
        self.asked: list[str] = []
        self.after: Callable[[str], None] = lambda _: None

    def read(self, path: str, most: int) -> bytes | None:
        """As the directory does."""
        self.asked.append(path)
        data = self._directory.read(path, most)
        self.after(path)
        return data

    def fetch(self, listed: Listed, known: Fetched | None, into: BlobStore) -> Fetched:
        """As the directory does."""
        self.asked.append(listed.path)
        return self._directory.fetch(listed, known, into)


def mirrored(
    repository: Repository,
    before: Snapshot | None = None,
    *,
    source: Source | None = None,
    limits: Limits | None = None,
    layout: Layout | None = None,
    root: Path | None = None,
) -> Snapshot:
    """What the mirror takes of it."""
    blobs = DiskBlobs(repository.root.parent / "blobs")
    upstream = TufUpstream(
        source or Counting(repository.root),
        (root or repository.trusted).read_bytes(),
        blobs,
        layout=layout,
        previous={} if before is None else before.manifest,
        limits=limits,
    )
    return take_snapshot(upstream, blobs, before)


def identity(snapshot: Snapshot) -> str:
    """The release that it is."""
    return release_id("tools", Kind.TUF, snapshot.manifest)


def digest(data: bytes) -> str:
    """SHA-256."""
    return hashlib.sha256(data).hexdigest()


def test_a_repository_comes_whole_and_byte_for_byte(repository: Repository) -> None:
    """Clients check the vendor's signatures themselves, so nothing may be rewritten."""
    found = mirrored(repository).manifest

    there = {
        str(path.relative_to(repository.root))
        for path in repository.root.rglob("*")
        if path.is_file()
    }
    assert set(found) == there | {CONTENT}
    for path in there:
        data = (repository.root / path).read_bytes()
        assert (found[path].sha256, found[path].size) == (digest(data), len(data))


def test_a_repository_without_consistent_snapshots_is_mirrored_by_its_plain_names(
    tmp_path: Path,
) -> None:
    """Small vendors write over what was there; the gate makes one moment of it."""
    made = Repository.new(tmp_path / "vendor", consistent=False)
    made.add("tool", TOOL)
    made.publish()
    first = mirrored(made)
    made.add("tool", b"version 2")
    made.publish()
    second = mirrored(made, first)

    assert {"metadata/targets.json", "metadata/snapshot.json", "targets/tool"} < set(
        second.manifest
    )
    assert second.manifest["targets/tool"].sha256 == digest(b"version 2")
    assert identity(first) != identity(second)


def test_an_unchanged_repository_costs_two_requests(repository: Repository) -> None:
    """Whoever polls every ten minutes should cost the vendor nothing."""
    first = mirrored(repository)
    source = Counting(repository.root)

    again = mirrored(repository, first, source=source)

    assert again == first
    assert source.asked == ["metadata/2.root.json", "metadata/timestamp.json"]


def test_what_was_only_signed_anew_is_the_same_release(repository: Repository) -> None:
    """A timestamp is renewed every day: the content is the release, and what is said of it."""
    first = mirrored(repository)
    repository.publish(renewed=True)
    stamped = mirrored(repository, first)
    repository.publish()
    signed = mirrored(repository, stamped)
    repository.add("tool", TOOL, urgent=True)
    repository.publish()
    said = mirrored(repository, signed)

    assert identity(first) == identity(stamped) == identity(signed)
    assert identity(said) != identity(first)
    # Who has read the timestamp before finds the snapshot that it names.
    assert "metadata/1.snapshot.json" in stamped.manifest
    assert set(signed.manifest) >= {"metadata/2.snapshot.json", "metadata/1.targets.json"}
    assert "metadata/1.snapshot.json" not in signed.manifest


def test_keys_are_changed_by_a_chain_of_roots(repository: Repository, tmp_path: Path) -> None:
    """Each root is signed by the one before; a client that slept for a year needs them all."""
    first = mirrored(repository)
    old = repository.signers["root"]
    for role in ("root", "timestamp", "targets"):
        repository.signers[role] = type(old).generate_ed25519()
    repository.sign_root(old)
    repository.publish()

    found = mirrored(repository, first).manifest
    assert {"metadata/1.root.json", "metadata/2.root.json"} < set(found)

    stranger = Repository.new(tmp_path / "stranger")
    stranger.root_version, stranger.root = 2, repository.root
    stranger.sign_root()
    with pytest.raises(Untrusted, match=r"metadata/3\.root\.json is not signed as"):
        mirrored(repository, first)


def test_only_the_trusted_root_is_believed(repository: Repository, tmp_path: Path) -> None:
    """Whoever can write to a mirror can sign, but not with the vendor's keys."""
    stranger = Repository.new(tmp_path / "stranger")

    with pytest.raises(Untrusted, match=r"timestamp\.json is not signed as the trusted root"):
        mirrored(repository, root=stranger.trusted)
    repository.signers["rules"] = stranger.signers["root"]
    repository.publish()
    with pytest.raises(Untrusted, match=r"2\.rules\.json is not signed as"):
        mirrored(repository)


def test_another_root_may_be_trusted_from_now_on(repository: Repository, tmp_path: Path) -> None:
    """A vendor that lost its keys begins anew, and an operator says so."""
    old = repository.signers["root"]
    repository.sign_root(old)
    first = mirrored(repository)
    other = Repository.new(tmp_path / "other")
    other.add("tool", b"of the new one")
    other.publish()

    found = mirrored(other, first).manifest

    assert found["metadata/1.root.json"].sha256 == digest(other.trusted.read_bytes())
    assert "metadata/2.root.json" not in found


@pytest.mark.parametrize("role", ["root", "timestamp", "snapshot", "targets", "rules"])
def test_what_has_expired_is_refused(repository: Repository, role: str) -> None:
    """An old copy of everything has good signatures: only its date tells."""
    repository.expires[role] = days(-1)
    if role == "root":
        repository.sign_root()
    repository.publish()

    with pytest.raises(Untrusted, match=f"expired: .*{role}"):
        mirrored(repository)


@pytest.mark.parametrize("consistent", [True, False])
def test_a_repository_that_goes_back_is_refused(tmp_path: Path, *, consistent: bool) -> None:
    """An older one with good signatures keeps a fix from a fleet, and no client would take it."""
    made = Repository.new(tmp_path / "vendor", consistent=consistent)
    made.add("tool", TOOL)
    made.publish(version=5)
    newest = mirrored(made)

    made.publish(version=4)
    with pytest.raises(Untrusted, match=r"went back: .*version 4 must be >= 5"):
        mirrored(made, newest)

    # A newer snapshot that names older targets.
    made.publish(version=4)
    made.publish(version=6, renewed=True)
    with pytest.raises(Untrusted, match=r"went back: Expected targets\.json version 4, got 5|4"):
        mirrored(made, newest)


def test_a_target_that_is_not_what_was_promised_is_refused(repository: Repository) -> None:
    """One byte of it is enough to be another program."""
    (path,) = (repository.root / "targets").glob("*.tool")
    replace(path, TOOL.replace(b"1", b"2"))

    with pytest.raises(Untrusted, match=r"\.tool"):
        mirrored(repository)


def test_every_digest_that_is_promised_is_checked(repository: Repository) -> None:
    """Clients check all of them: one that is wrong would fail on every machine."""
    repository.add("long", b"both", algorithms=("sha512", "sha256"))
    repository.add("longer", b"one", algorithms=("sha512",))
    repository.publish()
    source = Counting(repository.root)
    found = mirrored(repository, source=source)
    both = hashlib.sha512(b"both").hexdigest()
    assert {f"targets/{both}.long", f"targets/{digest(b'both')}.long"} < set(found.manifest)

    again = Counting(repository.root)
    repository.publish(renewed=True)
    mirrored(repository, found, source=again)
    assert not [path for path in again.asked if path.startswith("targets/")]

    wrong = repository.roles["targets"].targets["long"]
    wrong.hashes["sha512"] = both.replace(both[0], "f" if both[0] != "f" else "0")
    repository.place("long", b"both", wrong.hashes)
    repository.publish()
    with pytest.raises(Untrusted, match=r"long is not as promised: Observed hash"):
        mirrored(repository, found)


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", "a//b", "rules/\x1b[2J"])
def test_a_target_cannot_leave_its_channel(repository: Repository, name: str) -> None:
    """Names of targets become names of files and of URLs."""
    repository.roles["targets"].targets[name] = repository.roles["targets"].targets["tool"]
    repository.publish()

    with pytest.raises(Untrusted, match=r"segment|control character"):
        mirrored(repository)


def test_a_role_cannot_leave_its_channel(repository: Repository) -> None:
    """Names of delegated roles become names of files, too."""
    repository.delegate("../../x", "x/*")
    repository.publish()

    with pytest.raises(Untrusted, match="segment"):
        mirrored(repository)


def test_what_is_too_large_is_refused(repository: Repository) -> None:
    """Neither a role nor a target may fill the disk."""
    repository.roles["targets"].targets["tool"].length = 1 << 40
    repository.publish()
    with pytest.raises(Untrusted, match=r"tool of the repository is larger than"):
        mirrored(repository)

    repository.write("timestamp.json", b" " * 20_000)
    with pytest.raises(Untrusted, match=r"timestamp\.json is too long"):
        mirrored(repository)
    repository.write("timestamp.json", b" " * 40_000)
    with pytest.raises(Untrusted, match="larger than 30000 bytes"):
        mirrored(repository, limits=Limits(max_index_bytes=30_000))


def test_delegations_that_do_not_end_are_refused(repository: Repository) -> None:
    """Each role may name another: the chain ends where the client's does."""
    above = "rules"
    for number in range(40):
        repository.delegate(f"r{number}", "rules/*", by=above)
        above = f"r{number}"
    repository.publish()
    with pytest.raises(Untrusted, match="the delegations do not end: r30 delegates to r31"):
        mirrored(repository)


def test_four_billion_bins_are_refused(repository: Repository) -> None:
    """One number in a role stands for more roles than any disk can hold."""
    delegations = repository.roles["rules"].delegations
    assert delegations is None
    repository.delegate("bin", "rules/*", by="rules")
    delegations = repository.roles["rules"].delegations
    assert delegations is not None
    (key,) = delegations.keys
    delegations.roles = None
    delegations.succinct_roles = SuccinctRoles([key], 1, 32, "bin")
    repository.publish()

    with pytest.raises(Untrusted, match="it delegates to 4294967296 roles"):
        mirrored(repository)


def test_roles_may_delegate_in_a_circle(repository: Repository) -> None:
    """The specification has clients skip what they have seen; so the circle ends."""
    repository.delegate("targets2", "rules/*", by="rules")
    repository.delegate("rules", "rules/*", by="targets2")
    repository.publish()

    assert CONTENT in mirrored(repository).manifest


def test_of_two_roles_with_one_target_the_more_trusted_has_the_say(repository: Repository) -> None:
    """As in a client: first who comes first, and nothing after one that is terminating."""
    repository.delegate("first", "shared/*", terminating=True)
    repository.delegate("second", "shared/*")
    repository.add("shared/a", b"of the first", role="first")
    repository.add("shared/a", b"of the second", role="second")
    repository.add("shared/b", b"never found", role="second")
    repository.add("elsewhere", b"not delegated", role="second")
    repository.publish()

    found = mirrored(repository).manifest

    blobs = DiskBlobs(repository.root.parent / "blobs")
    known = parse_content(Path(blobs.path(found[CONTENT].sha256)).read_bytes())
    assert set(known) == {"tool", "rules/one.txt", "shared/a"}
    assert known["shared/a"].hashes["sha256"] == digest(b"of the first")
    assert not [path for path in found if path.endswith((".b", ".elsewhere"))]


def test_a_role_is_signed_as_each_of_its_delegators_demands(repository: Repository) -> None:
    """A client may come to it from either: what one of them refuses, that client refuses."""
    repository.delegate("shared", "rules/*")
    right = repository.signers["shared"]
    repository.signers["shared"] = repository.signers["root"]
    repository.delegate("shared", "rules/*", by="rules")
    repository.signers["shared"] = right
    repository.publish()

    with pytest.raises(Untrusted, match="shared"):
        mirrored(repository)


def test_a_role_that_is_not_in_the_snapshot_is_refused(repository: Repository) -> None:
    """Every client that asks for one of its targets would fail."""
    repository.delegate("ghost", "ghost/*")
    repository.publish()
    del repository.roles["ghost"]
    repository.publish()

    with pytest.raises(Untrusted, match="ghost was delegated but is not in the snapshot"):
        mirrored(repository)


def test_a_repository_that_is_replaced_while_it_is_read_is_no_forgery(tmp_path: Path) -> None:
    """A mirror that is caught between two files must not cry wolf."""
    made = Repository.new(tmp_path / "vendor", consistent=False)
    made.add("tool", TOOL)
    made.publish()
    source = Counting(made.root)

    def publish(path: str) -> None:
        if path == "metadata/timestamp.json":
            source.after = lambda _: None
            made.add("tool", b"version 2")
            made.publish()

    source.after = publish
    with pytest.raises(UpstreamMoved, match="changed while it was read"):
        mirrored(made, source=source)
    assert mirrored(made, source=source).manifest["targets/tool"].size == len(b"version 2")


def test_a_snapshot_that_does_not_fit_its_timestamp_is_refused(repository: Repository) -> None:
    """The timestamp has the digest of the snapshot: nobody puts another under it."""
    data = (repository.root / "metadata/1.snapshot.json").read_bytes()
    repository.stamp(MetaFile(1, len(data), {"sha256": digest(b"another")}))

    with pytest.raises(Untrusted, match=r"1\.snapshot\.json is refused"):
        mirrored(repository)


def test_a_repository_may_lie_elsewhere_below_its_address(repository: Repository) -> None:
    """Some vendors have their roles at the address itself; clients of the gate need not know."""
    usual = mirrored(repository).manifest
    for path in (repository.root / "metadata").iterdir():
        path.rename(repository.root / path.name)
    (repository.root / "targets").rename(repository.root / "files")
    root = repository.root / "1.root.json"

    found = mirrored(repository, layout=Layout("", "files/"), root=root).manifest

    assert found == usual
    with pytest.raises(Unavailable, match=r"upstream has no metadata/timestamp\.json"):
        mirrored(repository, root=root)


@pytest.mark.skipif(NGINX is None, reason="needs nginx")
def test_a_repository_is_the_same_over_http(repository: Repository, tmp_path: Path) -> None:
    """Names hold signs that have to be escaped in an address."""
    repository.delegate("a role/of+two", "über uns/*")
    repository.add("über uns/50% + 1?.txt", b"signs", role="a role/of+two")
    repository.publish()
    here = mirrored(repository)

    with nginx_server(repository.root, tmp_path / "nginx") as url:
        shutil.rmtree(tmp_path / "blobs")
        there = mirrored(repository, source=HttpUpstream(url, Random(0), SystemClock()))
        assert there.manifest == here.manifest


def test_whatever_stands_in_a_role_people_read_a_reason(repository: Repository) -> None:
    """A byte that a disk turned must not end in the trace of a program."""
    good = {path: path.read_bytes() for path in (repository.root / "metadata").iterdir()}
    dice = Random(7)
    refused: list[str] = []
    for path, data in good.items():
        if path == repository.trusted:
            continue
        for _ in range(6):
            at = dice.randrange(len(data))
            replace(path, data[:at] + bytes([dice.randrange(256)]) + data[at + 1 :])
            try:
                mirrored(repository)
            except FiredoorError as error:
                refused.append(str(error))
        replace(path, data)

    assert len(refused) > 15
    assert all(refused)
