"""The reference of the judge alone, held against what it answers."""

import inspect
import re
from pathlib import Path

import pytest
from tests.worlds_alone import FEW, HARMLESS, Desk, recorded

from firedoor.console.asked import PARTS, SETTINGS
from firedoor.services.alone import Asked

REFERENCE = Path(__file__).parents[3] / "docs" / "reference" / "api.md"


@pytest.fixture
def desk(tmp_path):
    return Desk(tmp_path)


def named(heading):
    """What the table below a heading names, in its order."""
    _, _, after = REFERENCE.read_text().partition(f"### {heading}\n")
    below, _, _ = after.partition("\n#")
    found = re.findall(r"^\| `(\w+)` \|", below, re.MULTILINE)
    assert found, f"no table below {heading!r}"
    return found


def test_every_field_of_a_run_is_in_the_reference(desk):
    """Whoever writes a client reads it there; what is not named is not looked at."""
    view = desk.feed("r", HARMLESS, "?follow_up=4").json

    assert sorted(named("A run and its verdict")) == sorted(view)
    half = desk.feed("s", HARMLESS, "?parts=a,b&part=a").json
    assert sorted(named("What a run waits for")) == sorted(half["waits"])
    assert sorted(named("The verdict with its numbers")) == sorted(view["found"])
    for stream in view["found"]["streams"]:
        assert sorted(named("A stream of the verdict")) == sorted(stream)


def test_every_parameter_is_in_the_reference_and_in_the_document(desk):
    """One that is only in the code is a setting nobody can find."""
    document = desk.get("/openapi.json").json
    described = document["paths"]["/judge/runs/{run}"]["post"]["parameters"]

    in_query = [each["name"] for each in described if each["in"] == "query"]
    assert sorted(in_query) == sorted(named("Parameters of a run"))
    assert {*SETTINGS, *PARTS} == set(in_query)
    asks = {name.replace("sites", "units") for name in inspect.signature(Asked).parameters}
    assert asks == set(SETTINGS)


def test_every_number_kayenta_is_told_is_in_the_reference(desk):
    """It keeps them with the canary, where a person reads them later."""
    headers, body = recorded("kayenta-counts")
    answer = desk.post("/judge/kayenta/judge", body, **headers).json

    (told,) = [each["resultMetadata"] for each in answer["results"] if each["resultMetadata"]]
    assert sorted(told) == sorted(named("What Kayenta is answered"))
    camels = {re.sub("_(.)", lambda it: it[1].upper(), name) for name in SETTINGS}
    assert set(told["asked"]) == camels
    for name in answer:
        assert f"`{name}`" in REFERENCE.read_text()


def test_a_run_keeps_the_ratio_and_the_cluster_it_was_begun_with(desk, tmp_path):
    """They change what clears and what accuses, so they are fixed, told and survive a restart."""
    many = "".join(f"{hour * 3_600_000},v2,crash,,1000,4000,10,40\n" for hour in range(20))

    odds = desk.feed("odds", many, "?ratio=1.5&follow_up=20").json
    plain = desk.feed("plain", many, "?follow_up=20").json
    racks = desk.feed("racks", many, "?cluster=8&follow_up=20").json

    assert (odds["verdict"], plain["verdict"]) == ("cleared", "undecided")
    assert (odds["found"]["ratio"], plain["found"]["ratio"]) == (1.5, None)
    assert odds["found"]["log_e_ratio"] > 3.0
    assert (racks["found"]["cluster"], plain["found"]["cluster"]) == (8, 1)
    assert racks["found"]["harm_upper"] > plain["found"]["harm_upper"]
    again = Desk(tmp_path)
    assert again.get("/judge/runs/odds").json == odds
    assert again.get("/judge/runs/racks").json == racks
    assert again.feed("odds", many, "?follow_up=20").status == 400
    assert again.feed("odds", many, "?ratio=2&follow_up=20").status == 400
    assert again.feed("racks", many, "?cluster=8&follow_up=20").json == racks


@pytest.mark.parametrize(
    "query",
    [
        *("?ratio=1", "?ratio=0.5", "?ratio=inf", "?ratio=nan", "?ratio=x", "?ratio="),
        *("?cluster=0", "?cluster=1.5", "?cluster=-2", "?cluster=x", "?cluster=9999999999999"),
        *("?ratio=1.5&cluster=2", "?ratio=1.5&together=true", "?cluster=2&together=true"),
        *("?cluster=2&units=sites", "?ratio=2&units=sites"),
    ],
)
def test_a_ratio_or_a_cluster_without_a_meaning_is_refused(desk, query):
    """No proof covers it, so nothing may be answered."""
    assert desk.feed("r", FEW, query).status == 400
    assert desk.get("/judge/runs/r").status == 404


def kayenta(settings, harmed, *, steps=20):
    """A request about 1000 and 4000 machines, hour by hour; harmed: experiment, control."""
    scope = {"startTimeMillis": 0, "stepMillis": 3_600_000}
    at_risk = {"firedoor": {"atRisk": {"control": 4000, "experiment": 1000}}}
    return {
        "canaryConfig": {
            "metrics": [{"name": "c", "groups": [], "analysisConfigurations": at_risk}],
            "judge": {"judgeConfigurations": settings},
        },
        "scoreThresholds": {"pass": 90, "marginal": 50},
        "metricSetPairList": [
            {
                "name": "c",
                "id": "1",
                "tags": {},
                "values": {"control": [harmed[1]] * steps, "experiment": [harmed[0]] * steps},
                "scopes": {"control": scope, "experiment": scope},
            }
        ],
    }


def test_kayenta_may_ask_for_a_ratio(desk):
    """A canary whose metric always has some errors passes by it, and says so."""
    headers, _ = recorded("kayenta-counts")

    def ask(settings):
        return desk.post("/judge/kayenta", kayenta(settings, (10, 40)), **headers).json

    odds, plain = ask({"ratio": 1.5}), ask({})
    assert odds["score"]["classification"] == "Pass"
    assert plain["score"]["classification"] == "Marginal"
    assert "1.5 times the odds" in odds["score"]["classificationReason"]
    assert odds["results"][0]["resultMetadata"]["asked"]["ratio"] == 1.5


def test_kayentas_clusters_divide_harm_unless_lots_were_drawn(desk):
    """The same numbers as of a run: one judge, three doors."""
    headers, _ = recorded("kayenta-counts")

    def log_e(settings):
        answer = desk.post("/judge/kayenta", kayenta(settings, (8, 2), steps=1), **headers).json
        return answer["results"][0]["resultMetadata"]["logE"]

    row = "0,v2,crash,,1000,4000,8,2\n"
    of_run = desk.feed("r", row, "?cluster=10").json["found"]["log_e_harm"]
    drawn = desk.feed("s", row, "?cluster=10&randomised=declared").json["found"]["log_e_harm"]

    assert log_e({"cluster": 10}) == of_run
    assert log_e({"cluster": 10, "randomised": "declared"}) == drawn == log_e({})
    assert of_run < drawn


@pytest.mark.parametrize(
    "settings", [{"ratio": 1}, {"ratio": True}, {"cluster": 0}, {"cluster": 1.5}]
)
def test_kayentas_ratio_and_cluster_have_to_make_sense(desk, settings):
    """JSON has truth values where a number is meant."""
    headers, _ = recorded("kayenta-counts")
    reply = desk.post("/judge/kayenta", kayenta(settings, (0, 0)), **headers)

    assert reply.status == 400
    assert f"judgeConfigurations.{next(iter(settings))}" in reply.json["detail"]
