"""A fast lane from one end to the other: a list suggests, two people decide, the clock ends it."""

import pytest
from tests.office import adopting, moved_into, until
from tests.suricata import FEED, packed, rules
from tests.unit.formats.test_vulnerabilities import ENTRY, written

CHANNEL = """
[policy]
expedite_needs_two = true
soak = "1h"
[exploited]
feed = "{feed}"
[[channel]]
name = "{name}"
kind = "suricata"
upstream = "{upstream}"
feeds = ["vendor.rules.tar.gz"]
unknown = "hold"
"""

LOG4SHELL = b'alert ip any any -> any any (msg:"x"; reference:cve,2021-44228; sid:9; rev:1;)\n'


@pytest.mark.e2e
def test_a_list_suggests_and_two_people_decide(tmp_path):
    """On real processes: the alert, the words at the prompt, the wait, the approval."""
    vendor = tmp_path / "vendor"
    vendor.mkdir()
    (vendor / FEED).write_bytes(packed({"a.rules": rules("one")}))
    feed = tmp_path / "kev.json"
    feed.write_bytes(written(ENTRY, catalogVersion="2026.11.20"))
    office = moved_into(tmp_path / "office", CHANNEL, vendor, name="rules", feed=feed)

    with adopting(office):
        assert office.ask("machine", "enroll", "sensor-1").code == 0
        (vendor / FEED).write_bytes(packed({"a.rules": rules("one") + LOG4SHELL}))
        release = office.synced()

        def shown() -> str:
            return office.ask("release", "show", release).out

        until(lambda: "names CVE-2021-44228 Apache Log4j2" in shown())
        assert "1 named; 1 known to be exploited (list 2026.11.20 of 1 entries" in shown()
        until(lambda: "known to be exploited" in office.ask("ledger", "show").out)
        state, _, budget = office.door(release)
        assert state == "opening"

        first = office.act("release", "expedite", release, "--budget", "7", "--for", "1m")
        assert first.code == 1
        assert "nothing has moved yet" in first.out
        assert office.door(release)[2] == budget
        own = office.ask("release", "approve", release, "1", "--by", "amira")
        assert (own.code, "another person" in own.err) == (1, True)
        second = office.ask("release", "approve", release, "1", "--by", "Bela")
        assert second.code == 0, second.err
        assert office.door(release) == ("opening", "expedited", budget + 7)
        assert "a fast lane puts 7 more machines at risk until" in shown()
