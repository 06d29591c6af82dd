"""The vendors' own tools, as preflight asks them: what they refuse, and what is no fault of ours.

Nothing is imitated: clamscan, clamd, freshclam's test, suricata, dpkg-deb and rpm run as Debian
has them.
"""

import hashlib
import os
import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from tests.clamav import MALFORMED, hashes
from tests.office import until
from tests.rpm import Repository
from tests.sandboxes import needs_sandbox
from tests.suricata import FEED, packed, rules

from firedoor.adapters.blobs.disk import DiskBlobs
from firedoor.adapters.clock import SystemClock
from firedoor.adapters.preflight.examination import Means, examine
from firedoor.adapters.preflight.sandbox import Limits
from firedoor.config import ChannelConfig, from_text
from firedoor.core.release import FileEntry, Manifest, media_type
from firedoor.services.preflight import Check, Job, Report, Result

pytestmark = [pytest.mark.slow, needs_sandbox]

OLD = b"an old virus"
SYSTEM = Path("/usr/bin/true")
LIMITS = Limits(60_000, 2 << 30)
RULES = b'rule found { strings: $a = "an old virus" condition: $a }\n'
VANISHED = RULES.replace(b"condition: $a", b"condition: $b")
GOOD = {"lab.hdb": hashes(("Lab.Old", OLD)), "lab.yara": RULES}

Files = Mapping[str, bytes]


def channel(kind: str, more: str = "") -> ChannelConfig:
    """A channel of a kind."""
    needed = {
        "apt": 'suites = ["stable"]\ntrust = ["/srv/key.asc"]\npool = "eager"',
        "suricata": f'feeds = ["{FEED}"]',
    }
    text = f'[[channel]]\nname = "c"\nkind = "{kind}"\nupstream = "/srv/c"\n'
    return from_text(f"{text}{needed.get(kind, '')}\n{more}").channels[0]


@pytest.fixture
def ask(tmp_path: Path) -> Callable[..., Check]:
    """Have a release looked at beside the one before it; what came of it."""
    blobs = DiskBlobs(tmp_path / "blobs")

    def stored(files: Files) -> Manifest:
        entries = {}
        for path, data in sorted(files.items()):
            digest, size = blobs.put(iter((data,)))
            entries[path] = FileEntry(digest, size, media_type(path))
        return entries

    def look(kind: str, new: Files, old: Files | None = None, **how: str) -> Check:
        wanted, limits = channel(kind, how.get("more", "")), LIMITS
        clean = how.get("clean", str(SYSTEM))
        means = Means(blobs, SystemClock(), tmp_path / "views", limits, (clean,))
        checks = examine(Job(wanted, "r", stored(new), stored(old or {})), means)
        report = Report.of("r", checks, 0, 0)
        return Check(report.result, report.sentence)

    return look


def failed(check: Check, *reasons: str) -> None:
    """It is held, for a reason that a person can act on."""
    assert check.result is Result.FAILED, check
    assert [each for each in reasons if each not in check.sentence] == [], check


# ClamAV


def test_databases_that_load_and_find_nothing_clean_pass(ask):
    """Most releases do, and must not be held."""
    check = ask("clamav", GOOD | {"more.hdb": hashes(("Lab.New", b"new"))}, GOOD)

    assert check.result is Result.PASSED
    assert check.sentence.endswith("loads 3 signatures and finds nothing in 1 known good file")


def test_a_malformed_database_fails(ask):
    """Clamscan and clamd end at it."""
    failed(ask("clamav", GOOD | {"lab.hdb": MALFORMED}, GOOD), "does not load", "lab.hdb")
    failed(ask("clamav", {"lab.hdb": MALFORMED}), "Malformed database")


