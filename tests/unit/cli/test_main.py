import os
import re
import subprocess
import sys

import pytest
from tests.unit.cli.desk import run
from tests.unit.cli.reference import PAGE, commands, example, page, shown

from firedoor.cli import COMMANDS, exit_code, output
from firedoor.core import errors
from firedoor.core.errors import FiredoorError

ERRORS = [
    kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, FiredoorError) and kind is not FiredoorError
]
ACTING = {
    f"release {verb}"
    for verb in ("hold", "resume", "shut", "expedite", "approve", "note", "pin", "unpin")
} | {"channel sync", "channel pick"}
PRINTS_NO_DOCUMENT = {
    *("ca init", "ca renew", "demo", "init", "up", "serve", "machine revoke"),
    *("tuf init", "tuf renew"),
}


@pytest.mark.parametrize("kind", ERRORS)
def test_every_error_has_an_exit_code_that_says_whose_turn_it_is(kind):
    """Scripts decide by the exit code alone whether to repeat, to correct or to give up."""
    code = exit_code(kind("something"))

    if issubclass(kind, errors.Unavailable):
        assert code == 3
    elif issubclass(kind, errors.BadConfig | errors.BadInput):
        assert code == 2
    else:
        assert code == 1


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["relaese"], "error: no such command 'relaese'"),
        (["release", "shwo"], "error: no such command 'shwo'"),
        (["release", "show"], "error: missing argument 'RELEASE'"),
        (["channel", "list", "--jsn"], "error: no such option: --jsn"),
        (["release", "hold", "abcdef"], "error: missing option '--reason'"),
    ],
)
def test_a_mistyped_command_is_answered_with_two_lines_on_stderr(arguments, complaint):
    """What is no data must not end up in the file that data was piped to."""
    said = run(*arguments)

    first, hint, *rest = said.err.splitlines()
    assert said.code == 2
    assert said.out == ""
    assert first.startswith(complaint)
    assert hint.startswith("hint: firedoor ")
    assert rest == []


@pytest.mark.parametrize("arguments", [[], ["release"]])
def test_a_noun_without_a_verb_shows_what_there_is(arguments):
    """It is what people type who look around."""
    said = run(*arguments)

    assert said.code == 2
    assert said.out == ""
    assert said.err.startswith("Usage: firedoor")


def test_without_a_configuration_every_command_says_how_to_get_one(tmp_path, monkeypatch):
    """The first command of a newcomer fails like this; it has to lead on."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("FIREDOOR_CONFIG", raising=False)
    monkeypatch.setattr("firedoor.cli.options.PLACES", (tmp_path / "firedoor.toml",))

    said = run("channel", "list")

    assert said.code == 2
    assert "firedoor init" in said.err


@pytest.mark.parametrize("words", [("up",), ("serve", "judge")])
def test_a_role_looks_for_its_configuration_where_every_command_does(words, tmp_path, monkeypatch):
    """What config check has found sound is what up has to start."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("FIREDOOR_CONFIG", raising=False)
    broken = tmp_path / "etc.toml"
    broken.write_text("bugdet = 1\n")  # refused, so that nothing is started here
    monkeypatch.setattr("firedoor.cli.options.PLACES", (tmp_path / "firedoor.toml", broken))

    said = run(*words)

    assert said.code == 2
    assert "etc.toml:1" in said.err


@pytest.mark.parametrize("words", ["release hold abcdef", "channel sync tools"])
@pytest.mark.parametrize("by", ["", "  "])
def test_nobody_acts_under_an_empty_name(words, by, day):
    """A script whose variable was empty would act in the name of whoever runs it."""
    target = words.replace("abcdef", day.bad).replace("tools", "tills-av").split()
    reason = ["--reason", "x"] if target[0] == "release" else []

    said = day.desk.run(*target, *reason, "--by", by)

    assert said.code == 2
    assert "--by names nobody" in said.err


