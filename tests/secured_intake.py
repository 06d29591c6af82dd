"""The intake as `firedoor serve` runs it, behind TLS with an authority of its own."""

import contextlib
import http
import http.client
import signal
import ssl
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from tests.office import HURRIED, free_ports, until
from tests.unit.cli.desk import run

from firedoor.adapters.store.signals import SignalReader


@dataclass(frozen=True)
class SecuredIntake:
    """One that is set up and speaks TLS.

    Attributes:
        folder: Of its configuration and data.
        port: On which it listens.
    """

    folder: Path
    port: int

    @classmethod
    def made(cls, folder: Path) -> Self:
        """Set it up below an empty folder."""
        gate, intake, console = free_ports(3)
        assert run("init", str(folder)).code == 0
        config = folder / "firedoor.toml"
        config.write_text(HURRIED.format(gate=gate, intake=intake, console=console))
        made = cls(folder, intake)
        tls = made.ask("ca", "init", "--name", "localhost")
        assert tls.code == 0, tls.err
        (folder / "config.d").mkdir()
        (folder / "config.d" / "10-tls.toml").write_text(tls.out)
        return made

    def ask(self, *words: str) -> Any:
        """Run a command."""
        return run(*words, "--config", str(self.folder / "firedoor.toml"))

    @property
    def authority(self) -> Path:
        """The authority that signed the intake's certificate."""
        return self.folder / "firedoor-data" / "ca" / "ca.pem"

    @contextlib.contextmanager
    def serving(self) -> Iterator["subprocess.Popen[bytes]"]:
        """The intake's process."""
        config = str(self.folder / "firedoor.toml")
        process = subprocess.Popen(
            [sys.executable, "-m", "firedoor", "serve", "intake", "--config", config],
            stderr=subprocess.DEVNULL,
        )
        try:
            until(lambda: _answers(self.port, self.authority))
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=30)

    def reader(self) -> SignalReader:
        """What is stored."""
        return SignalReader(self.folder / "firedoor-data" / "intake.db")


def _answers(port: int, authority: Path) -> bool:
    context = ssl.create_default_context(cafile=str(authority))
    asked = http.client.HTTPSConnection("localhost", port, context=context, timeout=5)
    with contextlib.closing(asked):
        try:
            asked.request("GET", "/healthz")
            return asked.getresponse().status == http.HTTPStatus.OK
        except OSError:
            return False
