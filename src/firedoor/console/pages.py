"""The pages for people: assemble what the templates show.

A page is complete without JavaScript: a still picture. ``static/console.js`` makes it live by
fetching it again when ``/events`` says that something changed. Rendering is cached by language
and version, so a hundred viewers cost one rendering per change.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import jinja2
from markupsafe import Markup, escape
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from firedoor.console import advising, explaining, phrases, svg
from firedoor.console.facts import Explains, Move
from firedoor.console.language import LANGUAGES, OWN_NAMES, Language, choose, load, rfc3339
from firedoor.console.lookup import release_named
from firedoor.console.model import (
    Arm,
    ChannelView,
    Condition,
    DoorView,
    ExposureView,
    Judgement,
    ReleaseView,
)
from firedoor.core.door import Reason, State
from firedoor.core.errors import NotFound
from firedoor.ports import Clock

COOKIE: Final = "firedoor-language"

_DECISIONS = 30
_OLDER = 10
_HARMED = 24
_SHORT_ID = 12
_CACHED = 64
_YEAR_S = 365 * 24 * 3600

_ACTS = frozenset({Move.HOLD, Move.CONTAIN, Move.RESUME, Move.EXPEDITE, Move.OVERRIDE})
# A door that never asked the evidence has nothing to draw.
_UNASKED = frozenset({Reason.ADOPTED, Reason.EMPTY})


@dataclass(frozen=True, slots=True)
class Legend:
    """A kind of mark, what it means and how many machines it stands for."""

    mark: Markup
    says: str
    count: str
    kind: str


@dataclass(frozen=True, slots=True)
class RingPart:
    """One ring's door on the page.

    Attributes:
        name: The ring.
        door: Its door.
        headline: What the door does, in a sentence.
        picture: The door.
        marks: The machines.
        legend: What the marks mean; kinds without a machine are left out.
        slots: The window, None where nobody is tried any more.
        free: Slots nobody takes.
    """

    name: str
    door: DoorView
    headline: str
    picture: Markup
    marks: Markup
    legend: tuple[Legend, ...]
    slots: Markup | None
    free: int


@dataclass(frozen=True, slots=True)
class Curves:
    """The evidence of a release as two pictures.

    Attributes:
        evidence: Evidence of harm against its two lines.
        bound: Upper bound of the harm against the line below which the door opens.
        factor: The evidence as a factor, in words.
        shut_factor: The factor at which the door shuts.
        harm_upper: The bound in words.
        delta: The bound at which the door opens, in words.
    """

    evidence: Markup
    bound: Markup
    factor: str
    shut_factor: str
    harm_upper: str
    delta: str


@dataclass(frozen=True, slots=True)
class Focus:
    """The release a channel is about now: the one in flight, else the newest."""

    view: ReleaseView
    rings: tuple[RingPart, ...]
    curves: Curves | None
    judged: str
    evidence: tuple[str, ...]
    would_open: bool
    forecast: str | None
    harmed: tuple[ExposureView, ...]
    commands: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ChannelPart:
    """One channel on the page."""

    view: ChannelView
    serving: ReleaseView | None
    situation: tuple[str, ...]
    focus: Focus | None
    older: tuple[ReleaseView, ...]


class Pages:
    """Renders the pages.

    Args:
        read: Where the picture comes from.
        clock: For the time written on the pages.
    """

    def __init__(self, read: Explains, clock: Clock) -> None:
        self._read = read
        self._clock = clock
        self._languages = load()
        self._templates = {name: _templates(each) for name, each in self._languages.items()}
        self._cache: dict[tuple[str, str], tuple[int, str]] = {}

    async def index(self, request: Request) -> Response:
        """The page of all channels."""
        return self._answer(request, self.render)

    async def explain(self, request: Request) -> Response:
        """The page that explains the verdict on one release."""
        release = release_named(self._read, request.path_params["release"]).id
        return self._answer(request, lambda name: self.render_explanation(name, release))

    def render(self, name: str) -> str:
        """The page of all channels in one of ``LANGUAGES``."""
        return self._cached((name, ""), lambda: self._index(name))

    def render_explanation(self, name: str, release: str) -> str:
        """The explanation of exactly this release in one of ``LANGUAGES``.

        Raises:
            NotFound: There is no such release.
        """
        return self._cached((name, release), lambda: self._explanation(name, release))

    def _answer(self, request: Request, render: Callable[[str], str]) -> Response:
        asked = request.query_params.get("lang")
        name = choose(
            asked, request.cookies.get(COOKIE), request.headers.get("accept-language", "")
        )
        response = HTMLResponse(render(name), headers={"Vary": "Accept-Language, Cookie"})
        if asked is not None:
            response.set_cookie(
                COOKIE, name, max_age=_YEAR_S, httponly=True, samesite="strict", path="/"
            )
        return response

    def _cached(self, key: tuple[str, str], make: Callable[[], str]) -> str:
        version = self._read.version()
        cached = self._cache.get(key)
        if cached is not None and cached[0] == version:
            return cached[1]
        html = make()
        if len(self._cache) >= _CACHED:
            self._cache.clear()
        self._cache[key] = (version, html)
        return html

    def _index(self, name: str) -> str:
        channels = tuple(
            self._channel(self._languages[name], view) for view in self._read.channels()
        )
        last = self._read.last_index()
        decisions = self._read.decisions(max(-1, last - _DECISIONS), _DECISIONS)
        return self._fill(
            name,
            "page.html",
            path="/",
            channels=channels,
            decisions=tuple(reversed(decisions)),
            tally=_tally(channels),
        )

    def _explanation(self, name: str, release: str) -> str:
        facts = self._read.explain(release)
        if facts is None:
            raise NotFound(f"no release {release[:_SHORT_ID]}")
        language = self._languages[name]
        return self._fill(
            name,
            "explain.html",
            path=f"/releases/{release}/explain",
            release=facts.release,
            title=explaining.title(language, facts),
            parts=explaining.parts(language, facts),
            curves=self._curves(language, facts.release),
        )

    def _fill(self, name: str, template: str, **values: object) -> str:
        return (
            self._templates[name]
            .get_template(template)
            .render(
                **values,
                version=self._read.version(),
                now_ms=self._clock.now().wall_ms,
                language=self._languages[name],
                languages=[(each, OWN_NAMES[each]) for each in LANGUAGES],
            )
        )

    def _channel(self, language: Language, view: ChannelView) -> ChannelPart:
        releases = self._read.releases(view.name)
        flight = next((each for each in releases if each.id == view.in_flight), None)
        focus = releases[0] if flight is None and releases else flight
        serving = next((each for each in releases if each.id == view.serving), None)
        older = tuple(each for each in releases if each is not focus)[:_OLDER]
        return ChannelPart(
            view=view,
            serving=serving,
            situation=tuple(phrases.situation(language, view, serving, flight)),
            focus=None if focus is None else self._focus(language, focus),
            older=older,
        )

    def _focus(self, language: Language, view: ReleaseView) -> Focus:
        forecast = view.verdict.forecast_s
        harmed: list[ExposureView] = []
        if view.harmed:
            found = self._read.machines(view.id, _HARMED, "", Condition.HARMED)
            # A control machine fails by chance: it belongs in the counts, not among the victims.
            harmed = [each for each in found if each.arm is not Arm.CONTROL]
        return Focus(
            view=view,
            rings=tuple(_ring(language, view.number, *pair) for pair in view.door.items()),
            curves=self._curves(language, view),
            judged=language.gettext(phrases.JUDGEMENTS[view.verdict.state]),
            evidence=tuple(phrases.evidence(language, view)),
            would_open=view.verdict.state is Judgement.CLEARED
            and any(door.state is State.HELD for door in view.door.values()),
            forecast=None if forecast is None else language.duration(forecast),
            harmed=tuple(harmed),
            commands=tuple(
                each.command for each in advising.advice(view, reverts=False) if each.move in _ACTS
            ),
        )

    def _curves(self, language: Language, view: ReleaseView) -> Curves | None:
        track = self._read.track(view.id)
        if not track or all(door.reason in _UNASKED for door in view.door.values()):
            return None
        say = language.gettext
        last = track[-1]
        lines = view.thresholds
        factor = language.factor(last.log_e_harm)
        harm_upper = language.percent(last.harm_upper)
        start = language.time(track[0].time_ms, last.time_ms)
        end = say("%(time)s UTC", time=language.time(last.time_ms, last.time_ms))
        evidence = svg.evidence(
            [(point.time_ms, point.log_e_harm) for point in track],
            svg.Line(lines.log_e_shut, say("shuts above this line"), "shut"),
            svg.Line(lines.log_e_warn, say("a warning: no door opens above this line"), "warn"),
            svg.Words(
                say("Evidence of harm over time, now %(factor)s", factor=factor),
                start,
                end,
                factor,
                language.factor,
            ),
        )
        bound = svg.bound(
            [(point.time_ms, point.harm_upper) for point in track],
            svg.Line(lines.delta, say("opens below this line"), "opens", below=True),
            svg.Words(
                say("Harm that cannot be excluded, over time, now %(share)s", share=harm_upper),
                start,
                end,
                harm_upper,
                language.percent,
            ),
        )
        return Curves(
            evidence=evidence,
            bound=bound,
            factor=factor,
            shut_factor=language.factor(lines.log_e_shut),
            harm_upper=harm_upper,
            delta=language.percent(lines.delta),
        )


def _ring(language: Language, number: int, name: str, door: DoorView) -> RingPart:
    say = language.gettext
    counts = tuple(_counts(language, door))
    headline = phrases.headline(language, number, door)
    trying = door.state in (State.OPENING, State.HELD)
    free = max(0, door.window - door.in_flight - door.harmed)
    slots = None
    if trying:
        slots = svg.slots(
            door.window,
            door.in_flight,
            door.harmed,
            say(
                "%(window)s slots, %(free)s of them free",
                window=language.number(door.window),
                free=language.number(free),
            ),
        )
    share = door.admitted / door.machines if door.machines else 0.0
    return RingPart(
        name=name,
        door=door,
        headline=headline,
        picture=svg.door(door.state, share, headline),
        marks=svg.marks(
            [(kind, count) for kind, count, _ in counts],
            "; ".join(f"{says}: {language.number(count)}" for _, count, says in counts if count),
        ),
        legend=tuple(
            Legend(svg.key(kind), says, language.number(count), kind)
            for kind, count, says in counts
            if count
        ),
        slots=slots,
        free=free,
    )


def _counts(language: Language, door: DoorView) -> Iterator[tuple[str, int, str]]:
    say = language.gettext
    comparing = door.state in (State.OPENING, State.HELD, State.WAITING)
    control = door.control if comparing else 0
    watched = door.harmed + door.in_flight + door.matured
    rest = max(0, door.machines - watched - control)
    yield "harmed", door.harmed, say("harmed")
    yield "flight", door.in_flight, say("got it, outcome not known yet")
    yield "well", door.matured, say("got it and are well")
    yield "control", control, say("kept on the old release to compare")
    match door.state:
        case State.OPEN:
            unwatched = say("get it without being watched for this")
            yield "has", rest, unwatched if watched else say("get it")
        case State.SHUT:
            yield "later", rest, say("never got it")
        case _:
            yield "later", rest, say("not yet")


def _tally(channels: tuple[ChannelPart, ...]) -> Mapping[State, int]:
    states = [
        part.door.state
        for channel in channels
        if channel.focus is not None
        for part in channel.focus.rings
    ]
    return {state: states.count(state) for state in State if state in states}


def _escaped(values: Mapping[str, object]) -> dict[str, object]:
    return {name: escape(value) for name, value in values.items()}


def _templates(language: Language) -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("firedoor.console"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )

    def stamp(time_ms: int, now_ms: int) -> Markup:
        return Markup('<time datetime="{}">{}</time>').format(
            rfc3339(time_ms), language.time(time_ms, now_ms)
        )

    def why(door: DoorView) -> str:
        return phrases.because(language, door.state, door.reason)

    # Message ids may hold markup of our own; whatever is filled in is escaped.
    def translate(message: str, /, **values: object) -> Markup:
        return Markup(language.gettext(message, **_escaped(values)))  # noqa: S704

    def translate_many(one: str, many: str, count: int, /, **values: object) -> Markup:
        return Markup(language.ngettext(one, many, count, **_escaped(values)))  # noqa: S704

    def state_name(state: State) -> str:
        return language.gettext(phrases.STATES[state])

    words: dict[str, Any] = {
        "_": translate,
        "decided": partial(phrases.decided, language),
        "ngettext": translate_many,
        "exploited": partial(phrases.exploited, language),
        "harm": partial(phrases.harm, language),
        "lane": partial(phrases.lane, language),
        "number": language.number,
        "order": partial(phrases.order, language),
        "preflight": partial(phrases.preflight, language),
        "quoted": phrases.quoted,
        "size": language.size,
        "stamp": stamp,
        "state_name": state_name,
        "undoing": partial(phrases.undoing, language),
        "verb": partial(phrases.verb, language),
        "why": why,
    }
    environment.globals.update(words)
    return environment
