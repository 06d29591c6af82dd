"""``firedoor signal``: tell the intake what happened; try what a captured log would tell it."""

import sys
import time
import uuid
from pathlib import Path
from typing import Annotated, Final

import msgspec
import typer
import urllib3

from firedoor.cli import output
from firedoor.cli.captured import Form, read
from firedoor.cli.options import JsonOption
from firedoor.config.definitions import in_force
from firedoor.core.errors import (
    BadConfig,
    BadInput,
    FiredoorError,
    NotAllowed,
    Rejected,
    Unavailable,
)
from firedoor.core.machine import redact
from firedoor.core.signal import SignalKind, counts_as

_PATIENCE_S: Final = 30.0
_TRIES: Final = 4
_LATER: Final = frozenset({429, 502, 503, 504})
_TURNED_AWAY: Final = frozenset({401, 403})
_OK: Final = 200
_STDIN: Final = "-"
_KINDS: Final = ", ".join(kind.value for kind in SignalKind)
_LONGEST_FILE: Final = 4_096

app: Final = typer.Typer(no_args_is_help=True, help="Signals: what machines say of their health.")

KindArgument = Annotated[
    str,
    typer.Argument(
        metavar="KIND", help=f"What happened: {_KINDS}; or - for lines of signals on stdin."
    ),
]


DefinitionsOption = Annotated[
    Path | None,
    typer.Option(
        "--definitions",
        metavar="FILE",
        show_default=False,
        help="Definitions of your own, before those that are shipped.",
    ),
]


class _Refused(msgspec.Struct, frozen=True):
    line: int
    error: str


class _Taken(msgspec.Struct, frozen=True):
    accepted: int
    duplicates: int
    rejected: list[_Refused]


class _Problem(msgspec.Struct, frozen=True):
    title: str = ""
    detail: str = ""
    hint: str = ""


def register(root: typer.Typer) -> None:
    """Add the commands to the app."""
    root.add_typer(app, name="signal")


