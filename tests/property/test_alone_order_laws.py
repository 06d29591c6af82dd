"""No order of rows, strata or pairs is evidence."""

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firedoor.console import kayenta as remote
from firedoor.core.cell import Cell, Test
from firedoor.core.evidence import series
from firedoor.core.terms import Policy
from firedoor.formats import kayenta
from firedoor.formats.counts import Row, in_time
from firedoor.services import runs
from firedoor.services.alone import judge, question

ASKED = question(Policy(), 1000)
counts = st.tuples(st.integers(0, 6), st.integers(0, 6))
strata = st.lists(counts, min_size=2, max_size=8)


def rows_of(intervals):
    return [
        Row(60_000 * at, "v", "crash", f"s{n}", 20, 20, x1, x0, 20)
        for at, interval in enumerate(intervals)
        for n, (x1, x0) in enumerate(interval)
    ]


@given(intervals=st.lists(strata, min_size=1, max_size=3), data=st.data())
def test_rows_in_any_order_say_the_same_to_the_last_bit(intervals, data):
    """In a file, and in the first rows of a run."""
    rows = rows_of(intervals)
    other = data.draw(st.permutations(rows))

    assert judge(in_time(other), ASKED) == judge(in_time(rows), ASKED)
    fed = (runs.begin("r", some, ASKED, 0) for some in (rows, other))
    assert len({run.rows for run in fed}) == 1


def request(pairs):
    scope = {"startTimeMillis": 0, "stepMillis": 3_600_000}
    at_risk = {"firedoor": {"atRisk": {"control": 20, "experiment": 20}}}
    return kayenta.decode(
        json.dumps(
            {
                "canaryConfig": {
                    "metrics": [
                        {"name": name, "groups": ["g"], "analysisConfigurations": at_risk}
                        for name in ("crash", "silence")
                    ]
                },
                "scoreThresholds": {"pass": 90, "marginal": 50},
                "metricSetPairList": [
                    {
                        "name": name,
                        "id": f"{name}{pod}",
                        "tags": {"pod": pod},
                        "values": {"control": [x0], "experiment": [x1]},
                        "scopes": {"control": scope, "experiment": scope},
                    }
                    for name, pod, (x1, x0) in pairs
                ],
            }
        ).encode()
    )


@settings(deadline=None)
@given(found=strata, data=st.data())
def test_kayentas_pairs_in_any_order_say_the_same(found, data):
    """The order in which a metrics store lists its series may well be by their values."""
    pairs = [(("crash", "silence")[n % 2], f"p{n // 2}", harmed) for n, harmed in enumerate(found)]
    other = data.draw(st.permutations(pairs))

    said, again = (remote.answer(request(some)) for some in (pairs, other))

    assert again.score == said.score
    assert {r.id: r for r in again.results} == {r.id: r for r in said.results}


@given(found=st.lists(counts, min_size=2, max_size=30), stride=st.integers(1, 7))
def test_the_largest_e_is_one_where_an_interval_ended(found, stride):
    """Nobody can stop between cells that became known together, so worst first gains nothing."""

    def most(harmed):
        cells = [
            Cell(n, "", 1 + (n - 1) // 15, 0, Test.HARM, "crash", f"s{n}", 20, 20, x1, x0)
            for n, (x1, x0) in enumerate(harmed, 1)
        ]
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(series, "STRIDE", stride)
            return series.fold({"crash": 1.0}, 0.01, cells)

    worst_first = sorted(found[:15], key=lambda x: x[1] - x[0]) + found[15:]
    one, other = most(found), most(worst_first)

    assert math.isclose(one.max_log_e, other.max_log_e, abs_tol=1e-9)
    assert math.isclose(
        one.streams["crash"].max_log_e, other.streams["crash"].max_log_e, abs_tol=1e-9
    )


def test_harmless_strata_listed_worst_first_are_not_harmful():
    """Sixty strata of a hundred machines, four harmed in each by the world."""
    chance, harmful = np.random.default_rng(1), 0
    for _ in range(60):
        hit = chance.hypergeometric(50, 50, 4, 60)
        cells = [
            Cell(n, "", 1, 0, Test.HARM, "crash", "", 50, 50, int(x), 4 - int(x))
            for n, x in enumerate(sorted(hit, reverse=True), 1)
        ]
        harmful += series.fold({"crash": 1.0}, 0.01, cells).max_log_e >= math.log(1000)

    assert harmful == 0  # 53 of 60 when the largest E was taken after every row
