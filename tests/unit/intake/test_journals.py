"""Uploads asked in process: what counts, when it happened, and what is never refused."""

import json
from collections import Counter

import pytest
from structlog.testing import capture_logs
from tests.journals import UNIT_FAILED, Writer, exported, joined

from firedoor.core.host_id import HostId, HostIdKind
from firedoor.core.signal import Reports
from firedoor.core.units import UnixMs
from firedoor.intake import journals as journals_module
from firedoor.intake.clocks import OLDEST_MS
from firedoor.intake.journals import ALLOWANCE_MS
from firedoor.intake.quota import EVENTS_A_MINUTE

HOUR_MS = 3_600_000
CORE_DUMP = {
    "MESSAGE_ID": "fc2e22bc6ee647b6b90729ab34a250b1",
    "COREDUMP_EXE": "/usr/bin/till",
    "COREDUMP_ENVIRON": b"PASSWORD=hunter2\nHOME=/",
    "COREDUMP": bytes(100_000),
}


@pytest.fixture
def journal(world):
    """A journal of the till, whose clock shows the time of ours; it begins an hour ago."""
    return Writer(world.clock.wall_ms - HOUR_MS)


def send(world, journal, **options):
    """Upload all that was written since the last upload."""
    body, journal.entries = journal.text(), journal.entries[-1:]
    return world.post(body, path="/upload", **options)


def meet(world, journal):
    """The machine is known: its first upload has come, and time passes."""
    journal.now_ms = world.clock.wall_ms - 1_000
    journal.say()
    send(world, journal)
    pass_ms(world, journal, HOUR_MS)


def pass_ms(world, journal, ms):
    """Let time pass for both."""
    world.clock.pass_ms(ms)
    journal.passes(ms)


def test_it_answers_as_systemd_journal_remote_does(world, journal):
    """The client knows 2xx only; the text is for people who look."""
    journal.say()

    reply = send(world, journal)

    assert (reply.status, reply.body) == (202, b"OK.\n")


def test_of_a_first_upload_counts_what_happened_just_now(world, journal):
    """A journal holds months: what happened before anybody looked is no harm of a release."""
    journal.boots("a")
    journal.say(**UNIT_FAILED)
    journal.boots("b")
    journal.passes(HOUR_MS - ALLOWANCE_MS // 2)
    journal.say(**UNIT_FAILED)

    send(world, journal)

    assert [event.kind for event in world.events()] == ["service-failed"]


def test_what_happened_while_a_machine_was_away_counts_when_it_happened(world, journal):
    """Evidence is of the hour of the crash, not of the hour in which we hear of it."""
    meet(world, journal)
    crashed_ms = journal.now_ms
    journal.say(**UNIT_FAILED)
    pass_ms(world, journal, 24 * HOUR_MS)
    journal.say()

    send(world, journal)

    [event] = world.events()
    assert event.time_ms == crashed_ms + 1_000
    assert event.shift_ms == 0


def test_what_happened_longer_ago_than_signals_are_kept_is_history(world, journal):
    """A journal that is sent again from its beginning must not count again what was forgotten."""
    meet(world, journal)
    journal.say(**UNIT_FAILED)
    pass_ms(world, journal, OLDEST_MS + HOUR_MS)
    journal.say()

    send(world, journal)

    assert world.events() == []


def test_a_clock_that_was_set_right_after_the_boot_dates_nothing_to_before_it(world, journal):
    """A machine without a battery boots in the past, crashes again, and only then asks the time."""
    meet(world, journal)
    journal.now_ms -= 30 * 24 * HOUR_MS
    journal.boots("b")
    journal.say(**UNIT_FAILED)
    journal.now_ms = world.clock.wall_ms - 60_000
    journal.say()

    send(world, journal)

    failed = [event for event in world.events() if event.kind == "service-failed"]
    assert [event.time_ms for event in failed] == [world.clock.wall_ms - 60_000]
    assert failed[0].shift_ms == 30 * 24 * HOUR_MS - 62_000


def test_a_clock_that_is_ahead_is_set_right_by_the_last_entry(world, journal):
    """Else a crash from before a card would count after it."""
    meet(world, journal)
    journal.now_ms += 5 * HOUR_MS
    journal.say(**UNIT_FAILED)
    pass_ms(world, journal, 600_000)
    journal.say()

    send(world, journal)

    [event] = world.events()
    assert event.time_ms == world.clock.wall_ms - 601_000


def test_a_clock_that_is_behind_shows_by_more_than_one_upload(world, journal):
    """One old entry may be just that; when the newest is always old it is the clock."""
    meet(world, journal)
    journal.now_ms -= 2 * HOUR_MS
    for _ in range(3):
        journal.say()
        pass_ms(world, journal, 60_000)
        send(world, journal)
    journal.say(**UNIT_FAILED)

    send(world, journal)

    [event] = world.events()
    assert world.clock.wall_ms - 120_000 < event.time_ms <= world.clock.wall_ms


def test_of_a_core_dump_a_few_fields_are_kept(world, journal):
    """It carries the memory and the environment of a program: passwords."""
    meet(world, journal)
    journal.say(**CORE_DUMP)

    send(world, journal)

    [event] = world.events()
    assert json.loads(event.detail) == {"signal": "core-dump", "COREDUMP_EXE": "/usr/bin/till"}


def test_nobody_but_systemd_says_that_a_unit_failed(world, journal):
    """Any program may log a message identity; it cannot log another's process number."""
    meet(world, journal)
    journal.say(**UNIT_FAILED | {"_PID": "4711"})

    send(world, journal)

    assert world.events() == []


def test_a_client_that_gave_up_on_us_is_no_failure_of_the_machine(world, journal):
    """Or an outage of Firedoor would be harm on every machine at once."""
    meet(world, journal)
    journal.say(**UNIT_FAILED | {"UNIT": "systemd-journal-upload.service"})

    send(world, journal)

    assert world.events() == []


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\n\n\n",
        b"no entry at all",
        b"A\n" + (2**63).to_bytes(8, "little") + b"x" * 1_000,
        b"A\n" + (2**31).to_bytes(8, "little") + b"x" * 1_000,
        b"MESSAGE=" + b"x" * 2_000_000,
        exported({"__REALTIME_TIMESTAMP": "9" * 400, "_BOOT_ID": "a" * 32} | UNIT_FAILED),
        exported({"MESSAGE": b"\xff\xfe\n\0", **UNIT_FAILED}),
        bytes(range(256)) * 1_000,
    ],
)
def test_whatever_a_body_holds_it_is_taken(world, journal, body):
    """The client would send a refused one again, for ever; and a good entry after it counts."""
    meet(world, journal)
    assert world.post(body, path="/upload").status == 202
    journal.say(**UNIT_FAILED)

    assert send(world, journal).status == 202
    assert world.events()[-1].kind == "service-failed"


