"""An RPM repository as an upstream: nothing is believed but ``repomd.xml`` and its signature.

The repository is a real one, built by rpmbuild and createrepo_c and signed by GnuPG; dnf itself
reads what the mirror took of it in ``tests/e2e/test_rpm.py``.
"""

import gzip
import hashlib
import shutil
import subprocess
import time
from pathlib import Path
from random import Random

import pytest
from tests.debian import replace
from tests.rpm import Repository
from tests.servers import NGINX, nginx_server

from firedoor.adapters.blobs.disk import DiskBlobs
from firedoor.adapters.clock import SystemClock
from firedoor.adapters.keys.openpgp import Keyring
from firedoor.adapters.upstream.directory import DirectoryUpstream
from firedoor.adapters.upstream.http import HttpUpstream
from firedoor.adapters.upstream.repository import nothing_before
from firedoor.adapters.upstream.rpm import REPOMD, SIGNATURE, Packages, RpmUpstream
from firedoor.core.channel import Kind
from firedoor.core.errors import Unavailable, Untrusted, UpstreamMoved
from firedoor.core.release import release_id
from firedoor.ports import BlobStore, Fetched, Listed, Source
from firedoor.services.mirror import take_snapshot
from firedoor.services.snapshot import Snapshot

NOON = 1_700_000_000
TOOL = "packages/tool-1.0-1.noarch.rpm"


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    """Two packages, published."""
    repository = Repository.new(tmp_path_factory.mktemp("vendor"))
    repository.add("tool", "1.0")
    repository.add("other", "3", arch="x86_64")
    repository.publish(revision=NOON)
    return repository


@pytest.fixture
def repository(published: Repository, tmp_path: Path) -> Repository:
    """A copy of it to spoil."""
    return published.copy(tmp_path)


class Counting:
    """A vendor's directory that remembers what was read of it."""

    def __init__(self, root: Path) -> None:
        self._directory = DirectoryUpstream(root, SystemClock())
        self.read_next = lambda: None
        self.fetched: list[str] = []

    def read(self, path: str, most: int) -> bytes | None:
        """As the directory does."""
        data = self._directory.read(path, most)
        self.read_next()
        return data

    def fetch(self, listed: Listed, known: Fetched | None, into: BlobStore) -> Fetched:
        """As the directory does."""
        if listed.sha256 is None or not into.has(listed.sha256):
            self.fetched.append(listed.path)
        return self._directory.fetch(listed, known, into)


def mirrored(
    repository: Repository,
    *,
    keyring: Path | None = None,
    signed: bool = True,
    before: Snapshot | None = None,
    part: Packages | None = None,
    source: Source | None = None,
) -> Snapshot:
    """What the mirror takes of it."""
    blobs = DiskBlobs(repository.root.parent / "blobs")
    upstream = RpmUpstream(
        source or Counting(repository.root),
        Keyring([keyring or repository.keyring]) if signed else None,
        part or Packages(),
        blobs,
        SystemClock(),
        previous=nothing_before if before is None else before.fetched,
    )
    return take_snapshot(upstream, blobs, before)


def identity(snapshot: Snapshot) -> str:
    """The release that it is."""
    return release_id("tools", Kind.RPM, snapshot.manifest)


def test_a_repository_comes_with_all_metadata_and_packages_byte_for_byte(
    repository: Repository,
) -> None:
    """Clients check the vendor's signature themselves, so nothing may be rewritten."""
    found = mirrored(repository).manifest

    assert {path for path in found if path.endswith(".rpm")} == {
        TOOL,
        "packages/other-3-1.x86_64.rpm",
    }
    for path, file in found.items():
        data = (repository.root / path).read_bytes()
        assert (file.sha256, file.size) == (hashlib.sha256(data).hexdigest(), len(data))
    assert {REPOMD, SIGNATURE} < set(found)


def test_a_part_of_a_repository_is_mirrored_as_chosen(repository: Repository) -> None:
    """A fleet of one architecture that runs three packages needs no copy of sixty thousand."""
    by_name = mirrored(repository, part=Packages(packages=("to*",))).manifest
    by_machine = mirrored(repository, part=Packages(architectures=("aarch64",))).manifest

    for found in (by_name, by_machine):
        assert [path for path in found if path.endswith(".rpm")] == [TOOL]


