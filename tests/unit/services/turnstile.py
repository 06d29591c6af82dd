"""The gate's admission in a test's hand: machines known for long, a clock, and decks to deal."""

from firedoor.core.board import ChannelBoard, Grant, Lane
from firedoor.services.admission import Admission
from firedoor.services.roster import Roster

HOUR = 3_600_000
DAY = 24 * HOUR
IDLE, MOST = 2_000, 60_000
ALL_CLASSES = (1 << 32) - 1


def grant(deck=1, *, cards=4, treated=1, key="00" * 32, life_ms=HOUR):
    return Grant(deck, cards, treated, key, life_ms)


class Gate:
    """An admission with machines that have been known for long, and a clock."""

    def __init__(self, machines=20, *, ring_of=lambda _: "everyone", stratum_of=lambda _: ""):
        self.now = 100 * DAY
        self.ring_of = ring_of
        self.stratum_of = stratum_of
        self.roster = Roster(heartbeat_ms=60_000, silence_min_ms=300_000, cold_ms=0)
        for machine in range(1, machines + 1):
            self.season(machine)
        self.admission = self.fresh()

    def fresh(self):
        """A new run that remembers nothing."""
        return Admission(
            "av", self.roster, self.ring_of, self.stratum_of, idle_ms=IDLE, max_ms=MOST
        )

    def season(self, machine):
        """Two sessions, long ago and an hour ago."""
        self.roster.grow(machine)
        self.roster.begin_session(machine, self.now - 10 * HOUR)
        self.roster.begin_session(machine, self.now - HOUR)

    def board(self, *lanes, **lane):
        """The judge publishes; returns the cuts."""
        lanes = lanes or (Lane("everyone", **{"base": 1, **lane}),)
        return self.admission.apply(ChannelBoard("av", lanes), self.now)

    def poll(self, machine, *, later=IDLE + 1, lease=True):
        """Begin a session and make what it needs durable; returns the choice."""
        self.now += later
        choice, cuts = self.admission.begin(machine, self.now, self.now // 1000, lease=lease)
        for place in choice.places:
            self.admission.settle(place)
        return choice, cuts

    def number(self, machine, **how):
        """What a session gets."""
        return self.poll(machine, **how)[0].number

    def census(self, ring="everyone"):
        """The count of one ring."""
        (count,) = [c for c in self.admission.census(self.now, 60_000) if c.ring == ring]
        return count

    def draw_all(self, cards=4, **lane):
        """A whole deck is dealt to machines 1.. ; returns (treated, control)."""
        self.board(candidate=2, grant=grant(cards=cards), **lane)
        drawn = [self.poll(machine)[0].places[0] for machine in range(1, cards + 1)]
        self.board(candidate=2, closed=((1, 0),))
        return (
            [place.machine for place in drawn if place.treated],
            [place.machine for place in drawn if not place.treated],
        )
