"""ClamAV databases before clamscan: do they load, does anything vanish, is what is clean clean?

What vanishes: rules of a ``.yara`` that cannot be read are left out with a word on the standard
error, and the exit status is 0; freshclam's own test takes them. So what clamscan says of the
release is compared with what it says of the one before, with the same program in the same minute:
a complaint that is not new, and a file that was found before, are no fault of this release.

Source: clamscan(1); ``cli_loadyara`` of libclamav/readdb.c; runs of clamscan 1.4.6.
"""

import re
from collections.abc import Sequence
from typing import Final

from firedoor.adapters.preflight.look import (
    NEW,
    OLD,
    Look,
    as_before,
    failed,
    fewer,
    number,
    passed,
    some,
    stopped,
    unchecked,
)
from firedoor.adapters.preflight.sandbox import Ran, installed
from firedoor.services.preflight import Check

_CLEAN: Final = 0
_NOTHING: Final = ("/dev/shm",)  # noqa: S108 - an empty directory, in the sandbox
_FILES_AN_ASK: Final = 500
_COMPLAINT: Final = re.compile(
    r"^LibClamAV (?:Error: (.+)|Warning: (?:cli_loadyara: )?(failed to .+))$", re.MULTILINE
)
_HIT: Final = re.compile(r"^(/.+): (.+) FOUND$", re.MULTILINE)
_KNOWN: Final = re.compile(r"^Known viruses: (\d+)$", re.MULTILINE)
_SCANNED: Final = re.compile(r"^Scanned files: (\d+)$", re.MULTILINE)
_LINE: Final = re.compile(r"\bline \d+")


def look(given: Look) -> Check:
    """Load a release's databases and scan what is known to be clean."""
    if not installed("clamscan"):
        return unchecked("clamscan is not installed here: apt-get install clamav")
    tool = _tool(given.sandbox.run(("clamscan", "--version")))
    new = _scan(given, NEW, _NOTHING)
    if found := stopped(tool, new):
        return found
    old = None if given.first else _scan(given, OLD, _NOTHING)
    if new.code:
        also = as_before(fails=old is not None and old.code != _CLEAN)
        return failed(f"{tool} does not load it: {_why(new)}{also}")
    if old is not None and (found := _lost(tool, old, new)):
        return found
    return _clean(given, tool, _number(_KNOWN, new), first=old is None)


def _lost(tool: str, old: Ran, new: Ran) -> Check | None:
    """What loads, and has lost something that the release before had."""
    known = {_LINE.sub("", each) for each in _complaints(old)}
    fresh = [each for each in _complaints(new) if _LINE.sub("", each) not in known]
    if fresh:
        return failed(f"{tool} leaves out a part of it: {some(fresh)}")
    if old.code:
        return None
    return fewer(tool, "signatures", _number(_KNOWN, old), _number(_KNOWN, new))


def _clean(given: Look, tool: str, signatures: int, *, first: bool) -> Check:
    """Scan what is known to be good."""
    loads = f"{tool} loads {number(signatures, 'signature')}"
    if not given.clean:
        return passed(f"{loads}; no files are known here that have to be clean")
    scan = _scan(given, NEW, given.clean)
    if found := stopped(tool, scan):
        return found
    hits = dict(_HIT.findall(scan.output))
    known: dict[str, str] = {}
    if hits and not first:
        # A sample that lies among them was found before, too.
        asked = sorted(hits)[:_FILES_AN_ASK]
        known = dict(_HIT.findall(_scan(given, OLD, asked).output))
        hits = {file: name for file, name in hits.items() if file not in known}
    if hits:
        told = [f"{file} ({hits[file]})" for file in sorted(hits)]
        return failed(f"{tool} takes known good files for viruses: {some(told)}")
    if not _number(_SCANNED, scan):
        return unchecked(f"{loads}; known good files cannot be read here: {_why(scan)}")
    scanned = number(_number(_SCANNED, scan), "known good file")
    besides = f" but {number(len(known), 'hit')} that the release before has too" if known else ""
    return passed(f"{loads} and finds nothing in {scanned}{besides}")


def _scan(given: Look, databases: str, what: Sequence[str]) -> Ran:
    words = ("clamscan", "--stdout", "--infected", "--recursive", f"--database={databases}")
    return given.sandbox.run((*words, "--", *what))


def _complaints(ran: Ran) -> list[str]:
    found = (error or warning for error, warning in _COMPLAINT.findall(ran.output))
    return [each.replace(f"{NEW}/", "").replace(f"{OLD}/", "") for each in found]


def _why(ran: Ran) -> str:
    return some(_complaints(ran)) or ran.last()


def _number(pattern: re.Pattern[str], ran: Ran) -> int:
    found = pattern.search(ran.output)
    return int(found[1]) if found else 0


def _tool(ran: Ran) -> str:
    """Such as ``clamscan 1.4.6``: its version has that of its own databases behind it."""
    version = ran.output.strip().removeprefix("ClamAV ").partition("/")[0]
    return f"clamscan {version}" if not ran.code and version else "clamscan"
