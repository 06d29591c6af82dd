"""Canaries that are whole zones: what Kayenta is refused, and what it may ask for instead."""

import pytest
from tests.worlds_alone import Desk, counted, recorded


@pytest.fixture
def desk(tmp_path):
    return Desk(tmp_path)


def whole_zones(harmed):
    """Twenty zones of fifty, each all canary or all baseline; ``harmed`` in the first step."""
    return [
        pair
        for zone in range(20)
        for pair in (
            ("c", {"zone": f"z{zone}"}, [0] * 20, [harmed * (zone % 2), *[0] * 19]),
            ("n", {"zone": f"z{zone}"}, [50 - 50 * (zone % 2)] * 20, [50 * (zone % 2)] * 20),
        )
    ]


def test_whole_zones_of_kayentas_are_refused(desk):
    """Twenty zones, each all canary or all baseline, passed as if they had been compared."""
    headers, _ = recorded("kayenta-counts")

    refused = desk.post("/judge/kayenta", counted(whole_zones(0), at_risk="n"), **headers)

    assert refused.status == 400
    assert "whole strata" in refused.json["detail"]
    assert "judgeConfigurations.units" in refused.json["hint"]


@pytest.mark.parametrize("harmed", [0, 1, 50])
def test_kayenta_may_count_zones_as_the_refusal_says(desk, harmed):
    """A zone that falls with all its machines says no more than one with a single harm.

    By hand: ten of ten harmed zones are canaries among twenty, so a bet on g makes g / ((1+g)/2)
    of its share, and a quarter of the wealth waits: 0.3934.
    """
    headers, _ = recorded("kayenta-counts")
    body = counted(whole_zones(harmed), at_risk="n")
    body["canaryConfig"]["judge"]["judgeConfigurations"] = {"units": "sites", "followUp": 4}

    answer = desk.post("/judge/kayenta", body, **headers).json

    told = answer["results"][0]["resultMetadata"]
    assert told["asked"]["units"] == "sites"
    assert told["maxLogE"] == pytest.approx(0.3934 if harmed else 0.0, abs=5e-5)
    assert answer["score"]["classification"] == "Marginal"
    assert "a site counts once" in answer["score"]["classificationReason"]


def test_canary_zones_that_fall_one_after_the_other_fail(desk):
    """As they do in a run that counts sites, to the last bit."""
    headers, _ = recorded("kayenta-counts")
    zones = whole_zones(0)
    for at, (_, tags, _, experiment) in enumerate(zones[2::4]):
        experiment[at] = 1
        assert tags["zone"] == f"z{2 * at + 1}"
    body = counted(zones, at_risk="n")
    body["canaryConfig"]["judge"]["judgeConfigurations"] = {"units": "sites"}
    rows = "".join(
        f"{3_600_000 * step},v2,c,zone=z{zone},{50 * (zone % 2)},{50 - 50 * (zone % 2)},"
        f"{int(zone % 2 and step == zone // 2)},0\n"
        for step in range(20)
        for zone in range(20)
    )

    answer = desk.post("/judge/kayenta", body, **headers).json
    run = desk.feed("r", rows, "?units=sites").json

    assert (answer["score"]["classification"], run["verdict"]) == ("Fail", "harmful")
    told = answer["results"][0]["resultMetadata"]
    assert told["maxLogE"] == run["found"]["max_log_e_harm"]


def test_kayentas_zones_have_tags(desk):
    """Without them nobody knows which zone a machine is in."""
    headers, _ = recorded("kayenta-counts")
    body = counted([("c", {}, [0], [0])])
    body["canaryConfig"]["judge"]["judgeConfigurations"] = {"units": "sites"}
    refused = desk.post("/judge/kayenta", body, **headers)

    assert refused.status == 400
    assert "tags" in refused.json["hint"]
    body["canaryConfig"]["judge"]["judgeConfigurations"] = {"units": "racks"}
    assert (
        "judgeConfigurations.units" in desk.post("/judge/kayenta", body, **headers).json["detail"]
    )
