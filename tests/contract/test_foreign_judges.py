"""The tools of others ask, as they ask in earnest; recorded/README.md says where that was read."""

import copy
import json

import pytest
from tests.worlds_alone import (
    FEW,
    HARMFUL,
    HARMLESS,
    JUDGE_TOKEN,
    VERDICTS,
    Desk,
    basic,
    counted,
    recorded,
)


@pytest.fixture
def desk(tmp_path):
    return Desk(tmp_path)


def pair(body, name):
    return next(each for each in body["metricSetPairList"] if each["name"] == name)


def result(answer, name):
    return next(each for each in answer["results"] if each["name"] == name)


def canary(crashes_of_experiment, crashes_of_control=None, *, steps=20):
    """The recorded request with other crashes, and as many steps as wanted."""
    headers, body = recorded("kayenta-counts")
    body = copy.deepcopy(body)
    for each in body["metricSetPairList"]:
        for arm, series in each["values"].items():
            each["values"][arm] = [series[0]] * steps
    crashes = pair(body, "first crashes")["values"]
    for arm, given in (("experiment", crashes_of_experiment), ("control", crashes_of_control)):
        for step, count in enumerate(given or []):
            crashes[arm][step] = count
    return headers, body


# Kayenta


def test_latencies_are_no_counts_and_the_answer_says_so(desk):
    """An honest judge of counts passes on what is none, and lets nothing through by that."""
    headers, body = recorded("kayenta-latency")

    answer = desk.post("/judge/kayenta/judge", body, authorization="", **headers).json

    (latency,) = answer["results"]
    assert latency["classification"] == "Nodata"
    assert "not said to count first harms" in latency["classificationReason"]
    assert latency["experimentMetadata"]["stats"]["count"] == 29
    assert answer["score"]["score"] == 0.0
    assert answer["score"]["classification"] == "Nodata"


def test_the_answer_has_the_fields_that_kayenta_reads(desk):
    """Jackson fills a CanaryJudgeResult from it; a missing one would be null in the report."""
    headers, body = recorded("kayenta-counts")

    answer = desk.post("/judge/kayenta", body, **headers).json

    assert answer.keys() == {"judgeName", "results", "groupScores", "score"}
    assert answer["score"].keys() == {"score", "classification", "classificationReason"}
    assert answer["groupScores"][0].keys() >= {"name", "score", "classification"}
    assert answer["results"][0].keys() == {
        *("name", "id", "tags", "classification", "classificationReason", "groups"),
        *("experimentMetadata", "controlMetadata", "resultMetadata", "critical", "muted"),
    }
    assert [each["id"] for each in answer["results"]] == [
        each["id"] for each in body["metricSetPairList"]
    ]


def test_counts_are_judged_and_the_rest_is_nodata_with_a_reason(desk):
    """A machine count feeds another metric; a load is none of our business."""
    headers, body = canary([])

    answer = desk.post("/judge/kayenta/judge", body, **headers).json

    assert result(answer, "first crashes")["classification"] == "Pass"
    assert result(answer, "pods")["classification"] == "Nodata"
    assert "machines at risk to first crashes" in result(answer, "pods")["classificationReason"]
    assert result(answer, "CPU usage for service")["classification"] == "Nodata"
    assert result(answer, "first crashes")["critical"] is True


@pytest.mark.parametrize(
    ("crashes", "steps", "word", "score"),
    [([], 3, "Marginal", 75.0), ([], 20, "Pass", 100.0), ([4, 4, 4], 3, "Fail", 0.0)],
)
def test_undecided_goes_on_and_does_not_pass(desk, crashes, steps, word, score):
    """Kayenta goes on while a score is marginal, and wants a pass at the end."""
    headers, body = canary(crashes, steps=steps)

    answer = desk.post("/judge/kayenta/judge", body, **headers).json

    assert (answer["score"]["classification"], answer["score"]["score"]) == (word, score)
    assert "cannot know whether chance chose" in answer["score"]["classificationReason"]


def test_the_metric_that_shows_the_harm_is_named(desk):
    """Whoever takes it back wants to know why."""
    headers, body = canary([4, 4, 4], steps=3)

    answer = desk.post("/judge/kayenta/judge", body, **headers).json

    assert result(answer, "first crashes")["classification"] == "High"
    assert answer["groupScores"] == [
        {"name": "pod-group", "score": 0.0, "classification": "", "classificationReason": ""}
    ]


