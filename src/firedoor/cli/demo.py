"""``firedoor demo``: a complete rehearsal on loopback, with real sockets and real processes.

Three releases: one is adopted, a good one reaches everybody, a bad one harms what installs it
and is stopped by evidence alone.
"""

import contextlib
import math
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.live import Live
from rich.table import Table

from firedoor.core.errors import Unavailable
from firedoor.simulator.content import Defect
from firedoor.simulator.stage import Stage

HARMED_AT_MOST = 1.6
"""The demo succeeds if the bad release harmed at most this many times its budget."""

_RING = "everyone"
_LOOK_EVERY_S = 0.25
_START_S, _GOOD_S, _BAD_S = 60.0, 240.0, 60.0
_SEASON_S = 3.0  # poll gaps have to be learned before anybody is enrolled

_ABOUT = """\
A vendor, {machines} machines and Firedoor run on this computer and talk HTTP over loopback.
Times are compressed about 200 times: a judge's tick of 60 s takes 0.25 s here, and a machine is
silent after 2 s instead of 5 minutes. Nothing else is simplified."""


class Failure(StrEnum):
    """What the bad release does."""

    BRICK = "brick"
    CRASH = "crash"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a demonstration came to.

    Attributes:
        good_s: Seconds from the good release's publication until every machine had it.
        bad_s: Seconds from the bad release's publication until its door was shut or held.
        state: State of its door then.
        harmed: Machines that it struck, by their own word.
        budget: Its harm budget, machines.
        sentence: What the judge said of it.
        seconds: How long everything took.
    """

    good_s: float
    bad_s: float
    state: str
    harmed: int
    budget: int
    sentence: str
    seconds: float

    @property
    def succeeded(self) -> bool:
        """The good release reached all, the bad one was stopped within the budget's bound."""
        return self.state in ("shut", "held") and self.harmed <= HARMED_AT_MOST * self.budget


def register(app: typer.Typer) -> None:
    """Add the command to the app."""
    app.command("demo")(demo)


def demo(
    machines: Annotated[int, typer.Option(min=10, max=5000, help="Size of the fleet.")] = 200,
    exit_: Annotated[
        bool, typer.Option("--exit", help="End by itself (implied without a terminal).")
    ] = False,
    seed: Annotated[int, typer.Option(help="Seed of the machines' habits.")] = 1,
    failure: Annotated[Failure, typer.Option(help="What the bad release does.")] = Failure.BRICK,
) -> None:
    """Watch a bad update stop itself: a rehearsal with real sockets, in about a minute.

    Exits with 0 if the good release reached every machine and the bad one was stopped after
    harming at most 1.6 times its budget.

    Example: firedoor demo --exit --machines 200
    """
    screen = Console()
    stay = screen.is_terminal and not exit_
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    root = Path(tempfile.mkdtemp(prefix="firedoor-demo-"))
    try:
        outcome = play(root, screen, machines=machines, seed=seed, failure=failure, stay=stay)
    except KeyboardInterrupt:
        raise typer.Exit(1) from None
    finally:
        shutil.rmtree(root, ignore_errors=True)
    raise typer.Exit(0 if outcome.succeeded else 1)


def play(
    root: Path, screen: Console, *, machines: int, seed: int, failure: Failure, stay: bool
) -> Outcome:
    """Play the three acts and say what happened.

    Args:
        root: An empty directory for everything.
        screen: Where to say it.
        machines: Size of the fleet.
        seed: Seed of the machines' habits.
        failure: What the bad release does.
        stay: Keep everything running afterwards, until Ctrl-C.

    Raises:
        Unavailable: An act did not come to its end in time.
    """
    began = time.monotonic()
    screen.print(_ABOUT.format(machines=machines), highlight=False, soft_wrap=True)
    with Stage(root, machines=machines, seed=seed) as stage:
        console = f"console: {stage.urls['console']}\n"
        screen.print(console, style="bold", highlight=False, soft_wrap=True)
        acts = _Acts(stage, screen, began)
        with acts.live():
            acts.adopt()
            good_s = acts.good()
            bad_s, door = acts.bad(failure)
        outcome = Outcome(
            good_s=good_s,
            bad_s=bad_s,
            state=door["state"],
            harmed=stage.struck(),
            budget=door["budget"],
            sentence=door["note"],
            seconds=time.monotonic() - began,
        )
        _conclude(screen, outcome, machines, failure)
        if stay:
            screen.print(
                f"Everything goes on running. Look at {stage.urls['console']} ; Ctrl-C ends it.",
                highlight=False,
                soft_wrap=True,
            )
            # How it came out is known: whoever has seen enough does not change it.
            with contextlib.suppress(KeyboardInterrupt):
                signal.pause()
    return outcome


