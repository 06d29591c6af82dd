"""Single packages of a newer release, put into the indices of an older one."""

import gzip
import hashlib
import lzma
from pathlib import Path

import pytest
from tests.debian import SUITE, Archive

from firedoor.adapters.blobs.disk import DiskBlobs
from firedoor.core.errors import BadInput
from firedoor.core.release import FileEntry, media_type
from firedoor.formats.debian import packages, parse_release
from firedoor.wire.picking import pick

INDEX = f"dists/{SUITE}/main/binary-amd64"


@pytest.fixture
def blobs(tmp_path):
    return DiskBlobs(tmp_path / "blobs")


@pytest.fixture
def archive(tmp_path):
    """A vendor with a library, two programs made from one source, and something else."""
    made = Archive.new(tmp_path / "vendor")
    put(made, "1")
    return made


def put(archive, version, lib="libssl", need="1"):
    """Publish a version of everything."""
    archive.packages.clear()
    archive.add(lib, version)
    archive.add(
        "ssh-server", version, fields=f"Source: ssh ({version}.src)\nDepends: {lib} (>= {need})\n"
    )
    archive.add("ssh-client", version, fields="Source: ssh\n")
    archive.add("other", version)
    archive.publish()


def mirrored(archive, blobs):
    """All that the vendor has now, as a release."""
    suite = archive.root / "dists"
    named = {stanza.split("Filename: ")[1].split("\n")[0] for stanza in archive.packages.values()}
    paths = [p for p in suite.rglob("*") if p.is_file() and "by-hash" not in str(p)]
    files = {}
    for path in (*paths, *(archive.root / each for each in named)):
        digest, size = blobs.put(iter((path.read_bytes(),)))
        where = str(path.relative_to(archive.root))
        files[where] = FileEntry(digest, size, media_type(where))
        if path.name.startswith("Packages"):
            where = f"{where.rpartition('/')[0]}/by-hash/SHA256/{digest}"
            files[where] = FileEntry(digest, size, media_type(where))
    return files


def versions(manifest, blobs, name="Packages.gz"):
    data = read(manifest, blobs, f"{INDEX}/{name}")
    text = (gzip if name.endswith("gz") else lzma).decompress(data)
    return {each.name: each.version for each in packages([text])}


def read(manifest, blobs, path):
    return Path(blobs.path(manifest[path].sha256)).read_bytes()


def test_all_packages_of_a_source_come_and_no_other(archive, blobs):
    """Those of one source say of each other which version they need."""
    base = mirrored(archive, blobs)
    put(archive, "2")

    made = pick(base, mirrored(archive, blobs), ["ssh-client"], blobs)

    wanted = {"libssl": "1", "other": "1", "ssh-client": "2", "ssh-server": "2"}
    assert versions(made.manifest, blobs) == versions(made.manifest, blobs, "Packages.xz") == wanted
    assert made.sources == ("ssh 2", "ssh 2.src")
    pool = sorted(path.rpartition("/")[2] for path in made.manifest if path.startswith("pool/"))
    assert pool == [
        "libssl_1_all.deb", "other_1_all.deb", "ssh-client_2_all.deb", "ssh-server_2_all.deb",
    ]  # fmt: skip


def test_the_release_names_what_is_there_by_its_digest(archive, blobs):
    """Apt believes nothing else: indices under both names, and what is unpacked."""
    base = mirrored(archive, blobs)
    put(archive, "2")

    made = pick(base, mirrored(archive, blobs), ["ssh"], blobs).manifest

    release = parse_release(read(made, blobs, f"dists/{SUITE}/InRelease"))
    assert release.fields["origin"] == "Vendor"
    assert len(release.files) == 6
    for path, file in release.files.items():
        entry = made.get(f"dists/{SUITE}/{path}")
        if entry is not None:
            assert (entry.sha256, entry.size) == (file.sha256, file.size)
            folder = path.rpartition("/")[0]
            assert made[f"dists/{SUITE}/{folder}/by-hash/SHA256/{file.sha256}"] == FileEntry(
                file.sha256, file.size, media_type("x")
            )
    plain = gzip.decompress(read(made, blobs, f"{INDEX}/Packages.gz"))
    known = release.files["main/binary-amd64/Packages"]
    assert (known.sha256, known.size) == (hashlib.sha256(plain).hexdigest(), len(plain))
    assert not {f"dists/{SUITE}/Release", f"dists/{SUITE}/Release.gpg"} & made.keys()
    by_hash = [path for path in made if path.startswith(f"{INDEX}/by-hash/")]
    assert len(by_hash) == 2