def test_a_control_of_another_hour_is_no_control(desk):
    """The hour before had another load; to compare with it says nothing about the release."""
    headers, body = canary([4, 4, 4], steps=3)
    early = pair(body, "first crashes")["scopes"]["control"] | {"startTimeMillis": 1643759940000}
    pair(body, "first crashes")["scopes"]["control"] = early

    answer = desk.post("/judge/kayenta/judge", body, **headers).json

    assert "not of the same time" in result(answer, "first crashes")["classificationReason"]
    assert answer["score"]["score"] == 0.0


def test_a_step_without_data_is_left_out_where_silence_may_mean_anything(desk):
    """Only the one who configured the metric knows whether nothing reported is nothing happened."""
    headers, body = canary([0.0, "NaN", 0.0], [0.0, 0.0, None], steps=3)
    (config,) = [m for m in body["canaryConfig"]["metrics"] if m["name"] == "first crashes"]
    config["analysisConfigurations"]["canary"]["nanStrategy"] = "remove"

    answer = desk.post("/judge/kayenta/judge", body, **headers).json

    reason = result(answer, "first crashes")["classificationReason"]
    assert "2 steps without data were left out" in reason


@pytest.mark.parametrize(
    ("value", "complaint"),
    [
        (2.5, "experiment[1] is 2.5, which is no count"),
        (-1.0, "experiment[1] is -1, which is no count"),
        (21.0, "experiment[1] is 21, of 20 machines at risk"),
        ("Infinity", "experiment[1] is inf, which is no count"),
    ],
)
def test_a_count_that_cannot_be_keeps_a_canary_from_passing(desk, value, complaint):
    """It was meant to be judged; leaving it out silently would pass what nobody looked at."""
    headers, body = canary([0.0, value])
    healthy = copy.deepcopy(pair(canary([])[1], "first crashes")) | {"name": "others", "id": "x"}
    body["metricSetPairList"].append(healthy)
    body["canaryConfig"]["metrics"].append(
        {
            "name": "others",
            "analysisConfigurations": {
                "firedoor": {"atRisk": "pods"},
                "canary": {"nanStrategy": "replace"},
            },
            "groups": [],
        }
    )

    answer = desk.post("/judge/kayenta/judge", body, **headers).json

    assert complaint in result(answer, "first crashes")["classificationReason"]
    assert result(answer, "others")["classification"] == "Pass"
    assert answer["score"]["classification"] == "Marginal"
    assert "not all metrics can be judged" in answer["score"]["classificationReason"]


def test_known_numbers_of_machines_need_no_metric(desk):
    """A fleet of fixed size has no series of its own."""
    headers, body = canary([4, 4, 4], steps=3)
    (config,) = [m for m in body["canaryConfig"]["metrics"] if m["name"] == "first crashes"]
    config["analysisConfigurations"]["firedoor"] = {"atRisk": {"control": 200, "experiment": 20}}
    body["metricSetPairList"] = [pair(body, "first crashes")]

    answer = desk.post("/judge/kayenta/judge", body, **headers).json

    assert answer["score"]["classification"] == "Fail"


def test_whoever_drew_lots_may_say_so(desk):
    """It changes no number; it changes what the numbers rest on, and whose word that is."""
    headers, body = canary([], steps=3)
    body["canaryConfig"]["judge"]["judgeConfigurations"]["randomised"] = "declared"

    answer = desk.post("/judge/kayenta/judge", body, **headers).json

    assert "is the caller's word" in answer["score"]["classificationReason"]
    assert result(answer, "first crashes")["resultMetadata"]["randomised"] == "declared"


@pytest.mark.parametrize(
    "settings",
    [{"alphaharm": 0.1}, {"alphaHarm": 1.5}, {"randomised": "yes"}, {"together": "yes"}],
)
def test_a_misspelt_setting_is_refused(desk, settings):
    """A level that is silently left out would be a level nobody chose."""
    headers, body = canary([])
    body["canaryConfig"]["judge"]["judgeConfigurations"] = settings

    assert desk.post("/judge/kayenta/judge", body, **headers).status == 400