@app.command("send")
def send(
    *,
    kind: KindArgument,
    machine: Annotated[
        str,
        typer.Option(
            "--machine",
            metavar="NAME",
            show_default=False,
            help="About which machine; else the one whose credentials these are.",
        ),
    ] = "",
    intake: Annotated[
        str,
        typer.Option(
            "--intake", metavar="URL", envvar="FIREDOOR_INTAKE", help="Where the intake listens."
        ),
    ] = "http://127.0.0.1:8081",
    credentials: Annotated[
        Path,
        typer.Option(
            "--credentials",
            metavar="FILE",
            envvar="FIREDOOR_CREDENTIALS",
            help="A line for netrc, as the script of machine enroll writes it, or a signal token.",
        ),
    ] = Path("/etc/firedoor/intake.netrc"),
    ca_file: Annotated[
        Path | None,
        typer.Option(
            "--ca-file",
            metavar="FILE",
            show_default=False,
            help="Certificates to believe the intake by; else the system's.",
        ),
    ] = None,
    key: Annotated[
        str,
        typer.Option(
            "--id",
            metavar="TEXT",
            show_default=False,
            help="The same when the same thing is told again; else every call is another.",
        ),
    ] = "",
    detail: Annotated[
        list[str] | None,
        typer.Option(
            "--detail", metavar="KEY=TEXT", show_default=False, help="Kept with it; repeatable."
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Tell the intake what happened to a machine. It is on the intake's disk when this ends with 0.

    Lines on stdin are sent as they are (docs/reference/intake.md says what is in them).

    Example: firedoor signal send check-failed --machine till-17 --detail check=login
    """
    if not intake.startswith(("http://", "https://")):
        raise BadInput(f"{redact(intake)!r} is no address", hint="--intake http://HOST:8081")
    login, token = _credentials(credentials)
    name = machine or login
    body = sys.stdin.buffer.read() if kind == _STDIN else _line(kind, name, key, detail or [])
    taken = _posted(intake, token, ca_file, body)
    if as_json:
        output.document(taken)
    else:
        output.line(f"accepted {taken.accepted}, known before {taken.duplicates}")
        for refused in taken.rejected:
            output.say(f"line {refused.line}: {refused.error}")
    if taken.rejected:
        raise typer.Exit(1)


@app.command("test")
def tried(
    *,
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help="A captured log: of journalctl -o export, or the body of a request of "
            "OpenTelemetry or osquery, or lines of signals; also packed with gzip.",
        ),
    ],
    form: Annotated[
        Form | None,
        typer.Option("--format", show_default=False, help="What it is; else as it begins."),
    ] = None,
    own: DefinitionsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show which signals a captured log would be, without telling anybody.

    A journal is captured with journalctl -o export (and -b -1 for the boot before this one).

    Example: firedoor signal test boot.export --definitions ours.toml
    """
    capture = read(file, form, in_force(own))
    if as_json:
        output.document(capture)
        return
    if capture.found:
        output.table(
            ("time", "machine", "signal", "kind", "counts as", "kept"),
            [
                (
                    output.when(found.time_ms) if found.time_ms else "",
                    found.machine,
                    found.signal,
                    found.kind.value,
                    counts_as(found.kind),
                    " ".join(f"{key}={value}" for key, value in found.detail.items()),
                )
                for found in capture.found
            ],
        )
    for wrong in capture.wrong:
        output.say(wrong)
    of = "" if capture.records is None else f" of {capture.records} records"
    output.say(f"read as {capture.form.value}: {len(capture.found)}{of} would be signals")


@app.command("definitions")
def definitions(
    *,
    own: DefinitionsOption = None,
    as_json: JsonOption = False,
) -> None:
    """List what counts as a signal, in the order in which records are tried.

    Example: firedoor signal definitions
    """
    rows = in_force(own).rows
    if as_json:
        output.document(
            [
                {
                    "name": row.name,
                    "kind": row.kind,
                    "source": row.source,
                    "platform": row.platform,
                    "why": row.why,
                }
                for row in rows
            ]
        )
        return
    output.table(
        ("signal", "source", "platform", "kind", "counts as", "what it is"),
        [
            (
                row.name,
                row.source.value,
                row.platform,
                row.kind.value,
                counts_as(row.kind),
                row.why,
            )
            for row in rows
        ],
    )


def _line(kind: str, machine: str, key: str, details: list[str]) -> bytes:
    known = [each.value for each in SignalKind]
    if kind not in known:
        raise BadInput(f"there is no kind {kind!r}", hint=f"one of {_KINDS}")
    if not machine:
        raise BadInput(
            "--machine says about which machine",
            hint="the name it was enrolled by",
        )
    pairs = [each.partition("=") for each in details]
    if not all(name and equals for name, equals, _ in pairs):
        raise BadInput("--detail is KEY=TEXT", hint="--detail check=login")
    return msgspec.json.encode(
        {
            "machine": machine,
            "time": time.time_ns() // 1_000_000,
            "kind": kind,
            # Of its own, so that what is tried again below is not counted twice.
            "id": key or str(uuid.uuid4()),
            **({"detail": {name: text for name, _, text in pairs}} if pairs else {}),
        }
    )


def _credentials(file: Path) -> tuple[str, str]:
    """Name, or nothing, and token."""
    try:
        with file.open(encoding="utf-8") as opened:
            words = opened.read(_LONGEST_FILE).split()
    except (OSError, UnicodeDecodeError) as error:
        raise BadConfig(
            f"the credentials cannot be read: {error}",
            hint="the script of firedoor machine enroll writes them; --credentials says where",
        ) from None
    if len(words) == 1:
        return "", words[0]
    said = dict(zip(words[::2], words[1::2], strict=False))
    if "password" not in said:
        raise BadConfig(
            f"{file} holds no signal token",
            hint="a line for netrc, or the token alone, as firedoor machine enroll prints it",
        )
    return said.get("login", ""), said["password"]


def _posted(intake: str, token: str, ca_file: Path | None, body: bytes) -> _Taken:
    """Send, and again where the intake is busy or away: a signal has its id, and counts once."""
    again = urllib3.Retry(
        total=_TRIES,
        status_forcelist=_LATER,
        allowed_methods={"POST"},
        backoff_factor=0.5,
        raise_on_status=False,
        redirect=False,
    )
    authority = None if ca_file is None else str(ca_file)
    with urllib3.PoolManager(timeout=_PATIENCE_S, retries=again, ca_certs=authority) as asking:
        try:
            answer = asking.request(
                "POST",
                f"{intake.rstrip('/')}/v1/signals",
                body=body,
                headers={
                    "Authorization": f"Bearer {token}",
                    "Content-Type": "application/x-ndjson",
                },
            )
        except (urllib3.exceptions.HTTPError, ValueError, OSError) as error:
            raise Unavailable(
                f"no intake answers at {redact(intake)}: {redact(str(error))}",
                hint="--intake URL says where it listens",
            ) from None
    if answer.status == _OK:
        try:
            return msgspec.json.decode(answer.data, type=_Taken)
        except msgspec.MsgspecError:
            raise Unavailable(f"what answers at {redact(intake)} is no intake") from None
    raise _refusal(answer.status, answer.data)


def _refusal(status: int, body: bytes) -> FiredoorError:
    try:
        problem = msgspec.json.decode(body, type=_Problem)
    except msgspec.MsgspecError:
        problem = _Problem()
    words = redact(problem.detail or problem.title or f"the intake answered {status}")
    if status in _TURNED_AWAY:
        return NotAllowed(words, hint=problem.hint or "it needs the signal token, not the read one")
    if status in _LATER:
        return Unavailable(words, hint=problem.hint or "send it again later")
    return Rejected(words, hint=problem.hint)