def test_only_the_channels_own_keys_are_believed(repository: Repository, tmp_path: Path) -> None:
    """Whoever can write to a mirror can sign, but not with the vendor's key."""
    stranger = Repository.new(tmp_path / "stranger")

    with pytest.raises(Untrusted, match="no key of the channel has signed it"):
        mirrored(repository, keyring=stranger.keyring)
    (repository.root / SIGNATURE).unlink()
    with pytest.raises(Untrusted, match=r"has no repodata/repomd\.xml\.asc"):
        mirrored(repository)


def test_metadata_that_were_changed_after_they_were_signed_are_refused(
    repository: Repository,
) -> None:
    """One digit of a checksum is enough to serve another index."""
    replace(repository.repomd, repository.repomd.read_bytes().replace(b"primary", b"Primary"))

    with pytest.raises(Untrusted, match="does not belong to these bytes"):
        mirrored(repository)


def test_a_vendor_that_signs_no_metadata_can_still_be_mirrored(repository: Repository) -> None:
    """Most distributions sign each package and not the index; then the address is believed."""
    (repository.root / SIGNATURE).unlink()

    found = mirrored(repository, signed=False).manifest

    assert SIGNATURE not in found
    assert TOOL in found


def test_metadata_that_are_replaced_while_their_signature_is_read_are_no_forgery(
    repository: Repository,
) -> None:
    """A mirror that is caught between two files must not cry wolf."""
    source = Counting(repository.root)

    def publish() -> None:
        source.read_next = lambda: None
        repository.add("tool", "1.1")
        repository.publish(revision=NOON + 60)

    source.read_next = publish
    with pytest.raises(UpstreamMoved, match="changed while its signature was read"):
        mirrored(repository, source=source)
    assert "packages/tool-1.1-1.noarch.rpm" in mirrored(repository, source=source).manifest


def test_a_repository_that_goes_back_is_refused(repository: Repository) -> None:
    """An older one with a good signature: a lagging mirror, or a fix that is kept from a fleet."""
    newest = mirrored(repository)

    repository.publish(revision=NOON - 3_600)
    with pytest.raises(Untrusted, match="went back from revision '1700000000' of 2023-11-14"):
        mirrored(repository, before=newest)

    repository.change(b"1699996400</timestamp>", b"1700000000</timestamp>")
    with pytest.raises(Untrusted, match="went back from"):
        mirrored(repository, before=newest)


def test_a_repository_from_the_future_is_refused(repository: Repository) -> None:
    """A vendor's clock that is a year ahead for one night would refuse all that follows it."""
    repository.publish(revision=int(time.time()) + 3 * 24 * 3600)
    with pytest.raises(Untrusted, match="in the future"):
        mirrored(repository)

    repository.publish(revision=int(time.time()) + 60)
    assert TOOL in mirrored(repository).manifest


@pytest.mark.skipif(NGINX is None, reason="needs nginx")
def test_a_repository_is_the_same_over_http(repository: Repository, tmp_path: Path) -> None:
    """Names of packages hold signs that have to be escaped in an address, or that servers take."""
    repository.add("lib+more", "1~rc1^git")
    repository.publish(revision=NOON + 1, words=("--checksum", "sha512"))
    here = mirrored(repository)

    with nginx_server(repository.root, tmp_path / "nginx") as url:
        there = mirrored(repository, source=HttpUpstream(url, Random(0), SystemClock()))
        assert there.manifest == here.manifest
        replace(repository.root / TOOL, b"cut off")
        shutil.rmtree(tmp_path / "blobs")
        with pytest.raises(Untrusted, match=r"tool-1\.0-1\.noarch\.rpm"):
            mirrored(repository, source=HttpUpstream(url, Random(0), SystemClock()))


def test_what_was_only_made_anew_is_the_same_release(repository: Repository) -> None:
    """A nightly createrepo without news must not board: the content is the release."""
    first = mirrored(repository)

    repository.change(b"<revision>1700000000<", b"<revision>1700000777<")
    renewed = mirrored(repository, before=first)
    repository.add("tool", "1.1")
    repository.publish(revision=NOON + 60)
    other = mirrored(repository, before=renewed)

    assert renewed.manifest[REPOMD] != first.manifest[REPOMD]
    assert identity(renewed) == identity(first)
    assert identity(other) != identity(first)


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_a_package_that_changes_under_the_same_name_is_refused(
    repository: Repository, algorithm: str
) -> None:
    """Machines that have read the metadata before would get bytes that these do not name."""
    words = ("--checksum", algorithm)
    repository.publish(revision=NOON, words=words)
    before = mirrored(repository)

    (repository.root / TOOL).unlink()
    repository.add("tool", "1.0", note="built anew")
    repository.publish(revision=NOON + 60, words=words)
    with pytest.raises(Untrusted, match=r"tool-1\.0-1\.noarch\.rpm changed under the same name"):
        mirrored(repository, before=before)