def test_a_scanner_that_only_fails_at_its_next_start_would_have_got_it(ask, tmp_path):
    """The latent failure: told to reload, clamd keeps what it has and looks healthy for weeks."""
    database, socket, conf = tmp_path / "db", tmp_path / "socket", tmp_path / "clamd.conf"
    database.mkdir()
    (database / "lab.hdb").write_bytes(GOOD["lab.hdb"])
    conf.write_text(
        f"DatabaseDirectory {database}\nLocalSocket {socket}\nForeground yes\nUser root\n"
        f"LogFile {tmp_path}/log\n"
    )
    start = ["clamd", f"--config-file={conf}"]
    tell = ["clamdscan", f"--config-file={conf}"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(start, **quiet) as scanner:  # type: ignore[call-overload] # both streams
        until(socket.exists)
        (database / "lab.hdb").write_bytes(MALFORMED)
        subprocess.run([*tell, "--reload"], check=True, timeout=30, **quiet)  # type: ignore[call-overload] # both streams
        until(lambda: "reload failed" in (tmp_path / "log").read_text())
        virus = tmp_path / "virus"
        virus.write_bytes(OLD)
        found = subprocess.run(
            [*tell, "--fdpass", "--no-summary", str(virus)],
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert "FOUND" in found.stdout  # healthy, as far as anybody can see
        scanner.terminate()
    assert subprocess.run(start, timeout=60, check=False, **quiet).returncode == 1  # type: ignore[call-overload] # both streams

    failed(ask("clamav", {"lab.hdb": MALFORMED}, {"lab.hdb": GOOD["lab.hdb"]}), "does not load")


def test_rules_that_the_clients_own_test_takes_and_then_leaves_out_fail(ask, tmp_path):
    """Nobody misses them before a virus that they would have found."""
    for name, data in (GOOD | {"lab.yara": VANISHED}).items():
        (tmp_path / name).write_bytes(data)
    taken = subprocess.run(
        ["clamscan", "-d", str(tmp_path / "lab.yara"), str(SYSTEM)],
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert taken.returncode == 0  # what freshclam's TestDatabases looks at

    check = ask("clamav", GOOD | {"lab.yara": VANISHED}, GOOD)

    failed(check, "leaves out a part of it", "lab.yara", 'undefined string "$b"')


def test_a_false_positive_on_a_file_of_the_system_fails(ask):
    """The scanner would take it away from every machine."""
    wrong = hashes(("Lab.Old", OLD), ("Lab.FP", SYSTEM.read_bytes()))

    check = ask("clamav", GOOD | {"lab.hdb": wrong}, GOOD)

    failed(check, f"{SYSTEM} (Lab.FP.UNOFFICIAL)")


def test_files_that_are_known_to_be_clean_may_lie_anywhere(ask, tmp_path):
    """A golden image is in no system's directory; one that cannot be read is told, not skipped."""
    image = tmp_path / "image"
    image.mkdir(mode=0o755)
    (image / "till.exe").write_bytes(b"a till")
    wrong = GOOD | {"fp.hdb": hashes(("Lab.FP", b"a till"))}

    failed(ask("clamav", wrong, GOOD, clean=str(image)), f"{image}/till.exe (Lab.FP")

    image.chmod(0o700)
    if os.geteuid() == 0:
        check = ask("clamav", wrong, GOOD, clean=str(image))
        assert check.result is Result.UNCHECKED
        assert "cannot be read" in check.sentence


def test_what_the_release_before_shows_too_is_no_fault_of_this_one(ask):
    """A sample among the clean files, a rule that never loaded: held for ever, and for nothing."""
    before = GOOD | {"own.hdb": hashes(("Lab.Sample", SYSTEM.read_bytes())), "odd.yara": VANISHED}
    later = b"// a line more\n" + VANISHED

    check = ask("clamav", before | {"odd.yara": later, "new.hdb": hashes(("N", b"n"))}, before)

    assert check.result is Result.PASSED
    assert "1 hit that the release before has too" in check.sentence


def test_signatures_that_are_gone_in_numbers_fail(ask):
    """A file that was cut off loads well and protects from less."""
    many = [(f"Lab.{n}", b"%d" % n) for n in range(200)]
    before, cut = {"lab.hdb": hashes(*many)}, {"lab.hdb": hashes(*many[:150])}

    failed(ask("clamav", cut, before), "loads 150 signatures", "before it was 200")
    assert ask("clamav", {"lab.hdb": hashes(*many[:190])}, before).result is Result.PASSED
    failed(ask("clamav", {"a.ign2": b"Lab.1\n"}, before), "no signatures")


# Suricata


@pytest.mark.skipif(shutil.which("suricata") is None, reason="no suricata here")
def test_rules_that_suricata_refuses_fail_and_others_pass(ask):
    """suricata-update itself takes whatever is in the archive."""

    def feed(text: bytes) -> Files:
        data = packed({"rules/all.rules": text})
        digest = hashlib.md5(data, usedforsecurity=False).hexdigest()
        return {FEED: data, f"{FEED}.md5": digest.encode()}

    good = feed(rules("worm", "exploit"))
    check = ask("suricata", good, feed(rules("worm")))
    assert check.result is Result.PASSED, check
    assert "rules, with those that it brings itself" in check.sentence

    broken = rules("worm").replace(b"sid:1", b"contentt:1; sid:4000001")
    failed(ask("suricata", feed(broken), good), "does not take its rules", "contentt")


# Packages


def deb(folder: Path, name: str, postinst: str) -> bytes:
    """A Debian package with a script."""
    control = folder / name / "DEBIAN"
    control.mkdir(parents=True)
    (control / "control").write_text(
        f"Package: {name}\nVersion: 1\nArchitecture: all\nMaintainer: a <a@example.org>\n"
        "Description: to test with\n"
    )
    (control / "postinst").write_text(postinst)
    (control / "postinst").chmod(0o755)
    target = folder / f"{name}.deb"
    subprocess.run(
        ["dpkg-deb", "--root-owner-group", "-b", str(folder / name), str(target)],
        check=True,
        capture_output=True,
        timeout=30,
    )
    return target.read_bytes()


def test_debian_packages_are_opened_and_their_scripts_read(ask, tmp_path):
    """A script that no shell can read leaves dpkg half configured on every machine."""
    good = {"pool/good_1_all.deb": deb(tmp_path, "good", "#!/bin/sh\nset -e\necho $((1 + 1))\n")}
    assert ask("apt", good).sentence == "dpkg-deb opens 1 package that changed"

    script = deb(tmp_path, "bad", "#!/bin/sh\nif true; then\n")
    failed(ask("apt", good | {"pool/bad_1_all.deb": script}, good), "bad_1_all.deb", "postinst")

    # What is not the shell's is not read by it; bash knows more than sh.
    other = {
        "pool/perl_1_all.deb": deb(tmp_path, "perl", "#!/usr/bin/perl\nif (1) {}\n"),
        "pool/bash_1_all.deb": deb(tmp_path, "bash", "#!/bin/bash\na=(1 2)\n"),
    }
    assert ask("apt", good | other, good).result is Result.PASSED

    cut = {"pool/cut_1_all.deb": good["pool/good_1_all.deb"][:-60]}
    failed(ask("apt", good | cut, good), "cut_1_all.deb")


def test_packages_that_are_not_held_yet_are_told(ask):
    """To call it passed would claim that somebody had looked."""
    check = ask("apt", {"dists/stable/InRelease": b"index"})

    assert check == Check(Result.UNCHECKED, "dpkg-deb: no package that changed is held yet")


def test_rpm_packages_have_the_digests_that_they_name(ask, tmp_path):
    """A package that was built or signed wrongly fails on every machine alike."""
    vendor = Repository.new(tmp_path / "vendor")
    built = vendor.add("tool", "1").read_bytes()
    good = {"packages/tool-1-1.noarch.rpm": built}
    assert ask("rpm", good).sentence == "rpmkeys opens 1 package that changed"

    damaged = built[:-20] + bytes(20)
    bad = good | {"packages/tool-2-1.noarch.rpm": damaged}
    failed(ask("rpm", bad, good), "tool-2-1.noarch.rpm", "DIGESTS NOT OK")


# A program of the operator's


def test_a_program_of_the_operators_decides_and_says_why(ask, tmp_path):
    """It sees the release, the one before, and nothing of ours."""
    program = tmp_path / "look-at-release"
    program.write_text(
        "#!/bin/sh\nnew=$(wc -l <sites.txt); old=$(wc -l </previous/sites.txt)\n"
        '[ $((new * 2)) -ge "$old" ] || { echo "$new sites, before $old"; exit 3; }\n'
    )
    program.chmod(0o755)
    more = f'preflight_command = ["{program}"]'
    before, half = {"sites.txt": b"a\n" * 9}, {"sites.txt": b"a\n" * 3}

    assert ask("files", before, before | {"new": b""}, more=more).result is Result.PASSED
    failed(ask("files", half, before, more=more), "ended with status 3: 3 sites, before 9")
    program.unlink()
    assert ask("files", half, before, more=more).result is Result.UNCHECKED


def test_a_program_beside_the_tool_has_a_say_of_its_own(ask):
    """Either is enough to hold a release."""
    more = 'preflight_command = ["/bin/false"]'

    failed(ask("clamav", GOOD, GOOD, more=more), "false ended with status 1", "loads 2 signatures")
