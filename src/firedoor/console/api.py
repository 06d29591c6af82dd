"""The JSON API: one function per operation, one table of all of them.

The table is the only place where a path is written: the routes and the OpenAPI document are
both made from it. JSON names are the field names of ``model``. Release ids may be shortened to
any unique beginning of six or more hexadecimal digits.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from firedoor.console import metrics, openapi
from firedoor.console.facts import Explains, Facts
from firedoor.console.live import Live
from firedoor.console.lookup import release_named
from firedoor.console.model import (
    ChannelView,
    Condition,
    DecisionView,
    ExposureView,
    MachineView,
    Outcome,
    ReleaseView,
    Verb,
    VerdictView,
)
from firedoor.console.openapi import Operation, Parameter
from firedoor.console.reading import RELEASES_SHOWN, Requests
from firedoor.core.errors import BadInput, NotFound
from firedoor.services.orders import LONGEST_LANE_MS, MOST_CVES, MOST_PACKAGES

DEFAULT_LIMIT: Final = 100
LARGEST_LIMIT: Final = 1000
LARGEST_BUDGET: Final = 1_000_000
LARGEST_INDEX: Final = 2**53 - 1
"""Largest ledger index: what JSON readers hold exactly."""

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
Cve = Annotated[str, msgspec.Meta(min_length=1, max_length=30)]
Text = Annotated[str, msgspec.Meta(max_length=2000)]


class ReleaseReply(ReleaseView, frozen=True, kw_only=True):
    """A release with its time also as RFC 3339."""

    created: str


class Action(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who asks for what, and why. Everything in it goes on the record.

    Attributes:
        by: Who asks.
        reason: Why; only ``sync`` and ``approve`` do without.
        ring: The ring concerned; all of them when it is missing.
        budget: ``expedite``: machines to add to the harm budget.
        lasts_s: ``expedite`` by a budget: it ends by itself after so many seconds.
        all: ``expedite``: let everybody through.
        approved_by: ``expedite``, ``pin`` and ``resume``: the second person, where the policy
            wants one; without it the order waits for an ``approve``.
        order: ``approve``: number of the order that waits.
        cves: ``note``: CVE identifiers that the release has to do with.
        packages: ``pick``: packages or sources that everybody is to have before the rest.
        release: ``pick``: release that they are from, or a beginning of its id; the newest one
            that upstream offers when it is missing.
    """

    by: Name
    reason: Text = ""
    ring: Name | None = None
    budget: Annotated[int, msgspec.Meta(ge=1, le=LARGEST_BUDGET)] | None = None
    lasts_s: Annotated[int, msgspec.Meta(ge=1, le=LONGEST_LANE_MS // 1000)] | None = None
    all: bool = False
    approved_by: Name | None = None
    order: Annotated[int, msgspec.Meta(ge=1, le=LARGEST_INDEX)] | None = None
    cves: Annotated[tuple[Cve, ...], msgspec.Meta(max_length=MOST_CVES)] = ()
    packages: Annotated[tuple[Name, ...], msgspec.Meta(max_length=MOST_PACKAGES)] = ()
    release: Name | None = None


@dataclass(frozen=True, slots=True)
class Api:
    """The operations, over what they read and ask.

    Attributes:
        read: Where the answers come from.
        requests: Where the wishes go.
        live: The event streams.
        others: Operations that others define, behind ours.
    """

    read: Explains
    requests: Requests
    live: Live
    others: tuple[Operation, ...] = ()

    def operations(self) -> tuple[Operation, ...]:
        """Every operation of the console's port, in the order of the documentation."""
        release = Parameter("release", "path", "string", "release id, or a unique beginning of it")
        channel = Parameter("channel", "path", "string", "name of the channel")
        after = Parameter("after", "query", "integer", "ledger index seen last")
        limit = Parameter("limit", "query", "integer", f"at most so many, 1 to {LARGEST_LIMIT}")
        get = Operation.get
        return (
            get("/api/channels", self.channels, "all channels", list[ChannelView]),
            get(
                "/api/channels/{channel}/releases",
                self.releases,
                "releases of a channel, newest first",
                list[ReleaseReply],
                channel,
                limit,
                Parameter(
                    "before", "query", "integer", "number of the last one of the page before"
                ),
            ),
            get("/api/releases/{release}", self.release, "one release", ReleaseReply, release),
            get(
                "/api/releases/{release}/verdict",
                self.verdict,
                "the verdict with every stream and cell it was computed from",
                VerdictView,
                release,
            ),
            get(
                "/api/releases/{release}/explanation",
                self.explanation,
                "everything that the page explaining a verdict tells",
                Facts,
                release,
            ),
            get(
                "/api/releases/{release}/machines",
                self.machines,
                "machines enrolled for a release, by name",
                list[ExposureView],
                release,
                limit,
                Parameter(
                    "after", "query", "string", "name of the last machine of the page before"
                ),
                Parameter("state", "query", "string", "only machines in this condition"),
            ),
            get(
                "/api/machines/{machine}",
                self.machine,
                "one machine",
                MachineView,
                Parameter("machine", "path", "string", "name of the machine"),
            ),
            get(
                "/api/decisions",
                self.decisions,
                "entries of the ledger, oldest first",
                list[DecisionView],
                after,
                limit,
            ),
            *(
                Operation.post(
                    f"/api/releases/{{release}}/{verb.value}",
                    self._acting(verb),
                    says,
                    Action,
                    Outcome,
                    release,
                )
                for verb, says in _RELEASE_VERBS
            ),
            Operation.post(
                "/api/channels/{channel}/sync",
                self._acting(Verb.SYNC),
                "look at the upstream now",
                Action,
                Outcome,
                channel,
            ),
            Operation.post(
                "/api/channels/{channel}/pick",
                self._acting(Verb.PICK),
                "board what machines have, with some packages of a newer release",
                Action,
                Outcome,
                channel,
            ),
            Operation.post(
                "/api/channels/{channel}/resume",
                self._acting(Verb.RESUME_CHANNEL),
                "let the next release of a blocked channel board",
                Action,
                Outcome,
                channel,
            ),
            get(
                "/events",
                self.events,
                "server-sent events: decisions (id = ledger index) and changes",
                "text/event-stream",
                after,
            ),
            get("/metrics", self.metrics, "OpenMetrics", metrics.MEDIA_TYPE),
            get("/healthz", self.healthz, "whether the console can read", "text/plain"),
            get("/openapi.json", self.openapi, "this document", "application/json"),
            *self.others,
        )

    def routes(self) -> list[Route]:
        """The operations as routes."""
        return [Route(each.path, each.handler, methods=[each.method]) for each in self.operations()]

    async def channels(self, _request: Request) -> Response:
        """All channels."""
        return _json(self.read.channels())

    async def releases(self, request: Request) -> Response:
        """Releases of a channel, newest first."""
        channel = self._channel(request)
        before = _whole("before", request.query_params.get("before", "0"))
        if not 0 <= before <= LARGEST_INDEX:
            raise BadInput("before has to be the number of a release")
        limit = _limit(request, RELEASES_SHOWN)
        return _json([_reply(view) for view in self.read.releases(channel, limit, before)])

    async def release(self, request: Request) -> Response:
        """One release."""
        return _json(_reply(self._release(request)))

    async def verdict(self, request: Request) -> Response:
        """The verdict on a release."""
        release = self._release(request).id
        view = self.read.verdict(release)
        if view is None:
            raise NotFound(f"no verdict on release {release[:12]} yet")
        return _json(view)

    async def explanation(self, request: Request) -> Response:
        """The facts behind a verdict."""
        release = self._release(request).id
        facts = self.read.explain(release)
        if facts is None:
            raise NotFound(f"release {release[:12]} is gone")
        return _json(facts)

    async def machines(self, request: Request) -> Response:
        """Machines enrolled for a release."""
        release = self._release(request).id
        state = request.query_params.get("state")
        if state is not None and state not in set(Condition):
            raise BadInput(f"state has to be one of: {', '.join(Condition)}")
        return _json(
            self.read.machines(
                release,
                _limit(request),
                request.query_params.get("after", ""),
                None if state is None else Condition(state),
            )
        )

    async def machine(self, request: Request) -> Response:
        """One machine."""
        name = request.path_params["machine"]
        view = self.read.machine(name)
        if view is None:
            raise NotFound(f"no machine {name!r}")
        return _json(view)

    async def decisions(self, request: Request) -> Response:
        """Entries of the ledger."""
        after = _after(request)
        return _json(self.read.decisions(-1 if after is None else after, _limit(request)))

    async def events(self, request: Request) -> Response:
        """A stream of events. ``Last-Event-ID`` wins over ``after``: it is the newer of the two."""
        resumed = request.headers.get("last-event-id", "")
        if resumed.isdecimal():
            after: int | None = _index("Last-Event-ID", resumed)
        else:
            after = _after(request)
        return StreamingResponse(
            self.live.open(after),
            media_type="text/event-stream",
            headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
        )

    async def metrics(self, _request: Request) -> Response:
        """The doors as OpenMetrics."""
        body = metrics.exposition(self.read, viewers=self.live.viewers)
        return Response(body, media_type=metrics.MEDIA_TYPE)

    async def healthz(self, _request: Request) -> Response:
        """Answer 200 if the read model answers; it raises Unavailable if it does not."""
        self.read.version()
        return Response("ok\n", media_type="text/plain")

    async def openapi(self, _request: Request) -> Response:
        """The OpenAPI document."""
        return _json(openapi.document(self.operations()))

    def _acting(self, verb: Verb) -> Callable[[Request], Awaitable[Response]]:
        async def act(request: Request) -> Response:
            action = _action(verb, await request.body())
            of_channel = verb in _CHANNEL_VERBS
            target = self._channel(request) if of_channel else self._release(request).id
            given = msgspec.structs.asdict(action)
            by = given.pop("by")
            lasts_s = given.pop("lasts_s")
            given["lasts_ms"] = None if lasts_s is None else lasts_s * 1000
            arguments = {
                name: value for name, value in given.items() if value not in (None, False, ())
            }
            return _json(await self.requests.submit(verb, target, arguments, by))

        return act

    def _channel(self, request: Request) -> str:
        name: str = request.path_params["channel"]
        if all(view.name != name for view in self.read.channels()):
            raise NotFound(f"no channel {name!r}")
        return name

    def _release(self, request: Request) -> ReleaseView:
        return release_named(self.read, request.path_params["release"])


_RELEASE_VERBS: Final = (
    (Verb.HOLD, "admit nobody new until a person resumes"),
    (Verb.RESUME, "let a held door go on"),
    (Verb.SHUT, "contain the release"),
    (Verb.EXPEDITE, "widen the harm budget, or let everybody through"),
    (Verb.PIN, "give a ring exactly this release, evidence or not"),
    (Verb.UNPIN, "end a pin"),
    (Verb.APPROVE, "approve, as the second person, an order that waits for one"),
    (Verb.NOTE, "say which vulnerabilities the release has to do with"),
)

_CHANNEL_VERBS: Final = frozenset({Verb.SYNC, Verb.RESUME_CHANNEL, Verb.PICK})
_SPEAK_FOR_THEMSELVES: Final = frozenset({Verb.SYNC, Verb.APPROVE})
_MAY_NEED_TWO: Final = frozenset({Verb.EXPEDITE, Verb.PIN, Verb.RESUME})


def _action(verb: Verb, body: bytes) -> Action:
    try:
        action = msgspec.json.decode(body, type=Action)
    except (msgspec.ValidationError, msgspec.DecodeError) as error:
        raise BadInput(str(error)) from error
    if verb not in _SPEAK_FOR_THEMSELVES and not action.reason.strip():
        raise BadInput(f"{verb.value} wants a reason: it goes on the record")
    if verb is Verb.EXPEDITE:
        if (action.budget is None) == (not action.all):
            raise BadInput("expedite wants either a budget or all")
    elif action.budget is not None or action.all or action.lasts_s is not None:
        raise BadInput(f"budget, all and lasts_s do not belong to {verb.value}")
    if (action.order is None) == (verb is Verb.APPROVE):
        raise BadInput("approve, and nothing else, names the order that waits")
    if bool(action.cves) != (verb is Verb.NOTE):
        raise BadInput("note, and nothing else, names CVEs")
    if action.approved_by is not None and verb not in _MAY_NEED_TWO:
        raise BadInput(f"approved_by does not belong to {verb.value}")
    if bool(action.packages) != (verb is Verb.PICK):
        raise BadInput("pick, and nothing else, names packages")
    if action.release is not None and verb is not Verb.PICK:
        raise BadInput(f"release does not belong to {verb.value}")
    if verb in _CHANNEL_VERBS and action.ring is not None:
        raise BadInput("a channel verb concerns all rings")
    return action


def _reply(view: ReleaseView) -> ReleaseReply:
    created = datetime.fromtimestamp(view.created_ms / 1000, UTC)
    return ReleaseReply(
        created=created.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        **{name: getattr(view, name) for name in ReleaseView.__struct_fields__},
    )


def _json(value: object) -> Response:
    return Response(msgspec.json.encode(value), media_type="application/json")


def _limit(request: Request, usual: int = DEFAULT_LIMIT) -> int:
    limit = _whole("limit", request.query_params.get("limit", str(usual)))
    if not 1 <= limit <= LARGEST_LIMIT:
        raise BadInput(f"limit has to be 1 to {LARGEST_LIMIT}")
    return limit


def _after(request: Request) -> int | None:
    given = request.query_params.get("after")
    return None if given is None else _index("after", given)


def _index(name: str, given: str) -> int:
    # Beyond it lies what SQLite cannot hold.
    index = _whole(name, given)
    if not -1 <= index <= LARGEST_INDEX:
        raise BadInput(f"{name} has to be a ledger index, or -1")
    return index


def _whole(name: str, given: str) -> int:
    try:
        return int(given)
    except ValueError:
        raise BadInput(f"{name} has to be a whole number") from None
