"""Releases that name what is exploited: people are told once, and no door moves by it."""

import pytest
from tests.loop import AV, Loop
from tests.unit.services.rehearsal import at, until

from firedoor.core.door import State
from firedoor.formats.kev import Catalogue, Exploited
from firedoor.services.urgency import Look, Searched, Urgency, read_state

XZ, LOG4J = "CVE-2024-3094", "CVE-2021-44228"
LIST = Catalogue("1", (Exploited(LOG4J, "Log4Shell", "2021-12-10", ransomware=True),))


class Desk:
    """The judge's desk for what is urgent."""

    def __init__(self, loop: Loop) -> None:
        self.loop = loop
        self.urgency = Urgency(loop.store, loop.judge.ledger)

    def look(self, look: Look) -> None:
        """A look at the list comes in."""
        with self.loop.store.step():
            self.urgency.take_list(look, self.loop.clock.now())

    def find(self, number: int, *cves: str, error: str = "") -> None:
        """A release was searched."""
        found = Searched(self.loop.release_of(number), dict.fromkeys(cves, "a.rules"), error)
        with self.loop.store.step():
            self.urgency.take_search(found, self.loop.clock.now())

    def tell(self) -> None:
        """As at every tick."""
        with self.loop.store.step():
            self.urgency.tell(self.loop.judge.flights.values(), self.loop.clock.now())

    def alerts(self) -> list[str]:
        """What people were told."""
        bodies = [signed.entry.body for signed in self.loop.store.entries()]
        return [str(b["note"]) for b in bodies if b.get("alert") and "exploited" in str(b["note"])]


@pytest.fixture
def desk(start):
    """Release 2 is being tried."""
    loop = start(20, soak="30m")
    loop.settle_in()
    loop.publish("2")
    return Desk(loop)


def test_a_release_that_names_what_is_exploited_is_told_once_and_moves_no_door(desk):
    """Whoever is woken reads what to type; whether to type it is theirs."""
    before, board = desk.loop.door(2), desk.loop.store.board()
    desk.look(Look(LIST))
    desk.find(2, LOG4J, XZ)

    desk.tell()
    desk.tell()

    (alert,) = desk.alerts()
    assert "CVE-2021-44228 Log4Shell (listed 2021-12-10, by ransomware too)" in alert
    assert XZ not in alert
    assert f"firedoor release expedite {desk.loop.release_of(2)[:12]} --budget N --for 4h" in alert
    assert (desk.loop.door(2), desk.loop.store.board()) == (before, board)


def test_what_comes_on_the_list_later_is_told_then(desk):
    """The hole is often known to be used after its fix was published."""
    desk.look(Look(LIST))
    desk.find(2, XZ)
    desk.tell()
    assert desk.alerts() == []

    more = Catalogue("2", (*LIST.entries, Exploited(XZ, "", "2026-11-22")))
    desk.look(Look(more))
    desk.tell()

    (alert,) = desk.alerts()
    assert "CVE-2024-3094 (listed 2026-11-22)" in alert


@pytest.mark.parametrize("verb", ["hold", "shut"])
def test_a_release_that_is_held_or_shut_is_not_suggested_to_be_hurried(desk, verb):
    """Somebody has stopped it, and an alert must not talk anybody out of that."""
    desk.loop.order(verb, release=desk.loop.release_of(2), reason="it breaks logins")
    desk.look(Look(LIST))
    desk.find(2, LOG4J)

    desk.tell()

    assert desk.alerts() == []


def test_a_release_that_is_open_needs_no_hurry(desk):
    """Everybody gets it."""
    until(desk.loop, 2, State.OPEN, most=400)
    desk.look(Look(LIST))
    desk.find(2, LOG4J)

    desk.tell()

    assert desk.alerts() == []


def test_the_last_good_list_stays_when_a_look_fails_and_the_third_failure_is_told(desk):
    """One lost look is the network's weather; three are a broken address."""
    desk.look(Look(LIST))
    for _ in range(4):
        desk.look(Look(None, "there is no such file"))
    desk.find(2, LOG4J)
    desk.tell()

    told = desk.alerts()
    (failed,) = (each for each in told if "cannot be read" in each)
    assert failed.endswith("there is no such file; the last good one goes on being used")
    assert any("Log4Shell" in each for each in told)
    state = read_state(desk.loop.store.feed())
    assert (state.entries, state.version, state.failures) == (1, "1", 4)
    desk.look(Look(LIST))
    assert any("is read again" in each for each in desk.alerts())
    assert read_state(desk.loop.store.feed()).failures == 0


def test_what_has_left_the_list_is_not_told_any_more(desk):
    """Lists are corrected, too."""
    desk.look(Look(LIST))
    desk.look(Look(Catalogue("2", (Exploited(XZ, "", "2026-11-22"),))))
    desk.find(2, LOG4J)

    desk.tell()

    assert desk.alerts() == []


def test_a_release_is_searched_once_and_the_first_of_a_channel_never(desk):
    """What was there before Firedoor brings nothing new."""
    flights = [desk.loop.flight(1), desk.loop.flight(2)]
    one, two = desk.loop.release_of(1), desk.loop.release_of(2)
    assert desk.urgency.unsearched(flights) == [(AV, one, two)]

    desk.find(2, error="the bytes of a.rules cannot be read")

    assert desk.urgency.unsearched(flights) == []
    assert any("was not searched for CVEs: the bytes" in note for note in desk.loop.notes())


def test_what_a_vendor_calls_a_file_cannot_stop_the_judge(desk):
    """Names of files need not be text; an entry of the ledger has to be."""
    with desk.loop.store.step():
        now = desk.loop.clock.now()
        wild = "a\udcff.rules"
        desk.urgency.take_search(Searched(desk.loop.release_of(2), {LOG4J: wild}, wild * 400), now)

    assert desk.loop.store.named(desk.loop.release_of(2)) == [(LOG4J, "a?.rules")]


def test_a_list_of_a_thousand_fits_into_an_entry(desk):
    """A first release of rules may name half of what is known."""
    many = [f"CVE-2021-{number}" for number in range(10_000, 11_000)]
    entries = tuple(Exploited(cve, "火" * 160, "2021-12-10") for cve in many)
    desk.look(Look(Catalogue("1", entries)))
    desk.find(2, *many)

    desk.tell()
    desk.tell()

    (alert,) = desk.alerts()
    assert "and 995 more" in alert


def test_a_person_may_name_what_the_content_does_not(desk):
    """Debian's indices name no vulnerability, and its advisories do."""
    desk.look(Look(LIST))
    order = {"release": desk.loop.release_of(2), "reason": "DSA-5020", "cves": [LOG4J.lower()]}

    answer = desk.loop.order("note", **order)
    desk.tell()

    assert answer.status == "ok"
    assert desk.loop.store.named(desk.loop.release_of(2)) == [(LOG4J, "Amira")]
    assert len(desk.alerts()) == 1
    assert at(desk.loop, 2)[0] is State.OPENING


@pytest.mark.parametrize("cves", [[], ["CVE-2021"], [f"CVE-2021-{n}" for n in range(1000, 1051)]])
def test_a_note_names_a_few_identifiers_that_are_some(desk, cves):
    """A typing error is told to whoever made it."""
    order = {"release": desk.loop.release_of(2), "reason": "x", "cves": cves}

    assert desk.loop.order("note", **order).status == "BadInput"
    assert desk.loop.store.named(desk.loop.release_of(2)) == []
