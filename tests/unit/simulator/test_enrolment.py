"""The file that says who a fleet is."""

from pathlib import Path

import pytest

from firedoor.core.errors import BadInput
from firedoor.simulator.enrolment import read_enrolments


def test_a_line_is_a_machine_and_what_it_does_not_say_is_empty(tmp_path: Path) -> None:
    """A machine without tokens, channel or intake polls a vendor directly."""
    path = tmp_path / "machines.jsonl"
    path.write_text('{"machine": "a", "gate": "http://127.0.0.1:1"}\n\n')

    (machine,) = read_enrolments(path)

    assert (machine.machine, machine.gate) == ("a", "http://127.0.0.1:1")
    assert machine.channel == machine.read_token == machine.intake == machine.signal_token == ""


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('{"machine": "a", "gate": "g"}\n{"machine": "b"}', "line 2.*gate"),
        ('{"machine": "a", "gate": "g", "token": "s3cret"}', "line 1.*token"),
        ('{"machine": "a", "gate": "g"}\n{"machine": "a", "gate": "g"}', "line 2.*already"),
        ("s3cret", "line 1"),
        ("\n", "no machine"),
    ],
)
def test_a_wrong_line_is_named_by_its_number_and_never_quoted(
    tmp_path: Path, text: str, told: str
) -> None:
    """The file holds tokens; an error message ends in logs."""
    path = tmp_path / "machines.jsonl"
    path.write_text(text)

    with pytest.raises(BadInput, match=told) as refusal:
        read_enrolments(path)

    assert "s3cret" not in str(refusal.value)
