"""Debian's unattended-upgrades, asked of what it would take; it is never run.

Its program works on the host's apt whatever the environment says. So only the functions by which
it compares origins are loaded, by the system's Python, over an apt in a directory of its own.
"""

import json
import os
import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass

import msgspec
import pytest
from tests.debian import Apt

PROGRAM = shutil.which("unattended-upgrade")

needs_unattended = pytest.mark.skipif(PROGRAM is None, reason="no unattended-upgrades here")

_LOAD = """
import importlib.machinery, importlib.util, json, sys
loader = importlib.machinery.SourceFileLoader("uu", sys.argv[1])
uu = importlib.util.module_from_spec(importlib.util.spec_from_loader("uu", loader))
loader.exec_module(uu)
"""
_CANDIDATES = """
import apt
allowed = uu.get_allowed_origins()
found = {"allowed": allowed, "candidates": {}}
for package in apt.Cache():
    version = package.candidate
    found["candidates"][package.name] = {
        "version": version.version,
        "taken": uu.is_in_allowed_origin(version, allowed),
        "origins": [
            [each.site, each.origin, each.archive, each.codename] for each in version.origins
        ],
    }
print(json.dumps(found))
"""
_MATCHES = """
import types
found = []
for line, fields in json.load(sys.stdin):
    # As where they stand in a file: substituted once when they are read, and when they are used.
    found.append(uu.match_whitelist_string(uu.substitute(line), types.SimpleNamespace(**fields)))
print(json.dumps(found))
"""


@dataclass(frozen=True)
class Candidate:
    """A version that apt would install.

    Attributes:
        version: It.
        taken: Whether unattended-upgrades takes packages of where it comes from.
        origins: Site, Origin, Suite and Codename of each place that has it.
    """

    version: str
    taken: bool
    origins: list[tuple[str, str, str, str]]


@dataclass(frozen=True)
class Asked:
    """What unattended-upgrades makes of a machine's settings.

    Attributes:
        allowed: Its patterns, after its own substitutions.
        candidates: By package.
    """

    allowed: list[str]
    candidates: dict[str, Candidate]


def asked(apt: Apt) -> Asked:
    """What it makes of a machine's settings and of the lists that its apt has fetched."""
    return msgspec.json.decode(_run(_CANDIDATES, apt=apt), type=Asked)


def matches(pairs: Iterable[tuple[str, dict[str, str]]]) -> list[bool]:
    """Whether each pattern holds for an origin: site, origin, label, archive, codename."""
    return msgspec.json.decode(_run(_MATCHES, said=json.dumps(list(pairs))), type=list[bool])


def _run(program: str, *, apt: Apt | None = None, said: str = "") -> str:
    environment = os.environ | {"LC_ALL": "C.UTF-8"}
    if apt is not None:
        environment["APT_CONFIG"] = str(apt.root / "apt.conf")
    # Debian's own Python has Debian's modules; without -B it would write beside the program.
    done = subprocess.run(
        ["/usr/bin/python3", "-B", "-c", _LOAD + program, str(PROGRAM)],
        input=said,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
