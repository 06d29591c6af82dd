"""Commands that show what was decided."""

import contextlib
import sqlite3

import msgspec
import pytest
from tests.unit.cli.desk import Desk, run
from tests.unit.console.asking import get
from tests.unit.console.world import World
from tests.unit.wire.site import CHANNEL

from firedoor.adapters.clock import SystemClock
from firedoor.adapters.store.judge import JudgeStore
from firedoor.cli.claims import waiting
from firedoor.console.app import make_app
from firedoor.console.model import Judgement
from firedoor.core.door import State
from firedoor.services.records import StoredRelease
from firedoor.wire.views import Views


@pytest.fixture
def console(day):
    """The console in front of the same files."""
    views = Views(day.desk.site.config, day.desk.site.files, day.desk.site.clock)
    app = make_app(views, World(), token="t" * 32, hosts=(), clock=SystemClock())
    yield app
    views.close()


def without_forecast(document: object) -> object:
    """A document without the one number that is counted down while it is looked at."""
    match document:
        case dict():
            return {k: without_forecast(v) for k, v in document.items() if k != "forecast_s"}
        case list():
            return [without_forecast(each) for each in document]
        case _:
            return document


@pytest.mark.parametrize(
    ("command", "target"),
    [
        ("channel list", "/api/channels"),
        ("release list tills-av", "/api/channels/tills-av/releases"),
        ("release show {bad}", "/api/releases/{bad}"),
        ("verdict show {bad}", "/api/releases/{bad}/verdict"),
        ("verdict show {good}", "/api/releases/{good}/verdict"),
        ("verdict show {adopted}", "/api/releases/{adopted}/verdict"),
        ("verdict explain {bad}", "/api/releases/{bad}/explanation"),
        ("verdict explain {adopted}", "/api/releases/{adopted}/explanation"),
        ("machine show till-07", "/api/machines/till-07"),
        ("ledger show --after -1 --limit 100", "/api/decisions?after=-1&limit=100"),
    ],
)
def test_json_of_a_command_is_the_answer_of_the_api(day, console, command, target):
    """A script may ask whichever is at hand, and move from one to the other."""
    names = {"bad": day.bad, "good": day.good, "adopted": day.adopted}
    words = command.format(**names).split()

    said = day.desk.run(*words, "--json")
    answer = get(console, target.format(**names))

    assert said.code == 0, said.err
    assert answer.status == 200
    assert without_forecast(said.json()) == without_forecast(answer.json)


def test_a_list_of_releases_says_where_their_doors_are(day):
    """The question of every morning."""
    headings, *rows = day.desk.run("release", "list").rows()

    table = [dict(zip(headings, row, strict=True)) for row in rows]
    assert [row["release"] for row in table] == [day.bad[:12], day.good[:12], day.adopted[:12]]
    assert [row["door"] for row in table] == ["shut (harmful)", "open (walked)", "open (adopted)"]
    assert [row["harmed"] for row in table] == ["3", "0", "0"]
    assert [row["served"] for row in table] == ["", "all", ""]


def test_no_verdict_is_shown_where_nobody_drew_a_card(day):
    """An adopted release is not "undecided": no verdict is under way, and none will ever come."""
    listed = day.desk.run("release", "list").rows()[-1]
    shown = dict(row[:2] for row in day.desk.run("verdict", "show", day.adopted).rows() if row[1:])
    explained = day.desk.run("verdict", "explain", day.adopted).out
    document = day.desk.run("verdict", "show", day.adopted, "--json").json()

    assert (listed[0], listed[-1]) == (day.adopted[:12], "-")
    assert (shown["verdict"], shown["randomised"], shown["decided in"]) == ("-", "-", "-")
    assert shown["in words"] == "adopted: no evidence is claimed"
    assert "No evidence is claimed" in explained
    assert document["randomised"] is None


def test_a_pin_over_drawn_cards_takes_no_evidence_away(tmp_path):
    """Somebody pinned it half way: what the cards have shown until then still stands."""
    desk = Desk(tmp_path)
    desk.adopt_and_walk()
    good = desk.site.views.releases(CHANNEL)[0].id
    desk.site.order("pin", release=good, channel=CHANNEL, reason="audit week")

    said = desk.run("release", "list").rows()[1]

    desk.site.close()
    assert (said[0], said[-1]) == (good[:12], "undecided")


