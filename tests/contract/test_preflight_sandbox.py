"""The sandbox: what a tool in it can see and do, and how it ends. With the real bubblewrap."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from tests.office import until
from tests.sandboxes import needs_sandbox

from firedoor.adapters.clock import SystemClock
from firedoor.adapters.preflight.look import NEW
from firedoor.adapters.preflight.sandbox import Limits, Ran, Sandbox
from firedoor.adapters.preflight.stage import cleared, staged

pytestmark = [pytest.mark.slow, needs_sandbox]

ROOMY = Limits(20_000, 512 << 20)


@pytest.fixture
def payload(tmp_path: Path) -> Path:
    """A file of a release, as a blob is held."""
    blob = tmp_path / "blob"
    blob.write_text("the vendor's bytes\n")
    blob.chmod(0o644)
    return blob


@pytest.fixture
def run(tmp_path: Path, payload: Path) -> Callable[..., Ran]:
    """Run a shell script in a sandbox that is shown the release."""

    def script(text: str, limits: Limits = ROOMY) -> Ran:
        with staged(tmp_path / "preflight", [("dists/file", payload)]) as view:
            box = Sandbox(limits, SystemClock(), {NEW: view})
            return box.run(("sh", "-c", text), within=NEW)

    return script


def test_a_tool_reads_the_release_and_can_change_nothing_of_it(run, payload):
    """The bytes that it opens are those that machines will get."""
    ran = run(
        "cat dists/file; echo x >>dists/file; rm dists/file; chmod 777 dists/file; touch new; "
        "touch /usr/x; touch /x; touch /tmp/fine && ls /tmp"
    )

    assert ran.output.startswith("the vendor's bytes\n")
    assert ran.output.endswith("fine\n")
    assert payload.read_text() == "the vendor's bytes\n"
    assert payload.stat().st_mode & 0o777 == 0o644


def test_a_tool_has_no_privilege_no_network_and_no_sight_of_the_host(run, tmp_path):
    """What parses a hostile file must not be worth attacking."""
    secret = tmp_path / "ledger.pem"
    secret.write_text("secret")
    ran = run(
        f"id -u; cat /proc/self/status | grep -E '^(CapEff|CapPrm|NoNewPrivs)'; cat {secret}; "
        "cat /etc/shadow; ls /etc/ssh /root /home; ls /proc | grep -c '^[0-9]'; "
        "ls /sys/class/net; cat /proc/net/dev | grep -c :; env"
    )

    lines = ran.output.splitlines()
    assert lines[0] == "65534"
    assert "NoNewPrivs:\t1" in lines
    assert "CapEff:\t0000000000000000" in lines
    assert "CapPrm:\t0000000000000000" in lines
    assert "secret" not in [line.strip() for line in lines]
    assert ran.output.count("No such file or directory") >= 4
    assert "1" in lines  # one interface: its own loopback
    assert not [line for line in lines if line.startswith(("eth", "PYTHON", "FIREDOOR"))]


def test_a_connection_out_of_the_sandbox_is_impossible(run):
    """Neither to the world nor to the console on the host's loopback."""
    ran = run(
        "python3 -c 'import socket\n"
        'for host in ("192.0.2.1", "127.0.0.1"):\n'
        "    try: socket.create_connection((host, 8082), 2)\n"
        "    except OSError as error: print(error.strerror)'"
    )

    assert ran.output.splitlines() == ["Network is unreachable", "Connection refused"]


def test_what_runs_too_long_is_ended_with_everything_that_it_started(run):
    """A grandchild that went on would hold the release's files and the host's processor."""
    begun = time.monotonic()
    ran = run("setsid sleep 61.75 >/dev/null 2>&1 & sleep 61.75", Limits(700, 512 << 20))

    assert ran.stopped == "its time limit of 0.7 s"
    assert time.monotonic() - begun < 30  # not the minute that it wanted
    left = [p for p in psutil.process_iter(["cmdline"]) if "61.75" in (p.info["cmdline"] or ())]
    assert left == []


KILLED = """
from firedoor.adapters.clock import SystemClock
from firedoor.adapters.preflight.sandbox import Limits, Sandbox
print("begun", flush=True)
Sandbox(Limits(90_000, 1 << 28), SystemClock(), {}).run(("sleep", "63.25"))
"""


def test_a_judge_that_is_killed_takes_the_tool_with_it():
    """Nobody is left to end it."""

    def sleeping() -> bool:
        found = psutil.process_iter(["cmdline"])
        return any((p.info["cmdline"] or ())[:2] == ["sleep", "63.25"] for p in found)

    with subprocess.Popen([sys.executable, "-c", KILLED], stdout=subprocess.PIPE) as judge:
        until(sleeping)
        judge.kill()
    until(lambda: not sleeping())


