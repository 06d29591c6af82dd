"""Collectors that fall silent: who is told what, and when."""

import pytest
from tests.loop import MINUTE, Loop, memory

from firedoor.core.door import State
from firedoor.ports import HeardCollector


class Site(Loop):
    """A loop some of whose machines are heard by a collector alone."""

    stopped = False

    def bucket(self, count=1, **options):
        """The collector sends once a minute, while it runs."""
        for _ in range(count):
            if not self.stopped:
                now = self.clock.now()
                self.signals.keep_collectors([HeardCollector("prague", now, MINUTE)])
            super().bucket(**options)


@pytest.fixture
def site():
    with memory() as folder:
        loop = Site(folder, 200, soak="10m")
        loop.settle_in()
        yield loop
        loop.close()


def told(loop):
    return [note for note in loop.notes() if note.startswith("collector ")]


def test_a_collector_that_stops_is_told_once_and_once_that_it_is_back(site):
    """Three times its longest gap, and no less than the shortest deadline."""
    site.bucket(10)
    assert told(site) == []
    site.stopped = True
    site.bucket(4)
    assert told(site) == []
    site.bucket(30)
    (note,) = told(site)
    assert "collector prague has sent nothing for" in note
    assert "silent for 1 minute at most" in note
    site.start_judge()
    site.bucket(5)
    assert len(told(site)) == 1
    site.stopped = False
    site.bucket(2)
    assert told(site)[1:] == ["collector prague is heard again"]


def test_what_both_arms_lose_with_it_is_named_after_it(site):
    """Machines of every site: what they have in common is whoever speaks for them."""
    site.publish("2")
    while not site.treated(2):
        site.bucket()
    site.bucket(2)
    site.stopped = True
    gone = set(site.machines[::2])
    site.dead |= gone
    site.bucket(100)
    site.dead -= gone
    site.stopped = False
    notes = [note for note in site.notes() if "meets an outage" in note]
    assert notes and "silent as well: collector prague for" in notes[0]
    assert site.door(2).state is not State.SHUT


def test_while_nobody_listens_no_collector_is_silent(site):
    """The intake was away: nobody could have been heard."""
    site.bucket(3)
    site.stopped = True
    site.bucket(60, intake=False)
    assert told(site) == []


def test_of_a_collector_that_was_heard_once_nothing_is_known(site):
    """A test from a desk is no collector that runs."""
    once = HeardCollector("desk", site.clock.now(), 0)
    site.signals.keep_collectors([once])
    site.bucket(60)
    assert told(site) == []
