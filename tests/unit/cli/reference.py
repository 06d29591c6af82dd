"""Writes docs/reference/cli.md from the commands themselves.

Run it after a change of a command: ``.venv/bin/python tests/unit/cli/reference.py``
"""

import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from typer.main import get_command

from firedoor.cli import build

PAGE: Final = Path(__file__).parents[3] / "docs" / "reference" / "cli.md"

_INTRODUCTION: Final = """\
# Command line

`firedoor NOUN VERB`, for example `firedoor release show 2cb81f3d`.
`--help` behind any part of it says what it takes.
This page is made from the commands: `.venv/bin/python tests/unit/cli/reference.py`.

**Reading** commands look into the data directory, also while nothing runs.
With `--json` they print one line of JSON with the names of the [API](api.md).
New fields may be added.
Without it they print tables: aligned on a terminal, tab-separated under headings in a pipe.

**Acting** commands ask the running console, with `console.token` of the data directory.
So the judge decides, and the ledger has it before it takes effect.

**Data** goes to stdout, everything else to stderr.
An error is a line `error: ...`, and where something can be done about it a line `hint: ...`.

| exit code | means |
|---|---|
| 0 | done |
| 1 | the answer is "no": harmful, different, not to be believed, not found, refused, unapproved |
| 2 | the command or the configuration makes no sense |
| 3 | unavailable: nothing is running, or a store cannot be read; try again |

**The configuration** is `--config`, else `$FIREDOOR_CONFIG`, else `./firedoor.toml`, else
`/etc/firedoor/firedoor.toml`.
A release may be named by any unique beginning of its id of six or more digits.
"""


def page() -> str:
    """The whole page."""
    return _INTRODUCTION + "".join(_section(words, command) for words, command in commands())


def commands() -> Iterator[tuple[str, Any]]:
    """Every command that can be run, with its words, in the order of the help."""
    # A command's class has no public name, so it is taken for what it shows of itself.
    for name, command in getattr(get_command(build()), "commands").items():  # noqa: B009
        below = getattr(command, "commands", None)
        if below is None:
            yield name, command
        else:
            yield from ((f"{name} {verb}", each) for verb, each in below.items())


def shown(command: Any) -> list[Any]:
    """Arguments and options that the help shows."""
    return [each for each in command.params if not each.hidden and each.name != "help"]


def example(command: Any) -> str:
    """The command line behind ``Example:`` in a command's help, or nothing."""
    text = inspect.cleandoc(command.help or "")
    return " ".join(text.partition("\nExample: ")[2].split())


def _section(words: str, command: Any) -> str:
    text = inspect.cleandoc(command.help or "").partition("\nExample: ")[0].strip()
    paragraphs = [" ".join(paragraph.split()) for paragraph in text.split("\n\n")]
    lines = [
        "",
        f"## `firedoor {words}`",
        "",
        *"\n\n".join(_sentences(paragraph) for paragraph in paragraphs).split("\n"),
        "",
        "```sh",
        example(command),
        "```",
    ]
    rows = [_row(parameter) for parameter in shown(command)]
    if rows:
        lines += ["", "| argument or option | means |", "|---|---|", *rows]
    return "\n".join(lines) + "\n"


def _sentences(paragraph: str) -> str:
    """One sentence a line, as all documents have it."""
    return paragraph.replace(". ", ".\n")


def _row(parameter: Any) -> str:
    said = parameter.help or ""
    if parameter.param_type_name == "argument":
        name = parameter.metavar or parameter.name.upper()
        left = name if parameter.required else f"[{name}]"
    else:
        value = parameter.metavar or ("" if parameter.is_flag else parameter.name.upper())
        left = ", ".join(parameter.opts) + (f" {value}" if value else "")
        if parameter.required:
            said += " Required."
    if parameter.envvar:
        said += f" Environment: `{parameter.envvar}`."
    default = parameter.default
    if parameter.show_default and not parameter.required and default not in (None, False, "", ()):
        said += f" Default: `{default}`."
    return f"| `{left.replace('|', '/')}` | {said} |"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
