"""``firedoor machine``: who may read the gate and post signals."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Final

import msgspec
import typer

from firedoor.adapters.clock import SystemClock
from firedoor.adapters.keys.authority import (
    Authority,
    checked_common_name,
)
from firedoor.adapters.store.register import MachineRegister
from firedoor.adapters.store.register_schema import Enrolment, Entry, Issued
from firedoor.cli import output
from firedoor.cli.apt import apt_client, apt_tls
from firedoor.cli.context import Place, here
from firedoor.cli.machines import listed, print_machine, print_machines, say_others
from firedoor.cli.options import ConfigOption, DataOption, JsonOption
from firedoor.cli.osquery import osquery_client
from firedoor.cli.rescue import ATTRIBUTE, rescue_client
from firedoor.cli.shipping import journal_client
from firedoor.cli.snippets import (
    Own,
    Target,
    clamav_client,
    files_client,
    rpm_client,
    suricata_client,
    tuf_client,
)
from firedoor.cli.target import mirrored, said_by, target_of
from firedoor.config import Config
from firedoor.core.errors import BadInput, NotFound, Unavailable
from firedoor.core.host_id import HostId
from firedoor.core.units import UnixMs

app: Final = typer.Typer(
    no_args_is_help=True, help="Enrol machines, see how they are doing, refuse them."
)

_PAGE: Final = 1_000
_NO_CERTIFICATE: Final = Own()
_PARTS: Final = {
    "--rescue": "docs/howto/rescue.md",
    "--journal": "docs/howto/journal.md",
    "--one-line": "docs/howto/apt.md",
}

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="Name of the machine.")]


def register(root: typer.Typer) -> None:
    """Add the commands to the app."""
    root.add_typer(app, name="machine")


class Enrolled(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What ``machine enroll --json`` and ``--from`` print: tokens, shown this once.

    Attributes:
        machine: Name of the machine or collector.
        no: Number in the register; None for a collector.
        read: Token for the gate; None for a collector.
        signal: Token for the intake.
        certificate: PEM, with --certificate.
        key: PEM of its private key, with --certificate.
    """

    machine: str
    no: int | None
    read: str | None
    signal: str
    certificate: str = ""
    key: str = ""