def test_a_flood_of_one_kind_is_stored_up_to_the_quota(world, journal):
    """A machine is harmed once: the first of a thousand failures has told."""
    meet(world, journal)
    for _ in range(EVENTS_A_MINUTE + 500):
        journal.say(**UNIT_FAILED)

    assert send(world, journal).status == 202

    assert len(world.events()) == EVENTS_A_MINUTE


def gathered(world, *names):
    """Machines that are bound to their machine ids, and a journal of each, by name."""
    found = {}
    for at, name in enumerate(names):
        number = f"{at + 1:x}" * 32
        known = HostId.of(HostIdKind.MACHINE_ID, number)
        assert known is not None
        world.register.enroll(name, {}, UnixMs(1), [known])
        begun = world.clock.wall_ms - 10_000
        found[name] = Writer(begun, machine=number, boot=f"{at + 1:x}a" * 16)
    return found


def test_a_collector_sends_the_journals_that_it_has_gathered(world):
    """A log host: entries of its machines one after the other, each with its own boots."""
    journals = gathered(world, "till-1", "till-2", "pos-9")
    for journal in journals.values():
        journal.say()
    first = b"".join(journal.text() for journal in journals.values())
    # Of the next body the first entry is the last that was sent: of one machine alone.
    *others, last = journals.values()
    for journal in others:
        journal.entries.clear()
    last.entries = last.entries[-1:]
    journals["till-1"].say(**UNIT_FAILED)
    journals["till-2"].boots("b")
    journals["pos-9"].say(**UNIT_FAILED)
    resent = b"".join(last.entries[:1])
    last.entries = last.entries[1:]
    mixed = [
        part for trio in zip(*(j.entries for j in journals.values()), strict=True) for part in trio
    ]

    reply = world.post(first, path="/upload", token=world.collector)
    again = world.post(resent + joined(mixed), path="/upload", token=world.collector)

    assert (reply.status, again.status) == (202, 202)
    told = {(event.machine, event.kind) for event in world.events()}
    numbers = {name: world.register.number(name) for name in journals}
    assert told == {
        (numbers["till-1"], "service-failed"),
        (numbers["till-2"], "booted"),  # whether its ends reach the collector is not known yet
    }


