"""A Debian repository as an upstream: nothing is believed that its key has not signed.

The repository is a real one, built by dpkg-deb and signed by GnuPG; apt itself reads what the
mirror took of it in ``tests/e2e/test_apt.py``.
"""

import datetime as dt
import gzip
import hashlib
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.debian import SUITE, Archive, names, replace

from firedoor.adapters.blobs.disk import DiskBlobs
from firedoor.adapters.clock import SystemClock
from firedoor.adapters.keys.openpgp import Keyring
from firedoor.adapters.upstream.apt import AptUpstream, Selection
from firedoor.adapters.upstream.directory import DirectoryUpstream
from firedoor.core.errors import BadConfig, FiredoorError, Unavailable, Untrusted, UpstreamMoved
from firedoor.services.mirror import take_snapshot
from firedoor.services.snapshot import Snapshot

DISTS = f"dists/{SUITE}"
AMD64 = f"{DISTS}/main/binary-amd64"


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    """Two packages, published."""
    archive = Archive.new(tmp_path)
    archive.add("tool", "1.0")
    archive.add("other", "3")
    archive.publish()
    return archive


def mirrored(
    archive: Archive,
    keyring: Path | None = None,
    before: Snapshot | None = None,
    *,
    deferred: Callable[[str], bool] = lambda _: False,
    wanted: Callable[[str], bool] = lambda _: False,
    most: int = 1 << 30,
    ours: bool = False,
    **part: tuple[str, ...],
) -> Snapshot:
    """What the mirror takes of it."""
    known = {} if before is None else before.manifest
    clock, blobs = SystemClock(), DiskBlobs(archive.root.parent / "blobs")
    upstream = AptUpstream(
        DirectoryUpstream(archive.root, clock),
        Keyring([keyring or archive.keyring]),
        Selection(**{"suites": (SUITE,), "architectures": ("amd64",)} | part),
        blobs,
        clock,
        previous=known,
        ours=ours,
        deferred=deferred,
    )
    return take_snapshot(upstream, blobs, before, max_total_bytes=most, wanted=wanted)


def resigned(archive: Archive, change: Callable[[bytes], bytes]) -> None:
    """Sign another Release than the one that was published."""
    release = change((archive.root / DISTS / "Release").read_bytes())
    replace(archive.root / DISTS / "InRelease", archive.gpg("--clearsign", data=release))


def test_a_suite_comes_with_its_indices_by_both_names_and_its_packages(archive: Archive) -> None:
    """A client that sees a new InRelease asks for an index by its digest."""
    found = mirrored(archive).manifest
    packed = gzip.compress(b"\n".join(
        archive.packages[key].encode() for key in sorted(archive.packages)
    ), mtime=0)  # fmt: skip
    digest = hashlib.sha256(packed).hexdigest()

    assert found[f"{AMD64}/Packages.gz"].sha256 == digest
    assert found[f"{AMD64}/by-hash/SHA256/{digest}"].sha256 == digest
    assert {path for path in found if path.startswith("pool/")} == {
        "pool/main/t/tool/tool_1.0_all.deb",
        "pool/main/o/other/other_3_all.deb",
    }
    # Named in Release and not there, as at Debian: nobody asks for it.
    assert f"{AMD64}/Packages" not in found
    assert f"{DISTS}/InRelease" in found


def test_a_part_of_a_suite_is_mirrored_as_chosen(archive: Archive) -> None:
    """A fleet that runs three packages needs no copy of sixty thousand."""
    found = mirrored(archive, packages=("to*",)).manifest

    assert [path for path in found if path.startswith("pool/")] == [
        "pool/main/t/tool/tool_1.0_all.deb"
    ]
    with pytest.raises(Unavailable, match="no index of the components"):
        mirrored(archive, components=("contrib",))
    with pytest.raises(Unavailable, match="no signed suite"):
        mirrored(archive, suites=("oldstable",))


def test_a_suite_signed_beside_its_release_is_as_good(archive: Archive) -> None:
    """Old and small repositories have Release and Release.gpg only."""
    (archive.root / DISTS / "InRelease").unlink()

    found = mirrored(archive).manifest

    assert {f"{DISTS}/Release", f"{DISTS}/Release.gpg"} < set(found)
    replace(archive.root / DISTS / "Release", b"Suite: stable\n")
    with pytest.raises(Untrusted, match="does not belong to these bytes"):
        mirrored(archive)


