"""What never reaches a machine: incidents that clamscan sees before the first freshclam asks.

The same databases pass the client's own test, or are taken without one, and hurt machines where
preflight is off: ``test_clamav_incidents``.
"""

import time
import urllib.request
from pathlib import Path

import pytest
from tests.clamav import MALFORMED, hashes, publish
from tests.e2e.test_clamav import IDLE_S, OLD, Fleet
from tests.office import console_answers, running, until
from tests.sandboxes import needs_sandbox

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300), needs_sandbox]

SYSTEM = Path("/usr/bin/true")
RULES = b'rule found { strings: $a = "an old virus" condition: $a }\n'
VANISHED = RULES.replace(b"condition: $a", b"condition: $b")
FIRST = {"lab_hdb": hashes(("Lab.Old", OLD)), "lab_yara": RULES}
CLEAN = f'soak = "0s"\n[preflight]\nclean = ["{SYSTEM}"]\ntime = "60s"'


def said_of(fleet: Fleet, release: str) -> tuple[str, str]:
    """What the API says came of looking at a release."""
    shown = fleet.site.ask("release", "show", release, "--json").json()["preflight"]
    return shown["result"], shown["sentence"]


def page(fleet: Fleet, language: str) -> str:
    """The console's page."""
    url = f"http://127.0.0.1:{fleet.ports['console']}/?lang={language}"
    with urllib.request.urlopen(url, timeout=10) as reply:
        return bytes(reply.read()).decode()


def test_incidents_are_stopped_before_the_first_machine(tmp_path: Path) -> None:
    """Malformed, vanished, false positive: held with the reason, and no machine is at risk.

    A malformed database is also what a running scanner refuses to load again, and what it fails
    to start with a week later: ``tests/contract/test_preflight_tools.py``.
    """
    fleet = Fleet(tmp_path, {"lab_hdb": MALFORMED}, more=CLEAN, preflight=True)
    site = fleet.site
    with running(site.path):
        until(lambda: console_answers(fleet.ports["console"]))
        expect_nothing_adopted(fleet)
        publish(fleet.vendor, **FIRST)
        assert site.door(site.synced())[:2] == ("open", "adopted")
        assert said_of(fleet, site.newest())[0] == "passed"
        client = fleet.machine("scan-1", tests=False)

        publish(fleet.vendor, lab_hdb=MALFORMED)
        expect_held(fleet, site.synced(), "Malformed database")
        publish(fleet.vendor, lab_hdb=FIRST["lab_hdb"], lab_yara=VANISHED)
        expect_held(fleet, site.synced(), "lab.yara")
        wrong = hashes(("Lab.Old", OLD), ("Lab.FP", SYSTEM.read_bytes()))
        publish(fleet.vendor, lab_hdb=wrong, lab_yara=RULES)
        release = site.synced()
        expect_held(fleet, release, f"{SYSTEM} (Lab.FP")

        time.sleep(2 * IDLE_S)
        assert client.run().returncode == 0
        assert client.has("lab.hdb") == FIRST["lab_hdb"]
        assert client.has("lab.yara") == RULES
        # Three in a row, and the channel is not blocked: no machine had anything to say.
        assert blocked_by(fleet) == ""

        # A person answers for it, with a reason, on the record.
        assert site.act("release", "resume", release).code == 0
        assert site.door(release)[:2] == ("opening", "person")
        said = [each["sentence"] for each in site.ask("ledger", "show", "--json").json()]
        assert any("preflight of release" in each and "Lab.FP" in each for each in said)
        assert "Amira" in said[-1]
        assert "a drill" in said[-1]
        assert site.ask("ledger", "verify").code == 0
        assert site.ask("verdict", "replay").code == 0
        assert not list((tmp_path / "firedoor-data" / "preflight").iterdir())


def expect_nothing_adopted(fleet: Fleet) -> None:
    """A first release goes to the whole fleet at once: one that failed waits for a person."""
    until(lambda: blocked_by(fleet) == "preflight failed")
    told = fleet.site.ask("channel", "show", "clam").out
    assert "Malformed database" in told
    assert "firedoor release resume clam" in told
    assert "Malformed database" in page(fleet, "zh_Hans")
    assert fleet.site.boardings() == 0


def blocked_by(fleet: Fleet) -> str:
    """Why the channel boards only by a person."""
    return str(fleet.site.ask("channel", "show", "clam", "--json").json()["blocked_by"])


def expect_held(fleet: Fleet, release: str, reason: str) -> None:
    """Nobody gets it, and everywhere a person looks it is said why."""
    assert fleet.site.door(release)[:2] == ("held", "preflight failed")
    result, said = said_of(fleet, release)
    assert result == "failed"
    assert reason in said
    assert "preflight failed" in fleet.site.ask("channel", "show", "clam").out
    assert reason in page(fleet, "en")
    assert "预检未通过" in page(fleet, "zh_Hans")
