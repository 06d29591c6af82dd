"""Vulnerabilities as vendors and lists write them: what is read, and what is refused."""

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firedoor.core.errors import BadInput
from firedoor.formats.cve import MAX_LINE_BYTES, cve_id, cves_in_name, cves_in_rules
from firedoor.formats.kev import parse_kev
from firedoor.formats.updateinfo import advisories

ENTRY = {
    "cveID": "CVE-2021-44228",
    "vendorProject": "Apache",
    "product": "Log4j2",
    "vulnerabilityName": "Apache Log4j2 Remote Code Execution Vulnerability",
    "dateAdded": "2021-12-10",
    "shortDescription": "...",
    "requiredAction": "...",
    "dueDate": "2021-12-24",
    "knownRansomwareCampaignUse": "Known",
    "notes": "",
}

UPDATEINFO = b"""<?xml version="1.0" encoding="UTF-8"?>
<updates>
  <update from="v" status="final" type="security" version="1">
    <id>ALSA-2024:1</id><title>xz</title>
    <references>
      <reference href="https://vendor.example/1" id="CVE-2024-3094" type="cve" title="x"/>
      <reference href="https://vendor.example/2" id="2272210" type="bugzilla"/>
    </references>
    <pkglist><collection short="a"><name>a</name>
      <package name="xz" version="5.6.1"><filename>xz-5.6.1-3.x86_64.rpm</filename></package>
      <package name="xz-libs"><filename>Packages/xz-libs-5.6.1-3.x86_64.rpm</filename></package>
    </collection></pkglist>
  </update>
  <update type="bugfix"><id>B</id><references/><pkglist/></update>
</updates>
"""


def written(*entries: dict[str, str], **more: object) -> bytes:
    """A list of exploited vulnerabilities."""
    return json.dumps({"vulnerabilities": entries, **more}).encode()


@pytest.mark.parametrize("text", ["CVE-2021-44228", " cve-2021-44228 ", "CVE-1999-0001"])
def test_an_identifier_has_one_spelling(text):
    """Two spellings of one hole would never meet."""
    assert cve_id(text) == text.strip().upper()


@pytest.mark.parametrize("text", ["", "CVE-21-1234", "CVE-2021-123", "2021-44228", "CVE-2021-1\n2"])
def test_what_is_no_identifier_is_refused(text):
    """A typing error that is stored as an identifier warns of nothing."""
    with pytest.raises(BadInput):
        cve_id(text)


def test_names_of_signatures_tell_the_vulnerability():
    """As ClamAV's own people write them."""
    names = "Html.Exploit.CVE_2021_44228-9915330-0", "Win.Trojan.CVE-1", "Doc.XCVE_2021_1234"

    assert [list(cves_in_name(name)) for name in names] == [["CVE-2021-44228"], [], []]


RULES = b"""# alert tcp any any -> any any (msg:"off"; reference:cve,2020-0601; sid:1;)
alert tcp any any -> any any (msg:"a"; reference:cve,2021-44228; reference:url,x/2019-19781; sid:2;)
alert tcp any any -> any any (msg:"b"; reference: cve , CVE-2024-3094; sid:3;)
alert tcp any any -> any any (msg:"c"; metadata:created_at 2023_05_01, cve CVE_2023_34362; sid:4;)
"""


@given(st.lists(st.integers(0, len(RULES)), max_size=6))
def test_rules_are_read_the_same_wherever_they_are_cut(cuts):
    """Archives are unpacked in chunks that know of no line."""
    at = [0, *sorted(cuts), len(RULES)]
    chunks = [RULES[a:b] for a, b in pairwise(at)]

    assert cves_in_rules(chunks) == {"CVE-2021-44228", "CVE-2024-3094", "CVE-2023-34362"}


def test_a_line_without_end_is_refused():
    """It would be kept in memory whole."""
    with pytest.raises(BadInput, match="longer than"):
        cves_in_rules([b"x" * MAX_LINE_BYTES, b"x"])


def test_rules_that_name_the_whole_world_are_refused():
    """A feed of identifiers would fill the judge's memory and its database."""
    rules = (b"alert ip any any (reference:cve,2021-%d;)\n" % n for n in range(10_000, 70_000))

    with pytest.raises(BadInput, match="more than 50000"):
        cves_in_rules(rules)


def test_a_list_is_read_with_what_people_want_to_know():
    """The name, the day and the ransomware."""
    found = parse_kev(written(ENTRY, count=1, catalogVersion="2026.11.20", title="more"))

    (entry,) = found.entries
    assert (found.version, entry.cve, entry.added) == ("2026.11.20", "CVE-2021-44228", "2021-12-10")
    assert entry.ransomware
    assert entry.name.startswith("Apache Log4j2")


def test_the_words_of_a_list_are_kept_short_and_printable():
    """They end up in the ledger, on terminals and in alerts."""
    loud = {**ENTRY, "vulnerabilityName": "\x1b[31mred\n" + "x" * 900}

    (entry,) = parse_kev(written(loud)).entries

    assert entry.name.startswith("[31mred x")
    assert len(entry.name) == 160


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"<html>403 Forbidden</html>", "no list"),
        (b'{"vulnerabilities": {}}', "no list"),
        (b'{"error": "quota"}', "no list"),
        (b'{"vulnerabilities": []}', "no entry"),
        (b"\xff\xfe{}", "no list"),
        (written(ENTRY, count=1400), "says that it has 1400 entries, and has 1"),
        (written({**ENTRY, "cveID": "CVE-2021-"}), "no CVE identifier"),
        (written({**ENTRY, "dateAdded": "yesterday"}), "no day"),
        (written({k: v for k, v in ENTRY.items() if k != "cveID"}), "cveID"),
    ],
)
def test_what_is_no_whole_list_is_refused(data, words):
    """A portal's page, an empty list or half of one would take every warning away."""
    with pytest.raises(BadInput, match=words):
        parse_kev(data)


def test_advisories_name_vulnerabilities_and_files():
    """Only what is a reference of the type cve; names of files without their folders."""
    first, second = advisories(UPDATEINFO[i : i + 7] for i in range(0, len(UPDATEINFO), 7))

    assert first.cves == {"CVE-2024-3094"}
    assert first.files == {"xz-5.6.1-3.x86_64.rpm", "xz-libs-5.6.1-3.x86_64.rpm"}
    assert (second.cves, second.files) == (frozenset(), frozenset())


def test_another_document_is_no_list_of_advisories():
    """A mirror that serves something else is found out."""
    with pytest.raises(BadInput, match="root"):
        list(advisories([b"<metadata/>"]))
