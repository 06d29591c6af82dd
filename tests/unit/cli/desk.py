"""A desk with the command line on it, in front of a site with real stores.

The site is that of the console's read model; here it also has a configuration file, keys and a
ledger that is really signed.
"""

import contextlib
import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.unit.wire.site import CHANNEL, CONFIG, Site

from firedoor.adapters.keys.file import create_root_key, create_signing_key, create_token
from firedoor.cli import main
from firedoor.core.door import State
from firedoor.core.ledger.chain import Head
from firedoor.core.ledger.entry import leaf_hash
from firedoor.services.ledger import LedgerWriter
from firedoor.wire.head import keep_head


@dataclass(frozen=True)
class Said:
    """What a command printed, and how it ended."""

    code: int
    out: str
    err: str

    def json(self) -> Any:
        """The one JSON document on stdout."""
        return json.loads(self.out)

    def rows(self) -> list[list[str]]:
        """Lines of tab-separated cells, the headings first."""
        return [line.split("\t") for line in self.out.splitlines()]


def run(*arguments: str) -> Said:
    """Run a command in this process."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(arguments)
    return Said(code, out.getvalue(), err.getvalue())


class Desk:
    """Commands in this process, in front of one site.

    Args:
        folder: Empty directory for the configuration and the data.
        machines: Size of the fleet.
        rings: ``[[ring]]`` tables.
        policy: Keys of ``[policy]``.
    """

    def __init__(
        self, folder: Path, *, machines: int = 30, rings: str = "", policy: str = ""
    ) -> None:
        self.path = folder / "firedoor.toml"
        self.path.write_text(CONFIG.format(rings=rings, policy=policy))
        self.site = Site(folder, machines=machines, rings=rings, policy=policy)
        files = self.site.files
        files.ledger_key.parent.mkdir()
        create_root_key(files.root_key)
        create_token(files.console_token)
        signer = create_signing_key(files.ledger_key)
        self.site.judge.ledger = LedgerWriter(self.site.store, signer.sign)

    def run(self, *arguments: str) -> Said:
        """Run a command on this site."""
        return run(*arguments, "--config", str(self.path))

    def keep_head(self) -> None:
        """Keep the ledger's head apart, as the judge does."""
        last = self.site.store.last_index()
        (signed,) = self.site.store.entries(after=last - 1)
        keep_head(self.site.files.ledger_head, Head(last + 1, leaf_hash(signed.entry)))

    def brick(self, version: str) -> str:
        """The vendor publishes a release that bricks what installs it; it is stopped."""
        release = self.site.publish(version)
        number = len(self.site.store.boardings(CHANNEL)) + 1
        self._until_decided(number, lambda machine: machine in self.site.treated(number))
        return release

    def adopt_and_walk(self) -> tuple[str, str]:
        """A first release is adopted and a good one reaches everybody."""
        first = self.site.settle_in()
        second = self.site.publish("2")
        self._until_decided(2, lambda _: False)
        return first, second

    def state(self, number: int) -> State:
        """Where the door of a boarding is."""
        (door,) = self.site.store.doors(CHANNEL, number)
        return door.state

    def _until_decided(self, number: int, dead: Callable[[int], bool]) -> None:
        for _ in range(40):
            self.site.round(dead)
            boarded = len(self.site.store.boardings(CHANNEL)) >= number
            if boarded and self.state(number) is not State.OPENING:
                return
        raise AssertionError(f"boarding {number} was not decided")
