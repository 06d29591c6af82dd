import pytest

from firedoor.config.definitions import in_force, shipped
from firedoor.core.definition import LogSource, first_fit
from firedoor.core.errors import BadConfig, BadInput
from firedoor.core.signal import RESTARTS, SignalKind, stream_of
from firedoor.formats.definitions import definitions, joined

OURS = """
[[signal]]
name = "unit-failed"
kind = "check-failed"
source = "journal"
where = { MESSAGE_ID = "d9b373ed55a64feb8242e02dbe79a49c", UNIT = ["till.service"] }
unless = { UNIT_RESULT = { matches = "^(timeout|watchdog)$" } }
keep = ["UNIT"]
why = "the till is down"
"""
FAILED = {
    "MESSAGE_ID": "d9b373ed55a64feb8242e02dbe79a49c",
    "UNIT": "till.service",
    "UNIT_RESULT": "exit-code",
    "_CMDLINE": "a password",
}


def test_a_record_is_what_the_first_definition_that_fits_says():
    """All conditions of ``where``, and none of ``unless``."""
    rows = definitions(OURS).of(LogSource.JOURNAL)
    found = first_fit(rows, FAILED)
    assert found is not None
    assert found.kind is SignalKind.CHECK_FAILED
    assert first_fit(rows, FAILED | {"UNIT": "cups.service"}) is None
    assert first_fit(rows, FAILED | {"UNIT_RESULT": "timeout"}) is None
    assert first_fit(rows, {"UNIT": "till.service"}) is None


def test_only_fields_of_the_list_are_kept_and_never_more_than_a_line_of_each():
    """Records carry environments, memory maps and whatever a program prints."""
    (row,) = definitions(OURS).rows
    assert row.kept(FAILED) == {"signal": "unit-failed", "UNIT": "till.service"}
    assert len(row.kept(FAILED | {"UNIT": "x" * 10_000})["UNIT"]) == 256


def test_a_pattern_is_tried_on_the_beginning_of_a_field_only():
    """Whoever writes a log must not be able to keep the intake busy with a megabyte of it."""
    text = OURS.replace('["till.service"]', '{ matches = "needle" }')
    (row,) = definitions(text).rows
    assert row.fits(FAILED | {"UNIT": "a needle"})
    assert not row.fits(FAILED | {"UNIT": "x" * 4_096 + "needle"})


def test_an_operators_own_come_first_and_replace_what_is_shipped_by_the_same_name():
    """Else nobody could say that a failed unit is no harm here."""
    own = definitions(OURS)
    both = joined(own, shipped())
    assert both.rows[0] == own.rows[0]
    assert [row.name for row in both.rows].count("unit-failed") == 1
    assert len(both.rows) == len(shipped().rows)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("name", "nome"), "needs a name"),
        (('"unit-failed"', '"Unit Failed"'), "needs a name"),
        (('"check-failed"', '"sad"'), "kind is 'sad'"),
        (('"journal"', '"syslog"'), "source is 'syslog'"),
        (("where", "were"), "unknown key 'were'"),
        (('["till.service"]', "[]"), "UNIT cannot be []"),
        (('["till.service"]', "{ matches = '(' }"), "no regular expression"),
        (('["till.service"]', "{ present = false }"), "UNIT cannot be"),
        (('keep = ["UNIT"]', 'keep = "UNIT"'), "keep is no list"),
        (("[[signal]]", "[signal]"), "signal is one table"),
        (("[[signal]]", "[[signals]]"), "unknown table 'signals'"),
        (("kind", "kind ="), "no TOML"),
    ],
)
def test_what_makes_no_sense_is_named(change, says):
    """The operator wrote it, and has to find it again."""
    before, after = change
    with pytest.raises(BadInput, match=says.replace("[", r"\[")):
        definitions(OURS.replace(before, after, 1))


def test_two_of_one_name_are_refused():
    """Which of them would count?"""
    with pytest.raises(BadInput, match="two signals are called 'unit-failed'"):
        definitions(OURS + OURS)


def test_an_operators_file_is_named_where_it_is_wrong(tmp_path):
    """Several files make a configuration."""
    file = tmp_path / "ours.toml"
    file.write_text(OURS)
    assert in_force(file).rows[0].why == "the till is down"
    file.write_text("[[signal]]")
    with pytest.raises(BadConfig, match=r"ours\.toml"):
        in_force(file)
    with pytest.raises(BadConfig, match="cannot be read"):
        in_force(tmp_path / "none.toml")
    assert in_force(None) == shipped()


@pytest.mark.parametrize(
    ("source", "fields", "kind"),
    [
        (
            LogSource.JOURNAL,
            {
                "MESSAGE": "Started clamav-daemon.service - Clam AntiVirus userspace daemon.",
                "UNIT": "clamav-daemon.service",
                "JOB_RESULT": "done",
                "_PID": "1",
            },
            "service-started",
        ),
        (
            LogSource.JOURNAL,
            {
                "MESSAGE": "Database correctly reloaded (8674589 signatures)",
                "_SYSTEMD_UNIT": "clamav-daemon.service",
            },
            "service-started",
        ),
        (LogSource.OSQUERY, {"provider_name": "EventLog", "eventid": "6005"}, "booted"),
        (
            LogSource.OTLP,
            {"body.event_id.id": "6005", "body.provider.name": "EventLog"},
            "booted",
        ),
    ],
)
def test_restarts_are_told_and_are_no_harm(source, fields, kind):
    """What `policy.takes_effect` waits for."""
    found = first_fit(shipped().of(source), fields)
    assert found is not None
    assert (found.kind.value, stream_of(found.kind)) == (kind, None)
    assert found.kind in RESTARTS
