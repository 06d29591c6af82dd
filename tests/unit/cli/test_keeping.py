"""What the command line says is on the disk is on the disk."""

import json
import os
import re
import time

import pytest
from tests.unit.cli.desk import run
from tests.unit.wire.site import CHANNEL

from firedoor.adapters.store.judge import JudgeReader
from firedoor.cli.keeping import Holdings
from firedoor.core.release import FileEntry
from firedoor.core.units import Digest


@pytest.fixture
def site(copy):
    """The data directory of that day; no bytes are on its disk."""
    return copy.parent / "data"


def column(rows, name):
    place = rows[0].index(name)
    return {row[0]: row[place] for row in rows[1:]}


def files_of(data, release):
    reader = JudgeReader(data)
    try:
        return dict(reader.manifest(release))
    finally:
        reader.close()


def put(data, entry):
    """Bytes of the right length under the right name; what is in them is the scrub's business."""
    place = data / "blobs" / entry.sha256[:2] / entry.sha256[2:]
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(bytes(entry.size))


def listed(copy, release):
    said = run("release", "list", "--config", str(copy))
    assert said.code == 0
    states = column(said.rows(), "bytes")
    return next(state for short, state in states.items() if release.startswith(short))


def kept_line(copy):
    said = run("channel", "show", CHANNEL, "--config", str(copy))
    return next(row[1] for row in said.rows() if row[0] == "kept on disk")


def test_a_release_without_files_on_the_disk_is_missing(day, copy, site):
    """A size would send a person to pin what every machine would be answered 503 for."""
    assert listed(copy, day.good) == "missing"
    files = list(files_of(site, day.good).values())
    put(site, files[0])
    assert len(files) > 1
    assert listed(copy, day.good) == "partly missing"
    for entry in files:
        put(site, entry)
    assert listed(copy, day.good) == f"{sum(entry.size for entry in files)} B"


def test_a_file_that_was_cut_short_is_missing(day, copy, site):
    """The gate would promise a length and not keep it."""
    files = list(files_of(site, day.good).values())
    for entry in files:
        put(site, entry)
    cut = files[0].sha256
    (site / "blobs" / cut[:2] / cut[2:]).write_bytes(b"")

    assert listed(copy, day.good) == "partly missing"


def test_what_is_there_and_may_go_is_not_kept():
    """Whoever wants it has to pin it today."""
    shared, own = Digest("a" * 64), Digest("b" * 64)
    files = {"old": {shared: 10, own: 5}, "new": {shared: 10}}
    whole = Holdings(frozenset({"new"}), files, frozenset({shared, own}))
    swept = Holdings(frozenset({"new"}), files, frozenset({shared}))

    assert (whole.state("old"), whole.state("new")) == ("not kept", "10 B")
    assert swept.state("old") == "partly missing"


def test_a_file_that_releases_share_counts_once():
    """Or the sum would be more than the disk holds."""
    files = {"old": {Digest("a" * 64): 10}, "new": {Digest("a" * 64): 10, Digest("b" * 64): 5}}
    stored = frozenset(files["new"])

    assert Holdings(frozenset(files), files, stored).sentence() == "2 releases, 15 B"


def test_kept_on_disk_counts_what_is_there_and_names_what_lacks(day, copy, site):
    """A sum of what should be there is no answer to whether the backup is whole."""
    nothing = kept_line(copy)
    for release in (day.adopted, day.good, day.bad):
        for entry in files_of(site, release).values():
            put(site, entry)
    whole = kept_line(copy)

    assert re.fullmatch(r"\d releases, 0 B; \d of their files missing", nothing)
    assert re.fullmatch(r"\d releases, [1-9]\d* B", whole)


def test_json_has_the_figures_that_people_read(day, copy, site):
    """A script that watches the disk should not have to read English."""
    for entry in files_of(site, day.good).values():
        put(site, entry)

    shown = run("channel", "show", CHANNEL, "--json", "--config", str(copy)).json()

    kept = shown["kept"]
    assert shown["name"] == CHANNEL
    assert kept["held_files"] == len(files_of(site, day.good))
    assert kept["held_bytes"] == sum(entry.size for entry in files_of(site, day.good).values())
    assert (kept["releases"], kept["named_files"], kept["named_bytes"]) == (3, 0, 0)
    assert kept["missing_files"] > 0
    assert f"{kept['missing_files']} of their files missing" in kept_line(copy)


def test_what_is_named_only_is_no_missing_file():
    """A suite of sixty thousand packages of which five are held is a whole one."""
    held, named, gone = (Digest(each * 64) for each in "abc")
    found = Holdings(
        frozenset({"r"}),
        {"r": {held: 5, named: 70, gone: 900}},
        frozenset({held}),
        frozenset({named}),
    ).together()

    assert (found.held_files, found.held_bytes) == (1, 5)
    assert (found.named_files, found.named_bytes, found.missing_files) == (1, 70, 1)


def said_of(copy):
    said = run("channel", "show", CHANNEL, "--config", str(copy))
    return {row[0]: row[1] for row in said.rows() if len(row) > 1}


def test_channel_show_says_what_the_next_collection_frees(day, copy, site):
    """Whoever looks for space must see whether waiting is enough, before he deletes anything."""
    for entry in files_of(site, day.good).values():
        put(site, entry)
    before = said_of(copy)["next collection frees"]
    for number, age_days in ((1, 2), (2, 0)):
        stray = FileEntry(Digest(f"{number}" * 64), number * 1000, "text/plain")
        put(site, stray)
        then = time.time() - age_days * 86_400
        os.utime(site / "blobs" / stray.sha256[:2] / stray.sha256[2:], (then, then))

    said = said_of(copy)

    assert before == "0 B"
    more = "1.95 KiB more when nobody has needed it for a day"
    assert said["next collection frees"] == f"1000 B; {more}"
    assert "stored; " in said["all channels"]
    assert "are this channel's alone" in said["of that"]


def test_the_costs_of_a_channel_are_numbers_for_a_script(day, copy, site):
    """What a monitoring system draws over a year."""
    entries = files_of(site, day.good).values()
    for entry in entries:
        put(site, entry)

    said = run("channel", "show", CHANNEL, "--config", str(copy), "--json")
    storage = json.loads(said.out)["storage"]

    assert storage["alone"] == sum(entry.size for entry in entries)
    assert storage["shared"] == storage["unneeded"] == storage["due"] == 0
    assert storage["space"]["used"] == storage["alone"]
    assert 0 < storage["space"]["free"] <= storage["space"]["total"]
