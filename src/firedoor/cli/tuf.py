"""``firedoor tuf``: a TUF root of the operator's own, by which a channel is signed anew."""

from pathlib import Path
from typing import Annotated, Final

import typer

from firedoor.adapters.clock import SystemClock
from firedoor.adapters.keys.tuf import ROOT_DAYS, OwnRoot
from firedoor.cli import output
from firedoor.cli.options import JsonOption

app: Final = typer.Typer(
    no_args_is_help=True, help="A TUF root of your own, to hold for longer and to take back."
)

FolderArgument = Annotated[
    Path, typer.Argument(metavar="DIRECTORY", help="Where the roots and keys are.")
]
DaysOption = Annotated[
    int, typer.Option("--days", min=1, max=3650, help="How long the root counts.")
]


def register(root: typer.Typer) -> None:
    """Add the commands to the app."""
    root.add_typer(app, name="tuf")


@app.command("init")
def init(*, folder: FolderArgument, days: DaysOption = ROOT_DAYS) -> None:
    """Make a root and its keys, and print what to add to the configuration.

    The keys are readable by their owner only. Never over another root.

    Example: firedoor tuf init /etc/firedoor/tuf
    """
    made = OwnRoot.create(folder.absolute(), SystemClock().now().wall_ms, days)
    output.line(f'sign = "{made.folder}"')
    output.say(f"the root counts until {made.expires:%Y-%m-%d}; an alert tells 30 days before")
    output.say("add this line to the [[channel]], restart, and enrol its machines: firedoor")
    output.say("machine enroll gives them the root. Keep a copy of the directory elsewhere;")
    output.say(f"{made.folder / 'root.key'} is needed for the next root only: take it offline")


@app.command("renew")
def renew(
    *,
    folder: FolderArgument,
    days: DaysOption = ROOT_DAYS,
    root_key: Annotated[
        Path | None,
        typer.Option(
            "--root-key",
            metavar="FILE",
            show_default=False,
            help="The root's key, where it is not in the directory.",
        ),
    ] = None,
    new_key: Annotated[
        bool, typer.Option("--new-key", help="Sign releases with a new key from now on.")
    ] = False,
    new_root_key: Annotated[
        bool,
        typer.Option(
            "--new-root-key", help="Sign roots with a new key from now on; it replaces the old one."
        ),
    ] = False,
) -> None:
    """Make the next root. Judge and machines take it by themselves.

    Example: firedoor tuf renew /etc/firedoor/tuf --root-key /media/stick/root.key
    """
    made = OwnRoot(folder.absolute()).renew(
        SystemClock().now().wall_ms,
        days,
        root_key=root_key,
        new_key=new_key,
        new_root_key=new_root_key,
    )
    output.line(f"root {made.version} counts until {made.expires:%Y-%m-%d}")


@app.command("show")
def show(*, folder: FolderArgument, as_json: JsonOption = False) -> None:
    """Show which root is the newest, and until when it counts.

    Example: firedoor tuf show /etc/firedoor/tuf
    """
    held = OwnRoot(folder.absolute())
    held.signer()
    facts = {"root": str(held.version), "until": f"{held.expires:%Y-%m-%d}"}
    if as_json:
        output.document(facts)
        return
    output.facts(list(facts.items()))
