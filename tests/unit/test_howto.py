"""The snippets of the how-to pages do what the pages say they do."""

import ast
import json
import re
import subprocess
from pathlib import Path

import pytest
import yaml
from tests.worlds_alone import JUDGE_TOKEN, VERDICTS, Desk, basic, recorded

from firedoor.adapters.keys.file import load_token

PAGE = Path(__file__).parents[2] / "docs" / "howto" / "judge-for-others.md"

pytestmark = pytest.mark.docs


def snippets(language):
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)


def manifest(word):
    (found,) = [yaml.safe_load(text) for text in snippets("yaml") if word in text]
    return found


@pytest.fixture
def desk(tmp_path):
    desk = Desk(tmp_path)
    for verdict, rows in VERDICTS.items():
        desk.feed(verdict, rows, "?follow_up=1")
    return desk


def measured(metric, reply):
    """One measurement as Argo takes it: failure goes before success, neither is Inconclusive."""
    if reply.status not in range(200, 300):
        return "Error"
    (key,) = re.findall(r"^\{\$\.(\w+)\}$", metric["provider"]["web"]["jsonPath"])
    result = reply.json[key]
    if holds(metric["failureCondition"], result):
        return "Failed"
    return "Successful" if holds(metric["successCondition"], result) else "Inconclusive"


def holds(condition, result):
    """Evaluate the one form of Argo's expressions that the page uses."""
    match ast.parse(condition, mode="eval").body:
        case ast.Compare(ast.Name("result"), [ast.Eq()], [ast.Constant(str(expected))]):
            return result == expected
        case _:
            pass
    raise AssertionError(condition)


def assessed(metric, measurements):
    """The fate of a metric as Argo decides it after each measurement."""
    counts = dict.fromkeys(("Successful", "Failed", "Inconclusive"), 0)
    for number, phase in enumerate(measurements, 1):
        counts[phase] += 1
        if counts["Inconclusive"] > metric["inconclusiveLimit"]:
            return "Inconclusive"
        if counts["Failed"] > metric["failureLimit"]:
            return "Failed"
        if number == metric["count"]:
            return "Successful"
    return "Running"


def test_every_snippet_can_be_read():
    """A page whose examples do not parse was never tried."""
    assert [yaml.safe_load(text) for text in snippets("yaml")]
    assert [json.loads(text) for text in snippets("json")]


@pytest.mark.parametrize(
    ("verdict", "phase"),
    [("cleared", "Successful"), ("harmful", "Failed"), ("undecided", "Inconclusive")],
)
def test_argo_takes_each_verdict_for_what_it_is(desk, verdict, phase):
    """Undecided must neither fail a rollout nor promote it."""
    (metric,) = manifest("AnalysisTemplate")["spec"]["metrics"]
    headers, _ = recorded("argo-web-metric")
    web = metric["provider"]["web"]
    url = web["url"].replace("{{ args.run }}", verdict)
    (header,) = web["headers"]
    token = header["value"].replace("{{ args.judge-token }}", JUDGE_TOKEN)

    reply = desk.get(
        url.removeprefix("http://judge.example:8082"),
        client="192.0.2.7",
        host="judge.example:8082",
        **headers | {header["key"].lower(): token},
    )

    assert measured(metric, reply) == phase


@pytest.mark.parametrize(
    ("measurements", "fate"),
    [
        (["Inconclusive"] * 60, "Inconclusive"),
        ([*["Inconclusive"] * 59, "Successful"], "Successful"),
        ([*["Inconclusive"] * 3, "Failed"], "Failed"),
        ([*["Successful"] * 30, "Failed"], "Failed"),
        (["Inconclusive"] * 59, "Running"),
    ],
)
def test_an_hour_of_undecided_is_no_success(measurements, fate):
    """The limits of the snippet are what makes Argo wait, pause or go on."""
    (metric,) = manifest("AnalysisTemplate")["spec"]["metrics"]

    assert assessed(metric, measurements) == fate


@pytest.mark.parametrize(
    ("kind", "yes"),
    [
        ("rollout", {"cleared", "undecided"}),
        ("confirm-promotion", {"cleared"}),
        ("rollback", {"harmful"}),
    ],
)
def test_flaggers_hooks_ask_the_question_of_their_type(desk, kind, yes):
    """A 200 to the wrong question promotes what it should take back."""
    hooks = {each["type"]: each for each in manifest("webhooks")["analysis"]["webhooks"]}
    hook = hooks[kind]
    headers, body = recorded("flagger-rollout")
    ((user, password),) = re.findall(r"^http://(\w+):(\w+)@", hook["url"])

    answers = {
        verdict: desk.post(
            hook["url"].partition(":8082")[2],
            body | {"metadata": hook["metadata"] | {"run": verdict}},
            client="192.0.2.7",
            **headers
            | {
                "authorization": basic(user, password.replace("TOKEN", JUDGE_TOKEN)),
                "host": "judge.example:8082",
            },
        ).status
        for verdict in VERDICTS
    }

    assert {verdict for verdict, status in answers.items() if status in range(200, 203)} == yes
    assert set(answers.values()) == {200, 412}


def test_kayenta_finds_its_judge_and_takes_the_configuration(desk):
    """Kayenta adds the path of its own, and our settings are read where the page has them."""
    base = manifest("remote-judge")["kayenta"]["remote-judge"]["endpoint"]["baseUrl"]
    (config,) = map(json.loads, snippets("json"))
    scope = {"startTimeMillis": 0, "stepMillis": 60_000}
    pairs = [
        {
            "name": metric["name"],
            "id": str(number),
            "values": {"control": [450.0 * (1 - number)], "experiment": [50.0 * (1 - number)]},
            "scopes": {"control": scope, "experiment": scope},
        }
        for number, metric in enumerate(config["metrics"])
    ]
    request = {
        "canaryConfig": config,
        "scoreThresholds": {"pass": 95.0, "marginal": 75.0},
        "metricSetPairList": pairs,
    }

    reply = desk.post(
        f"{base}judge".removeprefix("http://localhost:8082"), request, authorization=""
    )

    assert base.endswith("/")
    assert [each["classification"] for each in reply.json["results"]] == ["Nodata", "Pass"]
    assert reply.json["score"]["classification"] == "Marginal"


def test_the_rows_of_the_page_can_be_fed(desk):
    """The first thing a reader tries."""
    (rows,) = snippets("csv")

    assert desk.post("/judge/runs/page", rows.encode(), content_type="text/csv").status == 200


def test_the_token_of_the_page_is_a_token(tmp_path):
    """What the console would refuse to read must not be advised."""
    (tmp_path / "data").mkdir()
    (line,) = [text for text in snippets("sh") if "urandom" in text]

    subprocess.run(["sh", "-ec", line], cwd=tmp_path, check=True)

    assert len(load_token(tmp_path / "data" / "judge.token")) == 32
