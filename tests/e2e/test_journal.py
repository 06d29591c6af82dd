"""Journals, sent by an unmodified systemd-journal-upload to a real intake."""

import contextlib
import http.client
import socket
import subprocess
import time
from collections import Counter
from http import HTTPStatus

import pytest
from tests.intake_process import REGISTER, SIGNALS, running
from tests.journals import UNIT_FAILED, UPLOAD, Writer, joined, journal_file, upload
from tests.secured_intake import SecuredIntake
from tests.tree import Tree, until

from firedoor.adapters.clock import SystemClock
from firedoor.adapters.store.register import MachineRegister
from firedoor.adapters.store.signals import SignalReader
from firedoor.core.host_id import HostId, HostIdKind
from firedoor.core.units import UnixMs
from firedoor.intake.journals import MAX_UPLOADS_OF_ONE

ROUNDS = 1
TRIES = 40


@pytest.fixture
def token(tmp_path):
    """The signal token of a machine."""
    register = MachineRegister(tmp_path / REGISTER, SystemClock())
    [made] = register.enroll_many([("till-1", {})], UnixMs(1))
    register.close()
    return made.signal


@pytest.fixture
def journal():
    """A journal that begins a minute ago."""
    return Writer(int(time.time() * 1000) - 60_000, step_ms=10)


def told(data):
    """All events, in the order in which they were stored."""
    source = SignalReader(data / SIGNALS)
    found = [stored.event for stored in source.events_after(0, 10_000)]
    source.close()
    return found


def kinds(data):
    return [event.kind for event in told(data)]


def test_a_machine_that_crashed_tells_of_it_by_its_journal(tmp_path, token, journal):
    """A journal that a machine ships already is evidence once its URL is changed."""
    journal.boots("a")
    journal.say(**UNIT_FAILED)
    file = journal_file(journal.text(), tmp_path / "system.journal")
    with running(tmp_path) as (_, port):
        url = f"http://127.0.0.1:{port}/ring/canary/m/{token}"
        wrong = upload(url, file, tmp_path / "cursor")
        url = f"http://127.0.0.1:{port}/m/{token}/ring/canary"
        first = upload(url, file, tmp_path / "cursor")
        journal.entries.clear()
        journal.boots("b")
        journal.stop()
        journal.boots("c")
        journal_file(journal.text(), file)
        second = upload(url, file, tmp_path / "cursor")
        (tmp_path / "cursor").unlink()
        again = upload(url, file, tmp_path / "cursor")

    assert wrong.returncode != 0
    assert "401" in wrong.stderr
    assert [run.returncode for run in (first, second, again)] == [0, 0, 0], second.stderr
    assert kinds(tmp_path) == ["service-failed", "boot-unclean", "boot-clean"]


def test_a_client_that_was_turned_away_sends_the_same_again_later(tmp_path, token, journal):
    """No answer of that kind moves it on; what it had sent is counted once."""
    journal.boots("a")
    file = journal_file(journal.text(), tmp_path / "system.journal")
    cursor = tmp_path / "cursor"
    with running(tmp_path) as (_, port):
        url = f"http://127.0.0.1:{port}/m/{token}"
        upload(url, file, cursor)
        reached = cursor.read_text()
        journal.entries.clear()
        journal.say(**UNIT_FAILED)
        journal_file(journal.text(), file)
        with contextlib.ExitStack() as others:
            for _ in range(MAX_UPLOADS_OF_ONE):
                others.enter_context(half_a_body(port, token, journal.text()))
            until(lambda: status(port, token) == HTTPStatus.TOO_MANY_REQUESTS, "it has its share")
            refused = upload(url, file, cursor)
            unmoved = cursor.read_text()
        taken = until(lambda: not upload(url, file, cursor).returncode, "it is let in again")

    assert refused.returncode != 0
    assert "429" in refused.stderr
    assert unmoved == reached
    assert taken
    assert kinds(tmp_path) == ["service-failed"]


def test_a_live_journal_tells_while_it_goes_on(tmp_path, token, journal):
    """The client of a running machine never ends: it sends when the journal has more."""
    journal.boots("a")
    file = journal_file(journal.text(), tmp_path / "system.journal")
    with running(tmp_path) as (_, port), (tmp_path / "log").open("wb") as log:
        command = [UPLOAD, f"--url=http://127.0.0.1:{port}/m/{token}", f"--file={file}", "--follow"]
        client = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            for number in range(2):
                journal.entries.clear()
                journal.say(**UNIT_FAILED)
                journal_file(journal.text(), file)
                until(
                    lambda: len(told(tmp_path)) > number,  # noqa: B023 - called here
                    "the signal is stored",
                    (tmp_path / "log").read_text,
                )
        finally:
            client.terminate()
            client.wait(timeout=20)


