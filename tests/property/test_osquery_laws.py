"""Laws of what osquery sends: whatever comes, the answer is clear and nothing breaks."""

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firedoor.core.errors import FiredoorError
from firedoor.formats import osquery as api

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=40)
)
COLUMNS = st.dictionaries(st.text(max_size=12), SCALARS, max_size=5)
JSON = st.recursive(
    SCALARS, lambda of: st.lists(of, max_size=4) | st.dictionaries(st.text(max_size=8), of)
)
KINDS = st.sampled_from([api.Enrolling, api.Asking, api.Logging, api.Writing])
LINE = st.fixed_dictionaries(
    {},
    optional={
        "name": st.text(max_size=8) | JSON,
        "hostIdentifier": st.text(max_size=8) | JSON,
        "unixTime": st.integers(-5, 2**70) | st.text(max_size=14) | JSON,
        "action": st.sampled_from(["added", "removed", "snapshot", "x"]) | JSON,
        "columns": COLUMNS | JSON,
        "snapshot": st.lists(COLUMNS, max_size=3) | JSON,
        "diffResults": st.fixed_dictionaries({"added": st.lists(COLUMNS, max_size=3)}) | JSON,
    },
)


@given(st.binary(max_size=400) | JSON.map(lambda value: json.dumps(value).encode()), KINDS)
def test_a_body_is_read_or_refused_and_nothing_else(body, kind):
    """Anybody on the network may post anything."""
    with contextlib.suppress(FiredoorError):
        assert isinstance(api.request(body, kind), kind)


@given(st.lists(LINE, max_size=6))
def test_each_line_is_taken_or_named(lines):
    """A line is never passed over in silence, and never keeps the next one back."""
    body = json.dumps({"data": lines}).encode()

    found = list(api.results(api.request(body, api.Logging).data))

    assert len(found) == len(lines)
    for at, one in enumerate(found, 1):
        if isinstance(one, api.BadLine):
            assert (one.line, bool(one.error)) == (at, True)
        else:
            assert one.time_ms >= 0
            assert all(isinstance(v, str) for row in one.rows for v in row.values())
            for row in one.rows:
                moment = api.moment_ms(row)
                assert moment is None or moment >= 0
                assert len(api.row_key(one.query, one.time_ms, row)) == 32


@given(st.dictionaries(st.text(max_size=8), st.text(max_size=8), max_size=5), st.data())
def test_a_row_has_one_key_and_another_row_another(row, data):
    """A crash that is sent again counts once, and two crashes count twice."""
    other = data.draw(
        st.dictionaries(st.text(max_size=8), st.text(max_size=8), max_size=5).filter(
            lambda drawn: drawn != row
        )
    )

    key = api.row_key("q", 1, row)

    assert key == api.row_key("q", 1, dict(reversed(row.items())))
    assert key != api.row_key("q", 1, other)
    assert key != api.row_key("q", 2, row)


@pytest.mark.parametrize(
    ("said", "means"),
    [
        ("2024-07-19T04:09:00.1234567Z", 1_721_362_140_123),
        ("2024-07-19 04:09:00 UTC", 1_721_362_140_000),
        ("2024-07-19T06:09:00+02:00", 1_721_362_140_000),
        ("Fri Jul 19 04:09:00 2024", None),
        ("9999-99-99", None),
        ("", None),
    ],
)
def test_both_ways_in_which_tables_of_events_tell_the_time_are_read(said, means):
    """windows_eventlog gives ten millionths of a second, windows_crashes a blank and UTC."""
    assert api.moment_ms({"datetime": said}) == means
