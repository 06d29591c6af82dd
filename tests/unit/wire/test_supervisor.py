"""One supervisor for one data directory."""

import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from firedoor.adapters.keys.file import create_root_key, create_signing_key, create_token
from firedoor.config import Config, from_text
from firedoor.core.errors import BadConfig, Unavailable
from firedoor.wire import supervisor
from firedoor.wire.files import Files
from firedoor.wire.process import only_one
from firedoor.wire.supervisor import up

CONFIG = """
data = "data"
[gate]
listen = "127.0.0.1:0"
[intake]
listen = "127.0.0.1:0"
[console]
listen = "127.0.0.1:0"
[[channel]]
name = "tills-av"
kind = "files"
upstream = "{upstream}"
"""


def configured(folder: Path) -> Config:
    """A data directory with its keys, as `firedoor init` leaves it."""
    config = from_text(CONFIG.format(upstream=folder), base=folder)
    files = Files(config.data)
    files.root_key.parent.mkdir(parents=True)
    create_root_key(files.root_key)
    create_signing_key(files.ledger_key)
    create_token(files.console_token)
    return config


def test_a_second_supervisor_on_the_same_data_starts_nothing(tmp_path: Path) -> None:
    """Its roles would fight for the locks of the first, again and again."""
    config = configured(tmp_path)
    stopped = threading.Event()
    stopped.set()
    started: list[bool] = []

    with only_one(Files(config.data).lock("up")), pytest.raises(Unavailable) as raised:
        up(None, config, {}, stop=stopped, on_ready=lambda: started.append(True))

    assert started == []
    assert "up.lock" in str(raised.value)
    assert "--data" in raised.value.hint


def test_the_command_says_so_and_exits_as_unavailable(tmp_path: Path) -> None:
    """A unit file that starts it twice must see a failure, and a person the reason."""
    path = tmp_path / "firedoor.toml"
    path.write_text(CONFIG.format(upstream=tmp_path))
    data = configured(tmp_path).data
    command = [sys.executable, "-m", "firedoor", "up", "--config", str(path)]

    with only_one(Files(data).lock("up")):
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    assert done.returncode == 3
    assert "up.lock" in done.stderr


def test_when_the_first_has_ended_the_next_may_begin(tmp_path: Path) -> None:
    """A lock that outlived its holder would need a person at four in the morning."""
    config = configured(tmp_path)
    lock = Files(config.data).lock("up")
    with only_one(lock):
        pass

    stopped = threading.Event()
    stopped.set()
    started: list[bool] = []
    up(None, config, {}, stop=stopped, on_ready=lambda: started.append(True))

    assert started == [True]


@pytest.mark.parametrize("name", ["root_key", "ledger_key", "console_token"])
def test_without_a_key_the_command_starts_nothing_and_names_it(tmp_path: Path, name: str) -> None:
    """Addresses that nobody answers, and roles started for ever, look as if all were well."""
    path = tmp_path / "firedoor.toml"
    path.write_text(CONFIG.format(upstream=tmp_path))
    missing: Path = getattr(Files(configured(tmp_path).data), name)
    missing.unlink()
    command = [sys.executable, "-m", "firedoor", "up", "--config", str(path)]

    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    assert done.returncode == 2
    assert missing.name in done.stderr
    assert "firedoor init" in done.stderr
    assert "http://" not in done.stderr


def roles_that_end(status: int, log: list[str]) -> Callable[[str], "subprocess.Popen[bytes]"]:
    """Start something in the place of a role: the judge ends at once, the others sleep."""

    def start(role: str) -> "subprocess.Popen[bytes]":
        log.append(role)
        ends = f"raise SystemExit({status})" if role == "judge" else "import time; time.sleep(60)"
        return subprocess.Popen([sys.executable, "-c", ends])

    return start


def test_a_role_that_is_refused_at_its_first_start_ends_the_tree() -> None:
    """It would be refused for ever, and nobody reads a log of a tree that seems to run."""
    started: list[str] = []

    with pytest.raises(BadConfig, match="judge"):
        supervisor.keep_up(roles_that_end(2, started), threading.Event(), lambda: None)

    assert started == ["gate", "intake", "judge", "console"]


@pytest.mark.parametrize(("status", "healthy_after_s"), [(1, 10.0), (2, 0.0)])
def test_a_role_that_crashed_or_had_run_before_is_started_again(
    monkeypatch: pytest.MonkeyPatch, status: int, healthy_after_s: float
) -> None:
    """A file that somebody is just changing must not end the gate, which needs no file."""
    monkeypatch.setattr(supervisor, "HEALTHY_AFTER_S", healthy_after_s)
    started: list[str] = []
    stop = threading.Event()
    start = roles_that_end(status, started)

    def count(role: str) -> "subprocess.Popen[bytes]":
        if started.count("judge") == 2:
            stop.set()
        return start(role)

    supervisor.keep_up(count, stop, lambda: None)

    assert started.count("judge") == 3
    assert started.count("gate") == 1
