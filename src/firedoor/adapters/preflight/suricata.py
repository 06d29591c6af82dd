"""Rule feeds before Suricata: made into one file by suricata-update, as on a machine, and tested.

Source: suricata(1), ``-T`` and ``-S``; suricata-update(1), ``--url``; runs of 7.0.10 and 1.2.7.
"""

import re
from collections.abc import Sequence
from typing import Final
from urllib.parse import quote

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
from firedoor.adapters.preflight.sandbox import SCRATCH, Ran, installed
from firedoor.services.preflight import Check

CONFIGURATION: Final = "/etc/suricata"
"""What the host's own Suricata is set up with; the sandbox sees it."""

_ERROR: Final = re.compile(r"^(?:E|Error): [\w-]+: (.+)$", re.MULTILINE)
_LOADED: Final = re.compile(r"(\d+) rules successfully loaded")
_VERSION: Final = re.compile(r"version (\S+)")
# Each feed as suricata-update would fetch it; the file that it makes is what a machine loads.
_TEST: Final = f"""
suricata-update -q -D {SCRATCH}/data -o {SCRATCH}/rules --no-test --no-reload --force "$@" || exit
exec suricata -T -v -c {CONFIGURATION}/suricata.yaml -S {SCRATCH}/rules/suricata.rules -l {SCRATCH}
"""


def look(given: Look, feeds: Sequence[str]) -> Check:
    """Load the rules of a release."""
    for program in ("suricata", "suricata-update"):
        if not installed(program):
            return unchecked(f"{program} is not installed here: apt-get install {program}")
    tool = _tool(given.sandbox.run(("suricata", "-V")))
    new = _test(given, NEW, feeds)
    if found := stopped(tool, new):
        return found
    old = None if given.first else _test(given, OLD, feeds)
    if new.code:
        also = as_before(fails=old is not None and old.code != 0)
        why = some(_ERROR.findall(new.output)) or new.last()
        return failed(f"{tool} does not take its rules: {why}{also}")
    rules = _loaded(new)
    if old is not None and (found := fewer(tool, "rules", _loaded(old), rules)):
        return found
    return passed(f"{tool} loads {number(rules, 'rule')}, with those that it brings itself")


def _test(given: Look, where: str, feeds: Sequence[str]) -> Ran:
    urls = [word for feed in feeds for word in ("--url", f"file://{where}/{quote(feed)}")]
    return given.sandbox.run(("sh", "-c", _TEST, "suricata", *urls))


def _loaded(ran: Ran) -> int:
    found = _LOADED.search(ran.output)
    return int(found[1]) if found else 0


def _tool(ran: Ran) -> str:
    found = _VERSION.search(ran.output)
    return f"suricata {found[1]}" if found else "suricata"