def test_the_machines_that_somebody_has_to_reach_are_named(day):
    """Containing a release heals nobody: the bricked ones are a list of places to drive to."""
    said = day.desk.run("release", "show", day.bad).out
    harmed = day.desk.run("release", "machines", day.bad, "--state", "harmed", "--json").json()

    assert "needs remedy\t3" in said
    assert [each["state"] for each in harmed] == ["harmed"] * 3
    assert {each["undo"] for each in harmed} == {"needs remedy"}
    listed = said.partition("that a person has to reach")[2]
    assert [line.split("\t")[0] for line in listed.splitlines()[2:]] == [
        each["machine"] for each in harmed
    ]


def test_a_release_that_was_never_undone_shows_no_undoing(day):
    """A heading over nothing makes people look for what is not there."""
    assert "undoing" not in day.desk.run("release", "show", day.good).out


def test_control_machines_are_marked_and_come_last(day):
    """They never had the release; taken for patients they would be driven to in vain."""
    _, *rows = day.desk.run("release", "machines", day.bad).rows()

    parts = [row[2] for row in rows]
    assert parts == ["treated"] * 3 + ["control"] * 27
    assert [row[0] for row in rows[3:]] == sorted(row[0] for row in rows[3:])


def test_signals_that_nobody_sent_show_the_machines_that_might_have(day):
    """Nobody crashed: of thirty machines that is a finding, of none it would be nothing."""
    streams = [row for row in day.desk.run("verdict", "show", day.bad).rows() if row[1:3]]

    at_risk = {row[1]: (row[2], row[4]) for row in streams if row[0] == "harm"}
    assert at_risk == dict.fromkeys(("silence", "crash", "check"), ("3", "27"))


def test_a_decided_release_is_not_waited_for(day):
    """A forecast of "nobody can say" under a verdict of harm reads as if it were still open."""
    harmful = dict(row[:2] for row in day.desk.run("verdict", "show", day.bad).rows() if row[1:])
    walked = dict(row[:2] for row in day.desk.run("verdict", "show", day.good).rows() if row[1:])

    assert harmful["decided in"] == "decided"
    assert walked["decided in"] == "never: its doors have ended"


def test_a_cleared_release_says_what_its_door_still_waits_for(day):
    """Cleared and not open looks like a fault, until one is told of the soak."""
    view = day.desk.site.views.release(day.good)
    assert view is not None
    door = view.door["everyone"]
    cleared = msgspec.structs.replace(view.verdict, state=Judgement.CLEARED)

    def said(**now: object) -> list[str]:
        doors = {"everyone": msgspec.structs.replace(door, **now)}
        return list(waiting(msgspec.structs.replace(view, verdict=cleared, door=doors)))

    assert said(state=State.OPEN) == []
    (one,) = said(state=State.OPENING, in_flight=1)
    assert "1 machine in flight" in one
    (none,) = said(state=State.OPENING, in_flight=0)
    assert "soak" in none
    assert "reserve" in none


def test_a_channel_tells_what_upstream_offers_and_why_it_does_not_board(day):
    """Nothing in flight beside a vendor with a new version: the first thing people ask."""
    said = dict(row[:2] for row in day.desk.run("channel", "show", "tills-av").rows() if row[1:])

    assert said["upstream offers"] == f"{day.bad[:12]} (shut)"
    assert f"upstream offers release {day.bad[:12]}, which was shut" in said["state"]


def test_a_pinned_channel_tells_what_waits_behind_the_pin(tmp_path):
    """A pin that was forgotten holds back every update."""
    desk = Desk(tmp_path)
    first = desk.site.settle_in(1)
    desk.site.order("pin", release=first, channel=CHANNEL, reason="audit week")
    second = desk.site.publish("2")
    desk.site.tick()

    said = dict(row[:2] for row in desk.run("channel", "show", "tills-av").rows() if row[1:])

    desk.site.close()
    assert said["upstream offers"] == f"{second[:12]} (waiting)"
    assert f"upstream offers release {second[:12]}, which waits" in said["state"]
    assert "is pinned" in said["state"]


def test_rings_that_were_removed_have_no_machines(tmp_path):
    """Their last count stays behind, and their machines are counted where they are now."""
    desk = Desk(tmp_path)
    desk.site.settle_in(1)
    with contextlib.closing(sqlite3.connect(tmp_path / "data" / "gate.db")) as store:
        store.execute(
            "INSERT INTO census SELECT channel, 'gone', active, free, polls, untreated, gap_ms,"
            " unknown, unknown_ms, enrolled FROM census"
        )
        store.commit()

    said = desk.run("channel", "show", "tills-av", "--json").json()
    checked = desk.run("config", "check").out.splitlines()

    desk.site.close()
    assert said["machines"] == 30
    assert checked[0].endswith("tills-av (30 machines)")