def test_what_could_not_be_installed_is_refused_and_says_what_it_needs(archive, blobs):
    """The newer library is in the newer release alone: apt would keep the fix back in silence."""
    base = mirrored(archive, blobs)
    put(archive, "2", need="2")
    newer = mirrored(archive, blobs)

    with pytest.raises(BadInput, match=r"ssh-server needs libssl \(>= 2\)") as error:
        pick(base, newer, ["ssh"], blobs)

    assert "pick that as well" in error.value.hint
    both = pick(base, newer, ["ssh", "libssl"], blobs)
    assert versions(both.manifest, blobs)["libssl"] == "2"


def test_what_the_newer_release_itself_has_not_is_nobodys_business(archive, blobs):
    """A suite of security fixes leans on packages of another suite."""
    base = mirrored(archive, blobs)
    put(archive, "2", need="9")

    assert pick(base, mirrored(archive, blobs), ["ssh"], blobs).sources


def test_a_package_that_others_provide_is_there(archive, blobs):
    """A name that no package has, but one provides in a version."""
    base = mirrored(archive, blobs)
    archive.packages.clear()
    archive.add("libssl", "1", fields="Provides: crypto (= 1)\n")
    archive.add("other", "2", fields="Depends: crypto (>= 1) | nothing\n")
    archive.publish()
    newer = mirrored(archive, blobs)

    with pytest.raises(BadInput, match="other needs crypto"):
        pick(base, newer, ["other"], blobs)
    assert pick(base, newer, ["other", "libssl"], blobs).sources == ("libssl 1", "other 2")


@pytest.mark.parametrize(
    ("names", "says"), [(["ssh", "nano"], "no package nano"), (["other"], "as the newer release")]
)
def test_what_is_not_there_or_nothing_new_is_refused(archive, blobs, names, says):
    """A typing error must not become a release that changes nothing."""
    base = mirrored(archive, blobs)
    archive.add("ssh-client", "3", fields="Source: ssh\n")
    archive.publish()

    with pytest.raises(BadInput, match=says):
        pick(base, mirrored(archive, blobs), names, blobs)


def test_a_package_that_comes_or_goes_with_its_source_does_so(archive, blobs):
    """What the newer source does not make any more is gone, what it makes anew is there."""
    base = mirrored(archive, blobs)
    archive.packages.clear()
    archive.add("libssl", "1")
    archive.add("other", "1")
    archive.add("ssh-server", "2", fields="Source: ssh\n")
    archive.add("ssh-tests", "2", fields="Source: ssh\n")
    archive.publish()

    made = pick(base, mirrored(archive, blobs), ["ssh"], blobs).manifest

    wanted = {"libssl": "1", "other": "1", "ssh-server": "2", "ssh-tests": "2"}
    assert versions(made, blobs) == wanted
    assert not [path for path in made if "ssh-client" in path]


def test_packings_that_are_not_made_are_not_named(archive, blobs):
    """Nor differences to the vendor's earlier indices, which lead to what the vendor has now."""
    suite = archive.root / "dists" / SUITE
    text = (suite / "Release").read_text()
    digest = "0" * 64
    more = "".join(
        f" {digest} 1 main/binary-amd64/{name}\n"
        for name in ("Packages.lz4", "Packages.diff/Index")
    )
    (suite / "InRelease").write_text(
        f"{text}{more}MD5Sum:\n {'0' * 32} 1 main/binary-amd64/Packages\n"
    )
    base = mirrored(archive, blobs)
    put(archive, "2")

    made = pick(base, mirrored(archive, blobs), ["ssh"], blobs).manifest

    said = read(made, blobs, f"dists/{SUITE}/InRelease").decode()
    assert "lz4" not in said
    assert "diff" not in said
    assert "MD5Sum" not in said
    assert said.count("main/binary-amd64/Packages") == 3


def published(archive, *packages):
    """Publish exactly these packages: name, version, and what else their control files say."""
    archive.packages.clear()
    for name, version, *fields in packages:
        archive.add(name, version, fields=fields[0] if fields else "")
    archive.publish()


