"""ClamAV databases as an upstream: the vendor's signature is checked by the vendor's own tool.

What clients get from the gate they take without asking for a version: whatever is wrong with it
has to be found here.
"""

import random
from pathlib import Path

import pytest
from tests.clamav import hashes, publish, signed
from tests.servers import ToldVendor, serving

from firedoor.adapters.blobs.disk import DiskBlobs
from firedoor.adapters.clock import SystemClock
from firedoor.adapters.upstream.clamav import ClamavUpstream, Sigtool
from firedoor.adapters.upstream.directory import DirectoryUpstream
from firedoor.adapters.upstream.http import HttpUpstream
from firedoor.adapters.upstream.unpacked import names_of
from firedoor.core.errors import Unavailable, Untrusted
from firedoor.services.mirror import take_snapshot
from firedoor.services.snapshot import Snapshot

LAB = hashes(("Lab.A", b"a"))


@pytest.fixture
def vendor(tmp_path: Path) -> Path:
    """Version 4 of a signed database, one of hashes, and what else lies about."""
    folder = tmp_path / "vendor"
    publish(folder, test_cvd=signed(4), lab_hdb=LAB, README=b"for people")
    return folder


def mirrored(
    vendor: Path, before: Snapshot | None = None, *names: str, sigtool: str = "sigtool"
) -> Snapshot:
    """What the mirror takes of a directory."""
    known = {} if before is None else before.manifest
    clock, blobs = SystemClock(), DiskBlobs(vendor.parent / "blobs")
    upstream = ClamavUpstream(
        DirectoryUpstream(vendor, clock),
        Sigtool(sigtool),
        blobs,
        names=names,
        previous=known,
    )
    return take_snapshot(upstream, blobs, before)


def test_all_databases_of_a_directory_are_mirrored_and_nothing_else(vendor: Path) -> None:
    """Whoever names none wants all that a client could load, patches too."""
    publish(vendor, **{"test-5.cdiff": b"a patch"})

    assert sorted(mirrored(vendor).manifest) == ["lab.hdb", "test-5.cdiff", "test.cvd"]


def test_databases_that_are_named_have_to_be_there(vendor: Path) -> None:
    """A release without its signatures would take protection away."""
    assert list(mirrored(vendor, None, "test.cvd").manifest) == ["test.cvd"]

    with pytest.raises(Unavailable, match=r"upstream has no main\.cvd") as refused:
        mirrored(vendor, None, "main.cvd", "test.cvd")
    assert "databases" in refused.value.hint


def test_a_server_without_a_list_is_asked_for_what_is_named(vendor: Path) -> None:
    """ClamAV's own mirrors have no directory pages; a second look costs a condition, no body."""
    files = {name: (vendor / name).read_bytes() for name in ("test.cvd", "lab.hdb")}
    clock, blobs = SystemClock(), DiskBlobs(vendor.parent / "blobs")
    with ToldVendor(serving(files), None) as server:
        upstream = ClamavUpstream(
            HttpUpstream(server.url, random.Random(1), clock),
            Sigtool(),
            blobs,
            names=("test.cvd", "lab.hdb"),
            listed=False,
        )
        found = take_snapshot(upstream, blobs)

    assert {path: file.size for path, file in found.manifest.items()} == {
        "test.cvd": len(signed(4)),
        "lab.hdb": len(LAB),
    }


def test_a_signed_database_that_was_changed_is_refused_by_the_vendors_own_tool(
    vendor: Path,
) -> None:
    """The MD5 finds an accident; a forger makes it right, and cannot make the signature."""
    good = bytearray(signed(4))
    damaged = bytes(good[:700]) + b"x" + bytes(good[701:])
    at = good.index(b":81:") + len(b":81:") + 33
    forged = bytes(good[:at]) + b"AAAA" + bytes(good[at + 4 :])

    publish(vendor, test_cvd=damaged)
    with pytest.raises(Untrusted, match="is damaged"):
        mirrored(vendor)
    publish(vendor, test_cvd=forged)
    with pytest.raises(Untrusted, match=r"the vendor has not signed test\.cvd: .*Verification"):
        mirrored(vendor)
    publish(vendor, test_cvd=b"<html>not here</html>")
    with pytest.raises(Untrusted, match=r"test\.cvd is no database"):
        mirrored(vendor)


def test_a_mirror_that_went_back_is_refused(vendor: Path) -> None:
    """A lagging mirror would take protection away from the whole fleet at once."""
    publish(vendor, test_cvd=signed(5))
    newest = mirrored(vendor)
    publish(vendor, test_cvd=signed(4))

    with pytest.raises(Untrusted, match="went back from version 5 to 4"):
        mirrored(vendor, newest)
    publish(vendor, test_cvd=signed(6))
    assert mirrored(vendor, newest).manifest != newest.manifest


def test_what_is_unsigned_may_go_back(vendor: Path) -> None:
    """Nobody numbers a custom database: its owner takes a signature out by removing its line."""
    publish(vendor, lab_hdb=LAB + hashes(("Lab.B", b"b")))
    newest = mirrored(vendor)
    publish(vendor, lab_hdb=LAB)

    assert mirrored(vendor, newest).manifest != newest.manifest


def test_an_empty_database_is_refused(vendor: Path) -> None:
    """Freshclam ends with "Empty file" there, and asks for none of those that follow."""
    publish(vendor, lab_hdb=b"")

    with pytest.raises(Untrusted, match=r"lab\.hdb is empty"):
        mirrored(vendor)


def test_without_the_vendors_tool_clients_check_the_signature_themselves(vendor: Path) -> None:
    """A small site need not install a scanner beside its gate; the rest is checked all the same."""
    assert "test.cvd" in mirrored(vendor, None, sigtool="no-such-sigtool").manifest


def test_a_tool_that_takes_too_much_is_ended(vendor: Path, tmp_path: Path) -> None:
    """A parser of foreign bytes may be made to run away: not with our memory, nor onto our disk."""
    greedy = tmp_path / "greedy"
    greedy.write_text('#!/bin/sh\nhead -c 100 /dev/zero >"$2.out"\n')
    greedy.chmod(0o755)

    with pytest.raises(Untrusted, match="has not signed"):
        mirrored(vendor, None, sigtool=str(greedy))


def test_the_names_that_a_signed_release_brings_are_its_difference(tmp_path: Path) -> None:
    """What an .ign2 file has to say to take one signature of the vendor back."""
    names = {}
    for version in (4, 6):
        file = tmp_path / str(version)
        file.write_bytes(signed(version))
        names[version] = list(names_of("test.cvd", file))

    assert {"Eicar-Test-Signature", "Win.Worm.Mydoom-9802011-0"} <= set(names[4])
    assert sorted(set(names[6]) - set(names[4])) == ["Win.Worm.Klez-1", "Win.Worm.Sobig-1"]


def test_a_damaged_archive_is_no_crash(tmp_path: Path) -> None:
    """Bytes may rot between the mirror and the question."""
    file = tmp_path / "test.cvd"
    file.write_bytes(signed(4)[:900])

    with pytest.raises(Untrusted, match="cannot be unpacked"):
        list(names_of("test.cvd", file))
    with pytest.raises(Unavailable, match="cannot be read"):
        list(names_of("test.cvd", tmp_path / "gone"))
