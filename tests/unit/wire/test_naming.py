"""The list of harmed groups, from real stores: in the API's verdict and in the explanation."""

import msgspec
from tests.unit.wire.site import Site
from tests.unit.wire.watching import board_release, go_on_until

from firedoor.core.door import State


def two_models(tmp_path) -> tuple[Site, set[int]]:
    """Half of the machines are of one model, half of the other; returns the first half."""
    site = Site(tmp_path, machines=120, policy='strata = ["model"]')
    for machine in site.machines:
        model = "R650" if machine % 2 else "R740"
        site.register.set_attributes(site.name(machine), {"model": model})
    site.settle_in()
    return site, {machine for machine in site.machines if machine % 2}


def test_the_model_that_falls_silent_is_named_and_the_other_is_not(tmp_path) -> None:
    """The operator who reads one line should read which machines to go to."""
    site, hit = two_models(tmp_path)
    release = site.publish("2")
    for _ in range(20):
        treated = set(site.treated(2)) if site.views.release(release) else set()
        site.round((treated & hit).__contains__)

    view, facts = site.views.verdict(release), site.views.explain(release)
    site.close()

    assert view is not None
    assert facts is not None
    assert [(g.signal, g.attribute, g.value) for g in view.guilty] == [("silence", "model", "R650")]
    assert msgspec.json.decode(msgspec.json.encode(view))["guilty"][0]["value"] == "R650"
    assert [group.value for group in facts.groups if group.named] == ["R650"]


def test_a_release_that_does_no_harm_names_nobody(tmp_path) -> None:
    """An empty list, and no group about which it is said that it was looked at and harmed."""
    site, _ = two_models(tmp_path)
    release = board_release(site, "2")
    go_on_until(site, release, State.OPEN)

    view, facts = site.views.verdict(release), site.views.explain(release)
    site.close()

    assert view is not None
    assert facts is not None
    assert view.guilty == ()
    assert not any(group.named for group in facts.groups)
