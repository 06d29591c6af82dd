"""What a client's own date tells of the bytes that it was sent.

The cases are freshclam's: its If-Modified-Since is when it installed the file, in whole seconds of
its own clock.
"""

import hashlib

import pytest

from firedoor.services.fetches import MOST_FILES, NEAR_S, Asked, Fetches

MACHINE = 7
HOUR_MS = 3_600_000
WALL_S = 1_795_386_000
OLD, NEW = (hashlib.sha256(each).hexdigest() for each in (b"old", b"new"))


class Client:
    """A machine whose clock is ``fast_s`` ahead, and the gate's memory of it."""

    def __init__(self, fetches=None, *, fast_s=0):
        self.fetches = fetches or Fetches("clam")
        self.now_ms = HOUR_MS
        self.began_ms = self.now_ms
        self.fast_s = fast_s
        self.dates = {}

    def wall_s(self):
        """The gate's clock, Unix seconds."""
        return WALL_S + self.now_ms // 1000

    def session(self, after_ms=HOUR_MS):
        """The next run of the client."""
        self.now_ms += after_ms
        self.began_ms = self.now_ms

    def asks(self, digest, path="lab.hdb", **more):
        """A request and its answer: whether it was a 304."""
        date = self.dates.get(path, 0)
        asked = Asked(MACHINE, path, digest, date, self.began_ms, number=3, **more)
        current = self.fetches.is_current(asked)
        self.now_ms += 100
        if not current:
            self.fetches.sent(asked, mono_ms=self.now_ms, wall_s=self.wall_s())
        return current

    def installs(self, path="lab.hdb"):
        """What it got, it takes."""
        self.dates[path] = self.wall_s() + self.fast_s

    def rejections(self):
        """(Path, time of the sending) of what was found to be thrown away."""
        return [(each.path, each.mono_ms) for each in self.fetches.drain_rejections()]


@pytest.fixture
def client():
    """One that has installed something here and is in its next run."""
    client = Client()
    client.asks(OLD)
    client.installs()
    client.session()
    return client


def test_what_was_installed_is_not_sent_again(client):
    """A fleet that polls every hour would otherwise fetch 300 MB every hour."""
    assert client.asks(OLD)
    client.session()
    assert client.asks(OLD)
    assert client.rejections() == []


def test_other_bytes_are_sent_whichever_is_older(client):
    """Forward or back: dates have no say, for a release that is held is older than its install."""
    assert not client.asks(NEW)
    client.installs()
    client.session()
    assert client.asks(NEW)
    assert not client.asks(OLD)


def test_what_was_thrown_away_is_sent_again_and_told_once(client):
    """A 304 would leave the machine without an update for ever; its date stands for the old one."""
    client.asks(NEW)
    sent_ms = client.now_ms
    client.session()

    assert not client.asks(NEW)
    assert client.rejections() == [("lab.hdb", sent_ms)]
    client.session()
    assert not client.asks(NEW)
    assert client.rejections() == []


def test_it_is_told_of_a_release_that_is_taken_back_meanwhile(client):
    """The verdict on what was sent does not depend on what is offered next."""
    client.asks(NEW)
    client.session()

    assert not client.asks(OLD)
    assert len(client.rejections()) == 1


def test_a_machine_that_recovers_can_throw_away_the_next_release_too(client):
    """One rejection is no mark for life."""
    client.asks(NEW)
    client.session()
    client.asks(OLD)
    client.installs()
    client.session()
    assert client.asks(OLD)
    client.asks(NEW)
    client.session()
    client.asks(NEW)

    assert len(client.rejections()) == 2


def test_a_broken_connection_is_no_rejection(client):
    """The client asks again within the same run, five seconds later; the third time too."""
    client.asks(NEW)
    client.now_ms += 5_000
    assert not client.asks(NEW)
    client.session()

    assert not client.asks(NEW)
    assert client.rejections() == []
    # This time it came through at once, and was thrown away.
    client.session()
    client.asks(NEW)
    assert len(client.rejections()) == 1


def test_a_machine_that_never_installed_anything_tells_nothing():
    """Its disk may be full, or its clock stand still: that is no release's fault."""
    client = Client()
    client.asks(OLD)
    client.session()
    assert not client.asks(OLD)

    assert client.rejections() == []


def test_a_new_file_that_is_thrown_away_is_told_of_a_machine_that_installs_others(client):
    """A release may bring a database that nobody had before."""
    client.asks(OLD)
    client.asks(NEW, "rules.yara")
    client.session()
    client.asks(NEW, "rules.yara")

    assert [path for path, _ in client.rejections()] == ["rules.yara"]


def test_a_client_that_lost_its_file_gets_it_again_and_has_thrown_nothing_away(client):
    """Somebody emptied its directory."""
    client.asks(NEW)
    client.dates.clear()
    client.session()

    assert not client.asks(NEW)
    assert client.rejections() == []


@pytest.mark.parametrize("fast_s", [-NEAR_S - 5, NEAR_S + 5, 40 * 365 * 86_400])
def test_a_client_with_a_wrong_clock_is_sent_everything_and_accused_of_nothing(fast_s):
    """Its date cannot be told from that of a restored backup; a transfer is the price."""
    client = Client(fast_s=fast_s)
    for _ in range(3):
        assert not client.asks(OLD)
        client.installs()
        client.session()

    assert client.rejections() == []


def test_two_installs_within_a_second_are_no_rejection(client):
    """A date counts whole seconds."""
    client.asks(NEW)
    client.installs()
    client.session(after_ms=200)
    client.asks(OLD)
    client.session(after_ms=200)
    client.asks(OLD)

    assert client.rejections() == []


def test_control_gets_its_own_bytes_once_for_each_card(client):
    """What fails when a machine installs anything at all must fail in both arms."""
    assert not client.asks(OLD, card=65_537, sham=True)
    client.installs()
    client.session()
    assert client.asks(OLD, card=65_537, sham=True)
    assert not client.asks(OLD, card=65_538, sham=True)


def test_a_gate_that_is_started_again_knows_what_it_sent(client):
    """The next request of a machine may come to another process."""
    client.asks(NEW)
    client.asks(OLD, "other.hdb")
    client.installs("other.hdb")
    client.session()
    again = Fetches("clam")
    again.restore(client.fetches.drain())
    client.fetches = again

    assert client.asks(OLD, "other.hdb")
    assert not client.asks(NEW)
    assert [path for path, _ in client.rejections()] == ["lab.hdb"]


def test_only_what_changed_is_written_down(client):
    """A 304 costs no disk."""
    client.fetches.drain()
    assert client.asks(OLD)
    assert len(client.fetches.drain()) == 1  # the first that showed that it was taken
    client.session()
    assert client.asks(OLD)
    assert client.fetches.drain() == []


def test_memory_is_bounded_by_files_and_machines():
    """A vendor cannot fill the gate's memory with names."""
    client = Client()
    for number in range(MOST_FILES + 5):
        client.asks(OLD, f"{number}.hdb")
        client.installs(f"{number}.hdb")
    client.session()

    assert client.asks(OLD, f"{MOST_FILES - 1}.hdb")
    assert not client.asks(OLD, f"{MOST_FILES}.hdb")