@pytest.mark.parametrize("body", [b"", b"{}", b'{"canaryConfig": NaN}', b"[1]"])
def test_what_is_no_request_is_refused(desk, body):
    """Kayenta then reports an error, which is what it is."""
    headers, _ = recorded("kayenta-counts")

    assert desk.post("/judge/kayenta/judge", body, **headers).status == 400


def test_series_of_different_lengths_and_twins_are_not_judged(desk):
    """Nobody can say which value belongs to which."""
    headers, body = canary([])
    twin = copy.deepcopy(pair(body, "first crashes"))
    body["metricSetPairList"].append(twin)
    pair(body, "first crashes")["values"]["control"].pop()

    answer = desk.post("/judge/kayenta/judge", body, **headers).json

    reasons = [each["classificationReason"] for each in answer["results"]]
    assert "cannot be of the same steps" in reasons[1]
    assert answer["results"][3]["classification"] == "Pass"


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        ({}, "Marginal"),
        ({"followUp": 40}, "Marginal"),
        ({"followUp": 40, "delta": 0.1}, "Pass"),
        ({"followUp": 41}, "Marginal"),
        ({"delta": 0.05}, "Pass"),
    ],
)
def test_kayenta_passes_machines_that_were_followed(desk, settings, word):
    """Or steps, to whoever named the delta of a step.

    So few machines cannot exclude the delta that goes with their number.
    """
    headers, _ = recorded("kayenta-counts")
    body = counted([("c", {}, [0] * 40, [0] * 40)])
    body["canaryConfig"]["judge"]["judgeConfigurations"] = settings

    answer = desk.post("/judge/kayenta", body, **headers).json

    assert answer["score"]["classification"] == word


@pytest.mark.parametrize("tags", [{}, {"os": "w"}])
def test_kayentas_pairs_that_may_share_machines_are_not_judged_together(desk, tags):
    """A total beside its parts, or the same machines by another tag, would count twice."""
    headers, _ = recorded("kayenta-counts")
    body = counted([("c", {"zone": "a"}, [0], [0]), ("c", tags, [0], [0])])

    answer = desk.post("/judge/kayenta", body, **headers).json

    assert "other kinds of tags" in answer["results"][1]["classificationReason"]
    assert answer["score"]["classification"] == "Marginal"


@pytest.mark.parametrize("turn", [1, -1])
def test_kayentas_metrics_with_different_tags_never_pass(desk, turn):
    """Machines by zone and once more in a total: half of the harm of each class is elsewhere."""
    headers, _ = recorded("kayenta-counts")
    pairs = [("c", {}, [0] * 40, [0] * 40), ("d", {"zone": "a"}, [0] * 40, [0] * 40)]
    body = counted(pairs[::turn])
    (first,) = body["canaryConfig"]["metrics"]
    body["canaryConfig"]["metrics"].append({**first, "name": "d"})
    body["canaryConfig"]["judge"]["judgeConfigurations"] = {"delta": 0.05}

    answer = desk.post("/judge/kayenta", body, **headers).json

    assert answer["score"]["classification"] == "Marginal"
    assert "give all the same" in answer["score"]["classificationReason"]


def test_more_pairs_than_anybody_has_are_refused_at_once(desk):
    """Two thousand took half a minute when each looked through all of them."""
    headers, _ = recorded("kayenta-counts")
    pairs = [("c", {"pod": str(n)}, [0], [0]) for n in range(2_001)]

    assert desk.post("/judge/kayenta", counted(pairs), **headers).status == 413
    assert desk.post("/judge/kayenta", counted(pairs[:2_000]), **headers).status == 200


@pytest.mark.parametrize(
    ("control", "experiment", "at_risk"),
    [
        (["Infinity", "-Infinity"], [0, 0], None),
        ([1e308, 1e308], [1e308, 1e308], None),
        ([0], [0], {"control": 10**400, "experiment": 1}),
        ([0], [0], {"control": -(10**400), "experiment": 1}),
        ([0], [0], {"control": 1e300, "experiment": 1}),
    ],
)
def test_numbers_that_json_may_have_are_no_mistake_of_ours(desk, control, experiment, at_risk):
    """Nodata with a reason, not 500."""
    answer = desk.post("/judge/kayenta", counted([("c", {}, control, experiment)], at_risk))

    assert answer.status == 200
    assert answer.json["results"][0]["classification"] == "Nodata"


