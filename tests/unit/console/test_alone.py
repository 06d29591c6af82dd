import json

import pytest
from tests.unit.console.asking import TOKEN
from tests.worlds_alone import FEW, HARMFUL, HARMLESS, HEAD, JUDGE_TOKEN, Desk, basic

from firedoor.console.guard import JUDGE_BODY_LIMIT_BYTES
from firedoor.services.alone import judge

FAR = "192.0.2.7"


@pytest.fixture
def desk(tmp_path):
    return Desk(tmp_path)


def test_counts_are_fed_and_answered_with_what_they_say(desk):
    """The pipeline that pushes may as well look at once."""
    reply = desk.feed("till-42", HARMFUL)

    assert reply.status == 200
    assert (reply.json["verdict"], reply.json["rows"]) == ("harmful", 1)
    assert reply.json["found"]["machines"] == 500
    assert desk.get("/judge/runs/till-42").json == reply.json


def test_rows_may_be_json(desk):
    """As scripts have them; the stratum and who installed may be missing."""
    names = HEAD.strip().split(",")
    values = [1, "v2", "crash", "", 50, 450, 20, 0]
    (full,) = [dict(zip(names, values, strict=True))]
    bare = {name: value for name, value in full.items() if name != "stratum"}

    one = desk.post("/judge/runs/a", [full]).json
    other = desk.post("/judge/runs/b", [bare | {"time": "1970-01-01T00:00:00.001Z"}]).json

    assert one["found"] == other["found"]


def test_the_levels_are_fixed_by_the_first_interval(desk):
    """A fleet that grows must not move the line after somebody looked."""
    small = desk.feed("r", "1,v2,crash,,10,90,0,0\n").json["found"]
    grown = desk.feed("r", "2,v2,crash,,1000,9000,0,0\n").json["found"]

    assert (small["machines"], small["alpha_harm"]) == (100, 0.01)
    assert (grown["machines"], grown["alpha_harm"], grown["delta"]) == (
        *(small["machines"], small["alpha_harm"], small["delta"]),
    )


def test_what_is_asked_is_asked_once(desk):
    """A level chosen after the counts is no level; saying the same again is fine."""
    query = "?alpha_harm=0.002&randomised=declared"
    desk.feed("r", FEW, query)

    assert desk.feed("r", FEW, query).status == 200
    assert desk.feed("r", FEW).json["found"]["alpha_harm"] == 0.002
    assert desk.feed("r", FEW, "?alpha_harm=0.05").status == 400
    assert desk.feed("r", FEW, "?together=true").status == 400


def test_the_answer_says_on_what_it_rests(desk):
    """Counts cannot tell who was drawn by lot; a caller can, and it stays their word."""
    silent = desk.feed("a", FEW).json["found"]
    told = desk.feed("b", FEW, "?randomised=declared").json["found"]
    bursts = desk.feed("c", HARMLESS, "?together=true").json

    assert silent["randomised"] is None
    assert "cannot know whether chance chose" in silent["assumes"]
    assert told["randomised"] == "declared"
    assert "the caller's word" in told["assumes"]
    assert (bursts["verdict"], bursts["found"]["harm_upper"]) == ("undecided", 1.0)
    assert "nothing is cleared" in bursts["found"]["assumes"]


@pytest.mark.parametrize(
    "query",
    [
        "?alpha_harm=0",
        "?alpha_clear=nan",
        "?delta=1",
        "?delta=x",
        "?randomised=yes",
        "?together=1",
        "?alpha=0.1",
    ],
)
def test_a_parameter_that_makes_no_sense_is_refused(desk, query):
    """A misspelt one would be left out silently."""
    assert desk.feed("r", FEW, query).status == 400
    assert desk.get("/judge/runs/r").status == 404


