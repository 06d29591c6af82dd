"""The intake as a process, killed, starved of disk, and started again."""

import base64
import gzip
import json
import os
import signal
import socket
import sqlite3
import threading
import time
import urllib.error
import urllib.request
from itertools import pairwise
from pathlib import Path

import pytest
from tests.intake_process import REGISTER, SIGNALS, running

from firedoor.adapters.clock import SystemClock
from firedoor.adapters.store.register import MachineRegister
from firedoor.adapters.store.signals import SignalReader
from firedoor.core.signal import Reports, SignalKind
from firedoor.core.units import UnixMs
from firedoor.intake.app import MAX_BODY

MACHINES = 50
PATIENCE_S = 20.0
EVENTS = [kind.value for kind in SignalKind if kind is not SignalKind.HEARTBEAT]


@pytest.fixture
def tokens(tmp_path):
    """Machines with their signal tokens, and a collector for all of them."""
    register = MachineRegister(tmp_path / REGISTER, SystemClock())
    made = register.enroll_many([(f"till-{n}", {}) for n in range(MACHINES)], UnixMs(1))
    collector = register.enroll_collector("all", ["till-*"], UnixMs(1))
    register.close()
    return {"all": collector, **{machine.name: machine.signal for machine in made}}


def post(port, body, *, path="/v1/signals", **headers):
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}{path}",
        data=body,
        headers={key.replace("_", "-"): value for key, value in headers.items()},
    )
    try:
        with urllib.request.urlopen(request, timeout=10) as reply:  # noqa: S310 - loopback
            return reply.status, json.load(reply)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def line(machine, kind="heartbeat", key=None):
    signal_line = {"machine": machine, "time": time.time_ns() // 1_000_000, "kind": kind}
    return json.dumps(signal_line | ({"id": key} if key else {})).encode()


def stored(data: Path):
    source = SignalReader(data / SIGNALS)
    keys = {(e.event.machine, e.event.kind, e.event.key) for e in source.events_after(0, 10**6)}
    heard = {machine for batch in source.batches_after(0, 10**6) for machine in batch.heartbeats}
    source.close()
    return keys, heard


def test_whatever_was_acknowledged_survives_a_kill(tmp_path, tokens):
    """Promise 7: a signal answered 2xx survives kill -9, and repeats are idempotent."""
    acknowledged: list[str] = []
    bodies: list[bytes] = []

    def collect(sender, port):
        for round_ in range(1_000):
            keys = [f"{sender}-{round_}-{n}" for n in range(20)]
            # Another kind each time, or the machines would seem to flood.
            kind = EVENTS[round_ % len(EVENTS)]
            body = b"\n".join(line(f"till-{n}", kind, key) for n, key in enumerate(keys))
            bodies.append(body)
            try:
                status, answer = post(port, body, authorization=f"Bearer {tokens['all']}")
            except OSError:
                return
            assert (status, answer["accepted"]) == (200, 20)
            acknowledged.extend(keys)

    with running(tmp_path) as (process, port):
        senders = [threading.Thread(target=collect, args=(n, port)) for n in range(4)]
        for sender in senders:
            sender.start()
        deadline = time.monotonic() + PATIENCE_S
        while len(acknowledged) < 2_000 and time.monotonic() < deadline:
            time.sleep(0.01)
        os.kill(process.pid, signal.SIGKILL)
        for sender in senders:
            sender.join()

    keys, _ = stored(tmp_path)
    assert len(acknowledged) >= 2_000
    assert set(acknowledged) <= {key for _, _, key in keys}

    with running(tmp_path) as (_, port):
        for body in bodies:
            status, _ = post(port, body, authorization=f"Bearer {tokens['all']}")
            assert status == 200
    again, _ = stored(tmp_path)
    assert len(again) == 20 * len(bodies)
    assert keys <= again


def test_a_full_disk_refuses_and_the_next_start_with_room_accepts(tmp_path, tokens):
    """Fail static: 503 with a time to come back, nothing half stored, and nothing lost."""
    bearer = f"Bearer {tokens['all']}"
    bodies = [
        b"\n".join(line(f"till-{n}", "panic", f"{at}-{n}-{'x' * 200}") for n in range(MACHINES))
        for at in range(40)
    ]
    with running(tmp_path, "--file-limit", "300000") as (_, port):
        answers = [post(port, body, authorization=bearer) for body in bodies]

    statuses = {status for status, _ in answers}
    assert statuses == {200, 503}
    kept = sum(answer["accepted"] for status, answer in answers if status == 200)
    keys, _ = stored(tmp_path)
    assert len(keys) == kept == MACHINES * [status for status, _ in answers].count(200)

    with running(tmp_path) as (_, port):
        for (status, _), body in zip(answers, bodies, strict=True):
            _, answer = post(port, body, authorization=bearer)
            expected = (MACHINES, 0) if status == 503 else (0, MACHINES)
            assert (answer["accepted"], answer["duplicates"]) == expected


def test_agents_of_every_kind_are_heard(tmp_path, tokens):
    """Bearer, Basic, a token in the path, gzip, and a body sent in chunks."""
    basic = base64.b64encode(f"till-1:{tokens['till-1']}".encode()).decode()

    def chunks():
        yield line("till-4")[:20]
        yield b""
        yield line("till-4")[20:]

    with running(tmp_path) as (_, port):
        answers = [
            post(port, line("till-0"), authorization=f"Bearer {tokens['till-0']}"),
            post(port, line("till-1"), authorization=f"Basic {basic}"),
            post(port, line("till-2"), path=f"/m/{tokens['till-2']}/v1/signals"),
            post(
                port,
                gzip.compress(line("till-3")),
                authorization=f"Bearer {tokens['till-3']}",
                content_encoding="gzip",
            ),
            post(port, chunks(), authorization=f"Bearer {tokens['till-4']}"),
        ]
        stranger = post(port, line("till-5"), authorization="Bearer fds_0")

    assert [(status, answer["accepted"]) for status, answer in answers] == [(200, 1)] * 5
    assert (stranger[0], stranger[1]["title"]) == (401, "Unauthorized")
    _, heard = stored(tmp_path)
    assert heard == {1, 2, 3, 4, 5}


@pytest.mark.parametrize("declared", [True, False])
def test_a_body_over_the_limit_is_refused_and_the_server_lives_on(tmp_path, tokens, declared):
    """A runaway agent is told, whether it said how much it would send or not."""
    head = f"POST /v1/signals HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {tokens['till-0']}\r\n"
    with running(tmp_path) as (_, port):
        with socket.create_connection(("127.0.0.1", port), timeout=10) as runaway:
            if declared:
                runaway.sendall(f"{head}content-length: {2**40}\r\n\r\n".encode())
            else:
                runaway.sendall(f"{head}transfer-encoding: chunked\r\n\r\n".encode())
                for _ in range(MAX_BODY // 65_536 + 1):
                    runaway.sendall(b"10000\r\n" + b"x" * 65_536 + b"\r\n")
            answer = runaway.recv(65_536)
        after = post(port, line("till-0"), authorization=f"Bearer {tokens['till-0']}")

    assert answer.startswith(b"HTTP/1.1 413 ")
    assert after[0] == 200


def test_a_restart_looks_neither_like_silence_nor_like_a_change_of_pulse(tmp_path, tokens):
    """Promise 6: a restart of Firedoor must never look like harm."""
    options = ("--heartbeat-ms", "100", "--bucket-ms", "50")
    bearer = f"Bearer {tokens['all']}"

    def beat_for(port, seconds):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            post(port, line("till-0"), authorization=bearer)
            time.sleep(0.08)

    def pulses():
        source = SignalReader(tmp_path / SIGNALS)
        found = [(p.changed, p.machine, p.reports) for p in source.pulses_after(0)]
        beats = [beat.at for beat in source.beats_after(0)]
        source.close()
        return found, beats

    with running(tmp_path, *options) as (_, port):
        beat_for(port, 1.5)
    before, early = pulses()
    time.sleep(0.5)
    with running(tmp_path, *options) as (_, port):
        beat_for(port, 0.5)
    after, beats = pulses()

    assert [pulse[1:] for pulse in before] == [(1, Reports.BEATS)]
    assert after == before
    assert len({beat.boot for beat in beats}) == 1
    gaps = [b.mono_ms - a.mono_ms for a, b in pairwise(beats)]
    assert gaps[len(early) - 1] == max(gaps) >= 500


def test_two_processes_read_while_the_intake_writes(tmp_path, tokens):
    """Judge and gate read the file all the time; neither side may ever see 'locked'."""
    with running(tmp_path, "--bucket-ms", "20") as (_, port):
        reader = SignalReader(tmp_path / SIGNALS)
        for round_ in range(50):
            body = line("till-0", "panic", f"{round_}")
            assert post(port, body, authorization=f"Bearer {tokens['till-0']}")[0] == 200
            newest = reader.events_after(round_, 10)
            assert [entry.event.key for entry in newest] == [f"{round_}"]
        reader.close()
    opened = sqlite3.connect(tmp_path / SIGNALS)
    assert opened.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    opened.close()