@pytest.mark.parametrize("algorithm", ["sha512", "sha"])
def test_other_checksums_are_checked_and_spare_a_second_download(
    repository: Repository, algorithm: str
) -> None:
    """Old and careful repositories promise SHA-1 or SHA-512; files are stored by SHA-256."""
    repository.publish(revision=NOON, words=("--checksum", algorithm))
    source = Counting(repository.root)

    first = mirrored(repository, source=source)
    promised = {path for path in first.manifest if path not in {REPOMD, SIGNATURE}}
    assert set(source.fetched) >= promised
    source.fetched.clear()
    again = Snapshot.from_bytes(first.to_bytes())
    assert mirrored(repository, before=again, source=source).manifest == first.manifest
    assert source.fetched == []

    path = repository.root / TOOL
    data = path.read_bytes()
    replace(path, data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(Untrusted, match=r"tool-1\.0-1\.noarch\.rpm: its sha"):
        mirrored(repository)


@pytest.mark.parametrize("pattern", ["*/*-primary.xml.gz", "*/*-filelists.xml.gz", TOOL])
def test_wrong_bytes_are_found_out_wherever_they_are(repository: Repository, pattern: str) -> None:
    """The chain from the signature to the last package has no gap."""
    (path,) = repository.root.glob(pattern)
    data = path.read_bytes()
    replace(path, data[:-1] + bytes([data[-1] ^ 1]))

    with pytest.raises(Untrusted, match=path.name):
        mirrored(repository)


def test_a_file_that_is_named_and_not_there_yet_is_waited_for(repository: Repository) -> None:
    """Mirrors get the metadata of a release before its last packages, or the other way round."""
    (repository.root / TOOL).unlink()
    with pytest.raises(UpstreamMoved):
        mirrored(repository)

    (primary,) = (repository.root / "repodata").glob("*-primary.xml.gz")
    primary.unlink()
    with pytest.raises(UpstreamMoved):
        mirrored(repository)

    repository.repomd.unlink()
    with pytest.raises(Unavailable, match=r"has no repodata/repomd\.xml"):
        mirrored(repository)


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        (b'href="repodata/', b'href="../repodata/', "'..'"),
        (b'href="repodata/', b'href="/etc/', "absolute"),
        (b'href="repodata/', b'href="%2e%2e/', "'..'"),
        (b'href="repodata/', b'href="%ff/', "surrogate"),
        (b"<location ", b'<location xml:base="http://elsewhere/" ', "lies at another address"),
        (b'<checksum type="sha256">', b'<checksum type="md5">', "no checksum to believe"),
        (b'<checksum type="sha256">', b'<checksum type="sha256">0', "no sha256 digest"),
        (b'type="primary"', b'type="first"', "no primary"),
        (b'type="filelists"', b'type="primary"', "2 primary"),
        (b"<revision>", b"<revision>" + b"1" * 5000, "longer than"),
        (b"<repomd ", b'<!DOCTYPE a [<!ENTITY b "c">]><repomd ', "document type"),
        (b"</repomd>", b"", "no well-formed XML"),
        (b"<repomd ", b"<html><repomd ", "the root is 'html'"),
        (b"<size>", b"<size>-", "no size"),
        (b"<timestamp>", b"<timestamp>1e", "no time"),
        (b"<size>", b"<size>1</size><size>", "two of 'size'"),
        (b"<size>", b"<a>" * 20 + b"<size>", "nested deeper"),
    ],
)
def test_signed_metadata_that_make_no_sense_are_refused(
    repository: Repository, old: bytes, new: bytes, complaint: str
) -> None:
    """Vendors sign by script what scripts have written."""
    repository.change(old, new)

    with pytest.raises(Untrusted, match=complaint):
        mirrored(repository)


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        (b'href="packages/', b'href="packages/../../', "'..'"),
        (b"<location ", b'<location xml:base="ftp://elsewhere/" ', "lies at another address"),
        (b'type="sha256" pkgid', b'type="crc32" pkgid', "no checksum to believe"),
        (b'package="', b'package="1', "its list promises"),
        (b"<name>tool", b"<name>", "no name"),
        (b"<description>", b"<description>" + b"&amp;<b>" * 20, "nested deeper"),
        (b"tool-1.0-1.noarch.rpm", b"other-3-1.x86_64.rpm", "two different files"),
        (b"<metadata ", b'<!DOCTYPE metadata SYSTEM "file:///etc/passwd"><metadata ', "document t"),
        (b"</metadata>", b"", "no well-formed XML"),
    ],
)
def test_an_index_with_a_bad_package_is_refused(
    repository: Repository, old: bytes, new: bytes, complaint: str
) -> None:
    """Names of an index become names of files and of URLs."""
    (path,) = (repository.root / "repodata").glob("*-primary.xml.gz")
    text = gzip.decompress(path.read_bytes())
    assert old in text
    data = gzip.compress(text.replace(old, new))
    before = hashlib.sha256(path.read_bytes()).hexdigest()
    size = b"<size>%d</size>" % path.stat().st_size
    replace(path, data)
    repository.change(size, b"<size>%d</size>" % len(data))
    digest = hashlib.sha256(data).hexdigest()
    repository.change(f'sha256">{before}'.encode(), f'sha256">{digest}'.encode())

    with pytest.raises((Untrusted, UpstreamMoved), match=complaint):
        mirrored(repository)


