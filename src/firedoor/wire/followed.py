"""What the console remembers of a boarding, so that every look costs only what is new."""

import math
from bisect import bisect_right
from collections.abc import Iterable

import msgspec

from firedoor.adapters.store.gate import GateReader
from firedoor.adapters.store.judge import JudgeReader
from firedoor.console.model import TrackPoint
from firedoor.core import verdict as judgement
from firedoor.services.boarding import Boarding

MOST_POINTS = 2000
"""Points of a curve that are kept: more than a screen has columns."""

CELLS_A_LOOK = 500
"""Cells weighed in one look, about 50 ms of the event loop at the worst."""

_FARTHEST_S = 366 * 24 * 3600
_MS_PER_HOUR = 3_600_000


class Curve:
    """The points of a track, thinned evenly as they become too many. The last one always stays."""

    def __init__(self, most: int = MOST_POINTS) -> None:
        """Keep at most ``most`` points, >= 2."""
        self._most = most
        self._kept: list[TrackPoint] = []
        self._last: TrackPoint | None = None
        self._stride = 1
        self._seen = 0

    def extend(self, points: Iterable[TrackPoint]) -> None:
        """Take over what came after."""
        for point in points:
            if self._seen % self._stride == 0:
                self._kept.append(point)
            self._seen += 1
            self._last = point
            # One place is kept for the last point, which the stride may miss.
            if len(self._kept) >= self._most:
                self._kept = self._kept[::2]
                self._stride *= 2

    def points(self) -> list[TrackPoint]:
        """The curve, oldest first."""
        if self._last is None or self._last is self._kept[-1]:
            return list(self._kept)
        return [*self._kept, self._last]


class _Point(msgspec.Struct):
    """The body of a stored point; see ``reports.track_point``."""

    log_e_harm: float
    harm_upper: float
    admitted: int
    control: int
    harmed: int
    in_flight: int
    window: int


_POINT = msgspec.json.Decoder(_Point)


class Followed:
    """One boarding."""

    def __init__(self, boarding: Boarding) -> None:
        """Nothing is read yet."""
        self.boarding = boarding
        self._curve = Curve()
        self._track_seq = 0
        self._evidence = judgement.start(boarding.rules)
        self._epoch = 0
        self._place = 0
        self._dealt: dict[str, int] = {}
        self._afterwards: dict[str, int] = {}

    def track(self, judge: JudgeReader) -> list[TrackPoint]:
        """Its curve so far, thinned."""
        fresh = judge.track(self.boarding.channel, self.boarding.number, after=self._track_seq)
        if fresh:
            self._track_seq = fresh[-1].seq
            self._curve.extend(_shown(point.time_ms, point.body) for point in fresh)
        return self._curve.points()

    def exposed(self, gate: GateReader) -> dict[str, tuple[int, int]]:
        """Ring -> machines that got it (by a card, without one since the door was open)."""
        upto = gate.last_place()
        if upto > self._place:
            channel, number = self.boarding.channel, self.boarding.number
            for ring, afterwards, count in gate.exposed(
                channel, number, after=self._place, upto=upto
            ):
                counted = self._afterwards if afterwards else self._dealt
                counted[ring] = counted.get(ring, 0) + count
            self._place = upto
        rings = self._dealt.keys() | self._afterwards.keys()
        return {ring: (self._dealt.get(ring, 0), self._afterwards.get(ring, 0)) for ring in rings}

    def forecast_s(self, judge: JudgeReader, now_ms: int) -> int | None:
        """Seconds until the evidence is to be expected to decide, None if nobody can say.

        Installs are taken to go on as in the later half of the boarding's life so far: a window
        that fits a fleet polling every second as well as one polling every day.
        """
        if self._weigh(judge) == CELLS_A_LOOK:
            return None  # More may wait: the next look knows better.
        matured = self._evidence.matured
        rate = self._matured_per_hour(judge, now_ms) * matured.installed / max(1, matured.treated)
        seconds = judgement.forecast(self._evidence, rate)
        return None if seconds is None or seconds > _FARTHEST_S else math.ceil(seconds)

    def weighed(self, judge: JudgeReader) -> tuple[judgement.Evidence, int]:
        """Its evidence with every cell there is, and the epoch of the newest."""
        while self._weigh(judge) == CELLS_A_LOOK:
            pass
        return self._evidence, self._epoch

    def _weigh(self, judge: JudgeReader) -> int:
        """Take the next cells into the evidence, and say how many there were."""
        channel, number = self.boarding.channel, self.boarding.number
        cells = judge.cells_after(channel, number, self._evidence.seq, CELLS_A_LOOK)
        for cell in cells:
            self._evidence = judgement.absorb(self._evidence, cell)
            self._epoch = cell.epoch
        return len(cells)

    def _matured_per_hour(self, judge: JudgeReader, now_ms: int) -> float:
        points = self.track(judge)
        begin = self.boarding.boarded_ms + (now_ms - self.boarding.boarded_ms) // 2
        at = bisect_right(points, begin, key=lambda point: point.time_ms)
        if not points or now_ms <= begin:
            return 0.0
        before = _matured(points[at - 1]) if at else 0
        gained = max(0, _matured(points[-1]) - before)
        return gained * _MS_PER_HOUR / (now_ms - begin)


def _matured(point: TrackPoint) -> int:
    return point.admitted - point.in_flight


def _shown(time_ms: int, body: str) -> TrackPoint:
    stored = _POINT.decode(body)
    return TrackPoint(time_ms=time_ms, **msgspec.structs.asdict(stored))