def test_what_ends_leaves_nothing_behind_that_it_started(run):
    """A tool that goes into the background is over when its first process is."""
    ran = run("setsid sleep 62.25 >/dev/null 2>&1 & echo done")

    assert (ran.code, ran.stopped, ran.output) == (0, "", "done\n")
    left = [p for p in psutil.process_iter(["cmdline"]) if "62.25" in (p.info["cmdline"] or ())]
    assert left == []


def test_what_takes_too_much_memory_ends_and_says_why(run):
    """A database that is a bomb must not take the judge with it."""
    ran = run("python3 -c 'bytearray(1 << 30)'", Limits(20_000, 256 << 20))

    assert ran.code
    assert ran.stopped == "its memory limit of 256 MiB"


def test_what_takes_too_much_processor_time_ends_and_says_why(run):
    """Whether it sleeps in between or not: both are limits."""
    ran = run("while :; do :; done & while :; do :; done", Limits(1_000, 256 << 20))

    assert ran.stopped in ("its limit of 1 s of processor time", "its time limit of 1 s")


def test_what_writes_without_end_is_read_in_bounds(run):
    """The beginning and the end say what there is to say."""
    ran = run("echo first; head -c 5000000 /dev/zero | tr '\\0' 'x'; echo; echo last")

    assert ran.code == 0
    assert len(ran.output) < 200_000
    assert ran.output.startswith("first\n")
    assert ran.output.endswith("\nlast\n")


def test_a_scratch_directory_that_is_full_is_full(run):
    """It is memory of the host."""
    ran = run(
        "head -c 200000000 /dev/zero >/tmp/big; stat -c %s /tmp/big", Limits(20_000, 64 << 20)
    )

    assert "No space left on device" in ran.output
    assert int(ran.output.split()[-1]) <= 16 << 20


LOCKED = """
import sys
from pathlib import Path
from firedoor.adapters.clock import SystemClock
from firedoor.adapters.preflight.sandbox import Limits, Sandbox
from firedoor.core.errors import Unavailable
try:
    Sandbox(Limits(5000, 1 << 28), SystemClock(), {}).run(("touch", sys.argv[1]))
except Unavailable as error:
    print(error)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="needs a namespace that forbids others")
def test_where_no_sandbox_can_be_made_nothing_is_run_and_that_is_said(tmp_path):
    """In a container that may not unshare, the tool must not run in the open instead."""
    forbid = 'echo 0 >/proc/sys/user/max_net_namespaces && exec "$@"'
    ran_anyway = tmp_path / "ran"
    done = subprocess.run(
        ["unshare", "-U", "-r", "sh", "-c", forbid, "sh", sys.executable, "-c", LOCKED, ran_anyway],
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )

    assert done.stdout.startswith("no sandbox can be made: bwrap: ")
    assert not ran_anyway.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="runs as another user")
def test_a_judge_that_is_not_root_makes_the_same_sandbox(tmp_path, payload):
    """There the tool is the judge's own user, who owns the bytes, and still cannot change them."""
    for each in (tmp_path, payload):
        os.chown(each, 65534, 65534)
    for folder in tmp_path.parents:
        folder.chmod(folder.stat().st_mode | 0o011) if folder.stat().st_uid == 0 else None
    reading, writing = os.pipe()
    child = os.fork()
    if not child:  # what is loaded is loaded: nobody cannot read this interpreter's files
        try:
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)
            with staged(tmp_path / "preflight", [("file", payload)]) as view:
                box = Sandbox(ROOMY, SystemClock(), {NEW: view})
                text = "id -u; cat file; chmod 600 file; echo x >file; ls /proc | grep -c '^[0-9]'"
                os.write(writing, box.run(("sh", "-c", text), within=NEW).output.encode())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as said:
        output = said.read().decode()
    os.waitpid(child, 0)

    assert output.startswith("65534\nthe vendor's bytes\n")
    assert output.count("Read-only file system") == 2
    assert payload.read_text() == "the vendor's bytes\n"


def test_what_a_killed_judge_left_is_deleted_and_a_missing_file_is_left_out(tmp_path, payload):
    """Views are links to blobs: one that stayed would keep their bytes for ever."""
    below = tmp_path / "preflight"
    with staged(below, [("a/b/file", payload), ("gone", tmp_path / "gone")]) as view:
        assert [str(p.relative_to(view)) for p in sorted(view.rglob("*"))] == [
            "a",
            "a/b",
            "a/b/file",
        ]
        assert payload.stat().st_nlink == 2
        other = tmp_path / "other"
        other.write_text("another's bytes")
        with staged(below, [("same", payload), ("same", other)]) as twice:
            assert (twice / "same").read_text() == "the vendor's bytes\n"
        assert payload.read_text() == "the vendor's bytes\n"
        cleared(below)
    assert not below.exists()
    assert payload.stat().st_nlink == 1
