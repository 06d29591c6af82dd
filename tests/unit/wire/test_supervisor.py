"""One supervisor for one data directory."""

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from firedoor.config import from_text
from firedoor.core.errors import Unavailable
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


def test_a_second_supervisor_on_the_same_data_starts_nothing(tmp_path: Path) -> None:
    """Its roles would fight for the locks of the first, again and again."""
    config = from_text(CONFIG.format(upstream=tmp_path), base=tmp_path)
    config.data.mkdir()
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
    data = tmp_path / "data"
    data.mkdir()
    command = [sys.executable, "-m", "firedoor", "up", "--config", str(path)]

    with only_one(Files(data).lock("up")):
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    assert done.returncode == 3
    assert "up.lock" in done.stderr


def test_when_the_first_has_ended_the_next_may_begin(tmp_path: Path) -> None:
    """A lock that outlived its holder would need a person at four in the morning."""
    config = from_text(CONFIG.format(upstream=tmp_path), base=tmp_path)
    config.data.mkdir()
    lock = Files(config.data).lock("up")
    with only_one(lock):
        pass

    stopped = threading.Event()
    stopped.set()
    started: list[bool] = []
    up(None, config, {}, stop=stopped, on_ready=lambda: started.append(True))

    assert started == [True]
