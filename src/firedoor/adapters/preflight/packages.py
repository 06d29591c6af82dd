"""Packages before dpkg-deb and rpm: can each that changed be opened, and its scripts be read?

Packages that nobody has asked for yet may not be held: they are not looked at, and that is told.

Source: dpkg-deb(1); rpmkeys(8) and the tags of rpm(8) ``--queryformat``; runs of dpkg 1.21 and
rpm 4.18.
"""

from collections.abc import Iterable
from typing import Final

from firedoor.adapters.preflight.look import (
    NEW,
    Look,
    failed,
    number,
    passed,
    some,
    stopped,
    unchecked,
)
from firedoor.adapters.preflight.sandbox import SCRATCH, installed
from firedoor.services.preflight import Check

_AT_A_TIME: Final = 500

# What both have in common: SCRIPT is read by the shell that it names, and not run.
_READ: Final = """
bad=0
say() { printf '%s: %s\\n' "${file##*/}" "$(printf %s "$1" | tr '\\n' ' ')"; bad=1; }
shell_reads() { case "$1" in
  /bin/sh|/usr/bin/sh) sh -n "$2" 2>&1;; /bin/bash|/usr/bin/bash) bash -n "$2" 2>&1;; esac; }
"""

_DEB: Final = f"""{_READ}
for file do
  rm -rf {SCRATCH}/control
  why=$(dpkg-deb --control "$file" {SCRATCH}/control 2>&1 &&
    dpkg-deb --contents "$file" 2>&1 >{SCRATCH}/contents) || {{ say "$why"; continue; }}
  for script in preinst postinst prerm postrm; do
    [ -f "{SCRATCH}/control/$script" ] || continue
    shell=$(sed -n '1s/^#! *\\([^ ]*\\).*/\\1/p' "{SCRATCH}/control/$script" 2>&1)
    why=$(shell_reads "$shell" "{SCRATCH}/control/$script") || say "$script: $why"
  done
done
exit $bad
"""

_RPM: Final = f"""{_READ}
for file do
  why=$(rpmkeys --dbpath {SCRATCH}/db --checksig --nosignature "$file" 2>&1) ||
    {{ say "$why"; continue; }}
  why=$(rpm --dbpath {SCRATCH}/db --nosignature -qlvp "$file" 2>&1 >{SCRATCH}/contents) ||
    {{ say "$why"; continue; }}
  for script in PREIN POSTIN PREUN POSTUN; do
    shell=$(rpm --dbpath {SCRATCH}/db --nosignature -qp --qf "%{{${{script}}PROG}}" "$file" 2>&1)
    rpm --dbpath {SCRATCH}/db --nosignature -qp --qf "%{{$script}}" "$file" >{SCRATCH}/script 2>&1
    why=$(shell_reads "$shell" {SCRATCH}/script) || say "$script: $why"
  done
done
exit $bad
"""


def look_at_debs(given: Look) -> Check:
    """Open the Debian packages that changed."""
    if not installed("dpkg-deb"):
        return unchecked("dpkg-deb is not installed here: apt-get install dpkg")
    return _all("dpkg-deb", _DEB, given, ".deb")


def look_at_rpms(given: Look) -> Check:
    """Open the RPM packages that changed."""
    if not installed("rpmkeys"):
        return unchecked("rpmkeys is not installed here: apt-get install rpm")
    return _all("rpmkeys", _RPM, given, ".rpm")


def _all(tool: str, script: str, given: Look, suffix: str) -> Check:
    packages = [f"{NEW}/{path}" for path in given.changed if path.endswith(suffix)]
    if not packages:
        return unchecked(f"{tool}: no package that changed is held yet")
    bad: list[str] = []
    for some_of_them in _parts(packages):
        ran = given.sandbox.run(("sh", "-c", script, tool, *some_of_them))
        if found := stopped(tool, ran):
            return found
        if ran.code:
            bad += [line for line in ran.output.splitlines() if line.strip()] or [ran.last()]
    if bad:
        return failed(f"{tool} finds broken packages: {some(bad)}")
    return passed(f"{tool} opens {number(len(packages), 'package')} that changed")


def _parts(packages: list[str]) -> Iterable[list[str]]:
    for first in range(0, len(packages), _AT_A_TIME):
        yield packages[first : first + _AT_A_TIME]
