"""Puts the console together: one ASGI app from what it reads, whom it asks and who may."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from firedoor.console.alone import Alone
from firedoor.console.api import Api
from firedoor.console.assets import Assets
from firedoor.console.facts import Explains
from firedoor.console.guard import Guard
from firedoor.console.live import Live
from firedoor.console.pages import Pages
from firedoor.console.problem import on_error
from firedoor.console.reading import Requests
from firedoor.core.errors import FiredoorError
from firedoor.ports import Clock
from firedoor.services.runs import Runs


class Console:
    """The console as an ASGI app. ``close`` ends the event streams, so that a server can stop.

    Args:
        app: The guarded app.
        live: Its event streams.
    """

    def __init__(self, app: Guard, live: Live) -> None:
        self._app = app
        self._live = live

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        await self._app(scope, receive, send)

    def close(self) -> None:
        """End every event stream and refuse new ones. Call it in the event loop; twice is fine."""
        self._live.close()


def make_app(
    read: Explains,
    requests: Requests,
    *,
    token: str,
    hosts: tuple[str, ...],
    clock: Clock,
    live: Live | None = None,
    runs: Runs | None = None,
    judge_token: str = "",
) -> Console:
    """Make the console.

    Args:
        read: What there is to see.
        requests: Who decides what a person asks for.
        token: The console token; whoever has it may act.
        hosts: Names beside loopback under which the console is served, without port.
        clock: For the time written on the page.
        live: The event streams; by default with the limits for production.
        runs: Where counts of others are kept; without it nobody can ask the judge about them.
        judge_token: A token for asking the judge alone, and for nothing else.
    """
    streams = Live(read) if live is None else live
    pages = Pages(read, clock)
    others = () if runs is None else Alone(runs, clock).operations()

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        yield
        streams.close()

    app = Starlette(
        routes=[
            Route("/", pages.index),
            Route("/releases/{release}/explain", pages.explain),
            Route("/static/{name}", Assets().serve),
            *Api(read, requests, streams, others).routes(),
        ],
        exception_handlers={
            FiredoorError: on_error,
            HTTPException: on_error,
            Exception: on_error,
        },
        lifespan=lifespan,
    )
    return Console(Guard(app, token=token, hosts=hosts, judge_token=judge_token), streams)
