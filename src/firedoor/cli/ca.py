"""``firedoor ca``: a certificate authority for a site that has none."""

import contextlib
import socket
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final

import msgspec
import typer

from firedoor.adapters.clock import SystemClock
from firedoor.adapters.keys.authority import Authority, Pair, expiry_of, names_of, write
from firedoor.adapters.store.register import MachineRegister
from firedoor.cli import output
from firedoor.cli.context import Place, here
from firedoor.cli.options import ConfigOption, DataOption, JsonOption

app: Final = typer.Typer(
    no_args_is_help=True, help="An authority of your own for TLS, where a site has none."
)

NamesOption = Annotated[
    list[str] | None,
    typer.Option(
        "--name",
        metavar="NAME",
        show_default=False,
        help="Name or address under which machines reach gate and intake; may be repeated.",
    ),
]


def register(root: typer.Typer) -> None:
    """Add the commands to the app."""
    root.add_typer(app, name="ca")


class Held(msgspec.Struct, frozen=True, kw_only=True):
    """One row of ``ca show``.

    Attributes:
        what: ``authority``, ``server`` or ``machine``.
        name: Its file, its names, or the machine's name.
        until_ms: When it expires.
    """

    what: str
    name: str
    until_ms: int


@app.command("init")
def init(
    *, names: NamesOption = None, config: ConfigOption = None, data: DataOption = None
) -> None:
    """Make an authority and a server's certificate, and print what to add to the configuration.

    Its key stays in the data directory, readable by its owner only. Never over another one.

    Example: firedoor ca init --name gate.example --name 10.0.0.5
    """
    place = here(config, data)
    now = SystemClock().now().wall_ms
    wanted = names or [socket.gethostname()]
    folder = place.files.authority
    made = Authority.create(folder, now)
    pair = made.server(wanted, now)
    _write_server(folder, pair)
    server, key = folder / "server.pem", folder / "server.key"
    for role in ("gate", "intake"):
        output.line(f"[{role}]")
        output.line(f'certificate = "{server}"')
        output.line(f'key = "{key}"')
        output.line(f'client_ca = "{made.path}"')
    output.say(f"the server is {', '.join(wanted)}, until {_day(pair.expires)}")
    output.say("add these lines to the configuration; listen_plain helps while machines move")
    output.say("then: firedoor machine enroll NAME --certificate")


@app.command("renew")
def renew(
    *, names: NamesOption = None, config: ConfigOption = None, data: DataOption = None
) -> None:
    """Issue the server's certificate again; gate and intake notice it by themselves.

    Without --name it is for the same names as before.

    Example: firedoor ca renew
    """
    folder = here(config, data).files.authority
    made = Authority(folder)
    wanted = names or names_of(folder / "server.pem")
    pair = made.server(wanted, SystemClock().now().wall_ms)
    _write_server(folder, pair)
    output.line(f"the server is {', '.join(wanted)}, until {_day(pair.expires)}")


@app.command("show")
def show(
    *, config: ConfigOption = None, data: DataOption = None, as_json: JsonOption = False
) -> None:
    """Show what the authority has issued, and until when it holds.

    Example: firedoor ca show
    """
    place = here(config, data)
    folder = place.files.authority
    made = Authority(folder)
    server = folder / "server.pem"
    rows = [
        Held(what="authority", name=str(made.path), until_ms=expiry_of(made.path)),
        Held(what="server", name=", ".join(names_of(server)), until_ms=expiry_of(server)),
        *_machines(place),
    ]
    if as_json:
        output.document(rows)
        return
    output.table(("what", "name", "until"), [(r.what, r.name, _day(r.until_ms)) for r in rows])


def _machines(place: Place) -> list[Held]:
    with contextlib.closing(
        MachineRegister(place.files.register, SystemClock(), read_only=True)
    ) as known:
        return [
            Held(what="machine", name=each.machine, until_ms=each.expires)
            for each in known.issued()
        ]


def _write_server(folder: Path, pair: Pair) -> None:
    write(folder / "server.key", pair.key, 0o600)
    write(folder / "server.pem", pair.certificate, 0o644)


def _day(moment: int) -> str:
    return f"{datetime.fromtimestamp(moment / 1000, UTC):%Y-%m-%d}"
