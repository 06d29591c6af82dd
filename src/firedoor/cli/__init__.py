"""The command line: nouns, then verbs.

Data goes to stdout and talk to stderr. Exit codes: 0 ok, 1 the answer is "no", 2 usage,
3 unavailable. An error is two lines, ``error:`` and ``hint:``.

Only the modules of the command that was given are imported: a role that runs for months should
not hold the demo and the tables of a terminal in its memory.
"""

import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from importlib import import_module
from importlib.metadata import version
from types import MappingProxyType
from typing import Annotated, Final

import typer

from firedoor.cli import output
from firedoor.core.errors import (
    BadConfig,
    BadInput,
    FiredoorError,
    Rejected,
    Unavailable,
    Untrusted,
)

COMMANDS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "demo": "demo",
        "init": "init",
        "up": "run",
        "serve": "run",
        "judge": "judge",
        "config": "config",
        "channel": "channel",
        "release": "release",
        "machine": "machine",
        "ca": "ca",
        "signal": "signal",
        "tuf": "tuf",
        "verdict": "verdict",
        "ledger": "ledger",
    }
)
"""First word of a command -> the module that registers it, in the order of the help."""

EXITS: Final[tuple[tuple[type[FiredoorError], int], ...]] = (
    (BadConfig, 2),
    (BadInput, 2),
    (Rejected, 1),
    (Untrusted, 1),
    (Unavailable, 3),
)
"""Exit code of an error: the first class that matches; subclasses stand before their bases."""

_STOPPED: Final = 130  # what shells report of a program that Ctrl-C ended
_NOBODY_READS: Final = 141  # and of one whose reader went away: | head


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: What stands behind ``firedoor``; that of this process if None.

    Returns:
        The exit code.
    """
    words = sys.argv[1:] if arguments is None else arguments
    try:
        code = build(words[:1])(words, prog_name="firedoor", standalone_mode=False)
        sys.stdout.flush()
    except FiredoorError as error:
        output.complain(str(error), error.hint)
        return exit_code(error)
    except typer.TyperException as error:
        if type(error).__name__ == "NoArgsIsHelpError":  # its class has no public name
            sys.stderr.write(error.format_message() + "\n")
            return 2
        message = output.phrase(error.format_message())
        output.complain(message, f"{_command(error)} --help says what it takes")
        return 2
    except typer.Abort:
        return _STOPPED
    except BrokenPipeError:
        return _deaf()
    except SystemExit as stop:
        # Typer's word for a reader that went away while a command was printing.
        if isinstance(stop.__context__, BrokenPipeError):
            return _deaf()
        raise
    return code if isinstance(code, int) else 0


def build(words: Iterable[str] = ()) -> typer.Typer:
    """The app, with the commands that begin with these words; with all of them if none does."""
    app = typer.Typer(
        name="firedoor",
        add_completion=False,
        no_args_is_help=True,
        # Help is read in pipes and logs as well: no boxes, no colours, the same everywhere.
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    )
    app.callback()(_root)
    wanted = [COMMANDS[word] for word in words if word in COMMANDS] or COMMANDS.values()
    for name in dict.fromkeys(wanted):
        import_module(f"firedoor.cli.{name}").register(app)
    return app


def exit_code(error: FiredoorError) -> int:
    """Exit code for an error."""
    return next(code for kind, code in EXITS if isinstance(error, kind))


def _deaf() -> int:
    """Nobody reads stdout any more."""
    # Python flushes at exit, and would complain there a second time.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return _NOBODY_READS


def _command(error: typer.TyperException) -> str:
    """The command that was not understood."""
    context = getattr(error, "ctx", None)
    return "firedoor" if context is None else str(context.command_path)


def _print_version(wanted: bool) -> None:  # noqa: FBT001 - typer calls it so
    if wanted:
        output.line(f"firedoor {version('firedoor')}")
        raise typer.Exit


def _root(
    *,
    _version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    """Firedoor stands between software vendors and your machines.

    Every update becomes an immutable release. Machines are let through the door at random, a few
    at first; the door opens wider only as evidence proves the release safe.

    To begin: firedoor demo shows a whole rehearsal on this machine, firedoor init sets one up.
    """