@pytest.mark.parametrize("digits", [6, 12, 64])
def test_a_release_is_found_by_the_beginning_of_its_id(day, digits):
    """Nobody types 64 digits."""
    said = day.desk.run("release", "show", day.bad[:digits].upper(), "--json")

    assert said.json()["id"] == day.bad


@pytest.mark.parametrize(
    ("given", "code", "complaint"),
    [
        ("abcde", 2, "is no release id"),
        ("latest", 2, "is no release id"),
        ("0" * 12, 1, "no release begins with"),
    ],
)
def test_a_release_that_is_not_there_is_not_guessed(day, given, code, complaint):
    """The next command may shut what this one found."""
    said = day.desk.run("release", "show", given)

    assert said.code == code
    assert complaint in said.err
    assert said.out == ""


def test_a_beginning_of_two_releases_is_refused(copy, day):
    """Whichever was meant, the other one would be acted on half of the time."""
    store = JudgeStore(copy.parent / "data")
    twin = day.bad[:20] + "0" * 44
    with store.step():
        store.add_release(StoredRelease(twin, "tills-av", 1, "", 1, 1), {})
    store.close()

    said = run("release", "show", day.bad[:20], "--config", str(copy))

    assert said.code == 2
    assert "more than one release begins with" in said.err


def test_a_snapshot_that_waits_is_no_release_yet(tmp_path):
    """It was mirrored, and nobody has it; the answer says where to look."""
    desk = Desk(tmp_path)
    desk.site.settle_in(2)
    waiting = desk.site.publish("2")

    said = desk.run("release", "show", waiting)

    desk.site.close()
    assert said.code == 1
    assert "has not boarded" in said.err


def test_a_diff_names_every_artefact_by_purl_and_digest(day):
    """What to search an incident report for."""
    against_the_one_before = day.desk.run("release", "diff", day.bad, "--json").json()
    against_the_first = day.desk.run("release", "diff", day.adopted, day.bad, "--json").json()

    (artefact,) = against_the_one_before["artefacts"]
    assert (against_the_one_before["old"], against_the_one_before["new"]) == (day.good, day.bad)
    assert artefact["path"] == "av.db"
    assert artefact["change"] == "changed"
    assert artefact["purl"] == f"pkg:generic/av.db?checksum=sha256:{artefact['new_sha256']}"
    assert against_the_first["old"] == day.adopted
    assert against_the_first["artefacts"][0]["new_sha256"] == artefact["new_sha256"]


def test_the_first_release_differs_from_nothing(day):
    """All of it is new."""
    found = day.desk.run("release", "diff", day.adopted, "--json").json()

    assert found["old"] == ""
    assert {each["change"] for each in found["artefacts"]} == {"added"}


def test_a_channel_says_how_its_clients_are_undone(day):
    """Serving an older index does not downgrade every updater; one has to know before."""
    said = day.desk.run("channel", "show", "tills-av")

    for verb in ("contain", "revert", "remedy"):
        assert f"\n{verb}\t" in said.out
    assert "ring everyone: 30 machines, budget 3" in said.out
    assert "sesame" not in said.out + day.desk.run("channel", "list").out


def test_an_unknown_channel_is_answered_with_the_nearest_name(day):
    """Names are typed from memory."""
    said = day.desk.run("channel", "show", "tils-av")

    assert said.code == 1
    assert 'did you mean "tills-av"?' in said.err


def test_nothing_is_shown_as_nothing_before_the_first_start(tmp_path):
    """Between init and the first update every list is empty, and that is no error."""
    path = tmp_path / "firedoor.toml"
    path.write_text('data = "data"\n')

    for command in ("channel list", "release list", "ledger show"):
        said = run(*command.split(), "--json", "--config", str(path))
        assert (said.code, said.json()) == (0, []), command


def test_what_needs_the_judges_records_says_that_it_never_ran(tmp_path):
    """Exit code 3: nothing is wrong with the command, and later it will work."""
    path = tmp_path / "firedoor.toml"
    path.write_text('data = "data"\n')

    for command in ("ledger export", "verdict replay"):
        said = run(*command.split(), "--config", str(path))
        assert said.code == 3, command
        assert "has never run" in said.err


def test_a_list_that_is_not_whole_says_so(day):
    """Fifty rows look like all of them; a script that counts them would stand still."""
    short = day.desk.run("release", "list", "--limit", "2")
    whole = day.desk.run("release", "list", "--all")

    assert [row[0] for row in short.rows()[1:]] == [day.bad[:12], day.good[:12]]
    assert "only the last 2 releases of tills-av are listed; --all" in short.err
    assert len(whole.rows()) == 4
    assert "only" not in whole.err
    assert len(day.desk.run("release", "list", "--limit", "2", "--json").json()) == 2