@app.command("list")
def list_(
    *,
    revoked: Annotated[
        bool, typer.Option("--revoked", help="List also those that were revoked.")
    ] = False,
    config: ConfigOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the machines that are enrolled.

    Example: firedoor machine list
    """
    place = here(config, data)
    with _register(place, read_only=True) as known:
        called = dict(known.host_ids.all())
        rows = [
            listed(entry, place.config, called.get(entry.machine.no, ()))
            for entry in _entries(known)
            if revoked or entry.revoked is None
        ]
        collectors = known.collectors()
    if as_json:
        output.document(rows)
        return
    print_machines(rows)
    say_others(place.files)
    for collector in collectors:
        output.say(f"collector {collector.name} speaks for {' '.join(collector.patterns)}")


@app.command("show")
def show(
    *,
    name: NameArgument,
    config: ConfigOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show one machine: what it gets, whether it is heard, which releases it tried.

    Example: firedoor machine show till-17
    """
    place = here(config, data)
    view = place.views().machine(name)
    if view is None:
        raise NotFound(f"no machine is called {name[:140]!r}", hint="firedoor machine list")
    if as_json:
        output.document(view)
        return
    print_machine(view)


@app.command("enroll")
def enroll(
    *,
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME", show_default=False, help="Name of the machine or collector."
        ),
    ] = "",
    attributes: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            show_default=False,
            help="An attribute that rings select by, such as site=prague; may be repeated.",
        ),
    ] = None,
    identities: Annotated[
        list[str] | None,
        typer.Option(
            "--identity",
            metavar="KIND=VALUE",
            show_default=False,
            help="What the machine's own tools call it: machine-id, host-name, osquery or host-id, "
            "such as machine-id=$(cat /etc/machine-id); may be repeated. A collector then finds "
            "the machine by it, and nobody else can have it.",
        ),
    ] = None,
    rotate: Annotated[
        bool,
        typer.Option(
            "--rotate",
            help="New tokens for a machine that is enrolled; the old ones work for 24 h more. "
            "With --set its attributes change too, with --identity what it is called.",
        ),
    ] = False,
    collector: Annotated[
        list[str] | None,
        typer.Option(
            "--collector",
            metavar="PATTERN",
            show_default=False,
            help="Not a machine but something that posts the signals of all machines whose names "
            "match, such as 'till-*'; may be repeated.",
        ),
    ] = None,
    names: Annotated[
        Path | None,
        typer.Option(
            "--from",
            metavar="FILE",
            show_default=False,
            help="Enrol every name in a file, one a line, all or none; - reads stdin. "
            "Prints one JSON object a line.",
        ),
    ] = None,
    certificate: Annotated[
        bool,
        typer.Option(
            "--certificate",
            help="Issue a TLS client certificate too, by the authority of firedoor ca init.",
        ),
    ] = False,
    rescue: Annotated[
        bool,
        typer.Option(
            "--rescue",
            help="The script also writes and enables the rescue: units that take what the gate "
            "offers when the machine boots again and again. Needs systemd, and a channel of kind "
            "apt. Sets the attribute rescue=yes.",
        ),
    ] = False,
    journal: Annotated[
        bool,
        typer.Option(
            "--journal",
            help="The script also has systemd-journal-upload send the machine's journal to the "
            "intake: crashes, failed units and unclean boots become signals.",
        ),
    ] = False,
    one_line: Annotated[
        bool,
        typer.Option(
            "--one-line",
            help="The script writes the sources of apt as one line for each suite, as tools need "
            "that know no deb822.",
        ),
    ] = False,
    gate: Annotated[
        str,
        typer.Option(
            "--gate",
            metavar="URL",
            show_default=False,
            help="How machines reach the gate; else guessed from the configuration.",
        ),
    ] = "",
    intake: Annotated[
        str,
        typer.Option(
            "--intake",
            metavar="URL",
            show_default=False,
            help="How machines reach the intake; else guessed from the configuration.",
        ),
    ] = "",
    channel: Annotated[
        str,
        typer.Option(
            "--channel",
            metavar="CHANNEL",
            show_default=False,
            help="Channel that the script names; else the first one.",
        ),
    ] = "",
    config: ConfigOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Enrol a machine and print its tokens, once, as a ready-made script for it.

    Two tokens: one reads content at the gate, one posts signals at the intake. Only their
    hashes are kept, so nobody can read them again; --rotate makes new ones.

    Example: firedoor machine enroll till-17 --set site=prague | ssh root@till-17 sh
    """
    place = here(config, data)
    if bool(name) == (names is not None):
        raise BadInput("enrol either one NAME or the names of a file", hint="--from FILE")
    values = _pairs(attributes or [])
    hosts = [HostId.parse(text) for text in identities or []]
    if hosts and (collector or names is not None):
        raise BadInput("--identity is of one machine", hint="enrol it by its NAME")
    if channel:
        place.config.channel(channel)
    alone = not (collector or names or as_json)
    _check_parts(place.config, alone=alone, rescue=rescue, journal=journal, one_line=one_line)
    if rescue:
        values |= [ATTRIBUTE]
    # Before anything is enrolled: tokens are made once, and this may be refused.
    target = target_of(
        place.config,
        gate=gate,
        intake=intake,
        channel=channel,
        has=mirrored(place),
        said=said_by(place),
    )
    authority = Authority(place.files.authority) if certificate else None
    if authority is not None:
        checked_common_name(name)
    if (names or collector) and (
        rotate or certificate or (collector and values) or (collector and names)
    ):
        raise BadInput("--rotate and --certificate are for one machine; --collector stands alone")
    with _register(place) as known:
        now = SystemClock().now().wall_ms
        if names is not None:
            for made in known.enroll_many([(each, values) for each in _read_names(names)], now):
                output.document(_enrolled(made))
        elif collector:
            token = known.enroll_collector(name, collector, now)
            output.document(Enrolled(machine=name, no=None, read=None, signal=token))
        else:
            if rotate:
                enrolment = known.rotate(name, now, hosts)
                if values:
                    known.set_attributes(name, {**known.attributes(enrolment.no), **values})
            else:
                enrolment = known.enroll(name, values, now, hosts)
            own = Own() if authority is None else _certify(known, authority, name, now)
            if as_json:
                output.document(_enrolled(enrolment, own))
                return
            print_enrolment(enrolment, target, place.config, own, rescue=rescue, one_line=one_line)
            if journal:
                tls = place.config.intake.tls
                shown = tls is not None and tls.client_ca is not None
                sys.stdout.write(journal_client(enrolment.signal, target, own, shown=shown))
            output.say("these tokens cannot be shown again")


@app.command("revoke")
def revoke(
    *,
    name: NameArgument,
    collector: Annotated[
        bool, typer.Option("--collector", help="NAME is a collector, not a machine.")
    ] = False,
    config: ConfigOption = None,
    data: DataOption = None,
) -> None:
    """Refuse a machine from its next request on; tokens and certificates end with it.

    Example: firedoor machine revoke till-17
    """
    with _register(here(config, data)) as known:
        if collector:
            known.revoke_collector(name)
        else:
            known.revoke(name, SystemClock().now().wall_ms)
    output.line(f"{name} is revoked")


def print_enrolment(
    made: Enrolment,
    target: Target,
    config: Config,
    own: Own = _NO_CERTIFICATE,
    *,
    rescue: bool = False,
    one_line: bool = False,
) -> None:
    """Print the script that makes a machine a client of this gate, with its tokens."""
    heartbeat_s = config.time.heartbeat_ms / 1000
    sys.stdout.write(files_client(made.name, made.read, made.signal, target, heartbeat_s, own=own))
    sys.stdout.write(osquery_client(made.signal, target, own))
    if any(channel.apt is not None for channel in config.channels):
        sys.stdout.write(apt_tls(target, own))
    for channel in config.channels:
        if channel.apt is not None:
            for_apt = (made.name, made.read, target, channel.name, channel.apt)
            sys.stdout.write(apt_client(*for_apt, one_line=one_line))
        if channel.rpm is not None:
            sys.stdout.write(rpm_client(made.name, made.read, target, channel.name, channel.rpm))
        if channel.feeds:
            of = (made.name, made.read, target, channel.name, channel.feeds)
            sys.stdout.write(suricata_client(*of))
        if channel.tuf is not None:
            sys.stdout.write(tuf_client(made.read, target, channel.name))
    if target.databases:
        sys.stdout.write(clamav_client(made.name, made.read, target))
    if rescue:
        sys.stdout.write(rescue_client(made.name, target, _of_apt(config), own))
    if ":" in made.name:
        output.say("a name with ':' cannot log in with Basic: use the path token")


def _of_apt(config: Config) -> list[str]:
    return [channel.name for channel in config.channels if channel.apt is not None]


def _check_parts(
    config: Config, *, alone: bool, rescue: bool, journal: bool, one_line: bool
) -> None:
    """Refuse a part of the script that could not be written, or that nobody would be shown."""
    asked = {"--rescue": rescue, "--journal": journal, "--one-line": one_line}
    for option, page in _PARTS.items():
        if asked[option] and not alone:
            raise BadInput(
                f"{option} is a part of the script for one machine",
                hint=f"{page} says how to give it to many",
            )
    if (rescue or one_line) and not _of_apt(config):
        what = "--rescue goes back by apt" if rescue else "--one-line is of apt's sources"
        raise BadInput(
            f"{what}, and no channel is of kind apt",
            hint='firedoor config check; kind = "apt" in docs/howto/apt.md',
        )


@contextmanager
def _register(place: Place, *, read_only: bool = False) -> Iterator[MachineRegister]:
    if not place.files.register.exists():
        raise Unavailable(
            f"there is no {place.files.register.name} in {place.files.data}",
            hint="firedoor init sets up a data directory",
        )
    known = MachineRegister(place.files.register, SystemClock(), read_only=read_only)
    try:
        yield known
    finally:
        known.close()


def _entries(known: MachineRegister) -> Iterator[Entry]:
    after = 0
    while page := known.entries(after, _PAGE):
        yield from page
        after = page[-1].machine.no


def _enrolled(made: Enrolment, own: Own = _NO_CERTIFICATE) -> Enrolled:
    return Enrolled(
        machine=made.name,
        no=made.no,
        read=made.read,
        signal=made.signal,
        certificate=own.certificate,
        key=own.key,
    )


def _certify(known: MachineRegister, authority: Authority, name: str, now: UnixMs) -> Own:
    """Issue a certificate. It is remembered before it is shown, or nobody could revoke it."""
    pair = authority.client(name, now)
    known.note_certificate(Issued(name, pair.fingerprint, pair.expires))
    return Own(pair.certificate.decode(), pair.key.decode())


def _pairs(written: Sequence[str]) -> dict[str, str]:
    pairs = {}
    for text in written:
        key, equals, value = text.partition("=")
        if not key or not equals or not value:
            raise BadInput(f"{text[:80]!r} is no attribute", hint="--set site=prague")
        pairs[key] = value
    return pairs


def _read_names(path: Path) -> list[str]:
    try:
        text = sys.stdin.read() if str(path) == "-" else path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{path} cannot be read: {error}") from error
    names = [name for row in text.splitlines() if (name := row.strip())]
    if not names:
        raise BadInput(f"{path} names no machine", hint="one name a line")
    return names
