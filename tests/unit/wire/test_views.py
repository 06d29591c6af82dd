"""Channels, releases, doors, verdicts and decisions as the console and the CLI show them."""

import hashlib
from pathlib import Path

from tests.clocks import HandClock
from tests.unit.wire.site import CHANNEL, Site
from tests.unit.wire.watching import EVERYONE, board_release, door_of, go_on_until

from firedoor.config import from_text
from firedoor.console.model import Arm, Condition, Judgement
from firedoor.core.door import Reason, State
from firedoor.core.verdict import fold, verdict
from firedoor.wire.files import Files
from firedoor.wire.views import Views


def test_before_any_role_has_run_the_console_shows_the_configured_channels(tmp_path: Path) -> None:
    """It may be the first process to start: an empty page is right, an error is not."""
    config = from_text(
        '[[channel]]\nname = "a"\nkind = "files"\nupstream = "/srv/a"\n', base=tmp_path
    )

    views = Views(config, Files(tmp_path), HandClock())

    (channel,) = views.channels()
    assert (channel.name, channel.serving, channel.machines) == ("a", None, 0)
    assert "judge has not run" in channel.state
    assert not any([views.releases("a"), views.match(""), views.decisions(-1, 10)])
    assert not any([views.release("0" * 64), views.verdict("0" * 64), views.machine("m")])
    assert not any([views.machines("0" * 64, 10), views.track("0" * 64)])
    assert views.last_index() == -1
    assert views.version() == views.version()


def test_an_adopted_release_claims_nothing_and_counts_whom_it_reached(site: Site) -> None:
    """It was there before Firedoor: exposed machines are a fact, a verdict would be a lie."""
    first = site.settle_in()

    view = site.views.release(first)

    assert view is not None
    assert (view.number, view.previous, view.artefacts.added) == (1, "", 2)
    assert (view.door[EVERYONE].state, view.door[EVERYONE].reason) == (State.OPEN, Reason.ADOPTED)
    assert view.exposed == view.door[EVERYONE].machines == 30
    assert view.harmed == 0
    assert view.verdict.state is Judgement.UNDECIDED
    assert view.verdict.forecast_s is None
    claimed = site.views.verdict(first)
    assert claimed is not None
    assert claimed.randomised is None
    (channel,) = site.views.channels()
    assert (channel.serving, channel.in_flight, channel.machines) == (first, None, 30)
    assert channel.state.startswith("following upstream; ")


def test_a_release_in_flight_shows_what_it_is_and_where_it_stands(site: Site) -> None:
    """The page's main figures, each from what the judge has stored and nothing else."""
    first = site.settle_in()
    second = board_release(site, "2")

    view = site.views.release(second)

    assert view is not None
    assert (view.number, view.previous, view.channel) == (2, first, CHANNEL)
    assert (view.artefacts.changed, view.artefacts.added, view.artefacts.removed) == (1, 0, 0)
    assert view.size_bytes == len("2") + len("always the same")
    door = view.door[EVERYONE]
    assert (door.state, door.budget, door.window, door.machines) == (State.OPENING, 3, 3, 30)
    assert door.admitted == view.exposed == len(site.treated(2)) == 3
    assert door.in_flight + door.matured + door.harmed == door.admitted
    assert door.control > 0
    (channel,) = site.views.channels()
    assert (channel.serving, channel.in_flight) == (first, second)
    assert channel.state == f"following upstream; release {second[:12]} is in flight"
    assert site.views.match(second[:8]) == [second]


def test_a_forecast_is_told_as_soon_as_machines_mature_and_no_longer_than_it_is_open(
    site: Site,
) -> None:
    """Everybody asks how long yet; a door that has ended has nothing to wait for."""
    site.settle_in()
    second = board_release(site, "2")
    begun = site.views.release(second)

    while door_of(site, second).harm_upper == 1.0:
        site.round()
    later = site.views.release(second)
    opened = go_on_until(site, second, State.OPEN)

    assert begun is not None and later is not None
    assert begun.verdict.forecast_s is None
    assert later.verdict.forecast_s is not None
    assert 0 < later.verdict.forecast_s < 24 * 3600
    assert opened.verdict.forecast_s is None