@pytest.mark.parametrize(
    ("rows", "complaint"),
    [
        ("", "no counts"),
        ("1,v,a,,nan,4,1,0\n", "line 2: treated is 'nan', which is no count"),
        ("1,v,a,,-3,4,1,0\n", "line 2: treated is '-3', which is no count"),
        ("1,v,a,,3,4,4,0\n", "line 2: treated_harmed is 4, of 3 machines"),
        ("1,v,a,,3,4,1,0\n1,v,a,,3,4,2,0\n", "line 3: line 2 gives other counts"),
        ("9" * 15 + ",v,a,,3,4,1,0\n", "does not lie between the years 1970 and 9999"),
        ("9" * 40 + ",v,a,,3,4,1,0\n", "neither RFC 3339 nor Unix milliseconds"),
        (f"1,{'v' * 201},a,,3,4,1,0\n", "release has more than 200 characters"),
        ("".join(f"1,v,s{i},,3,4,1,0\n" for i in range(65)), "64 are judged together"),
    ],
)
def test_counts_that_cannot_be_are_refused_by_their_line(desk, rows, complaint):
    """They would make evidence that is none."""
    reply = desk.feed("r", rows)

    assert reply.status == 400
    assert complaint in reply.json["detail"]
    assert desk.get("/judge/runs/r").status == 404


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        b"[1]",
        b'[{"time": NaN}]',
        b'[{"time": 1}]',
        (
            b'[{"time":1,"release":"v","signal":"a","treated":2.5,"control":1,'
            b'"treated_harmed":0,"control_harmed":0}]'
        ),
        (
            b'[{"time":true,"release":"v","signal":"a","treated":2,"control":1,'
            b'"treated_harmed":0,"control_harmed":0}]'
        ),
        (
            b'[{"time":1,"release":["v"],"signal":"a","treated":2,"control":1,'
            b'"treated_harmed":0,"control_harmed":0}]'
        ),
        (
            b'[{"time":1,"release":"v","signal":"a","treated":2,"control":1,'
            b'"treated_harmed":0,"control_harmed":0,"contol":1}]'
        ),
    ],
)
def test_json_that_is_no_list_of_rows_is_refused(desk, body):
    """With 400, whatever it is."""
    assert desk.post("/judge/runs/r", body).status == 400


@pytest.mark.parametrize("name", ["-r", "a b", "ä", "x" * 201])
def test_a_run_has_a_plain_name(desk, name):
    """It stands in the URLs of other people's configurations."""
    assert desk.feed(name, FEW).status == 400


# Who may


def test_feeding_takes_a_token_also_on_this_host(desk):
    """Whoever can add counts can bring about any verdict."""
    body = (HEAD + FEW).encode()

    refused = desk.post("/judge/runs/r", body, content_type="text/csv", authorization="")

    assert refused.status == 401
    assert desk.get("/judge/runs/r").status == 404


def test_a_question_from_this_host_takes_none(desk):
    """Kayenta's client sends no credentials; asking changes nothing."""
    desk.feed("ns.app", FEW)
    hook = {"name": "app", "namespace": "ns"}

    assert desk.post("/judge/flagger", hook, authorization="").status == 200
    assert desk.post("/judge/flagger", hook, authorization="", client=FAR).status == 401
    assert desk.get("/judge/argo/ns.app", client=FAR).status == 401
    allowed = desk.get("/judge/argo/ns.app", client=FAR, authorization=f"Bearer {JUDGE_TOKEN}")
    assert allowed.status == 200


def test_a_foreign_page_cannot_ask_either(desk):
    """It could not read the answer, but it could keep the judge busy."""
    hook = {"name": "app", "namespace": "ns"}

    page = desk.post("/judge/flagger", hook, authorization="", origin="http://elsewhere.example")
    form = desk.post("/judge/flagger", hook, authorization="", content_type="text/plain")

    assert (page.status, form.status) == (403, 415)


def test_the_judges_token_is_good_for_nothing_else(desk):
    """A pipeline that is broken into must not open doors."""
    act = {"by": "Mallory", "reason": "because"}

    hold = desk.post("/api/channels/tills-av/sync", act)
    read = desk.get("/api/channels", client=FAR, authorization=f"Bearer {JUDGE_TOKEN}")
    password = desk.get("/api/channels", client=FAR, authorization=basic("", TOKEN))

    assert (hold.status, read.status, password.status) == (401, 401, 401)


def test_the_consoles_token_is_good_here_too(desk):
    """Who may act may ask."""
    for given in (f"Bearer {TOKEN}", basic("x", TOKEN), basic("x", JUDGE_TOKEN)):
        assert desk.post("/judge/runs/r", [], authorization=given).status == 400
    for given in ("Basic !", basic("x", ""), "Basic", f"Digest {TOKEN}"):
        assert desk.post("/judge/runs/r", [], authorization=given).status == 401


