"""A fleet of simulated machines in one process.

``python -m firedoor.simulator.fleet MACHINES.jsonl`` reads one `enrolment.Enrolment` a line and
lets them live until ``--duration``, SIGTERM, or a line ``{"stop": true}`` on stdin. Each second,
and once more at the end, it prints a JSON line of counts; ``--journal`` keeps the ground truth, one
line for each event of each machine, written before anything else happens to that machine.
"""

import argparse
import asyncio
import contextlib
import json
import os
import resource
import select
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import fields
from pathlib import Path

import uvloop

from firedoor.core.errors import FiredoorError
from firedoor.core.units import Digest
from firedoor.simulator.enrolment import Enrolment, Habits, read_enrolments
from firedoor.simulator.journal import Happening, Journal, Tally
from firedoor.simulator.machine import Machine

_EVERY_S = 1.0
_COMMAND_BYTES = 4096
_FILES_PER_MACHINE = 2


async def live(
    enrolments: Sequence[Enrolment],
    habits: Habits,
    *,
    duration_s: float,
    journal: Journal | None,
) -> None:
    """Let all machines live until the time is up or somebody says stop.

    Args:
        enrolments: Who lives.
        habits: How.
        duration_s: Seconds, at most.
        journal: Where the ground truth goes, if anywhere.
    """
    tally = Tally(enrolment.machine for enrolment in enrolments)

    def tell(happening: Happening) -> None:
        tally.take(happening)
        if journal is not None:
            journal.write(happening, _now_ms())

    shelf: dict[Digest, bytes] = {}
    machines = [
        Machine(enrolment, habits, tell=tell, now_ms=_now_ms, shelf=shelf)
        for enrolment in enrolments
    ]
    stop = asyncio.Event()
    _listen(stop.set)
    # A group, so that a mistake in one machine's code ends the fleet loudly.
    async with asyncio.TaskGroup() as group:
        lives = [group.create_task(machine.run()) for machine in machines]
        lives.append(group.create_task(_print(tally, stop)))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(duration_s):
                await stop.wait()
        for task in lives:
            task.cancel()
    with contextlib.suppress(BrokenPipeError):
        _say(tally)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a fleet.

    Returns:
        Exit status: 0 when it was stopped or its time was up, 2 for a wrong file.
    """
    asked = _parser().parse_args(arguments)
    habits = Habits(**{field.name: getattr(asked, field.name) for field in fields(Habits)})
    try:
        enrolments = read_enrolments(asked.machines)
        _allow_files(_FILES_PER_MACHINE * len(enrolments))
        with contextlib.ExitStack() as stack:
            journal = stack.enter_context(Journal(asked.journal)) if asked.journal else None
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(live(enrolments, habits, duration_s=asked.duration, journal=journal))
    except (FiredoorError, FileNotFoundError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="firedoor.simulator.fleet", description=main.__doc__)
    usual = Habits()
    numbers: tuple[tuple[str, str, float, str], ...] = (
        ("--poll", "poll_s", usual.poll_s, "seconds between polls"),
        ("--heartbeat", "heartbeat_s", usual.heartbeat_s, "seconds between heartbeats"),
        ("--heartbeating", "heartbeating", usual.heartbeating, "share of machines with an agent"),
        ("--install", "install_s", usual.install_s, "seconds an installation takes"),
        ("--crash-rate", "crashes_per_hour", 0.0, "innocent crashes per machine and hour"),
        ("--absence-rate", "absences_per_hour", 0.0, "absences per machine and hour"),
        ("--absence", "absence_s", usual.absence_s, "seconds of an absence"),
        ("--duration", "duration", 3600.0, "seconds after which the fleet ends"),
    )
    parser.add_argument("machines", type=Path, help="JSON lines: one enrolled machine each")
    parser.add_argument("--journal", type=Path, help="append the ground truth to this file")
    for option, name, default, meaning in numbers:
        parser.add_argument(
            option, dest=name, type=float, default=default, help=f"{meaning} (%(default)s)"
        )
    return parser


async def _print(tally: Tally, stop: asyncio.Event) -> None:
    while True:
        try:
            _say(tally)
        except BrokenPipeError:
            stop.set()  # nobody reads any more: whoever started this fleet is gone
            return
        await asyncio.sleep(_EVERY_S)


def _say(tally: Tally) -> None:
    """Print the counts, or leave it if the pipe is full: a lazy reader must not stop the fleet."""
    out = sys.stdout.fileno()
    # A pipe that can be written takes PIPE_BUF bytes at once, far more than a row.
    if select.select([], [out], [], 0)[1]:
        # By one write: no buffer that would be flushed into a closed pipe at exit.
        os.write(out, json.dumps(tally.row(_now_ms())).encode() + b"\n")


def _listen(stop: Callable[[], None]) -> None:
    """Stop on SIGTERM, SIGINT or a command on stdin."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)

    def obey() -> None:
        # From the descriptor: a thread inside sys.stdin would hold its lock at exit. An end of
        # the input means nothing; a fleet is often started without one.
        rest = b""
        while data := os.read(0, _COMMAND_BYTES):
            *lines, rest = (rest + data)[-_COMMAND_BYTES:].split(b"\n")
            for line in lines:
                if _says_stop(line):
                    with contextlib.suppress(RuntimeError):  # the loop has ended by itself
                        loop.call_soon_threadsafe(stop)
                    return

    # A thread, because stdin may be a file or the null device, which no event loop can watch.
    threading.Thread(target=obey, daemon=True).start()


def _says_stop(line: bytes) -> bool:
    try:
        command = json.loads(line)
    except ValueError:
        command = None
    if command == {"stop": True}:
        return True
    sys.stderr.write('warning: not a command, only {"stop": true} is\n')
    return False


def _allow_files(count: int) -> None:
    """Ask for as many open files as the machines have connections, if the system lets us."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = count + 256
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(wanted, hard), hard))


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


if __name__ == "__main__":
    sys.exit(main())