def test_once_a_door_is_open_everybody_who_gets_the_release_counts_as_admitted(
    tmp_path: Path,
) -> None:
    """Whom it reached has to be answered in full, not only for those who drew a card."""
    site = Site(tmp_path, policy="delta = 0.3")
    site.settle_in()
    second = board_release(site, "2")
    go_on_until(site, second, State.OPEN)
    dealt = len(site.treated(2))

    site.round()

    door = door_of(site, second)
    assert door.reason is Reason.CLEARED
    assert dealt < 30
    assert (door.admitted, door.matured, door.in_flight) == (30, dealt, 0)
    later = [e for e in site.views.machines(second, 1000) if e.arm is Arm.LATER]
    assert len(later) == 30 - dealt
    assert all(e.deck is None and e.state is Condition.HEALTHY for e in later)
    site.close()


def test_the_verdict_can_be_computed_again_from_the_cells_it_shows(site: Site) -> None:
    """Whoever does not trust the judge adds the cells up and gets the same numbers."""
    site.settle_in()
    third = board_release(site, "3")
    go_on_until(site, third, State.SHUT, bricked=True)
    boarding = site.store.boarding(CHANNEL, 2)

    view = site.views.verdict(third)

    assert view is not None and boarding is not None
    again = verdict(fold(boarding.rules, view.cells))
    assert (view.log_e_harm, view.harm_upper) == (again.log_e_harm, again.harm_upper)
    assert view.state.value == again.state.value == "harmful"
    silence, *_, clearance = view.streams
    assert (silence.test, silence.signal, silence.watched) == ("harm", "silence", True)
    assert view.randomised is True
    cells = [cell for cell in view.cells if cell.signal == "silence"]
    assert silence.treated_harmed == sum(cell.treated_harmed for cell in cells) == 3
    assert (clearance.test, clearance.treated) == ("clearance", again.matured.treated)
    assert view.alpha_harm == boarding.rules.alpha_harm
    assert "harm is proved" in view.sentence


def test_every_entry_of_the_ledger_is_told_as_a_sentence_in_order(site: Site) -> None:
    """The record is for people too, and a stream that comes back must miss nothing."""
    first = site.settle_in()
    second = board_release(site, "2")
    site.order("hold", release=second, reason="two sites are slow")
    site.order("resume", release=second, reason="it was the network")
    site.order("shut", release=second, reason="no, it was not")
    site.order("expedite", release=second, reason="the fix is worse", budget=4)
    site.order("expedite", release=second, reason="all of it", all=True)

    told = site.views.decisions(-1, 100)

    assert [each.index for each in told] == list(range(len(told)))
    assert site.views.last_index() == told[-1].index
    assert site.views.decisions(told[1].index, 2) == told[2:4]
    adopted, past, boarded, held, resumed, shut, expedited, opened, revealed = told
    assert (past.kind, past.release) == ("seed-revealed", first)
    assert (adopted.kind, adopted.release, adopted.number) == ("boarded", first, 1)
    assert "harm budget of 3" in boarded.sentence and "below 10 %" in boarded.sentence
    assert held.sentence == "Amira holds it: nobody new gets it; two sites are slow"
    assert (held.state, held.reason, held.by) == (State.HELD, Reason.PERSON, "Amira")
    assert resumed.sentence.startswith("Amira let it go on")
    assert shut.sentence.startswith("Amira shut it")
    assert (revealed.kind, revealed.release, revealed.state) == ("seed-revealed", second, None)
    assert expedited.sentence.startswith("Amira widened the harm budget to 7")
    assert opened.state is State.OPEN


def test_the_curve_is_that_of_the_judge_to_its_newest_point(site: Site) -> None:
    """The picture must not end before the decision that it explains."""
    site.settle_in()
    second = board_release(site, "2")
    begun = site.views.track(second)

    site.round()
    site.round()

    track = site.views.track(second)
    assert track[: len(begun)] == begun
    assert len(track) == len(site.store.track(CHANNEL, 2)) > len(begun)
    assert track[-1].admitted == door_of(site, second).admitted
    assert [p.time_ms for p in track] == sorted(p.time_ms for p in track)


def test_a_failing_upstream_is_told_with_since_when_and_what_is_served_meanwhile(
    site: Site,
) -> None:
    """Fail static is only a comfort to those who are told."""
    first = site.settle_in()

    site.fail_upstream("connection refused")
    site.fail_upstream("connection refused")

    (channel,) = site.views.channels()
    assert channel.last_error == "connection refused"
    assert channel.state == (
        "upstream has failed 2 times in a row, since 2024-07-19 04:09:00Z: connection refused; "
        f"the last good release {first[:12]} goes on being served"
    )


