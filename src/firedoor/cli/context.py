"""What a command needs first: the configuration, where the data lies, and who is asking."""

import getpass
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from firedoor.adapters.store import gate as gate_store
from firedoor.adapters.store import judge as judge_store
from firedoor.adapters.store.gate import GateReader
from firedoor.adapters.store.judge import JudgeReader
from firedoor.cli.options import find
from firedoor.config import Config, load
from firedoor.console.model import ReleaseView
from firedoor.core.errors import BadInput, NotFound, Unavailable
from firedoor.core.release import SHORTEST_PREFIX, id_prefix
from firedoor.wire.files import Files
from firedoor.wire.views import Views

ReleaseArgument = Annotated[
    str,
    typer.Argument(
        metavar="RELEASE",
        help=f"Release id, or a unique beginning of {SHORTEST_PREFIX} or more digits.",
    ),
]


@dataclass(frozen=True, slots=True)
class Place:
    """One installation of Firedoor, as its files show it.

    Attributes:
        config: What was configured.
        files: Where everything lies.
    """

    config: Config
    files: Files

    def views(self) -> Views:
        """What has been decided, read from the stores."""
        return Views(self.config, self.files)

    @contextmanager
    def judge(self) -> Iterator[JudgeReader]:
        """The judge's store. Raises Unavailable while the judge has never run."""
        self._has(judge_store.NAME, "judge")
        reader = JudgeReader(self.files.data)
        try:
            yield reader
        finally:
            reader.close()

    @contextmanager
    def gate(self) -> Iterator[GateReader]:
        """The gate's store. Raises Unavailable while the gate has never run."""
        self._has(gate_store.NAME, "gate")
        reader = GateReader(self.files.data)
        try:
            yield reader
        finally:
            reader.close()

    def _has(self, name: str, role: str) -> None:
        if not (self.files.data / name).exists():
            raise Unavailable(
                f"the {role} has never run in {self.files.data}: there is no {name}",
                hint="firedoor up starts everything; --config and --data name another place",
            )


def here(config: Path | None, data: Path | None) -> Place:
    """The installation that the options, or the usual places, name.

    Raises:
        BadConfig: There is no configuration, or it says something it may not.
    """
    loaded = load(find(config), data=data)
    return Place(loaded, Files.of(loaded))


def release_of(views: Views, prefix: str) -> ReleaseView:
    """The one release whose id begins with ``prefix``.

    Raises:
        BadInput: It is no beginning of an id, or of more than one.
        NotFound: No release begins so.
    """
    digits = id_prefix(prefix)
    found = views.match(digits)
    if len(found) > 1:
        raise BadInput(f"more than one release begins with {digits}", hint="give more digits")
    if not found:
        raise NotFound(
            f"no release begins with {digits}", hint="firedoor release list shows them all"
        )
    view = views.release(found[0])
    if view is None:
        raise NotFound(
            f"release {found[0][:12]} was mirrored and has not boarded",
            hint="firedoor channel show says what it waits for",
        )
    return view


def login_user() -> str:
    """Who is asking, unless they say otherwise: the login user, also behind sudo.

    Raises:
        BadInput: The system does not know.
    """
    try:
        return os.environ.get("SUDO_USER") or getpass.getuser()
    except (KeyError, OSError):
        raise BadInput("the system does not know your name", hint="--by NAME") from None
