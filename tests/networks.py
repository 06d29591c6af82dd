"""Networks of their own: a switch, and processes that are plugged into it and reach nothing else.

A namespace ends with the last process in it, and its interfaces with it. Each process here is the
first of a namespace of processes, too: when it is killed, all that it has started is killed, so
nothing has to be tidied up whatever happens.
"""

import contextlib
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).parent.parent
APART = ("unshare", "--net", "--pid", "--fork", "--kill-child")
"""Words before a command that give it a network with nothing in it."""

# Says when it is apart, waits for its address, then becomes what it was started for.
_PLUGGED = """
echo apart && exec >"$0" 2>&1 && read -r address || exit 1
ip link set lo up && ip address add "$address" dev eth0 && ip link set eth0 up && exec "$@"
"""


def missing() -> str:
    """Why there can be no networks of their own here, or ""."""
    words = [*APART, "ip", "link", "add", "switch", "type", "bridge"]
    try:
        done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=20)
    except FileNotFoundError as error:
        return f"no program {error.filename}"
    return done.stderr.strip()


def switched(name: str, address: str) -> None:
    """Set up a switch in the network of this process, with an address of its own on it."""
    _ip(
        "link set lo up",
        f"link add {name} type bridge",
        f"address add {address} dev {name}",
        f"link set {name} up",
    )


@contextlib.contextmanager
def plugged(
    command: Sequence[str], switch: str, number: int, address: str, *, log: Path
) -> Iterator["subprocess.Popen[str]"]:
    """Run a command whose only network is a cable to a switch of this process.

    Args:
        command: What runs there.
        switch: Name of the switch.
        number: Of the cable, another one for each.
        address: Its own, with the length of its network.
        log: Where what it prints goes.
    """
    words = [*APART, "sh", "-c", _PLUGGED, str(log), *command]
    with subprocess.Popen(
        words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as process:
        try:
            assert process.stdin is not None
            assert process.stdout is not None
            assert process.stdout.readline() == "apart\n"
            _ip(
                f"link add cable{number} type veth peer name eth0 netns {process.pid}",
                f"link set cable{number} master {switch}",
                f"link set cable{number} up",
            )
            process.stdin.write(f"{address}\n")
            process.stdin.close()
            yield process
        finally:
            process.kill()


def python(module: str, *arguments: str) -> list[str]:
    """Words that run a module of the tests."""
    return [sys.executable, "-m", module, *arguments]


def _ip(*lines: str) -> None:
    done = subprocess.run(
        ["ip", "-batch", "-"],
        input="".join(f"{line}\n" for line in lines),
        capture_output=True,
        text=True,
        check=False,
        timeout=20,
    )
    assert done.returncode == 0, done.stderr