def test_a_full_disk_is_not_said_to_be_the_vendors_fault(site: Site) -> None:
    """Whoever writes to the vendor about it loses a day."""
    site.settle_in()
    site.fail_upstream("storage: nothing new is stored: free some space on the disk")
    site.fail_upstream("storage: nothing new is stored: free more space on the disk")

    (channel,) = site.views.channels()
    notes = [each.entry.body for each in site.store.entries(after=-1) if "note" in each.entry.body]
    told = [body for body in notes if str(body["note"]).startswith("storage: ")]

    assert channel.state.startswith("nothing could be stored 2 times in a row, since ")
    assert "upstream has failed" not in channel.state
    assert [body["alert"] for body in told] == [True]


def test_a_held_door_says_that_it_waits_for_a_person(site: Site) -> None:
    """Nothing moves until somebody reads this."""
    site.settle_in()
    second = board_release(site, "2")

    site.order("hold", release=second, reason="looking")

    (channel,) = site.views.channels()
    assert channel.state.endswith(f"release {second[:12]} is held (person) and waits for a person")


def test_a_pin_is_told_because_it_stops_the_train(site: Site) -> None:
    """A pin that was forgotten means no updates at all."""
    first = site.settle_in()

    site.order("pin", release=first, channel=CHANNEL, reason="audit week")

    (channel,) = site.views.channels()
    assert f"ring everyone is pinned to release {first[:12]}" in channel.state


def test_snapshots_that_wait_and_those_that_were_passed_over_are_listed(site: Site) -> None:
    """Somebody will ask where the update of Tuesday is."""
    site.settle_in()
    board_release(site, "2")
    third, fourth = site.publish("3"), site.publish("4")

    (busy,) = site.views.channels()
    site.order("hold", release=site.views.releases(CHANNEL)[0].id, reason="enough")
    site.order("shut", release=site.views.releases(CHANNEL)[0].id, reason="enough")
    site.round()
    site.round()
    (free,) = site.views.channels()

    assert busy.waiting == (third, fourth)
    assert (free.in_flight, free.waiting, free.skipped) == (fourth, (), (third,))


def test_an_upstream_is_shown_without_what_may_be_a_secret(site: Site) -> None:
    """A key in the query of a URL must not stand on a page that everyone may read."""
    (channel,) = site.views.channels()

    assert channel.upstream == "https://updates.vendor.example/av/"


def test_the_version_stands_still_until_something_is_written(site: Site) -> None:
    """The page is drawn again for each version: too few hide news, too many burn the machine."""
    site.settle_in()
    before = site.views.version()
    still = [site.views.version() for _ in range(3)]

    site.publish("2")
    judged = site.views.version()
    site.flush()
    heard = site.views.version()
    site.register.set_attributes("till-01", {"site": "brno"})

    assert still == [before] * 3
    assert len({before, judged, heard, site.views.version()}) == 4


def test_doors_come_in_the_order_of_the_configuration(tmp_path: Path) -> None:
    """Lab before offices before everyone: the order of the business, not of the alphabet."""
    rings = '[[ring]]\nname = "offices"\nmachines = { site = ["prague"] }\nafter = "lab"\n'
    rings += '[[ring]]\nname = "lab"\nmachines = { site = ["lab"] }\n'
    site = Site(tmp_path, rings=rings)
    first = site.settle_in(rounds=0)

    view = site.views.release(first)

    assert view is not None
    assert list(view.door) == ["offices", "lab", EVERYONE]
    machine = site.views.machine("till-01")
    assert machine is not None
    assert machine.rings == {CHANNEL: "offices"}
    site.close()


def test_an_unknown_release_has_no_view_and_no_machines(site: Site) -> None:
    """The console answers 404 on None; an error here would be a 500."""
    site.settle_in()
    unknown = hashlib.sha256(b"unknown").hexdigest()

    assert site.views.release(unknown) is None
    assert site.views.verdict(unknown) is None
    assert site.views.machines(unknown, 10) == []
    assert site.views.track(unknown) == []
    assert site.views.match(unknown[:8]) == []


def test_a_long_history_is_told_a_page_at_a_time(site: Site) -> None:
    """Nothing is left out between two pages, and nothing told twice."""
    site.settle_in()
    for version in ("2", "3", "4"):
        release = site.publish(version)
        site.round()
        site.order("pin", release=release, channel=CHANNEL, reason="quick")
        site.order("unpin", channel=CHANNEL, reason="on")
    numbers = [view.number for view in site.views.releases(CHANNEL)]
    assert numbers == [4, 3, 2, 1]

    pages = [site.views.releases(CHANNEL, 2), site.views.releases(CHANNEL, 2, numbers[1])]

    assert [view.number for page in pages for view in page] == numbers
    assert site.views.releases(CHANNEL, 2, 1) == []