class _Acts:
    """The three acts, and the picture of them on a terminal."""

    def __init__(self, stage: Stage, screen: Console, began: float) -> None:
        self._stage = stage
        self._screen = screen
        self._began = began
        self._live = Live(console=screen, refresh_per_second=8, transient=True)
        self._releases: list[dict[str, Any]] = []

    def live(self) -> Live:
        """The moving picture; nothing where nobody watches."""
        return self._live

    def adopt(self) -> None:
        """The first release is adopted; then the machines live long enough to be known."""
        self._wait("the first release to be adopted", _START_S, lambda: bool(self._releases))
        self._stage.let_live()
        everybody = self._stage.machines
        self._wait(
            "every machine to install it",
            _START_S,
            lambda: self._stage.installed("1.0") == everybody,
        )
        self._say("release 1.0 is adopted as it is: no evidence is claimed for it")
        time.sleep(_SEASON_S)

    def good(self) -> float:
        """A good release reaches everybody."""
        began = time.monotonic()
        self._stage.publish("2.0")
        self._say("the vendor publishes 2.0, a good release")
        self._wait("2.0 to board", _START_S, lambda: self._number() == 2)  # noqa: PLR2004
        self._wait("the door of 2.0 to open", _GOOD_S, lambda: self._door()["state"] != "opening")
        door = self._door()
        if door["state"] != "open":
            raise Unavailable(f"the good release ended {door['state']}: {door['note']}")
        self._say(f"the door of 2.0 opens ({door['reason']}): {door['note']}")
        everybody = self._stage.machines
        self._wait(
            "every machine to install 2.0",
            _GOOD_S,
            lambda: self._stage.installed("2.0") == everybody,
        )
        took = time.monotonic() - began
        self._say(f"all {everybody} machines run 2.0, {took:.0f} s after it was published")
        return took

    def bad(self, failure: Failure) -> tuple[float, dict[str, Any]]:
        """A bad release is stopped."""
        began = time.monotonic()
        defect: Defect = "brick" if failure is Failure.BRICK else "crash"
        self._stage.publish("3.0", defect)
        what = "bricks" if failure is Failure.BRICK else "crashes"
        self._say(f"the vendor publishes 3.0: it {what} every machine that installs it")
        self._wait("3.0 to board", _START_S, lambda: self._number() == 3)  # noqa: PLR2004
        self._wait("3.0 to be stopped", _BAD_S, lambda: self._door()["state"] != "opening")
        took = time.monotonic() - began
        door = self._door()
        self._say(f"the door of 3.0 is {door['state']} ({door['reason']}): {door['note']}")
        # Whoever is still installing shows it within a second.
        time.sleep(1.5)
        return took, door

    def _wait(self, what: str, seconds: float, done: Callable[[], bool]) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            try:
                self._releases = self._stage.releases()
            except Unavailable:
                pass
            else:
                if done():
                    return
            self._draw(what)
            time.sleep(_LOOK_EVERY_S)
        raise Unavailable(
            f"waited {seconds:.0f} s in vain for {what}",
            hint=f"the log is {self._stage.root / 'firedoor.log'}",
        )

    def _number(self) -> int:
        return int(self._releases[0]["number"]) if self._releases else 0

    def _door(self) -> dict[str, Any]:
        return dict(self._releases[0]["door"][_RING])

    def _say(self, sentence: str) -> None:
        elapsed = time.monotonic() - self._began
        self._screen.print(
            f"[dim]{elapsed:5.1f} s[/dim]  {sentence}", highlight=False, soft_wrap=True
        )

    def _draw(self, what: str) -> None:
        if not self._screen.is_terminal or not self._releases:
            return
        newest, door = self._releases[0], self._door()
        table = Table(box=None, show_header=False, padding=(0, 2))
        everybody = self._stage.machines
        table.add_row("release", f"{newest['number']}.0   {newest['id'][:12]}")
        table.add_row("door", f"{door['state']} ({door['reason']})")
        share = door["admitted"] / everybody if everybody else 0.0
        table.add_row("admitted", f"{_bar(share)} {door['admitted']} of {everybody}")
        table.add_row("control", str(door["control"]))
        table.add_row("in flight", f"{door['in_flight']} of a window of {door['window']}")
        table.add_row("harmed", f"{door['harmed']} (budget {door['budget']})")
        log_e = newest["verdict"]["log_e_harm"]
        limit = newest["thresholds"]["log_e_shut"]
        table.add_row("evidence", f"{_bar(log_e / limit)} e^{log_e:.1f} of e^{limit:.1f}")
        table.add_row("waiting for", what)
        self._live.update(table)


def _conclude(screen: Console, outcome: Outcome, machines: int, failure: Failure) -> None:
    verdict = "stopped itself" if outcome.succeeded else "was not stopped as promised"
    struck = "bricked" if failure is Failure.BRICK else "crashed"
    screen.print(
        f"\nThe bad release {verdict}: {outcome.harmed} of {machines} machines {struck} "
        f"(harm budget {outcome.budget}), its door {outcome.state} "
        f"{outcome.bad_s:.1f} s after it was published.\n"
        f"The good release reached all {machines} machines in {outcome.good_s:.0f} s. "
        f"All of it took {outcome.seconds:.0f} s.",
        style="bold green" if outcome.succeeded else "bold red",
        highlight=False,
        soft_wrap=True,
    )


def _bar(share: float, width: int = 24) -> str:
    full = math.floor(max(0.0, min(1.0, share)) * width)
    return "█" * full + "·" * (width - full)