def test_a_crash_between_two_bodies_of_a_collector_is_one_where_ends_have_come(world):
    """A machine whose shutdowns are seen to end, and this one is not."""
    journal, other = gathered(world, "till-1", "till-2").values()
    for each in (journal, other):
        each.say()
    journal.stop()
    journal.boots("b")
    other.say()
    world.post(joined([*journal.entries, *other.entries]), path="/upload", token=world.collector)
    last = other.entries[-1]
    journal.entries.clear()
    journal.boots("c")
    body = joined([last, *journal.entries])
    world.post(body, path="/upload", token=world.collector)

    assert [event.kind for event in world.events()] == ["boot-clean", "boot-unclean"]


def test_what_is_no_machine_id_is_nobodys_and_is_not_kept(world):
    """A collector could fill our memory with it."""
    journal = Writer(world.clock.wall_ms - 10_000, machine="f" * 100_000)
    journal.say(**UNIT_FAILED)

    with capture_logs() as logged:
        assert send(world, journal, token=world.collector).status == 202

    (said,) = [each for each in logged if each["event"] == "intake.journal_of_strangers"]
    assert said["machine_ids"] == ["f" * 32]


def test_what_a_collector_sends_of_a_machine_that_it_may_not_speak_for_is_named(world):
    """It means nothing, and the log says how to bind it."""
    journal = Writer(world.clock.wall_ms - 10_000, machine="f" * 32)
    journal.say(**UNIT_FAILED)

    with capture_logs() as logged:
        reply = send(world, journal, token=world.collector)

    assert (reply.status, world.events()) == (202, [])
    (said,) = [each for each in logged if each["event"] == "intake.journal_of_strangers"]
    assert (said["entries"], said["machine_ids"]) == (1, ["f" * 32])
    assert "--identity machine-id" in said["hint"]


def test_a_collector_of_many_journals_holds_few_at_once(world, monkeypatch):
    """Whom it has not heard lately is looked up again; nothing is lost by that."""
    monkeypatch.setattr(journals_module, "_MOST_MACHINES", 2)
    monkeypatch.setattr(journals_module, "_COMMIT_FOUND", 1)
    journals = gathered(world, *(f"till-{n}" for n in range(1, 7)))
    for journal in journals.values():
        journal.say()
    world.post(b"".join(j.text() for j in journals.values()), path="/upload", token=world.collector)
    for journal in journals.values():
        journal.entries.clear()
        journal.say(**UNIT_FAILED)
        journal.boots("b")
    world.post(b"".join(j.text() for j in journals.values()), path="/upload", token=world.collector)

    kinds = Counter(event.kind for event in world.events())
    assert kinds["service-failed"] == len(journals)
    assert kinds["boot-unclean"] + kinds["booted"] == len(journals)


def test_a_body_that_breaks_off_leaves_what_was_found_in_it(world, journal):
    """A long one would else be lost as a whole; sent again, it counts once."""
    meet(world, journal)
    journal.say(**UNIT_FAILED)
    text = journal.text()

    world.cut(text + exported({"MESSAGE": "next"})[:5], path="/upload")
    found = [event.kind for event in world.events()]
    send(world, journal)

    assert found == ["service-failed"]
    assert len(world.events()) == 1


def test_whose_journal_comes_is_one_that_tells_whatever_it_says(world, journal):
    """That a crash will be told of is known from entries that tell of none."""
    world.app = world.make(bucket_ms=10)
    journal.say()
    send(world, journal)

    assert world.reporting() == {world.till.no: Reports.TELLS}


def test_of_gathered_journals_each_machine_tells_and_no_stranger(world):
    """The collector sends them, the machines are what they are about."""
    world.app = world.make(bucket_ms=10)
    journals = gathered(world, "till-1", "till-2", "pos-9")
    for journal in journals.values():
        journal.say()

    body = b"".join(journal.text() for journal in journals.values())
    world.post(body, path="/upload", token=world.collector)

    tills = [world.register.number(name) for name in ("till-1", "till-2")]
    assert world.reporting() == dict.fromkeys(tills, Reports.TELLS)


def test_an_upload_without_a_whole_entry_shows_nothing(world):
    """Half a line is no journal."""
    world.app = world.make(bucket_ms=10)
    world.post(b"MESSAGE=half an ent", path="/upload")

    assert world.reporting() == {}