def test_a_log_host_sends_the_journals_that_it_has_gathered(tmp_path):
    """One client for many machines: the machine id of an entry says whose it is."""
    register = MachineRegister(tmp_path / REGISTER, SystemClock())
    bound = {name: [id_of(name)] for name in ("till-1", "till-2")}
    register.enroll_many([(name, {}) for name in (*bound, "till-3")], UnixMs(1), bound)
    token = register.enroll_collector("log-host", ["till-*"], UnixMs(1))
    register.close()
    numbers = {"till-1": "1" * 32, "till-2": "2" * 32, "till-3": "3" * 32}
    begun = int(time.time() * 1000) - 60_000
    written = [Writer(begun, machine=no, boot=no[0] * 32, step_ms=10) for no in numbers.values()]
    with running(tmp_path) as (_, port):
        url = f"http://127.0.0.1:{port}/m/{token}"
        for text in (Writer.say, Writer.say, lambda each: each.say(**UNIT_FAILED)):
            for each in written:
                text(each)
            file = journal_file(joined(each.text() for each in written), tmp_path / "all.journal")
            for each in written:
                each.entries.clear()
            sent = upload(url, file, tmp_path / "cursor")
            assert sent.returncode == 0, sent.stderr

    assert Counter((event.machine, event.kind) for event in told(tmp_path)) == {
        (1, "service-failed"): 1,
        (2, "service-failed"): 1,
    }


def id_of(name):
    """The identity that is bound to a machine."""
    known = HostId.of(HostIdKind.MACHINE_ID, name[-1] * 32)
    assert known is not None
    return known


def test_the_client_speaks_tls_and_shows_no_more_than_its_token(tmp_path):
    """With the authority of a small site, as `firedoor ca init` makes it."""
    place = SecuredIntake.made(tmp_path / "site")
    made = place.ask("machine", "enroll", "till-1", "--json").json()
    journal = Writer(int(time.time() * 1000) - 60_000, step_ms=10)
    journal.boots("a")
    journal.say(**UNIT_FAILED)
    file = journal_file(journal.text(), tmp_path / "system.journal")
    url = f"https://localhost:{place.port}/m/{made['signal']}"
    none = ("--key=-", "--cert=-")
    with place.serving():
        trusting = upload(url, file, tmp_path / "cursor", f"--trust={place.authority}", *none)
        doubting = upload(url, file, tmp_path / "other", *none)

    assert trusting.returncode == 0, trusting.stderr
    assert doubting.returncode != 0
    shown = place.ask("machine", "show", "till-1", "--json").json()
    assert shown["volatile"] is False
    assert "on its disk" in place.ask("machine", "show", "till-1").out
    source = place.reader()
    assert [each.event.kind for each in source.events_after(0, 10)] == ["service-failed"]
    source.close()


@pytest.mark.slow
def test_whatever_happens_to_the_intake_each_failure_counts_once(tmp_path_factory, journal):
    """Killed in the middle of a body: the socket survives, and the client comes back."""
    root = tmp_path_factory.mktemp("journal")
    with Tree(root) as tree:
        [till] = tree.enrol("till-1")
        url = f"http://127.0.0.1:{tree.ports['intake']}/m/{till.signal}"
        journal.boots("a")
        file, cursor = root / "system.journal", root / "cursor"
        tries = 0
        for number in range(ROUNDS):
            journal.say(**UNIT_FAILED | {"UNIT": f"sensor-{number}.service"})
            for _ in range(50):
                journal.say(MESSAGE=b"two\nlines")
            journal_file(journal.text(), file)
            journal.entries.clear()
            # Read from the file, as the client does: a connection that nobody had accepted yet is
            # the next intake's, and an entry has to be the same for it.
            with half_a_body(tree.ports["intake"], till.signal, as_the_client_reads(file)):
                assert tree.kill("intake")
            while upload(url, file, cursor).returncode:
                tries += 1
                assert tries < TRIES
                time.sleep(0.1)
        units = Counter(event.detail for event in told(tree.files.data))

    assert len(units) == ROUNDS
    assert set(units.values()) == {1}


def as_the_client_reads(file):
    """All entries of a journal file, as they are sent."""
    command = ["journalctl", f"--file={file}", "--output=export", "--all"]
    return subprocess.run(command, check=True, capture_output=True, timeout=60).stdout


def status(port, token):
    """What an empty body is answered with."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("POST", f"/m/{token}/upload")
    found = connection.getresponse().status
    connection.close()
    return found


@contextlib.contextmanager
def half_a_body(port, token, text):
    """A body of which half has come."""
    with socket.create_connection(("127.0.0.1", port)) as connection:
        piece = text[: len(text) // 2]
        head = f"POST /m/{token}/upload HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        connection.sendall(head.encode() + b"%x\r\n%s\r\n" % (len(piece), piece))
        yield
