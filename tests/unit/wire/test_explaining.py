"""The facts behind an explanation, from real stores."""

import pytest
from tests.unit.wire.site import Site
from tests.unit.wire.watching import EVERYONE, board_release, go_on_until

from firedoor.config.values import Listen
from firedoor.console.facts import GroupFacts, Limit, Move
from firedoor.core.door import State
from firedoor.wire.alerts import explained_at
from firedoor.wire.explaining import Members, grouped

MODELS = {"model": "R650"}


def by_group(groups) -> dict[str, GroupFacts]:
    return {f"{group.attribute}={group.value}": group for group in groups}


def test_before_anything_boarded_there_is_nothing_to_explain(site: Site) -> None:
    """An unknown release is none."""
    assert site.views.explain("0" * 64) is None


def test_the_groups_that_are_hit_are_told_from_those_that_are_not(site: Site) -> None:
    """Every second machine is another model, and only those fall silent: that is the news."""
    for machine in site.machines[::2]:
        site.register.set_attributes(site.name(machine), {"site": "prague", **MODELS})
    for machine in site.machines[1::2]:
        site.register.set_attributes(site.name(machine), {"site": "prague", "model": "R740"})
    hit = set(site.machines[::2])
    site.settle_in()
    release = site.publish("2")
    for _ in range(12):
        treated = set(site.treated(2)) if site.views.release(release) else set()
        site.round((treated & hit).__contains__)

    facts = site.views.explain(release)

    assert facts is not None
    groups = by_group(facts.groups)
    assert set(groups) == {"model=R650", "model=R740"}  # all are in Prague: that tells nothing
    worst = groups["model=R650"]
    assert worst.treated_harmed == worst.treated > 0
    assert groups["model=R740"].treated_harmed == 0
    assert facts.groups[0] == worst
    treated = set(site.treated(2))
    assert worst.treated == len(treated & hit)
    assert worst.treated + groups["model=R740"].treated == len(treated)


def test_a_name_is_no_group(site: Site) -> None:
    """A serial number sets every machine apart; a table of them would hide what is hit."""
    for machine in site.machines:
        site.register.set_attributes(site.name(machine), {"serial": str(machine), **MODELS})
    found = Members(dict.fromkeys(site.machines[:5], True), dict.fromkeys(site.machines[5:], False))

    assert grouped(site.register, None, found) == []


def test_a_shut_release_says_whom_a_person_has_to_reach(site: Site) -> None:
    """Counted from what was seen, never from what was ordered."""
    site.settle_in()
    release = board_release(site, "2")
    view = go_on_until(site, release, State.SHUT, State.HELD, bricked=True)
    assert view.door[EVERYONE].state is State.SHUT

    facts = site.views.explain(release)

    assert facts is not None
    undoing = facts.undoing
    assert undoing is not None
    assert undoing.needs_remedy == facts.release.harmed > 0
    assert undoing.looked_at == undoing.contained + undoing.reverted + undoing.needs_remedy
    moves = [each.move for each in facts.advice]
    assert moves[:3] == [Move.CONTAINED, Move.REVERT, Move.REMEDY]
    assert Move.CONTAIN not in moves
    assert facts.change is None


def test_a_release_in_flight_can_be_held_before_anything_else(site: Site) -> None:
    """What is easily taken back comes before what is not."""
    site.settle_in()
    release = board_release(site, "2")

    facts = site.views.explain(release)

    assert facts is not None
    moves = [each.move for each in facts.advice]
    assert moves == [Move.LIST, Move.HOLD, Move.CONTAIN, Move.EXPEDITE]
    assert all(each.command.split()[3] == release[:12] for each in facts.advice)
    assert Limit.SHARED in facts.limits
    assert facts.track[-1].time_ms <= site.clock.now().wall_ms


@pytest.mark.parametrize("release", [None, "", 7])
def test_an_alert_that_concerns_no_release_has_nothing_to_explain(release: object) -> None:
    """A vendor that does not answer, records that were lost."""
    assert explained_at(release, Listen("127.0.0.1", 8082)) == {}


@pytest.mark.parametrize(
    ("listen", "where"),
    [
        (Listen("127.0.0.1", 8082), f"http://127.0.0.1:8082/releases/{'ab' * 32}/explain"),
        (Listen("::1", 8082), f"http://[::1]:8082/releases/{'ab' * 32}/explain"),
        (Listen("127.0.0.1", 0), "firedoor verdict explain abababababab"),
    ],
)
def test_an_alert_says_where_it_is_explained(listen: Listen, where: str) -> None:
    """Whoever is woken by it should not have to search."""
    assert explained_at("ab" * 32, listen) == {"explain": where}


def test_a_machine_at_risk_is_counted_once_however_often_its_pool_closed(tmp_path) -> None:
    """Groups split a closing into cells, and crashes come one by one; the fleet stays as it is."""
    site = Site(tmp_path, policy='strata = ["model"]')
    for machine in site.machines:
        model = "R650" if machine % 2 else "R740"
        site.register.set_attributes(site.name(machine), {"model": model})
    site.settle_in()
    release = board_release(site, "2")
    go_on_until(site, release, State.SHUT, State.HELD, bricked=True)

    facts = site.views.explain(release)
    site.close()

    assert facts is not None
    exposed = facts.release.exposed
    for signal in facts.signals:
        assert signal.treated <= exposed
        assert signal.treated_harmed <= signal.treated
    silence = facts.signals[0]
    assert silence.treated_harmed == facts.release.harmed > 0
    assert sum(group.treated for group in facts.groups) == exposed
    assert sum(group.treated_harmed for group in facts.groups) == facts.release.harmed
    # Attributes that are watched have evidence of their own, where somebody was harmed.
    assert {g.log_e is not None for g in facts.groups if g.treated_harmed} == {True}
    assert Limit.POOLED not in facts.limits
