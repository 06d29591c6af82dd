"""What the script of ``machine enroll`` tells apt and unattended-upgrades, read by both."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from tests.debian import Apt, Archive
from tests.unattended import matches, needs_unattended
from tests.unit.cli.desk import run

from firedoor.cli.apt import origin_patterns

CHANNEL = """
[[channel]]
name = "{name}"
kind = "apt"
upstream = "http://deb.example.org/debian"
suites = ["bookworm", "bookworm-updates"]
components = ["main", "contrib"]
{more}
trust = ["/usr/share/keyrings/debian-archive-keyring.gpg", "{key}"]
"""
RELEASE = f"""\
Date: Sat, 01 Jan 2022 00:00:00 UTC
Architectures: all amd64 arm64
Components: main contrib
SHA256:
 {"0" * 64} 1 main/binary-amd64/Packages
 {"0" * 64} 1 main/binary-all/Packages
 {"0" * 64} 1 main/binary-arm64/Packages
 {"0" * 64} 1 contrib/binary-amd64/Packages
"""
_URIS = ("apt-get", "update", "--print-uris")
GATE = "http://Gate.example:8080"
AWKWARD = (
    "Google, Inc.", "Über-Vendor", "a*b?[c]!d", 'the "best" one', "5$ a ${distro_id}", "x=y",
    "100%2C", "back\\slash", "back\\,comma", "// # ; {}", "o:1+2~3", "'quoted' `too`",
    "tab\there\x7f", "ends\\",
)  # fmt: skip


def site(folder: Path, *, name: str = "debian", more: str = "") -> Path:
    """An installation with a channel of apt that was never mirrored."""
    assert run("init", str(folder)).code == 0
    key = folder / "vendor.gpg"
    key.write_bytes(b"a key")
    with (folder / "firedoor.toml").open("a") as file:
        file.write(CHANNEL.format(name=name, key=key, more=more))
    return folder


def enrolled(installation: Path, apt: Apt, *words: str, gate: str = GATE) -> str:
    """Run what ``machine enroll`` prints, on a machine with this apt; what it prints."""
    config = str(installation / "firedoor.toml")
    made = run("machine", "enroll", "web-1", "--gate", gate, *words, "--config", config)
    assert made.code == 0, made.err
    etc = apt.root / "etc"
    places = {"FIREDOOR_ETC": str(etc / "firedoor"), "FIREDOOR_APT": str(etc / "apt")}
    subprocess.run(["sh"], input=made.out, text=True, check=True, env=os.environ | places)
    return made.out


def tool(apt: Apt, *words: str) -> str:
    """What a program of apt prints; it may not complain."""
    environment = os.environ | {"APT_CONFIG": str(apt.root / "apt.conf"), "LC_ALL": "C"}
    done = subprocess.run(
        words, env=environment, capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stderr == ""
    return done.stdout


def targets(apt: Apt) -> list[str]:
    """Everything that apt would fetch of these suites, with all that it knows of it."""
    for _, name in re.findall(r"^'(.*)' (\S+) ", tool(apt, *_URIS), re.MULTILINE):
        text = RELEASE if name.endswith("InRelease") else ""
        (apt.root / "var/lib/apt/lists" / name).write_text(text)
    said = tool(apt, "apt-get", "indextargets")
    assert said
    # The name of the file and the line that a source stands in.
    return [line for line in said.splitlines() if not line.startswith("Sourcesentry:")]


def sources(apt: Apt) -> list[str]:
    """Names of the files that apt reads its sources from."""
    return sorted(each.name for each in (apt.root / "etc/apt/sources.list.d").iterdir())


@pytest.mark.parametrize(
    "more", ["", 'architectures = ["amd64", "arm64", "all"]', 'architectures = ["all"]']
)
@pytest.mark.parametrize("gate", [GATE, "https://[::1]:8080"])
def test_one_line_names_the_same_repository_and_takes_the_place_of_the_stanza(
    tmp_path: Path, more: str, gate: str
) -> None:
    """With both of them apt would warn of each index that it is configured twice."""
    installation = site(tmp_path / "site", more=more)
    apt = Apt.new(tmp_path / "machine", "")

    enrolled(installation, apt, gate=gate)
    stanza, before = targets(apt), sources(apt)
    enrolled(installation, apt, "--rotate", "--one-line", gate=gate)
    lines, after = targets(apt), sources(apt)
    enrolled(installation, apt, "--rotate", gate=gate)

    assert before == sources(apt) == ["firedoor-debian.sources"]
    assert after == ["firedoor-debian.list"]
    assert targets(apt) == stanza
    assert lines == stanza
    assert any("bookworm-updates" in line for line in lines)
    assert any(line == "Architecture: arm64" for line in lines) is ("arm64" in more)


def test_the_lines_are_what_tools_have_always_read(tmp_path: Path) -> None:
    """Those that want them read them with a pattern of their own: nothing stands before ``deb``."""
    installation = site(tmp_path / "site", more='architectures = ["amd64", "arm64"]')
    apt = Apt.new(tmp_path / "machine", "")

    enrolled(installation, apt, "--one-line")

    etc = apt.root / "etc/apt"
    keys = f"/usr/share/keyrings/debian-archive-keyring.gpg,{etc}/keyrings/firedoor-debian-1.gpg"
    assert (etc / "sources.list.d/firedoor-debian.list").read_text() == (
        f"deb [signed-by={keys} arch=amd64,arm64] {GATE}/debian bookworm main contrib\n"
        f"deb [signed-by={keys} arch=amd64,arm64] {GATE}/debian bookworm-updates main contrib\n"
    )


@pytest.mark.parametrize("words", [["--json"], ["--collector", "web-*"]])
def test_sources_that_nobody_would_be_shown_are_refused(tmp_path: Path, words: list[str]) -> None:
    """Before anything is enrolled: tokens are shown once."""
    config = str(site(tmp_path / "site") / "firedoor.toml")

    said = run("machine", "enroll", "web-1", "--one-line", *words, "--config", config)

    assert said.code == 2
    assert "--one-line" in said.err
    rows = run("machine", "list", "--json", "--config", config).json()
    assert "web-1" not in [row["name"] for row in rows]


def test_without_a_channel_of_apt_there_is_no_line_to_write(tmp_path: Path) -> None:
    """An option that does nothing is a mistake of who wrote it."""
    assert run("init", str(tmp_path)).code == 0

    config = str(tmp_path / "firedoor.toml")
    said = run("machine", "enroll", "web-1", "--one-line", "--config", config)

    assert said.code == 2
    assert "no channel is of kind apt" in said.err


@pytest.mark.parametrize("name", ["debian", "vendor-1.2", "tls"])
def test_before_anything_is_mirrored_the_gate_itself_is_the_origin(
    tmp_path: Path, name: str
) -> None:
    """Whoever sets up a site enrols machines first. apt passes over files with a wrong name."""
    installation = site(tmp_path / "site", name=name)
    apt = Apt.new(tmp_path / "machine", "")

    script = enrolled(installation, apt)

    dump = tool(apt, "apt-config", "dump", "Unattended-Upgrade::Origins-Pattern")
    assert 'Unattended-Upgrade::Origins-Pattern:: "site=Gate.example";' in dump
    assert "nothing was mirrored yet" in script


@pytest.mark.parametrize("name", ["debian", "vendor-1.2"])
def test_where_the_gate_signs_what_it_offers_goes_before_what_is_installed(
    tmp_path: Path, name: str
) -> None:
    """Else nothing is ever taken back. apt says nothing of preferences that it passes over."""
    key = Archive.new(tmp_path).own_key(tmp_path / "gate.key")
    installation = site(tmp_path / "site", name=name, more=f'sign = "{key}"')
    apt = Apt.new(tmp_path / "machine", "")
    old = apt.root / f"etc/apt/preferences.d/firedoor-{name}"
    old.write_text("what was written before there was a suffix\n")

    enrolled(installation, apt)

    assert targets(apt)
    offered = [line for line in tool(apt, "apt-cache", "policy").splitlines() if GATE in line]
    assert offered
    assert {line.split()[0] for line in offered} == {"1001"}
    assert not old.exists()


def test_an_entry_for_each_suite_says_what_its_release_file_says() -> None:
    """Suites of one repository differ by codename; what they do not say is not asked for."""
    debian = {"origin": "Debian", "label": "Debian", "suite": "stable"}
    updates = debian | {"codename": "bookworm-updates"}

    assert origin_patterns(
        "https://gate.example", (debian | {"codename": "bookworm"}, updates)
    ) == [
        "site=gate.example,origin=Debian,label=Debian,codename=bookworm",
        "site=gate.example,origin=Debian,label=Debian,codename=bookworm-updates",
    ]
    assert origin_patterns("https://gate.example", (debian, debian)) == [
        "site=gate.example,origin=Debian,label=Debian,suite=stable",
    ]
    assert origin_patterns("http://[FE80::1]:80", ({"origin": ""},)) == ["site=FE80::1"]
    assert origin_patterns("http://HTTP:80", ()) == ["site=HTTP"]


@needs_unattended
def test_what_was_allowed_before_stays_allowed(tmp_path: Path) -> None:
    """The entries of Debian's own file, or of an administrator, are not this script's."""
    installation = site(tmp_path / "site")
    apt = Apt.new(tmp_path / "machine", "")
    own = Path("/usr/share/unattended-upgrades/50unattended-upgrades")
    shutil.copy(own, apt.root / "etc/apt/apt.conf.d")
    key = "Unattended-Upgrade::Origins-Pattern"

    before = tool(apt, "apt-config", "dump", key)
    enrolled(installation, apt)

    assert f'{key}:: "' in before
    assert tool(apt, "apt-config", "dump", key) == f'{before}{key}:: "site=Gate.example";\n'


@needs_unattended
def test_whatever_a_vendor_calls_itself_its_packages_are_taken_and_no_others(
    tmp_path: Path,
) -> None:
    """Read by apt and compared by unattended-upgrades: either may take a sign for its own."""
    apt = Apt.new(tmp_path / "machine", "")
    origins = [
        {"site": "gate", "origin": text, "label": text, "archive": "", "codename": "c"}
        for text in AWKWARD
    ]
    written = [origin_patterns("http://gate:1", (each,)) for each in origins]
    conf = "".join(f'  "{pattern}";\n' for (pattern,) in written)
    (apt.root / "etc/apt/apt.conf.d/61x.conf").write_text(
        f"Unattended-Upgrade::Origins-Pattern {{\n{conf}}};\n"
    )

    key = "Unattended-Upgrade::Origins-Pattern"
    read = re.findall(f'{key}:: "(.*)";', tool(apt, "apt-config", "dump", "--no-empty", key))

    assert read == [pattern for (pattern,) in written]
    assert matches(zip(read, origins, strict=True)) == [True] * len(AWKWARD)
    others = [each | {"origin": f"{each['origin']}."} for each in origins]
    assert matches(zip(read, others, strict=True)) == [False] * len(AWKWARD)
    wilder = [origins[2] | {"origin": text} for text in ("a..b?[c]!d", "a*b.[c]!d", "a*b?c!d")]
    assert matches((read[2], each) for each in wilder) == [False] * len(wilder)
    past = [each | {"site": "deb.example.org"} for each in origins]
    assert matches(zip(read, past, strict=True)) == [False] * len(AWKWARD)