def test_only_the_channels_own_keys_are_believed(archive: Archive, tmp_path: Path) -> None:
    """Whoever can write to a mirror can sign, but not with the vendor's key."""
    stranger = Archive.new(tmp_path / "stranger")

    with pytest.raises(Untrusted, match="no key of the channel has signed it"):
        mirrored(archive, stranger.keyring)
    unsigned = (archive.root / DISTS / "Release").read_bytes()
    replace(archive.root / DISTS / "InRelease", unsigned)
    with pytest.raises(Untrusted, match="not signed"):
        mirrored(archive)


def test_what_stands_around_a_signed_text_is_not_read(archive: Archive) -> None:
    """A second list before the signed one would otherwise name any file as the vendor's."""
    path = archive.root / DISTS / "InRelease"
    good = mirrored(archive)
    forged = b"SHA256:\n " + b"0" * 64 + b" 1 main/binary-amd64/Packages.gz\n"

    for data in (forged + path.read_bytes(), path.read_bytes() + forged):
        replace(path, data)
        try:
            found = mirrored(archive).manifest
        except Untrusted:
            continue
        assert {k: v for k, v in found.items() if "InRelease" not in k} == {
            k: v for k, v in good.manifest.items() if "InRelease" not in k
        }


def test_a_signed_text_that_was_changed_is_refused(archive: Archive) -> None:
    """One digit of a digest is enough to serve another index."""
    path = archive.root / DISTS / "InRelease"
    replace(path, path.read_bytes().replace(b"Suite: stable", b"Suite: Stable"))

    with pytest.raises(Untrusted, match="does not belong to these bytes"):
        mirrored(archive)


def test_an_expired_suite_is_refused_as_every_client_would(archive: Archive) -> None:
    """An old copy with a good signature is how a fix is kept from a fleet."""
    long_ago = dt.datetime.now(dt.UTC) - dt.timedelta(days=9)
    archive.publish(date=long_ago, valid_for=dt.timedelta(days=7))

    with pytest.raises(Untrusted, match="expired at"):
        mirrored(archive)


def test_a_suite_that_goes_back_is_refused(archive: Archive) -> None:
    """An older one with a good signature, still valid: a lagging mirror, or an attack."""
    now = dt.datetime.now(dt.UTC)
    archive.publish(date=now)
    newest = mirrored(archive)

    archive.publish(date=now - dt.timedelta(hours=1))
    with pytest.raises(Untrusted, match="went back from"):
        mirrored(archive, before=newest)

    # Renewed with the same content: a good suite again.
    archive.publish(date=now + dt.timedelta(seconds=1))
    assert mirrored(archive, before=newest).manifest.keys() == newest.manifest.keys()


@pytest.mark.parametrize(
    ("change", "error", "complaint"),
    [
        (lambda text: text.replace(b"stable", b"testing"), Untrusted, "says that it is testing"),
        (lambda text: text.replace(b"SHA256:", b"MD5Sum:"), Untrusted, "no SHA256 section"),
        (lambda text: text.replace(b"main/binary-amd64/", b"../../../"), Untrusted, "'..'"),
        (lambda text: text.replace(b"Date: ", b"Dated: "), Untrusted, "no Date"),
        (lambda text: text + b"Suite: testing\n", Untrusted, "twice"),
        (lambda text: b" 0 0 x\n" + text, Untrusted, "continuation"),
    ],
    ids=["other suite", "no digests", "path", "date", "twice", "continuation"],
)
def test_a_signed_release_that_makes_no_sense_is_refused(
    archive: Archive,
    change: Callable[[bytes], bytes],
    error: type[FiredoorError],
    complaint: str,
) -> None:
    """Vendors sign by script what scripts have written."""
    resigned(archive, change)

    with pytest.raises(error, match=complaint):
        mirrored(archive)


@pytest.mark.parametrize(
    ("field", "value", "complaint"),
    [
        ("Filename", "pool/../../etc/passwd", r"'\.\.'"),
        ("Filename", "/etc/passwd", "absolute"),
        ("SHA256", "abc", "no SHA-256"),
        ("Size", "-1", "no size"),
        ("Size", "1", "its list promises 1"),
    ],
)
def test_an_index_with_a_bad_package_is_refused(
    archive: Archive, field: str, value: str, complaint: str
) -> None:
    """Names of an index become names of files and of URLs."""
    lines = archive.packages["tool", "1.0"].splitlines()
    at = next(n for n, line in enumerate(lines) if line.startswith(f"{field}:"))
    lines[at] = f"{field}: {value}"
    archive.packages["tool", "1.0"] = "\n".join([*lines, ""])
    archive.publish()

    with pytest.raises((Untrusted, UpstreamMoved), match=complaint):
        mirrored(archive)


