"""Laws of stored lists, whatever machines say they have."""

from hypothesis import given
from hypothesis import strategies as st

from firedoor.formats.inventory import (
    MAX_ITEM_CHARACTERS,
    MAX_ITEMS,
    digest,
    items_of,
    pack,
    unpack,
)

TABLES = ("deb_packages", "rpm_packages", "programs", "patches", "drivers", "os_version", "else")
COLUMNS = ("name", "version", "arch", "hotfix_id", "device_name", "platform")
ROWS = st.lists(st.dictionaries(st.sampled_from(COLUMNS), st.text(max_size=300)), max_size=20)


@given(st.sets(st.integers(0, 2**31), max_size=200))
def test_a_packed_list_is_the_list(numbers):
    """What is stored of a machine is what it said."""
    assert list(unpack(pack(numbers))) == sorted(numbers)


@given(st.binary(max_size=200))
def test_damage_is_found_or_harmless(blob):
    """A file that the disk has changed must not bring the console down."""
    try:
        unpack(blob)
    except ValueError:
        return


@given(st.sampled_from(TABLES), ROWS)
def test_items_are_few_short_printable_and_in_one_order(table, rows):
    """Whatever a machine says, a list of it can be stored, shown, and compared."""
    found = items_of(table, rows)
    if found is None:
        assert table == "else"
        return
    _, items = found
    again = items_of(table, rows if table == "os_version" else rows[::-1])
    assert again is not None
    assert digest(items) == digest(again[1])
    assert len(items) <= MAX_ITEMS
    assert all(item.isprintable() and len(item) > 0 for item in items)
    assert table == "os_version" or all(len(item) <= MAX_ITEM_CHARACTERS for item in items)
