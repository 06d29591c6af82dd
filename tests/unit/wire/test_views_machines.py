"""Machines as the console and the CLI show them: who was harmed, and how far the undoing is."""

from tests.unit.wire.site import BUCKET_MS, CHANNEL, ROUND_MS, Site
from tests.unit.wire.watching import EVERYONE, board_release, exposure, go_on_until

from firedoor.console.model import Arm, Condition, Judgement
from firedoor.core.door import Reason, State


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
    assert (seen.restarted_ms, seen.volatile) == (None, None)
    site.signal(machine, "booted")
    again = site.views.machine(site.name(machine))
    assert again is not None
    assert again.restarted_ms is not None
    assert again.restarted_ms <= site.clock.wall_ms


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
