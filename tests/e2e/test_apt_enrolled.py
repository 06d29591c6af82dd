"""What the script of ``machine enroll`` writes, with the real apt and a gate that has releases."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.apt_fleet import Fleet, policy, up
from tests.debian import SUITE, Apt
from tests.office import until
from tests.unattended import Candidate, asked, needs_unattended

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]
PATTERN = f"site=127.0.0.1,origin=Vendor,label=Vendor,codename={SUITE}"
FROM_GATE = [("127.0.0.1", "Vendor", SUITE, SUITE)]


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """A running gate whose first release is adopted."""
    fleet = Fleet(tmp_path_factory.mktemp("fleet"))
    with up(fleet):
        yield fleet


def written(apt: Apt, name: str) -> str:
    """What stands in a file below ``/etc/apt``."""
    return (apt.root / "etc/apt" / name).read_text()


def test_one_line_is_all_that_apt_needs(fleet: Fleet) -> None:
    """Signed by the key that it names, and by no other: the machine believes none besides."""
    apt = fleet.machine("lines-1", "--one-line")
    line = written(apt, "sources.list.d/firedoor-debian.list")

    assert not (apt.root / "etc/apt/sources.list.d/firedoor-debian.sources").exists()
    assert apt.run("install", "tool").returncode == 0
    assert apt.has("tool") == "1.0"

    key = line.split("signed-by=")[1].split()[0]
    (apt.root / "etc/apt/sources.list.d/firedoor-debian.list").write_text(
        line.replace(key, "/usr/share/keyrings/debian-archive-keyring.gpg")
    )
    refused = apt.run("update")
    assert "NO_PUBKEY" in refused.stdout + refused.stderr


@needs_unattended
@pytest.mark.parametrize("words", [(), ("--one-line",)])
def test_unattended_upgrades_takes_what_comes_from_the_gate_and_nothing_else(
    fleet: Fleet, words: tuple[str, ...]
) -> None:
    """The same repository past the gate says the same of itself, and is not what was meant."""
    apt = fleet.machine(f"taken-{len(words)}", *words)

    said = asked(apt)

    assert said.allowed == [PATTERN]
    assert said.candidates["tool"] == Candidate("1.0", True, FROM_GATE)

    # The vendor itself in place of the gate.
    for source in (apt.root / "etc/apt/sources.list.d").iterdir():
        source.unlink()
    (apt.root / "etc/apt/sources.list").write_text(
        f"deb [signed-by={fleet.archive.keyring}] file:{fleet.archive.root} {SUITE} main\n"
    )
    assert apt.run("update").returncode == 0
    assert asked(apt).candidates["tool"] == Candidate("1.0", False, [("", "Vendor", SUITE, SUITE)])


@needs_unattended
def test_without_the_entry_nothing_of_the_gate_would_be_taken(fleet: Fleet) -> None:
    """Debian's own entries are of Debian: what a vendor signs would wait for a person."""
    apt = fleet.machine("bare-1")
    (apt.root / "etc/apt/apt.conf.d/61firedoor-debian.conf").unlink()

    assert asked(apt).candidates["tool"] == Candidate("1.0", False, FROM_GATE)


@needs_unattended
def test_a_machine_that_was_enrolled_before_the_first_release_takes_what_comes_from_the_gate(
    tmp_path: Path,
) -> None:
    """Its script could not know what the vendor's file will say; enrolled again, it does."""
    fleet = Fleet(tmp_path)
    early = fleet.site.ask("machine", "enroll", "early-1", "--gate", "http://127.0.0.1").out
    assert '  "site=127.0.0.1";\n' in early
    with up(fleet):
        apt = fleet.machine("late-1")
        path = "apt.conf.d/61firedoor-debian.conf"
        assert PATTERN in written(apt, path)
        alone = early.split(f"cat >\"$apt/{path}\" <<'END'\n")[1].split("END\n")[0]
        (apt.root / "etc/apt" / path).write_text(alone)

        said = asked(apt)

    assert said.allowed == ["site=127.0.0.1"]
    assert said.candidates["tool"] == Candidate("1.0", True, FROM_GATE)


@needs_unattended
def test_what_the_gate_takes_back_is_taken_by_unattended_upgrades_too(tmp_path: Path) -> None:
    """The version before is apt's candidate, of an origin that is allowed, and may be older."""
    fleet = Fleet(tmp_path, signs=True)
    site, archive = fleet.site, fleet.archive
    with up(fleet):
        apt = fleet.machine("back-1", "--one-line")
        archive.add("tool", "1.1")
        archive.publish()
        bad = site.synced()
        assert site.act("release", "expedite", bad, "--all").code == 0
        until(lambda: "tool (1.1" in policy(apt, "install", "tool"))
        assert apt.run("install", "tool").returncode == 0
        assert apt.has("tool") == "1.1"
        assert site.act("release", "shut", bad).code == 0
        until(lambda: "Inst tool" in policy(apt))

        said = asked(apt)

    assert said.allowed == [PATTERN]
    assert said.candidates["tool"] == Candidate("1.0", True, FROM_GATE)
    assert 'Unattended-Upgrade::Allow-downgrade "true";' in written(apt, "apt.conf.d/60firedoor")
