import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.clocks import HandClock
from tests.unit.wire.site import BUCKET_MS, CHANNEL, ROUND_MS, Site

from firedoor.config import from_text
from firedoor.console.model import Arm, Condition, DoorView, ExposureView, Judgement, ReleaseView
from firedoor.core.door import Reason, State
from firedoor.core.verdict import fold, verdict
from firedoor.wire.files import Files
from firedoor.wire.views import Views

EVERYONE = "everyone"


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    site = Site(tmp_path)
    yield site
    site.close()


def board_release(site: Site, version: str) -> str:
    """Publish, and go on until the first machines have it."""
    release = site.publish(version)
    number = len(site.views.releases(CHANNEL)) + 1
    for _ in range(8):
        site.round()
        if site.treated(number):
            return release
    raise AssertionError("nobody was admitted")


def door_of(site: Site, release: str) -> DoorView:
    view = site.views.release(release)
    assert view is not None
    return view.door[EVERYONE]


def go_on_until(site: Site, release: str, *states: State, bricked: bool = False) -> ReleaseView:
    """Let rounds pass until the door is there; what is bricked falls silent once it has it."""
    for _ in range(40):
        number = next((v.number for v in site.views.releases(CHANNEL) if v.id == release), 0)
        treated = set(site.treated(number)) if bricked and number else set()
        site.round(treated.__contains__)
        view = site.views.release(release)
        if view is not None and view.door[EVERYONE].state in states:
            return view
    raise AssertionError("the door never got there")


def exposure(site: Site, release: str, machine: int) -> ExposureView:
    (found,) = [e for e in site.views.machines(release, 1000) if e.machine == site.name(machine)]
    return found


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


def test_machines_that_went_silent_are_named_and_need_a_remedy(site: Site) -> None:
    """No server heals a machine that no longer asks: the operator needs exactly this list."""
    site.settle_in()
    third = board_release(site, "3")
    bricked = {site.name(machine) for machine in site.treated(2)}

    view = go_on_until(site, third, State.SHUT, bricked=True)

    door = view.door[EVERYONE]
    assert (door.reason, view.verdict.state) == (Reason.HARMFUL, Judgement.HARMFUL)
    assert view.verdict.log_e_harm >= view.thresholds.log_e_shut
    assert (view.harmed, door.matured, door.in_flight) == (3, 0, 0)
    harmed = site.views.machines(third, 1000, "", Condition.HARMED)
    assert {each.machine for each in harmed} == bricked
    assert {(e.arm, e.harm, e.undo) for e in harmed} == {(Arm.TREATED, "silence", "needs remedy")}
    others = [e for e in site.views.machines(third, 1000) if e.machine not in bricked]
    assert len(others) == 27
    assert {(e.arm, e.undo) for e in others} == {(Arm.CONTROL, "")}


def test_a_machine_is_called_reverted_only_when_it_lives_on_after_it_got_the_old_version(
    site: Site,
) -> None:
    """Promise 11: an order to go back is not a machine that went back."""
    site.settle_in()
    second = board_release(site, "2")
    machine = site.treated(2)[0]
    undone = []

    site.order("shut", release=second, reason="looks wrong")
    site.tick()
    undone.append(exposure(site, second, machine).undo)
    site.poll([machine])
    site.flush()
    undone.append(exposure(site, second, machine).undo)
    site.pass_ms(3 * BUCKET_MS)
    undone.append(exposure(site, second, machine).undo)
    site.poll([machine])
    site.pass_ms(BUCKET_MS)
    undone.append(exposure(site, second, machine).undo)

    assert undone == ["contained", "contained", "contained", "reverted"]


def test_a_machine_that_does_not_ask_again_in_time_needs_a_remedy(site: Site) -> None:
    """Whoever usually polls each minute and has not for an hour will not come by itself."""
    site.settle_in()
    second = board_release(site, "2")
    missing, *present = site.treated(2)
    site.order("shut", release=second, reason="looks wrong")

    for _ in range(6):
        site.round({missing}.__contains__)

    assert exposure(site, second, missing).undo == "needs remedy"
    assert {exposure(site, second, machine).undo for machine in present} == {"reverted"}


