"""Strata: attributes in one text, and back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firedoor.core.stratum import stratum_of, values_of

ATTRIBUTES = st.dictionaries(st.text(min_size=1, max_size=8), st.text(max_size=8), max_size=4)


def test_a_stratum_names_what_is_known_in_alphabetical_order() -> None:
    """Two gates must write the same stratum for the same machine."""
    machine = {"site": "Prague", "model": "R650", "owner": "lab"}

    assert stratum_of(machine, ("site", "model", "os")) == "model=R650,site=Prague"
    assert stratum_of({}, ("site",)) == stratum_of(machine, ()) == ""


@given(ATTRIBUTES)
def test_what_was_written_is_read_again(attributes: dict[str, str]) -> None:
    """A site may be called anything, commas and percent signs included."""
    assert values_of(stratum_of(attributes, tuple(attributes))) == attributes


@pytest.mark.parametrize("text", ["site", "=x", "site=a,site=b", "site=a=b", ","])
def test_what_no_stratum_says_is_refused(text: str) -> None:
    """A cell whose stratum cannot be read would count for the wrong machines."""
    with pytest.raises(ValueError, match="no stratum"):
        values_of(text)