def test_nothing_is_taken_back(archive, blobs):
    """A mistaken --from must not take a fix away."""
    newer = mirrored(archive, blobs)
    put(archive, "2")

    with pytest.raises(BadInput, match="would go back from 2 to 1"):
        pick(mirrored(archive, blobs), newer, ["ssh"], blobs)


def test_an_index_that_comes_or_goes_is_no_package(archive, blobs):
    """All packages of an architecture would be taken from its machines."""
    base = mirrored(archive, blobs)
    put(archive, "2")
    newer = mirrored(archive, blobs)
    other = INDEX.replace("amd64", "arm64")
    moved = {path.replace(INDEX, other): file for path, file in newer.items()}

    with pytest.raises(BadInput, match=r"the newer release has no .*binary-amd64"):
        pick(base, moved, ["ssh"], blobs)
    with pytest.raises(BadInput, match=r"in .*binary-arm64, which is new itself"):
        pick(base, newer | moved, ["ssh"], blobs)


def test_a_mirror_of_some_packages_picks_the_files_that_it_mirrors(archive, blobs):
    """Its indices name all, and only those that the configuration lists have files."""
    base = mirrored(archive, blobs)
    put(archive, "2")
    newer = mirrored(archive, blobs)

    def some(manifest):
        return {path: file for path, file in manifest.items() if "ssh-client_" not in path}

    made = pick(some(base), some(newer), ["ssh"], blobs).manifest

    files = [path for path in made if "ssh-" in path]
    assert files == ["pool/main/s/ssh-server/ssh-server_2_all.deb"]
    with pytest.raises(BadInput, match="no file of its package ssh-client"):
        pick(base, some(newer), ["ssh"], blobs)


def test_what_breaks_by_it_is_named(archive, blobs):
    """Apt would take the other one from the machine, or keep the fix back."""
    published(archive, ("tool", "1"), ("other", "3"))
    base = mirrored(archive, blobs)
    published(archive, ("tool", "2", "Breaks: other (<< 4)\n"), ("other", "4"))
    newer = mirrored(archive, blobs)

    with pytest.raises(BadInput, match=r"tool goes with no other \(<< 4\)"):
        pick(base, newer, ["tool"], blobs)
    assert pick(base, newer, ["tool", "other"], blobs).sources == ("other 4", "tool 2")


def test_what_stays_keeps_what_it_needs(archive, blobs):
    """A library that changes its name leaves behind whoever was built for it."""
    published(archive, ("libx1", "1", "Source: x\n"), ("app", "1", "Depends: libx1\n"))
    base = mirrored(archive, blobs)
    published(archive, ("libx2", "2", "Source: x\n"), ("app", "2", "Depends: libx2\n"))
    newer = mirrored(archive, blobs)

    with pytest.raises(BadInput, match="app needs libx1"):
        pick(base, newer, ["x"], blobs)
    assert pick(base, newer, ["x", "app"], blobs).sources == ("app 2", "x 2")


def test_packages_for_all_architectures_need_what_each_of_them_has(archive, blobs):
    """Debian has an index of its own for them, beside those of the architectures."""
    published(archive, ("lib", "1"), ("tool", "1"))
    base = in_two(mirrored(archive, blobs), archive, blobs)
    published(archive, ("lib", "2"), ("tool", "2", "Depends: lib (>= 2)\n"))
    newer = in_two(mirrored(archive, blobs), archive, blobs)

    with pytest.raises(BadInput, match="tool needs lib"):
        pick(base, newer, ["tool"], blobs)


def in_two(manifest, archive, blobs):
    """The same release, with ``tool`` in the index of packages for all architectures."""
    found = dict(manifest)
    for folder, wanted in (("binary-amd64", "lib"), ("binary-all", "tool")):
        text = "\n".join(s for (n, _), s in archive.packages.items() if n == wanted).encode()
        packings = {"Packages.gz": gzip.compress(text), "Packages.xz": lzma.compress(text)}
        for name, packed in packings.items():
            digest, size = blobs.put(iter((packed,)))
            path = f"dists/{SUITE}/main/{folder}/{name}"
            found[path] = FileEntry(digest, size, media_type(path))
    return found