def test_what_a_pin_leaves_behind_is_undone_like_what_was_shut(site: Site) -> None:
    """Pinning an older release is a revert, and has to be as truthful about it."""
    first = site.settle_in()
    second = board_release(site, "2")
    machine = site.treated(2)[0]
    before = exposure(site, second, machine).undo

    site.order("pin", release=first, channel=CHANNEL, reason="back to what we know")
    pinned = exposure(site, second, machine).undo
    for _ in range(3):
        site.round()

    assert (before, pinned) == ("", "contained")
    assert exposure(site, second, machine).undo == "reverted"


def test_what_the_gate_knew_before_a_crash_is_no_sign_of_going_back(site: Site) -> None:
    """It must not be told as reverted.

    Places are durable at once, standings once a bucket: after a crash of the gate a machine may
    stand at the old version in the books and have the new one on its disk.
    """
    site.settle_in()
    second = site.publish("2")
    for _ in range(8):
        site.poll(site.machines)
        site.flush(without_standings=True)
        site.tick()
        site.pass_ms(ROUND_MS)
        if site.treated(2):
            break
    machine = site.treated(2)[0]

    site.order("shut", release=second, reason="looks wrong")
    site.pass_ms(BUCKET_MS)

    assert exposure(site, second, machine).undo == "contained"


def test_a_machine_that_was_given_the_old_version_and_died_of_it_needs_a_remedy(site: Site) -> None:
    """A late brick: the last thing it did was to ask, and it has been silent since."""
    site.settle_in()
    second = board_release(site, "2")
    machine = site.treated(2)[0]
    site.order("shut", release=second, reason="looks wrong")
    site.poll([machine])

    for _ in range(4):
        site.round({machine}.__contains__)

    assert exposure(site, second, machine).undo == "needs remedy"


def test_harm_is_told_in_the_word_of_the_machine_that_suffered_it(site: Site) -> None:
    """The evidence has a stream "crash"; a person wants to know that it was a kernel panic."""
    site.begin_to_beat()
    site.settle_in()
    site.publish("2")
    site.round()
    site.poll(site.machines)
    site.pass_ms(BUCKET_MS)
    machine = site.treated(2)[0]

    site.signal(machine, "panic")
    site.tick()

    (harmed,) = site.views.machines(site.views.releases(CHANNEL)[0].id, 10, "", Condition.HARMED)
    assert (harmed.machine, harmed.harm, harmed.undo) == (site.name(machine), "panic", "")
    seen = site.views.machine(site.name(machine))
    assert seen is not None
    assert seen.heartbeats
    assert seen.last_seen_ms == site.clock.wall_ms


def test_machines_come_by_name_in_pages_that_neither_repeat_nor_skip(site: Site) -> None:
    """A script walks a large fleet page by page."""
    site.settle_in()
    second = board_release(site, "2")

    pages, after = [], ""
    while page := site.views.machines(second, 7, after):
        pages.append([each.machine for each in page])
        after = page[-1].machine

    assert [name for page in pages for name in page] == [site.name(m) for m in site.machines]
    assert {len(page) for page in pages[:-1]} == {7}
    in_flight = site.views.machines(second, 1000, "", Condition.IN_FLIGHT)
    everyone = site.views.machines(second, 1000)
    assert in_flight == [each for each in everyone if each.state is Condition.IN_FLIGHT]


def test_a_machine_shows_its_ring_what_it_is_served_and_all_its_releases(site: Site) -> None:
    """The page a person opens when one till is broken."""
    first = site.settle_in()
    second = board_release(site, "2")
    treated, control = site.treated(2)[0], 0
    control = next(m for m in site.machines if m not in site.treated(2))

    views = [site.views.machine(site.name(machine)) for machine in (treated, control)]

    assert views[0] is not None and views[1] is not None
    assert [v.serving for v in views if v] == [{CHANNEL: second}, {CHANNEL: first}]
    assert [e.release for e in views[0].exposures] == [second, first]
    assert [v.exposures[0].arm for v in views if v] == [Arm.TREATED, Arm.CONTROL]
    assert views[0].attributes == {"site": "prague"}
    assert views[0].rings == {CHANNEL: EVERYONE}
    assert site.views.machine("nobody") is None


def test_a_revoked_machine_can_still_be_looked_up(site: Site) -> None:
    """What happened on it stays on record."""
    site.settle_in()
    site.register.revoke("till-05", site.clock.now().wall_ms)

    view = site.views.machine("till-05")

    assert view is not None
    assert view.revoked
    assert len(view.exposures) == 1


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