def test_wrong_bytes_are_found_out_wherever_they_are(archive: Archive) -> None:
    """The chain from the signature to the last package has no gap."""
    deb = archive.root / "pool/main/t/tool/tool_1.0_all.deb"
    data = deb.read_bytes()
    replace(deb, data[:-1] + bytes([data[-1] ^ 1]))

    with pytest.raises(Untrusted, match=r"tool_1\.0_all\.deb"):
        mirrored(archive)


def test_a_wrong_index_is_found_out(archive: Archive) -> None:
    """It would name any package as the vendor's."""
    for index in (archive.root / AMD64 / "by-hash/SHA256").iterdir():
        replace(index, b"x")

    with pytest.raises(Untrusted, match="by-hash"):
        mirrored(archive)


def test_a_package_that_is_named_and_not_there_yet_is_waited_for(archive: Archive) -> None:
    """Mirrors get the indices of a release before its last packages, or the other way round."""
    (archive.root / "pool/main/t/tool/tool_1.0_all.deb").unlink()

    with pytest.raises(UpstreamMoved):
        mirrored(archive)


def test_a_keyring_says_what_is_wrong_with_it(archive: Archive, tmp_path: Path) -> None:
    """Vendors publish their keys armoured, and gpgv calls that no key at all."""
    armoured = tmp_path / "vendor.asc"
    armoured.write_bytes(archive.gpg("--export", "--armor"))

    with pytest.raises(BadConfig, match="armoured") as wrong:
        Keyring([armoured])
    assert "gpg --dearmor" in wrong.value.hint
    with pytest.raises(BadConfig, match="cannot be read"):
        Keyring([tmp_path / "none.gpg"])
    with pytest.raises(BadConfig, match="no keys"):
        Keyring([])


def test_packages_that_may_be_deferred_are_named_by_their_index(archive: Archive) -> None:
    """What is not fetched has the digest that its suite's key has signed, all the same."""
    blobs = DiskBlobs(archive.root.parent / "blobs")
    everything = mirrored(archive)
    for file in everything.manifest.values():
        Path(blobs.path(file.sha256)).unlink(missing_ok=True)

    named = mirrored(archive, deferred=lambda path: "other" not in path)

    assert named.manifest == everything.manifest
    lacking = {path for path, file in named.manifest.items() if not blobs.has(file.sha256)}
    assert lacking == {"pool/main/t/tool/tool_1.0_all.deb"}


def test_of_deferred_packages_what_changed_and_is_wanted_is_fetched(archive: Archive) -> None:
    """The others wait for the first machine that asks."""
    blobs = DiskBlobs(archive.root.parent / "blobs")
    first = mirrored(archive, deferred=lambda _: True)
    archive.add("tool", "1.1")
    archive.add("new", "1")
    archive.publish()

    second = mirrored(
        archive,
        before=first,
        deferred=lambda _: True,
        wanted=lambda path: "tool" in path or "other" in path,
    )

    lacking = {path for path, file in second.manifest.items() if not blobs.has(file.sha256)}
    assert names(sorted(lacking)) == ["new_1_all.deb", "other_3_all.deb", "tool_1.0_all.deb"]


def test_a_repository_that_defers_may_be_larger_than_what_is_held(archive: Archive) -> None:
    """The limit is for a disk, not for an index."""
    with pytest.raises(Untrusted, match="more than"):
        mirrored(archive, most=100)

    assert mirrored(archive, most=10_000, deferred=lambda _: True).manifest


def test_suites_that_are_as_they_were_are_not_read_again(archive: Archive) -> None:
    """Sixty thousand stanzas every ten minutes would be work for nothing."""
    first = mirrored(archive)
    for index in archive.root.glob("dists/**/Packages*"):
        index.unlink()  # nobody asks for it

    assert mirrored(archive, before=first, ours=True) == first

    archive.add("tool", "1.1")
    archive.publish()
    second = mirrored(archive, before=first, ours=True)
    assert "pool/main/t/tool/tool_1.1_all.deb" in second.manifest
    assert mirrored(archive, before=second, ours=True) == second


def test_a_suite_that_has_expired_is_refused_though_it_is_as_it_was(archive: Archive) -> None:
    """That it did not change is just what is wrong with it."""
    now = dt.datetime.now(dt.UTC)
    archive.publish(date=now, valid_for=dt.timedelta(seconds=2))
    first = mirrored(archive)
    time.sleep(2.1)

    with pytest.raises(Untrusted, match="expired"):
        mirrored(archive, before=first, ours=True)
