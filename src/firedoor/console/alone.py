"""The judge for others: runs that pipelines feed, and the questions of Argo, Flagger and Kayenta.

Nothing here moves a door or enters the ledger: these are other people's rollouts, and the judge
answers about the counts it was given. Judging takes time, so it happens beside the event loop,
one question at a time.
"""

import asyncio
import io
import re
from collections.abc import Sequence
from dataclasses import asdict
from enum import StrEnum
from typing import Any, Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from firedoor.console import asked
from firedoor.console import kayenta as remote
from firedoor.console.judged import Judged, judged
from firedoor.console.model import Judgement
from firedoor.console.openapi import Operation, Parameter
from firedoor.console.problem import problem
from firedoor.core.errors import BadInput, NotFound
from firedoor.formats import kayenta
from firedoor.formats.counts import Row, read_objects, read_rows, written
from firedoor.ports import Clock
from firedoor.services import runs as feeding
from firedoor.services.alone import Asked, judge, machines_of
from firedoor.services.parts import Parts, listed
from firedoor.services.parts import waits as waiting
from firedoor.services.runs import Run, Runs

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")
_MOST_VIEWS: Final = 16
_FORWARD: Final[dict[Judgement, str]] = {
    Judgement.HARMFUL: "harmful: it does harm, take it back",
    Judgement.CLEARED: "cleared: no more harm than was asked about",
    Judgement.UNDECIDED: "undecided: the counts so far do not decide it",
}


class WaitsView(msgspec.Struct, frozen=True, kw_only=True):
    """What holds up the intervals of a run that is fed in parts.

    Attributes:
        time_ms: Begin of the first interval that is not weighed.
        parts: Whose counts of it are missing.
        intervals: Intervals that wait for it, it included.
    """

    time_ms: int
    parts: tuple[str, ...]
    intervals: int


class RunView(msgspec.Struct, frozen=True, kw_only=True):
    """A run and what its counts say.

    Attributes:
        run: Its name.
        verdict: ``cleared``, ``harmful`` or ``undecided``: the one word a tool looks at.
        says: The same for a person.
        rows: Rows the verdict rests on; those of several parts are one.
        began_ms: When the first rows came.
        fed_ms: When the last ones did.
        found: The verdict with its numbers; None as long as no interval has all its parts.
        waits: What the intervals that are not weighed wait for; None if nothing waits.
    """

    run: str
    verdict: Judgement
    says: str
    rows: int
    began_ms: int
    fed_ms: int
    found: Judged | None
    waits: WaitsView | None = None


class CountRow(msgspec.Struct, frozen=True, kw_only=True):
    """One interval of one signal in one stratum, as JSON; see ``formats.counts.Row``."""

    time: int | str
    release: str
    signal: str
    stratum: str = ""
    treated: int
    control: int
    treated_harmed: int
    control_harmed: int
    installed: int | None = None


class Ask(StrEnum):
    """What a Flagger hook wants to know; its answer is 200 for yes."""

    ADVANCE = "advance"
    """May more traffic go to the canary? Unless it is harmful."""
    PROMOTE = "promote"
    """May it go to everybody? If it is cleared."""
    ROLLBACK = "rollback"
    """Is it to be taken back? If it is harmful."""


class Hook(msgspec.Struct, frozen=True):
    """What Flagger posts to a webhook.

    Attributes:
        name: The canary's name.
        namespace: Its namespace.
        phase: Where its analysis is.
        checksum: Of what is deployed, "" from versions of Flagger that do not send it.
        metadata: What the webhook's configuration adds: ``ask`` and ``run`` are ours.
    """

    name: str
    namespace: str
    phase: str = ""
    checksum: str = ""
    metadata: dict[str, str] | None = None


