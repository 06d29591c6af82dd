"""A console that is asked about other people's counts, on a real store."""

import asyncio
import base64
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.unit.console import scenes
from tests.unit.console.asking import TOKEN, Reply, ask

from firedoor.adapters.store.runs import RunStore
from firedoor.console.app import Console, make_app
from firedoor.core.units import UnixMs
from firedoor.ports import Instant

HEAD = "time,release,signal,stratum,treated,control,treated_harmed,control_harmed\n"
JUDGE_TOKEN = "9b0e" * 8
RECORDED = Path(__file__).parent / "contract" / "recorded"

HARMLESS = "".join(f"{hour * 3_600_000},v2,crash,,250,250,0,0\n" for hour in range(8))
HARMFUL = "1,v2,crash,,50,450,20,0\n"
FEW = "1,v2,crash,,3,27,0,0\n"
VERDICTS = {"cleared": HARMLESS, "harmful": HARMFUL, "undecided": FEW}


class Hands:
    """A clock that stands where it is put."""

    def __init__(self, wall_ms: int = 1_795_000_000_000) -> None:
        self.wall_ms = wall_ms

    def now(self) -> Instant:
        """The same moment on all clocks."""
        return Instant(boot="boot", mono_ms=self.wall_ms, wall_ms=UnixMs(self.wall_ms))

    def monotonic_ms(self) -> int:
        """That moment again."""
        return self.wall_ms


class Desk:
    """Asks the console as pipelines do."""

    def __init__(self, data: Path) -> None:
        self.clock = Hands()
        self.runs = RunStore(data, self.clock)
        world = scenes.opening()
        self.app: Console = make_app(
            world,
            world,
            token=TOKEN,
            hosts=("judge.example",),
            clock=self.clock,
            runs=self.runs,
            judge_token=JUDGE_TOKEN,
        )

    def get(self, target: str, *, client: str = "127.0.0.1", **headers: str) -> Reply:
        """GET without a token unless the headers have one."""
        return asyncio.run(ask(self.app, "GET", target, headers=headers, client=client))

    def post(
        self, target: str, body: bytes | object, *, client: str = "127.0.0.1", **headers: str
    ) -> Reply:
        """POST with a token and as JSON unless the headers say otherwise; "" leaves one out."""
        sent = body if isinstance(body, bytes) else json.dumps(body).encode()
        full = {
            "authorization": f"Bearer {JUDGE_TOKEN}",
            "content_type": "application/json",
            **headers,
        }
        kept = {name: value for name, value in full.items() if value}
        return asyncio.run(
            ask(self.app, "POST", target, headers=kept, chunks=[sent], client=client)
        )

    def feed(self, run: str, rows: str, query: str = "") -> Reply:
        """Push rows of CSV, below the usual headings."""
        return self.post(
            f"/judge/runs/{run}{query}", (HEAD + rows).encode(), content_type="text/csv"
        )


def recorded(name: str) -> tuple[dict[str, str], Any]:
    """Headers and body of a recorded request."""
    found = json.loads((RECORDED / f"{name}.json").read_text())
    headers = {key.lower().replace("-", "_"): value for key, value in found["headers"].items()}
    return headers, found["body"]


def counted(pairs: Sequence[tuple[str, Any, Any, Any]], at_risk: Any = None) -> dict[str, Any]:
    """A request of Kayenta's about first harms, hour by hour; without more fifty and fifty."""
    scope = {"startTimeMillis": 0, "stepMillis": 3_600_000}
    ours = {"firedoor": {"atRisk": at_risk or {"control": 50, "experiment": 50}}}
    return {
        "canaryConfig": {
            "metrics": [{"name": "c", "groups": ["g"], "analysisConfigurations": ours}],
            "judge": {"judgeConfigurations": {}},
        },
        "scoreThresholds": {"pass": 90, "marginal": 50},
        "metricSetPairList": [
            {
                "name": name,
                "id": str(number),
                "tags": tags,
                "values": {"control": control, "experiment": experiment},
                "scopes": {"control": scope, "experiment": scope},
            }
            for number, (name, tags, control, experiment) in enumerate(pairs)
        ],
    }


def basic(user: str, password: str) -> str:
    """What a client makes of the user information in a URL."""
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
