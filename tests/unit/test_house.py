"""Rules of the house that no tool knows, and proof that the tools which know the others bite."""

import ast
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
SOURCES = ROOT / "src"
BIN = Path(sys.executable).parent

MADE = {".git", ".hypothesis", ".tools", ".venv", "__pycache__", "build", "dist", "firedoor-data"}
"""Folders that tools make; everything else in the checkout is written by people."""

LAYERS = "Doors know adapters, adapters services, services ports, ports the core"
PURE = "The core does no I/O"
LIBRARIES = "In the core only the judge computes with arrays and only the ledger checks signatures"
FLOW = "Data flows one way through the core"
INDEPENDENT = "Adapters do not know each other"
ACYCLIC = "No import cycles between siblings"


def written(suffix: str = "") -> Iterator[Path]:
    """Files that people wrote, anywhere in the checkout."""
    for folder, folders, names in os.walk(ROOT):
        folders[:] = [
            name
            for name in folders
            if name not in MADE and not name.endswith(("_cache", ".egg-info"))
        ]
        yield from (Path(folder, name) for name in names if name.endswith(suffix))


def here(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def modules() -> list[Path]:
    found = sorted(SOURCES.rglob("*.py"))
    assert len(found) > 10, "the sources are somewhere else"
    return found


def pins(name: str) -> dict[str, str]:
    text = (ROOT / "requirements" / name).read_text()
    return dict(re.findall(r"^([a-z0-9-]+)==([^ ;]+)", text, re.MULTILINE))


# Sources


def test_no_module_is_longer_than_500_lines():
    """Above that nobody has the whole of it in mind; it wants to be two modules."""
    found = [*modules(), *(ROOT / "tests").rglob("*.py")]
    lengths = {here(path): len(path.read_text().splitlines()) for path in found}

    assert {path: lines for path, lines in lengths.items() if lines > 500} == {}


def test_every_module_says_what_it_is_for():
    """The first thing a reader sees, and the only thing many read."""
    silent = [
        here(path) for path in modules() if not ast.get_docstring(ast.parse(path.read_text()))
    ]

    assert silent == []


def test_no_module_has_a_name_that_fits_anything():
    """A drawer called `utils` is where structure goes to die."""
    vague = {"base", "common", "helper", "helpers", "manager", "misc", "util", "utils"}

    assert [here(path) for path in modules() if vague & {path.stem, path.parent.name}] == []


# Import rules


def lint_imports(tree: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [BIN / "lint-imports", "--no-cache"],
        cwd=tree,
        # Before the installed package, so that the copy is what is looked at.
        env={**os.environ, "PYTHONPATH": str(tree / "src"), "COLUMNS": "200"},
        capture_output=True,
        check=False,
        text=True,
    )


@pytest.fixture
def copy(tmp_path):
    """The sources and the rules, to be broken."""
    shutil.copytree(SOURCES, tmp_path / "src", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def test_the_import_rules_hold():
    """The architecture is what may import what; everything else about it is a drawing."""
    result = lint_imports(ROOT)

    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize(
    ("module", "line", "rule"),
    [
        ("core/units.py", "import time", PURE),
        ("core/cell.py", "from pathlib import Path", PURE),
        ("core/cell.py", "import numpy", LIBRARIES),
        ("core/units.py", "from firedoor.core import errors", FLOW),
        ("core/stray.py", "'''A module that the map of the core does not show.'''", FLOW),
        ("stray.py", "'''A module that the map does not show.'''", LAYERS),
        ("ports.py", "import firedoor.adapters.keys.file", LAYERS),
        ("adapters/keys/file.py", "import firedoor.adapters.store.sqlite", INDEPENDENT),
        ("core/ledger/canonical.py", "import firedoor.core.ledger.chain", ACYCLIC),
    ],
)
def test_a_planted_import_is_found(copy, module, line, rule):
    """A linter that was never seen to fail may be looking elsewhere."""
    planted = copy / "src" / "firedoor" / module
    with planted.open("a") as file:
        file.write(f"\n{line}\n")

    result = lint_imports(copy)

    assert result.returncode == 1, result.stdout + result.stderr
    assert f"{rule} BROKEN" in result.stdout


@pytest.mark.parametrize(
    ("line", "finding"),
    [
        ("import time; NOW = time.time()", "only adapters read the time"),
        ("import datetime; NOW = datetime.datetime.now()", "only adapters read the time"),
        ("import random; CHANCE = random.random()", "only the composition root seeds one"),
    ],
)
def test_time_and_chance_cannot_be_taken_from_the_air(line, finding):
    """Whatever reads the clock by itself cannot be replayed."""
    result = subprocess.run(
        [
            BIN / "ruff",
            "check",
            "--no-cache",
            "--stdin-filename",
            "src/firedoor/services/x.py",
            "-",
        ],
        cwd=ROOT,
        input=line,
        capture_output=True,
        check=False,
        text=True,
    )

    assert result.returncode == 1
    assert finding in result.stdout


# What is installed


@pytest.mark.parametrize("name", ["bootstrap.txt", "dev.txt"])
def test_every_pin_has_a_hash_and_no_host(name):
    """The bytes are named, so it does not matter who serves them; a host name would matter."""
    text = (ROOT / "requirements" / name).read_text()
    wanted = text.replace("\\\n", " ").splitlines()

    assert wanted
    assert [
        line for line in wanted if not re.search(r"^\S+==.* --hash=sha256:[0-9a-f]{64}", line)
    ] == []
    assert re.findall(r"https?:|//|--(?:extra-)?index|--find-links|--trusted", text) == []


def test_every_dependency_is_pinned_as_the_project_wants_it():
    """`make lock` was forgotten if this fails."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    groups = project["dependency-groups"]
    wanted = {
        "dev.txt": [
            *project["build-system"]["requires"],
            *project["project"]["dependencies"],
            *(
                each
                for extra in project["project"]["optional-dependencies"].values()
                for each in extra
            ),
            *groups["dev"],
        ],
        "bootstrap.txt": groups["bootstrap"],
    }

    for name, requirements in wanted.items():
        pinned = pins(name)
        assert requirements, name
        for requirement in map(Requirement, requirements):
            version = pinned.get(canonicalize_name(requirement.name))
            assert version is not None, f"{requirement} is not in {name}"
            assert version in requirement.specifier, f"{requirement} is {version} in {name}"


# What is published


def test_no_file_names_a_folder_of_the_machine_it_was_written_on():
    """What works in one person's home folder works for one person."""
    homes = re.compile(rb"(?<![\w.~/-])/(?:%s)/[A-Za-z]" % b"|".join((b"home", b"Users", b"work")))

    found = [here(path) for path in written() if path.is_file() and homes.search(path.read_bytes())]

    assert found == []


def test_the_licence_is_apache_2_to_the_letter():
    """A licence with one word changed is another licence."""
    text = (ROOT / "LICENSE").read_bytes()

    assert hashlib.sha256(text).hexdigest() == (
        "cfc7749b96f63bd31c3c42b5c471bf756814053e847c10f3eb003417bc523d30"
    )


def test_ci_runs_what_a_newcomer_is_told_to_run():
    """If CI prepared the machine in a way of its own, the README could be wrong for months."""
    script = ROOT / ".ci" / "run"
    commands = [line for line in script.read_text().splitlines() if line and line[0] != "#"]

    assert os.access(script, os.X_OK)
    assert commands[-1] == "exec make test"
    assert "pip" not in "".join(commands)


@pytest.mark.docs
def test_every_link_between_documents_leads_somewhere():
    """A dead link costs a reader more than a missing one."""
    dead = [
        f"{here(page)}: {target}"
        for page in written(".md")
        for target in re.findall(r"\]\(([^)\s]+)\)", without_code(page.read_text()))
        if not re.match(r"[a-z]+:", target) and not leads_somewhere(page, target)
    ]

    assert dead == []


def leads_somewhere(page: Path, target: str) -> bool:
    name, _, anchor = target.partition("#")
    file = page if not name else page.parent / name
    if not file.exists():
        return False
    return not anchor or file.suffix != ".md" or anchor in anchors(file.read_text())


def anchors(text: str) -> set[str]:
    """Anchors of a page's headings, as code hosts make them."""
    headings = re.findall(r"^#+ +(.*)$", without_code(text, inline=False), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def without_code(text: str, *, inline: bool = True) -> str:
    text = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    return re.sub(r"`[^`\n]*`", "", text) if inline else text