class Alone:
    """The operations.

    Args:
        runs: Where runs are kept.
        clock: For when rows came.
    """

    def __init__(self, runs: Runs, clock: Clock) -> None:
        self._runs = runs
        self._clock = clock
        self._one = asyncio.Lock()
        self._views: dict[str, tuple[Run, RunView]] = {}

    def operations(self) -> tuple[Operation, ...]:
        """Every operation of the judge alone."""
        run = Parameter("run", "path", "string", "name of the run: letters, digits, . _ -")
        question_of_run = (
            Parameter("randomised", "query", "string", "'declared' if chance chose the treated"),
            Parameter("together", "query", "string", "'true' if machines may fail together"),
            Parameter("units", "query", "string", "'sites' if whole sites were chosen"),
            Parameter("alpha_harm", "query", "number", "else by the first interval's machines"),
            Parameter("alpha_clear", "query", "number", "0.05"),
            Parameter("delta", "query", "number", "else by the first interval's machines"),
            Parameter(
                *("follow_up", "query", "integer"),
                "intervals for which a machine is followed; delta is of all of them. Without it "
                "a delta that is named is of one interval, and no other clears",
            ),
            Parameter(
                *("parts", "query", "string"),
                "names of all collectors, with commas: each pushes a part, and they add up",
            ),
            Parameter("part", "query", "string", "which of them this is; with every push"),
            Parameter(
                *("ratio", "query", "number"),
                "above 1: it clears, too, once so many times the control's odds are excluded",
            ),
            Parameter(
                *("cluster", "query", "integer"),
                "most machines that one accident harms together: what clears is divided by it, "
                "and harm as well unless randomised=declared; 1",
            ),
        )
        remote_judge = "Kayenta's remote judge; its base URL is that of /judge/kayenta"
        return (
            Operation.post(
                "/judge/runs/{run}",
                self.feed,
                "add counts to a run, as JSON or CSV, and judge it; a repeated row counts once",
                list[CountRow],
                RunView,
                run,
                *question_of_run,
            ),
            Operation.get("/judge/runs/{run}", self.show, "a run and its verdict", RunView, run),
            Operation.get(
                "/judge/argo/{run}", self.show, "the same, for an Argo web metric", RunView, run
            ),
            Operation.post(
                "/judge/flagger",
                self.flagger,
                "a Flagger webhook: 200 for yes, 412 for no; metadata.ask says what is asked",
                Hook,
                RunView,
            ),
            *(
                Operation.post(
                    path, self.kayenta, remote_judge, kayenta.JudgeRequest, kayenta.JudgeResult
                )
                for path in ("/judge/kayenta", "/judge/kayenta/judge")
            ),
        )

    async def feed(self, request: Request) -> Response:
        """Add counts to a run."""
        name = _name(request.path_params["run"])
        query = dict(request.query_params)
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        body = await request.body()
        async with self._one:
            return _json(await asyncio.to_thread(self._feed, name, query, kind, body))

    async def show(self, request: Request) -> Response:
        """A run and its verdict."""
        name = _name(request.path_params["run"])
        async with self._one:
            return _json(await asyncio.to_thread(self._judge, name))

    async def flagger(self, request: Request) -> Response:
        """Answer a webhook by its status."""
        hook = _decoded(await request.body())
        metadata = hook.metadata or {}
        ask = metadata.get("ask", Ask.ADVANCE)
        if ask not in set(Ask):
            raise BadInput(f"metadata.ask is {ask!r}", hint=f"one of {', '.join(Ask)}")
        # A canary is called the same at every rollout; its checksum tells them apart.
        parts = (hook.namespace, hook.name, *([hook.checksum] if hook.checksum else []))
        name = _name(metadata.get("run") or ".".join(parts))
        async with self._one:
            view = await asyncio.to_thread(self._judge, name)
        yes = {
            Ask.ADVANCE: view.verdict is not Judgement.HARMFUL,
            Ask.PROMOTE: view.verdict is Judgement.CLEARED,
            Ask.ROLLBACK: view.verdict is Judgement.HARMFUL,
        }[Ask(ask)]
        if yes:
            return _json(view)
        assumes = view.found.assumes if view.found else ""
        return problem(412, f"{name} is {view.says}", kind="firedoor:No", hint=assumes)

    async def kayenta(self, request: Request) -> Response:
        """Judge a canary of Kayenta's."""
        body = await request.body()
        async with self._one:
            return _json(await asyncio.to_thread(_remote, body))

    def _feed(self, name: str, query: dict[str, str], kind: str, body: bytes) -> RunView:
        rows = _rows(kind, body)
        before, now_ms = self._runs.load(name), self._clock.now().wall_ms
        part, names = query.pop("part", None), query.pop("parts", None)
        if part is not None:
            _name(part, "a part")
        asks = asked.of_query(query)
        parts = None if names is None else listed(_names(names), asks)
        if before is not None:
            _check_same(before, asks if query else None, parts, part)
            run = feeding.feed(before, rows, now_ms, part or "")
        elif parts is not None and part is not None:
            run = feeding.begin_in_parts(name, rows, parts, part, now_ms)
        elif parts is not None or part is not None:
            raise BadInput(
                "a run that is fed in parts names them all when it begins, and the one that comes",
                hint="?parts=east,west&part=east",
            )
        else:
            question = asks.of(machines_of(rows, sites=asks.sites))
            run = feeding.begin(name, rows, question, now_ms)
        # Rows that cannot be judged are refused, and not kept.
        view = self._view(run)
        self._runs.save(run, known=0 if before is None else len(before.rows))
        return view

    def _judge(self, name: str) -> RunView:
        run = self._runs.load(name)
        if run is None:
            raise NotFound(f"no run {name!r}", hint=f"POST counts to /judge/runs/{name}")
        return self._view(run)

    def _view(self, run: Run) -> RunView:
        """What its counts say; tools ask every minute, and ten thousand rows take a second."""
        known = self._views.pop(run.name, None)
        if known is None or known[0] != run:
            known = (run, _view(run))
        self._views[run.name] = known
        while len(self._views) > _MOST_VIEWS:
            del self._views[next(iter(self._views))]
        return known[1]


