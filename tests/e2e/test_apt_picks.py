"""Single packages before the rest of a release, with an unmodified apt."""

import json
from pathlib import Path

from tests.apt_fleet import Fleet, policy, up
from tests.office import until


def test_a_package_is_picked_from_a_release_in_flight_and_the_rest_comes_after_it(
    tmp_path: Path,
) -> None:
    """A fix for a hole under attack must not wait for the thirty other updates beside it."""
    fleet = Fleet(tmp_path, signs=True)
    site, archive = fleet.site, fleet.archive
    with up(fleet):
        apt = fleet.machine("web-1")
        assert apt.run("install", "tool", "other").returncode == 0
        archive.add("tool", "1.1")
        archive.add("other", "4")
        archive.publish()
        newer = site.synced()
        assert site.door(newer)[0] == "opening"

        said = site.act("channel", "pick", "debian", "tool", "--json")
        assert said.code == 0, said.err
        picked = json.loads(said.out)["release"]
        assert "with tool 1.1; it boards next" in json.loads(said.out)["sentence"]
        until(lambda: site.ask("release", "show", picked).code == 0)
        assert site.act("release", "expedite", picked, "--all").code == 0
        until(lambda: "Inst tool" in policy(apt))
        assert "Inst other" not in policy(apt)
        assert apt.run("upgrade").returncode == 0
        assert (apt.has("tool"), apt.has("other")) == ("1.1", "3")
        assert "Amira picked tool 1.1 of release" in site.ask("ledger", "show").out

        # What upstream offers boards again after it, and goes through the doors as ever.
        assert site.synced() == newer
        until(lambda: site.ask("release", "show", newer).code == 0)
        until(lambda: site.act("release", "expedite", newer, "--all").code == 0)
        until(lambda: "Inst other" in policy(apt))
        assert apt.run("upgrade").returncode == 0
        assert (apt.has("tool"), apt.has("other")) == ("1.1", "4")
        for words in (("ledger", "verify"), ("verdict", "replay", "--all")):
            said = site.ask(*words)
            assert said.code == 0, said.err


def test_two_packages_that_are_picked_one_after_the_other_both_come(tmp_path: Path) -> None:
    """The second order must not undo the first, which is still being tried."""
    fleet = Fleet(tmp_path, signs=True)
    site, archive = fleet.site, fleet.archive
    with up(fleet):
        apt = fleet.machine("web-1")
        assert apt.run("install", "tool", "other").returncode == 0
        archive.add("tool", "1.1")
        archive.add("other", "4")
        archive.add("third", "1")
        archive.publish()
        site.synced()
        assert site.act("channel", "pick", "debian", "tool").code == 0
        again = site.act("channel", "pick", "debian", "other", "--json")
        assert again.code == 0, again.err
        picked = json.loads(again.out)["release"]
        until(lambda: site.ask("release", "show", picked).code == 0)
        assert site.act("release", "expedite", picked, "--all").code == 0
        until(lambda: "Inst other" in policy(apt))
        assert apt.run("upgrade").returncode == 0
        assert (apt.has("tool"), apt.has("other")) == ("1.1", "4")
        assert apt.run("install", "third").returncode == 100


def test_a_release_that_is_held_is_decided_about_before_it_is_picked_from(tmp_path: Path) -> None:
    """Else it would board again after the pick, and nobody would remember the hold."""
    fleet = Fleet(tmp_path, signs=True)
    site, archive = fleet.site, fleet.archive
    with up(fleet):
        apt = fleet.machine("web-1")
        assert apt.run("install", "tool", "other").returncode == 0
        archive.add("tool", "1.1")
        archive.add("other", "4")
        archive.publish()
        bad = site.synced()
        assert site.act("release", "hold", bad).code == 0

        said = site.act("channel", "pick", "debian", "tool")
        assert (said.code, "is held (person)" in said.err) == (1, True)
        assert site.act("release", "shut", bad).code == 0
        assert site.act("channel", "pick", "debian", "tool", "--from", bad).code == 0
        until(lambda: site.newest() != bad)
        assert site.act("release", "expedite", site.newest(), "--all").code == 0
        until(lambda: "Inst tool" in policy(apt))
        assert apt.run("upgrade").returncode == 0
        assert (apt.has("tool"), apt.has("other")) == ("1.1", "3")


def test_what_cannot_be_picked_is_refused_and_says_why(tmp_path: Path) -> None:
    """Each mistake that a person makes in a hurry."""
    fleet = Fleet(tmp_path, signs=True)
    site, archive = fleet.site, fleet.archive
    with up(fleet):
        archive.add("tool", "1.1", fields="Depends: other (>= 4)\n")
        archive.add("other", "4")
        archive.publish()
        site.synced()

        def refused(*words: str) -> str:
            said = site.act("channel", "pick", *words)
            assert said.code != 0
            return said.err

        assert "no package nano" in refused("debian", "nano")
        assert "tool needs other (>= 4)" in refused("debian", "tool")
        assert "no release of debian begins with" in refused("debian", "tool", "--from", "123456")
        assert "no channel" in refused("nothing", "tool")


def test_where_the_vendor_signs_nothing_can_be_picked(tmp_path: Path) -> None:
    """An index that is changed would have no signature that a machine believes."""
    fleet = Fleet(tmp_path)
    with up(fleet):
        said = fleet.site.act("channel", "pick", "debian", "tool")

    assert said.code != 0
    assert "not ours to sign" in said.err
    assert "sign" in said.err