def test_the_configuration_in_the_working_directory_is_found(tmp_path, monkeypatch):
    """Whoever ran init here should not have to name the file again."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("FIREDOOR_CONFIG", raising=False)
    (tmp_path / "firedoor.toml").write_text('data = "d"\n')

    assert run("config", "show").code == 0


def test_the_environment_names_the_configuration(tmp_path, monkeypatch):
    """A service unit sets it once for every command that is run in it."""
    path = tmp_path / "other.toml"
    path.write_text('data = "elsewhere"\n')
    monkeypatch.setenv("FIREDOOR_CONFIG", str(path))

    assert str(tmp_path / "elsewhere") in run("config", "show").out


def test_it_runs_as_a_module_and_says_its_version():
    """Bug reports begin with it."""
    result = subprocess.run(
        [sys.executable, "-m", "firedoor", "--version"], capture_output=True, check=True, text=True
    )

    assert re.fullmatch(r"firedoor \d+\.\d+\.\d+\n", result.stdout)
    assert result.stderr == ""


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_reader_that_goes_away_is_no_error_worth_a_traceback(tmp_path, unbuffered):
    """``firedoor ... | head`` is how people look at long answers."""
    path = tmp_path / "firedoor.toml"
    path.write_text('data = "d"\n')
    command = [sys.executable, "-m", "firedoor", "config", "show", "--config", str(path)]
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()

        complaint = process.stderr.read()

    assert process.returncode == 141
    assert complaint == b""


@pytest.mark.parametrize(("words", "command"), list(commands()))
def test_every_command_shows_an_example_of_itself(words, command):
    """People copy the example and change it."""
    assert example(command).startswith(f"firedoor {words}")
    assert all(parameter.help for parameter in shown(command))


@pytest.mark.parametrize(("words", "command"), list(commands()))
def test_every_command_that_reads_can_answer_with_json(words, command):
    """Scripts must not have to parse tables. An export is JSON already."""
    options = {option for parameter in shown(command) for option in parameter.opts}
    expected = words not in {*PRINTS_NO_DOCUMENT, "ledger export"}

    assert ("--json" in options) is expected


@pytest.mark.parametrize(("words", "command"), list(commands()))
def test_whatever_acts_says_who_asked(words, command):
    """The ledger has a name and a reason for everything a person did."""
    options = {option for parameter in shown(command) for option in parameter.opts}

    assert ("--by" in options) is (words in ACTING)
    assert ("--reason" in options) is (words in ACTING - {"channel sync"})


@pytest.mark.docs
def test_the_reference_page_says_what_the_commands_say():
    """A command or an option that is not in the reference does not exist."""
    assert PAGE.read_text(encoding="utf-8") == page(), (
        "docs/reference/cli.md is stale: .venv/bin/python tests/unit/cli/reference.py"
    )


@pytest.mark.parametrize(
    ("written", "printed"),
    [("Invalid value.", "invalid value"), ("Wait ...", "wait ..."), ("", "")],
)
def test_a_message_of_typer_is_put_into_the_form_of_the_house(written, printed):
    """Messages are put together from parts; they must read as one."""
    assert output.phrase(written) == printed


def test_text_of_others_cannot_steer_a_terminal(capsys):
    """A vendor's file name or a person's note may hold what clears a screen or hides a line."""
    output.table(("what",), [["\x1b[2Jred\u202e"], ["two\nlines"]])

    printed = capsys.readouterr().out
    assert printed == "what\n\ufffd[2Jred\ufffd\ntwo\ufffdlines\n"


def test_a_role_does_not_carry_what_only_people_need():
    """Four roles run for months; demo, fleet and console's pages are no part of them."""
    script = (
        "import sys; from firedoor.cli import main; main(['serve', '--help'])\n"
        "print([name for name in sys.modules if name.startswith(('firedoor.simulator',"
        " 'firedoor.cli.', 'firedoor.console'))], file=sys.stderr)"
    )
    result = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, check=True, text=True
    )

    assert (
        result.stderr.strip()
        == "['firedoor.cli.output', 'firedoor.cli.options', 'firedoor.cli.run']"
    )


@pytest.mark.parametrize("word", COMMANDS)
def test_a_command_loads_its_own_module_alone(word):
    """A word that leads to the wrong module would not be found."""
    alone = [words for words, _ in commands() if words.split()[0] == word]

    assert alone
    assert run(word, "--help").code == 0
