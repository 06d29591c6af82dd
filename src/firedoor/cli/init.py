"""``firedoor init``: everything a first day needs, made once and never overwritten."""

import socket
from pathlib import Path
from typing import Annotated, Final

import typer

from firedoor.adapters.clock import SystemClock
from firedoor.adapters.keys.file import create_root_key, create_signing_key, create_token
from firedoor.adapters.store.register import MachineRegister
from firedoor.cli import output
from firedoor.cli.machine import print_enrolment
from firedoor.cli.target import target_of
from firedoor.config import from_text, load, template
from firedoor.core.errors import Rejected, Unavailable
from firedoor.core.machine import checked_name
from firedoor.wire.files import Files

CONFIGURATION: Final = "firedoor.toml"


def register(root: typer.Typer) -> None:
    """Add the command to the app."""
    root.command("init")(init)


def init(
    *,
    directory: Annotated[
        Path,
        typer.Argument(
            metavar="DIR", show_default=False, help="Where firedoor.toml goes; else here."
        ),
    ] = Path(),
    data: Annotated[
        str,
        typer.Option(
            "--data",
            metavar="DIR",
            help="Where all state goes; relative to the configuration.",
        ),
    ] = "firedoor-data",
    machine: Annotated[
        str,
        typer.Option(
            "--machine",
            metavar="NAME",
            show_default=False,
            help="Name of the first machine; else that of this host.",
        ),
    ] = "",
) -> None:
    """Set up: a commented configuration, keys, the console token and a first machine.

    Nothing that is there already is overwritten. The first machine's tokens are printed, as a
    script for that machine, and can never be shown again.

    Example: firedoor init /etc/firedoor --data /var/lib/firedoor
    """
    name = checked_name(machine or socket.gethostname())
    path = directory / CONFIGURATION
    text = template(data)
    files = Files(from_text(text, base=directory.absolute(), origin=CONFIGURATION).data)
    _refuse_to_overwrite(path, files)
    clock = SystemClock()
    try:
        files.root_key.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        files.data.chmod(0o700)
        create_root_key(files.root_key)
        create_signing_key(files.ledger_key)
        create_token(files.console_token)
        known = MachineRegister(files.register, clock)
        enrolment = known.enroll(name, {}, clock.now().wall_ms)
        known.close()
        path.parent.mkdir(parents=True, exist_ok=True)
        # Last: a configuration that is there says that all the rest is.
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise Unavailable(f"cannot write {error.filename}: {error.strerror}") from error
    config = load(path)
    print_enrolment(enrolment, target_of(config), config)
    output.say(f"wrote {path}, and keys, the console token and machines.db in {files.data}")
    output.say(f"the script above makes {name} a machine of this gate; run it there")
    output.say("next:")
    output.say(f"  1. name a [[channel]] in {path}")
    output.say(f"  2. firedoor config check --config {path}")
    output.say(f"  3. firedoor up --config {path}")


def _refuse_to_overwrite(path: Path, files: Files) -> None:
    taken = [
        there
        for there in (path, files.root_key, files.ledger_key, files.console_token, files.register)
        if there.exists()
    ]
    if taken:
        raise Rejected(
            f"{taken[0]} is there already, and nothing was changed",
            hint="it is never overwritten; firedoor init DIR sets up another place",
        )