def test_csv_is_for_rows_alone_and_bodies_have_an_end(desk):
    """The rest of the console keeps its limits."""
    long = b" " * (JUDGE_BODY_LIMIT_BYTES + 1)

    assert desk.post("/judge/flagger", b"x", content_type="text/csv").status == 415
    assert desk.post("/judge/runs/r", long, content_type="text/csv").status == 413
    length = str(len(long))
    assert desk.post("/judge/kayenta", b"{}", content_length=length).status == 413
    assert desk.post("/api/channels/tills-av/sync", long[: 1 << 17]).status in (401, 413)


def test_the_document_names_every_question(desk):
    """Whoever writes a client reads it there."""
    found = desk.get("/openapi.json").json

    assert {path for path in found["paths"] if path.startswith("/judge/")} == {
        *("/judge/runs/{run}", "/judge/argo/{run}", "/judge/flagger"),
        *("/judge/kayenta", "/judge/kayenta/judge"),
    }
    thresholds = found["components"]["schemas"]["ScoreThresholds"]["properties"]
    assert set(thresholds) == {"pass", "marginal"}


def test_whoever_has_no_token_is_told_which_one_is_meant(desk):
    """The console's would be too much to give to a pipeline."""
    body = (HEAD + FEW).encode()

    judge = desk.post("/judge/runs/r", body, content_type="text/csv", authorization="")
    act = desk.post("/api/channels/tills-av/sync", {}, authorization="")

    assert "judge.token" in judge.json["hint"]
    assert "judge.token" not in act.json["hint"]


def test_rows_without_a_kind_are_told_which_kinds_there_are(desk):
    """CSV is one of them."""
    reply = desk.post("/judge/runs/r", (HEAD + FEW).encode(), content_type="")

    assert reply.status == 415
    assert "application/json or text/csv" in reply.json["detail"]
    assert "JSON" not in reply.json["title"]


def test_a_run_is_judged_once_until_it_is_fed(desk, monkeypatch):
    """Tools ask every minute; ten thousand rows take a second."""
    asked = []

    def counted(*given):
        asked.append(1)
        return judge(*given)

    monkeypatch.setattr("firedoor.console.alone.judge", counted)

    desk.feed("r", FEW)
    before = [desk.get("/judge/argo/r").json["rows"] for _ in range(3)]
    desk.feed("r", FEW + FEW.replace("1,", "2,", 1))
    after = [desk.get("/judge/runs/r").json["rows"] for _ in range(3)]

    assert (before, after, len(asked)) == ([1, 1, 1], [2, 2, 2], 2)


@pytest.mark.parametrize("follow_up", ["0", "-1", "x", "1.5", "99999999", "9" * 5000])
def test_a_follow_up_that_is_no_number_of_intervals_is_refused(desk, follow_up):
    """It says what clears."""
    assert desk.feed("r", FEW, f"?follow_up={follow_up}").status == 400


def test_the_follow_up_of_a_run_is_fixed_and_told(desk):
    """It changes what clears, so it must not come after the counts."""
    found = desk.feed("r", HARMLESS, "?follow_up=4&delta=0.02").json["found"]

    assert (found["follow_up"], found["delta"]) == (4, 0.02)
    assert desk.feed("r", HARMLESS, "?follow_up=1&delta=0.02").status == 400
    silent = desk.feed("s", HARMLESS).json
    assert (silent["verdict"], silent["found"]["follow_up"]) == ("undecided", 0)
    assert "nobody said for how many intervals" in silent["found"]["assumes"]


def test_numbers_beyond_all_counts_are_refused(desk):
    """JSON has whole numbers of any length."""
    row = dict(zip(HEAD.strip().split(","), [1, "v2", "crash", "", 50, 450, 20, 0], strict=True))
    for name in row:
        body = json.dumps(row | {name: 7}).replace(f'"{name}": 7', f'"{name}": ' + "7" * 400)

        assert desk.post("/judge/runs/r", f"[{body}]".encode()).status == 400