def _remote(body: bytes) -> kayenta.JudgeResult:
    return remote.answer(kayenta.decode(body))


def _view(run: Run) -> RunView:
    rows, found = run.weighed, None
    if run.question is not None:
        found = judged(run.release, judge(rows, run.question))
    verdict = Judgement.UNDECIDED if found is None else found.state
    waits = None if run.parts is None else waiting(run.rows, run.parts)
    says = _FORWARD[verdict]
    if waits is not None:
        says += f"; the interval of {written(waits.time_ms)} waits for {', '.join(waits.parts)}"
    return RunView(
        run=run.name,
        verdict=verdict,
        says=says,
        rows=len(rows),
        began_ms=run.began_ms,
        fed_ms=run.fed_ms,
        found=found,
        waits=None if waits is None else WaitsView(**asdict(waits)),
    )


def _check_same(run: Run, asks: Asked | None, parts: Parts | None, part: str | None) -> None:
    """Refuse to ask a run something else than what its first rows fixed."""
    if run.parts is None:
        if parts is not None or part is not None:
            raise BadInput(
                f"run {run.name} began without parts, so its intervals come whole",
                hint="leave part and parts out, or begin another run",
            )
        same = asks is None or run.question == asks.of(run.question.machines if run.question else 0)
    else:
        if part is None:
            raise BadInput(
                f"run {run.name} is fed in parts; whose counts are these?",
                hint=f"add part=, one of {', '.join(run.parts.names)}",
            )
        if parts is not None and parts.names != run.parts.names:
            raise BadInput(
                f"run {run.name} was begun for the parts {', '.join(run.parts.names)}",
                hint="leave parts out, or begin another run",
            )
        same = asks in (None, run.parts.asked)
    if not same:
        raise BadInput(
            f"run {run.name} asks something else: what is asked is fixed by its first rows",
            hint="leave the parameters out, or begin another run",
        )


def _names(text: str) -> list[str]:
    return [_name(name, "a part") for name in text.split(",")]


def _rows(kind: str, body: bytes) -> Sequence[Row]:
    if kind == "text/csv":
        try:
            return read_rows(io.StringIO(body.decode("utf-8-sig"), newline=""))
        except UnicodeDecodeError as error:
            raise BadInput("the body is not UTF-8") from error
    try:
        objects = msgspec.json.decode(body, type=list[dict[str, Any]])
    except (msgspec.ValidationError, msgspec.DecodeError) as error:
        raise BadInput(str(error)) from error
    return read_objects(objects)


def _decoded(body: bytes) -> Hook:
    try:
        return msgspec.json.decode(body, type=Hook)
    except (msgspec.ValidationError, msgspec.DecodeError) as error:
        raise BadInput(str(error)) from error


def _name(name: str, of: str = "a run") -> str:
    if _NAME.fullmatch(name) is None:
        raise BadInput(
            f"{name[:40]!r} is no name of {of}", hint="letters, digits, dot, dash and underscore"
        )
    return name


def _json(value: object) -> Response:
    return Response(msgspec.json.encode(value), media_type="application/json")