@pytest.mark.parametrize(
    "steps",
    ["0", "-1", "1.5", "true", '"4"', "1" + "0" * 400, "-1" + "0" * 5000],
    ids=lambda text: text[:6],
)
def test_a_follow_up_of_kayentas_is_a_number_of_steps(desk, steps):
    """It says what passes."""
    headers, _ = recorded("kayenta-counts")
    body = counted([("c", {}, [0], [0])])
    text = json.dumps(body).replace(
        '"judgeConfigurations": {}', f'"judgeConfigurations": {{"followUp": {steps}}}'
    )

    assert desk.post("/judge/kayenta", text.encode(), **headers).status == 400


# Flagger


@pytest.mark.parametrize(
    ("ask", "said"),
    [
        ("advance", {"cleared": 200, "undecided": 200, "harmful": 412}),
        ("promote", {"cleared": 200, "undecided": 412, "harmful": 412}),
        ("rollback", {"cleared": 412, "undecided": 412, "harmful": 200}),
    ],
)
def test_each_hook_gets_the_status_that_means_the_right_thing(desk, ask, said):
    """A rollback hook takes 200 for "take it back": one answer for all hooks would be the end."""
    headers, body = recorded("flagger-rollout")
    for verdict, rows in VERDICTS.items():
        desk.feed(verdict, rows, "?follow_up=1")
    answers = {
        verdict: desk.post(
            "/judge/flagger", body | {"metadata": {"ask": ask, "run": verdict}}, **headers
        ).status
        for verdict in VERDICTS
    }

    assert answers == said


def test_a_rollout_is_found_by_what_flagger_sends_anyway(desk):
    """The checksum tells this rollout from the one before, whose counts must not answer for it."""
    headers, body = recorded("flagger-rollout")
    desk.feed("test.podinfo.5b86bd6879", HARMLESS, "?follow_up=1")

    this = desk.post("/judge/flagger", body, **headers)
    next_one = desk.post("/judge/flagger", body | {"checksum": "6c97ce7980"}, **headers)

    assert (this.status, this.json["verdict"]) == (200, "cleared")
    assert next_one.status == 404


def test_a_refusal_says_why_because_flagger_puts_it_into_its_events(desk):
    """People read it there."""
    headers, body = recorded("flagger-rollout")
    desk.feed("test.podinfo.5b86bd6879", HARMFUL)

    refused = desk.post("/judge/flagger", body, **headers)

    assert "harmful: it does harm" in refused.json["detail"]
    assert "cannot know whether chance chose" in refused.json["hint"]


def test_a_hook_of_a_type_that_nobody_can_answer_gets_no_yes(desk):
    """Events carry no question; without counts for their canary there is nothing to say."""
    headers, body = recorded("flagger-event")

    assert desk.post("/judge/flagger", body, **headers).status == 404
    wrong = body | {"metadata": {"ask": "permission"}}
    assert desk.post("/judge/flagger", wrong, **headers).status == 400


def test_flagger_can_show_a_token_in_its_url(desk):
    """A webhook's configuration has no headers; Go sends user information as Basic."""
    headers, body = recorded("flagger-rollout")
    desk.feed("test.podinfo.5b86bd6879", FEW)

    def ask(password):
        return desk.post(
            "/judge/flagger",
            body,
            client="192.0.2.7",
            **headers | {"authorization": basic("judge", password)},
        ).status

    assert ask(JUDGE_TOKEN) == 200
    assert ask("guessed") == 401


# Argo


def test_argo_reads_one_word(desk):
    """A web metric takes a path into JSON; anything but JSON would be a success to it."""
    headers, _ = recorded("argo-web-metric")
    for verdict, rows in VERDICTS.items():
        desk.feed(verdict, rows, "?follow_up=1")

    replies = {verdict: desk.get(f"/judge/argo/{verdict}", **headers) for verdict in VERDICTS}

    assert {name: reply.json["verdict"] for name, reply in replies.items()} == {
        name: name for name in VERDICTS
    }
    assert {reply.headers["content-type"] for reply in replies.values()} == {"application/json"}
    assert replies["cleared"].json["found"]["randomised"] is None


def test_a_run_that_is_not_there_is_an_error_to_argo(desk):
    """Anything in 200 to 299 would be measured."""
    headers, _ = recorded("argo-web-metric")

    assert desk.get("/judge/argo/nothing", **headers).status == 404