def test_an_index_that_never_ends_is_refused(repository: Repository) -> None:
    """A hundred kilobytes unpack to a tag of a hundred megabytes."""
    (path,) = (repository.root / "repodata").glob("*-primary.xml.gz")
    data = gzip.compress(b"<metadata><package>" + b"<" + b"a" * (100 << 20))
    digest, before = (hashlib.sha256(each).hexdigest() for each in (data, path.read_bytes()))
    size = b"<size>%d</size>" % path.stat().st_size
    replace(path, data)
    repository.change(size, b"<size>%d</size>" % len(data))
    repository.change(f'sha256">{before}'.encode(), f'sha256">{digest}'.encode())

    with pytest.raises(Untrusted, match="a tag or a text is longer than 1048576 bytes"):
        mirrored(repository)


def test_an_index_that_cannot_be_read_says_which_can(repository: Repository) -> None:
    """An administrator can only ask the vendor, and has to know for what."""
    repository.publish(revision=NOON + 1, words=("--general-compress-type", "xz"))
    assert TOOL in mirrored(repository).manifest

    (path,) = (repository.root / "repodata").glob("*-primary.xml.xz")
    path.rename(path.with_suffix(".lz4"))
    repository.change(b"primary.xml.xz", b"primary.xml.lz4")
    with pytest.raises(Unavailable, match="'lz4'") as refused:
        mirrored(repository)
    assert "gz, xz or zst" in refused.value.hint


def test_metadata_packed_with_zstd_are_read(repository: Repository) -> None:
    """What createrepo_c makes where nobody says otherwise, from its version 1.0 on."""
    repository.repack("zst", lambda data: zstd("-q", "-19", "-c", data=data))

    assert TOOL in mirrored(repository).manifest


@pytest.mark.parametrize(
    "spoilt",
    [lambda data: data[:-9], lambda data: data[:30] + bytes(9) + data[39:], lambda _: b"none"],
    ids=["cut off", "damaged", "something else"],
)
def test_metadata_that_cannot_be_unpacked_are_refused(repository: Repository, spoilt) -> None:
    """Their digest is right: the vendor itself has published what nobody can read."""
    repository.repack("zst", lambda data: spoilt(zstd("-q", "-c", data=data)))

    with pytest.raises(Untrusted, match="cannot"):
        mirrored(repository)


def test_metadata_that_want_a_giant_window_are_refused(repository: Repository) -> None:
    """A few bytes may ask for two gigabytes of memory to be unpacked with."""
    repository.repack(
        "zst", lambda data: zstd("-q", "--ultra", "-22", "--long=31", "-c", data=data)
    )

    with pytest.raises(Untrusted, match="cannot be unpacked"):
        mirrored(repository)


def zstd(*words: str, data: bytes) -> bytes:
    """Pack with Debian's own tool, which knows nothing of ours."""
    return subprocess.run(["zstd", *words], input=data, capture_output=True, check=True).stdout
