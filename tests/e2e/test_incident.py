"""Bad signatures meet twelve machines, each with a network, a freshclam and a clamd of its own."""

import json
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
from tests.incident import CANNOT, INCIDENTS
from tests.networks import ROOT, python

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

NAMES = [incident.name for incident in INCIDENTS]


@pytest.fixture(scope="module")
def played() -> Iterator[dict[str, "subprocess.Popen[str]"]]:
    """All incidents at once: most of the time everybody waits, and no network knows another."""
    playing = {
        name: subprocess.Popen(
            python("tests.incident", "--only", name),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        for name in NAMES
    }
    try:
        yield playing
    finally:
        for process in playing.values():
            process.kill()
            process.communicate()


@pytest.mark.parametrize("name", NAMES)
def test_a_bad_release_hurts_a_few_and_no_machine_is_touched(
    name: str, played: dict[str, "subprocess.Popen[str]"]
) -> None:
    """A few meet it, the others never have its bytes, and all are healed by their own freshclam."""
    out, said = played[name].communicate(timeout=380)
    if played[name].returncode == CANNOT:
        pytest.skip(out)
    assert played[name].returncode == 0, out + said
    came: dict[str, Any] = json.loads(out)

    assert len(came["hosts"]) == 12
    assert 0 < len(came["hurt"]) <= len(came["fetched"]) <= came["budget"] == 3
    # By the gate's records, by what lay on the machines, and by what came over their cables.
    assert came["recorded"] == came["fetched"] == came["received"]
    assert came["healed"] == came["hurt"]
    assert came["touched"] == []
    # The scanner's killer is gone; of the false positive only the one signature is.
    assert came["used"] == (came["hosts"] if name == "false-positive" else [])
