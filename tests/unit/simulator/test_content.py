"""The bytes of a release, and what they do to the machine that loads them."""

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firedoor.core.errors import BadInput
from firedoor.simulator.content import (
    LIST,
    RULES,
    Defect,
    Outcome,
    compose,
    digest_of,
    load,
    read_list,
    write_list,
)


def _load(files: dict[str, bytes]) -> Outcome:
    return load(files[path] for path in sorted(files) if path.startswith(RULES))


@pytest.mark.parametrize(
    ("defect", "outcome"),
    [("none", Outcome.RUNS), ("crash", Outcome.CRASHES), ("brick", Outcome.BRICKS)],
)
def test_what_a_release_does_to_a_machine_is_in_its_rules(defect: Defect, outcome: Outcome) -> None:
    """If harm were a flag beside the content, the demo would show nothing."""
    files = compose("7", defect=defect, size=100, seed=1)

    assert _load(files) is outcome


def test_a_defect_shows_in_nothing_but_one_line_of_one_file() -> None:
    """No name, size or version file may give away what only loading can find out."""
    good = compose("7", defect="none", size=100, seed=1)

    defects = get_args(Defect)
    assert len(defects) > 1
    for defect in defects:
        bad = compose("7", defect=defect, size=100, seed=1)
        differing = [path for path in good if good[path] != bad[path]]
        assert good.keys() == bad.keys()
        assert differing == ([] if defect == "none" else [f"{RULES}rules-0004.txt"])


def test_the_next_version_leaves_something_that_need_not_be_fetched_again() -> None:
    """Conditional requests and shared files would go untested otherwise."""
    old, new = (compose(version, defect="none", size=100, seed=1) for version in "12")

    assert any(old[path] == new[path] for path in old)
    assert any(old[path] != new[path] for path in old)


def test_a_release_is_a_function_of_its_arguments() -> None:
    """A rehearsal must be repeatable byte by byte."""
    once, again = (compose("1", defect="brick", size=5000, seed=3) for _ in range(2))

    assert once == again
    assert compose("1", defect="brick", size=5000, seed=4) != once
    assert len(once["engine/detector.bin"]) == 5000


def test_a_rule_that_ruins_the_driver_outweighs_one_that_ends_the_service() -> None:
    """The order of the lines must not decide whether a machine survives."""
    ends, ruins = b"alert 1 field 3 value\n", b"alert 2 field 21 value 2a\n"

    assert load([ends, ruins]) is Outcome.BRICKS
    assert load([ruins, ends]) is Outcome.BRICKS


@given(st.lists(st.binary(), max_size=5))
def test_loading_survives_bytes_that_are_no_rules(texts: list[bytes]) -> None:
    """The simulated machine may brick; the simulator may not."""
    assert load(texts) in Outcome


@given(
    st.dictionaries(
        st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1),
        st.binary(max_size=20),
        min_size=1,
    )
)
def test_what_a_vendor_lists_a_machine_reads_back(files: dict[str, bytes]) -> None:
    """The two ends of the list are written apart, so they are held together here."""
    read = read_list(write_list(files))

    assert read == {path: digest_of(data) for path, data in files.items()}


@pytest.mark.parametrize("text", [b"", b"<html>404</html>\n", b"abc  x\n", b"g" * 64 + b"  x\n"])
def test_a_list_that_is_none_is_refused(text: bytes) -> None:
    """An error page in place of a list must not look like an empty release."""
    with pytest.raises(BadInput, match=LIST):
        read_list(text)
