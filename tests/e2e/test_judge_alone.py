"""A pipeline, Argo and Flagger ask a real console, with curl, across a restart."""

import contextlib
import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.worlds_alone import FEW, HARMFUL, HEAD, JUDGE_TOKEN


@pytest.fixture
def site(tmp_path):
    """A folder as ``firedoor init`` leaves it, with a token for pipelines."""
    init = [sys.executable, "-m", "firedoor", "init", str(tmp_path)]
    subprocess.run(init, check=True, capture_output=True)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    config = tmp_path / "firedoor.toml"
    config.write_text(
        f'data = "firedoor-data"\n[console]\nlisten = "127.0.0.1:{port}"\n'
        f'[[channel]]\nname = "tills"\nkind = "files"\nupstream = "{(tmp_path / "v").as_uri()}"\n'
    )
    token = tmp_path / "firedoor-data" / "judge.token"
    token.touch(0o600)
    token.write_text(JUDGE_TOKEN)
    return config, port


@contextlib.contextmanager
def console(config: Path, port: int) -> Iterator[None]:
    command = [sys.executable, "-m", "firedoor", "serve", "console", "--config", str(config)]
    with (config.parent / "log").open("ab") as log, subprocess.Popen(command, stderr=log) as it:
        try:
            until = time.monotonic() + 20
            while time.monotonic() < until and it.poll() is None:
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                    break
                time.sleep(0.05)
            yield
        finally:
            it.send_signal(signal.SIGTERM)
            it.wait(20)


def curl(port: int, path: str, *arguments: str, user: str = "") -> tuple[int, Any]:
    url = f"http://{user}127.0.0.1:{port}{path}"
    command = ["curl", "-sS", "-m", "10", "-w", "\n%{http_code}", url, *arguments]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    body, _, status = text.rpartition("\n")
    return int(status), json.loads(body)


def test_a_pipeline_feeds_and_others_are_answered_also_after_a_restart(site):
    """What was pushed is durable; what a tool asks is answered by its status or its one word."""
    config, port = site
    csv = ("-H", "Content-Type: text/csv", "--data-binary")
    hook = ("-H", "Content-Type: application/json", "-d", '{"name": "app", "namespace": "shop"}')
    bearer = ("-H", f"Authorization: Bearer {JUDGE_TOKEN}")
    with console(config, port):
        denied, _ = curl(port, "/judge/runs/shop.app", *csv, HEAD + FEW)
        fed, early = curl(port, "/judge/runs/shop.app", *bearer, *csv, HEAD + FEW)
        go, _ = curl(port, "/judge/flagger", *hook, user=f"judge:{JUDGE_TOKEN}@")
    with console(config, port):
        late = HARMFUL.replace("1,", "2,", 1)
        _, found = curl(port, "/judge/runs/shop.app", *bearer, *csv, HEAD + late)
        stop, problem = curl(port, "/judge/flagger", *hook)
        _, argo = curl(port, "/judge/argo/shop.app")

    assert (denied, fed, go, stop) == (401, 200, 200, 412)
    assert (early["verdict"], found["rows"], argo["verdict"]) == ("undecided", 2, "harmful")
    assert "harmful" in problem["detail"]
