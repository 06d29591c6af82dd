import pytest
from tests.worlds_alone import Hands

from firedoor.adapters.store.inbox import InboxReader, InboxWriter
from firedoor.adapters.store.runs import RunStore
from firedoor.core.terms import Policy
from firedoor.formats.counts import Row
from firedoor.services import runs
from firedoor.services.alone import question
from firedoor.services.order import Order

ASKED = question(Policy(alpha_harm=0.002), 500, randomised=True)


@pytest.fixture
def clock():
    return Hands()


def row(time_ms, harmed=0):
    return Row(time_ms, "v2", "crash", "lab", 50, 450, harmed, 3, 49)


def run(name, clock, *rows):
    return runs.begin(name, rows or (row(1),), ASKED, clock.wall_ms)


def test_a_run_comes_back_as_it_was_kept_also_after_a_restart(tmp_path, clock):
    """Its question is what its verdict means; its rows in their order are the verdict."""
    store = RunStore(tmp_path, clock)
    first = run("r", clock, row(1), row(5, 2))
    store.save(first, known=0)
    after = runs.feed(first, [row(3)], clock.wall_ms + 1)
    store.save(after, known=2)
    store.close()

    assert RunStore(tmp_path, clock).load("r") == after


def test_there_is_no_run_nobody_fed(tmp_path, clock):
    """None, not an empty one: an empty run would be "undecided"."""
    assert RunStore(tmp_path, clock).load("r") is None


def test_the_run_left_alone_for_longest_makes_room(tmp_path, clock):
    """A pipeline that invents a name for every build must not fill the disk."""
    store = RunStore(tmp_path, clock, most_runs=2)
    for name in ("a", "b", "a", "c"):
        clock.wall_ms += 1
        known = store.load(name)
        again = runs.feed(known, [row(1)], clock.wall_ms) if known else run(name, clock)
        store.save(again, known=1 if known else 0)

    assert [name for name in "abc" if store.load(name)] == ["a", "c"]


def test_an_old_run_is_gone_and_its_name_free(tmp_path, clock):
    """Nobody is answered about a rollout of last year."""
    store = RunStore(tmp_path, clock, keep_ms=1000)
    store.save(run("r", clock, row(1), row(2)), known=0)
    clock.wall_ms += 1000

    assert store.load("r") is None
    store.save(run("r", clock, row(7)), known=0)
    again = store.load("r")
    assert again is not None
    assert [each.time_ms for each in again.rows] == [7]


def test_runs_and_orders_live_in_one_database_and_do_not_touch(tmp_path, clock):
    """The judge reads its orders from there and knows nothing of runs."""
    orders = InboxWriter(tmp_path)
    store = RunStore(tmp_path, clock)
    store.save(run("r", clock), known=0)
    order = Order(verb="hold", by="Amira")
    number = orders.put(order, clock.wall_ms)

    assert InboxReader(tmp_path).after(0) == [(number, order)]
    assert store.load("r") is not None
