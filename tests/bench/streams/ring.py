"""Rings of machines: a release installed by some, at random, while others stay as they were.

Everything that happens without the release is drawn before the cards and happens to both arms
alike: crashes, sleep, partitions, outages of the collector. Harm is drawn for every machine too,
and strikes those that drew a treated card.

Decks live as long as ``core.valve`` lets them, or until their members report harm in numbers
(``services.pools.ends_early``); their members stay sealed until they are counted harmed. All decks
are long: silence is asked for one deadline after the cut, when the deck's outcomes are told, and
again at every later rung of the ladder. As in the product, a deadline that meets an outage of the
collector itself begins again after it.
"""

from dataclasses import dataclass, replace

import numpy as np
from tests.bench.rules.rule import DAY, HOUR, Bools, Briefing, Floats, Ints
from tests.bench.streams.pools import NEVER, revealed
from tests.bench.streams.stream import Closings, Counts, Stream, totals

from firedoor.core import silence, valve
from firedoor.services.pools import ends_early

PAST = 10
"""Earlier good releases of which a rule may know."""

_MINUTE_MS = 60_000
_BUCKETS = 500
_HISTORY_HOURS = 360
_DONE_MINUTES = 1.0


@dataclass(frozen=True, slots=True)
class Ring:
    """One scenario.

    Attributes:
        treated: Machines that install the release.
        control: Machines that do not, in the same decks.
        hours: Length.
        tick: Interval, minutes.
        spread: Hours over which the machines install.
        crash: Crashes per machine and day without the release.
        quiet: Chance that a machine is silent by chance in a window of its deadline.
        deadline: Minutes of quiet after which a machine is overdue.
        day_night: Swing of the crash rate over the day, in [0, 1).
        shock: Coefficient of variation of a shared gamma factor, drawn anew each day.
        heavy: Share of machines that make half of all crashes; 0 for none.
        bursts: Chance per site and interval that half of the site's machines crash at once.
        sites: Number of sites.
        whole_sites: Cards are dealt to sites, not to machines.
        telemetry: Share of machines whose crashes are reported.
        outage: First hour and length of an outage of the collector.
        partition: First hour and length of a partition that cuts off a fifth of the sites.
        ratio: Factor on the crash rate of treated machines.
        brick: Chance that the release kills a machine for good.
        says: Chance that a dying machine gets a crash report out.
        reboot: Mean hours from installation to the restart that lets harm begin; 0 for at once.
        onset: Hour of boarding before which harm sleeps (a time bomb).
        flips: The vendor's content is bad in every other span of 5 minutes only: what is
            installed, or crashes, in a good span is as before.
        life: Minutes a deck lives; 0 for as long as the product lets it.
    """

    treated: int = 1000
    control: int = 1000
    hours: int = 60
    tick: int = 10
    spread: float = 4.0
    crash: float = 0.002
    quiet: float = 0.001
    deadline: int = 60
    day_night: float = 0.0
    shock: float = 0.0
    heavy: float = 0.0
    bursts: float = 0.0
    sites: int = 50
    whole_sites: bool = False
    telemetry: float = 1.0
    outage: tuple[float, float] | None = None
    partition: tuple[float, float] | None = None
    ratio: float = 1.0
    brick: float = 0.0
    says: float = 1.0
    reboot: float = 0.0
    onset: float = 0.0
    flips: bool = False
    life: int = 0

    @property
    def machines(self) -> int:
        """N."""
        return self.treated + self.control

    @property
    def deck_minutes(self) -> int:
        """Life of a deck, minutes: as the product would cut it, for hourly polls."""
        if self.life:
            return self.life
        return valve.patience(self.machines / (self.spread * HOUR), HOUR)

    @property
    def rungs(self) -> tuple[int, ...]:
        """Silence is asked for after so many deadlines."""
        return silence.ladder(self.deadline * _MINUTE_MS)

    @property
    def healthy(self) -> "Ring":
        """The same world with a release that does nothing."""
        return replace(self, ratio=1.0, brick=0.0, reboot=0.0, onset=0.0, flips=False)

    @property
    def intervals(self) -> int:
        """T."""
        return self.hours * HOUR // self.tick

    def draw(self, runs: int, chance: np.random.Generator) -> Stream:
        """Draw R runs, and the good releases before them, which all runs have in common."""
        # Each run has a generator of its own: what is drawn last in one shifts no other.
        past = [Run(self.healthy, own).play().closings for own in chance.spawn(PAST)]
        drawn = [Run(self, own).play() for own in chance.spawn(runs)]
        counts = {name: np.stack([run.seen[name] for run in drawn]) for name in drawn[0].seen}
        reporting = counts.pop("reporting") > 0
        hourly = np.stack([run.hourly for run in drawn])
        return Stream(
            self.tick,
            Briefing(
                runs,
                self.treated,
                self.control,
                hourly,
                [[c for _, row in sorted(found.items()) for c in row] for found in past],
            ),
            Counts(reporting=reporting, **counts),
            [run.closings for run in drawn],
            np.stack([run.harmed for run in drawn]),
        )


@dataclass(frozen=True, slots=True)
class Drawn:
    """One run."""

    seen: dict[str, Ints]
    hourly: Ints
    closings: Closings
    harmed: Ints


class Run:
    """The drawing of one run; times are minutes since boarding."""

    def __init__(self, ring: Ring, chance: np.random.Generator) -> None:
        self.ring, self.chance = ring, chance
        n = ring.machines
        self.index = np.sort(chance.uniform(0.0, ring.spread * HOUR, n))
        self.site = chance.permutation(n) % ring.sites
        self.reports = chance.random(n) < ring.telemetry
        self.heavy = np.zeros(n, np.bool_)
        self.heavy[chance.permutation(n)[: round(ring.heavy * n)]] = True
        self.pace = self._pace()
        # What either card would do to a machine is fixed before the cards are dealt.
        self.died = self._deaths()
        self.loud = chance.random(n) < ring.says
        self.background = self._background()
        self.extra = self._extra()
        self.deck = np.zeros(n, np.int64)
        self.cut = np.zeros(n)
        self.treated = np.zeros(n, np.bool_)
        self._deal()

    def play(self) -> Drawn:
        """What happens, and what is seen of it."""
        ring, end = self.ring, self.ring.hours * HOUR
        died = np.where(self.treated, self.died, NEVER)
        who, when, fresh = self._reports(self.treated)
        inside = when < end
        who, when, fresh = who[inside], when[inside], fresh[inside]
        harmed = np.full(ring.machines, NEVER)
        np.minimum.at(harmed, who, when)
        harmed = np.minimum(harmed, died)
        told = self._told(who, when)
        who, when, fresh = who[told], when[told], fresh[told]
        silent = self._silences(died)
        return Drawn(
            self._seen(who, when, fresh, silent),
            self._past(),
            revealed(self, who, when, silent),
            np.cumsum(totals(self.tick_of(harmed[self.treated]), ring.intervals)),
        )

    def _reports(self, treated: Bools) -> tuple[Ints, Floats, Bools]:
        """What machines would send with these cards: who, when, and if its signature is new."""
        who, when = self.background
        extra_who, extra_when = self.extra
        mine = treated[extra_who]
        died = np.where(treated, self.died, NEVER)
        who = np.concatenate([who, extra_who[mine]])
        when = np.concatenate([when, extra_when[mine]])
        real = (when >= self.index[who]) & (when < died[who])
        who, when = who[real], when[real]
        last = np.flatnonzero(self.loud & (died < NEVER))
        fresh = np.zeros(len(who) + len(last), np.bool_)
        fresh[len(who) :] = True
        return np.concatenate([who, last]), np.concatenate([when, died[last]]), fresh

    def _told(self, who: Ints, when: Floats) -> Bools:
        return self.reports[who] & ~self._cut_off(who, when)

    def _first_told(self, *, treated: bool) -> Floats:
        """When each machine would first be heard to be harmed, with this card."""
        n = self.ring.machines
        who, when, _ = self._reports(np.full(n, treated))
        told = self._told(who, when)
        first = np.full(n, NEVER)
        np.minimum.at(first, who[told], when[told])
        return first

    def tick_of(self, when: Floats) -> Ints:
        """Intervals of times, -1 for never."""
        return np.where(when < NEVER, when // self.ring.tick, -1).astype(np.int64)

    def _deal(self) -> None:
        """Decks one after the other, each with the ring's share of treated cards, shuffled."""
        ring, n = self.ring, self.ring.machines
        if ring.whole_sites:
            chosen = self.chance.permutation(ring.sites)[: ring.sites * ring.treated // n]
            self.treated = np.isin(self.site, chosen)
        told = np.where(
            [[True], [False]], self._first_told(treated=True), self._first_told(treated=False)
        )
        first = dealt = deck = 0
        while first < n:
            end = min(self.index[first] + ring.deck_minutes, ring.spread * HOUR)
            upto = int(np.searchsorted(self.index, end, "right"))
            if not ring.whole_sites:
                cards = max(0, min(upto - first, round(upto * ring.treated / n) - dealt))
                self.treated[first + self.chance.permutation(upto - first)[:cards]] = True
            labels = self.treated[first:upto]
            end, drawn = self._ended(
                self.index[first:upto],
                np.where(labels, told[0, first:upto], told[1, first:upto]),
                end,
            )
            if not ring.whole_sites:
                labels[drawn:] = False
            dealt += int(labels[:drawn].sum())
            self.deck[first : first + drawn], self.cut[first : first + drawn] = deck, end
            first, deck = first + drawn, deck + 1

    @staticmethod
    def _ended(index: Floats, told: Floats, end: float) -> tuple[float, int]:
        """When a deck is cut, and how many have drawn from it by then; seen once a minute."""
        for minute in np.unique(np.ceil(told[told < end])).tolist():
            drawn = int(np.count_nonzero(index <= minute))
            if minute < end and ends_early(int(np.count_nonzero(told <= minute)), drawn):
                return minute, drawn
        return end, len(index)

    def _pace(self) -> Floats:
        """Factor on the crash rate in each interval, shape (T,)."""
        ring = self.ring
        minute = (np.arange(ring.intervals) + 0.5) * ring.tick
        pace = 1.0 + ring.day_night * np.sin(2.0 * np.pi * minute / DAY)
        if ring.shock:
            shape = ring.shock**-2
            days = self.chance.gamma(shape, 1.0 / shape, ring.hours // 24 + 1)
            pace = pace * days[(minute // DAY).astype(np.int64)]
        return np.asarray(pace, np.float64)

    def _crashes(self, factor: float, pace: Floats) -> tuple[Ints, Floats]:
        """Crashes of all machines at a multiple of the base rate."""
        ring, n = self.ring, self.ring.machines
        per_tick = ring.crash * n * ring.tick / DAY * factor
        at = np.repeat(np.arange(ring.intervals), self.chance.poisson(per_tick * pace))
        who = self.chance.integers(0, n, len(at))
        if ring.heavy:
            few = np.flatnonzero(self.heavy)
            by_few = self.chance.random(len(at)) < 0.5
            who = np.where(by_few, self.chance.choice(few, len(at)), who)
        return who, (at + self.chance.random(len(at))) * ring.tick

    def _background(self) -> tuple[Ints, Floats]:
        ring = self.ring
        who, when = self._crashes(1.0, self.pace)
        if not ring.bursts:
            return who, when
        struck = self.chance.random((ring.sites, ring.intervals)) < ring.bursts
        for site, t in zip(*np.nonzero(struck), strict=True):
            members = np.flatnonzero(self.site == site)
            half = members[self.chance.random(len(members)) < 0.5]
            who = np.concatenate([who, half])
            when = np.concatenate([when, (t + self.chance.random(len(half))) * ring.tick])
        return who, when

    def _extra(self) -> tuple[Ints, Floats]:
        """Crashes that the release adds to a machine that has it."""
        ring = self.ring
        if ring.ratio == 1.0:
            return np.zeros(0, np.int64), np.zeros(0)
        # Of twice as many, half fall into a bad span: the mean ratio stays what it says.
        factor = (ring.ratio - 1.0) * (2.0 if ring.flips else 1.0)
        who, when = self._crashes(factor, self.pace)
        begins = np.maximum(self.index + self._reboots(), ring.onset * HOUR)
        real = when >= begins[who]
        if ring.flips:
            real &= when // 5 % 2 == 1
        return who[real], when[real]

    def _reboots(self) -> Floats:
        if not self.ring.reboot:
            return np.zeros(self.ring.machines)
        return self.chance.exponential(self.ring.reboot * HOUR, self.ring.machines)

    def _deaths(self) -> Floats:
        """When the release would kill each machine, ``NEVER`` for most."""
        ring = self.ring
        doomed = self.chance.random(ring.machines) < ring.brick * (2.0 if ring.flips else 1.0)
        if ring.flips:
            doomed &= self.index // 5 % 2 == 1
        dies = np.maximum(self.index + self._reboots(), ring.onset * HOUR)
        return np.where(doomed, dies, NEVER)

    def _cut_off(self, who: Ints, when: Floats) -> Bools:
        """Whether what a machine sends at a moment is lost."""
        lost = np.zeros(len(who), np.bool_)
        for span, members in self._spans():
            begin, length = span
            inside = (when >= begin * HOUR) & (when < (begin + length) * HOUR)
            lost |= inside & members[who]
        return lost

    def _spans(self) -> list[tuple[tuple[float, float], Bools]]:
        found = self._partitions()
        if self.ring.outage:
            found.append((self.ring.outage, np.ones(self.ring.machines, np.bool_)))
        return found

    def _partitions(self) -> list[tuple[tuple[float, float], Bools]]:
        ring = self.ring
        if not ring.partition:
            return []
        return [(ring.partition, self.site < max(1, ring.sites // 5))]

    def due(self, rung: int) -> Floats:
        """When each machine is asked, minutes."""
        ring = self.ring
        due = self.cut + rung * ring.deadline
        if ring.outage:
            begin, end = ring.outage[0] * HOUR, sum(ring.outage) * HOUR
            met = (due > begin) & (due - ring.deadline < end)
            due = np.where(met, end + ring.deadline, due)
        return due

    def _silences(self, died: Floats) -> Floats:
        """When each machine is found silent, shape (N,)."""
        ring, n = self.ring, self.ring.machines
        found = np.full(n, NEVER)
        for rung in reversed(ring.rungs):
            due = self.due(rung)
            heard = np.ones(n)
            for (begin, length), members in self._partitions():
                first = np.maximum(due - ring.deadline, begin * HOUR)
                last = np.minimum(due, (begin + length) * HOUR)
                heard -= members * np.maximum(0.0, last - first) / ring.deadline
            by_chance = self.chance.random(n) < ring.quiet ** np.maximum(heard, 0.0)
            silent = by_chance | (died < due - ring.deadline)
            found = np.where(silent & (due < ring.hours * HOUR), due, found)
        return found

    def _seen(self, who: Ints, when: Floats, fresh: Bools, silent: Floats) -> dict[str, Ints]:
        ring, length = self.ring, self.ring.intervals
        treated = self.treated
        tick = self.tick_of(when)
        mine = treated[who]
        failed = np.full(ring.machines, NEVER)
        np.minimum.at(failed, who, when)
        done = self.index + _DONE_MINUTES
        finished = np.where(failed <= done, NEVER, done)
        joined = totals(self.tick_of(self.index[treated]), length)
        joined0 = totals(self.tick_of(self.index[~treated]), length)
        reporting = np.ones(length, np.int64)
        if ring.outage:
            begin, hours = ring.outage
            first = round(begin * HOUR / ring.tick)
            reporting[first : first + round(hours * HOUR / ring.tick)] = 0
        return {
            "reporting": reporting,
            "treated": np.cumsum(joined),
            "control": np.cumsum(joined0),
            "crashes": totals(tick[mine], length),
            "control_crashes": totals(tick[~mine], length),
            "bucket": self._new_buckets(who[mine], tick[mine], fresh[mine]),
            "finished": totals(self.tick_of(finished[treated]), length),
            "failed": totals(self.tick_of(failed[treated]), length),
            "overdue": totals(self.tick_of(silent[treated]), length),
            "control_overdue": totals(self.tick_of(silent[~treated]), length),
        }

    def _new_buckets(self, who: Ints, tick: Ints, fresh: Bools) -> Ints:
        """Most machines, so far, in one signature that the previous version never had.

        Old crashes have signatures by Zipf's law, of which a fortnight has shown most; a brick
        has a signature of its own, and a raised rate has none.
        """
        ring = self.ring
        weights = 1.0 / np.arange(1, _BUCKETS + 1)
        weights /= weights.sum()
        before = ring.crash * ring.machines * 15.0
        unseen = self.chance.random(_BUCKETS) < np.exp(-before * weights)
        bucket = self.chance.choice(_BUCKETS, len(who), p=weights)
        bucket = np.where(fresh, _BUCKETS, bucket)
        new = np.append(unseen, np.True_)[bucket]
        # One count a machine and signature, at its first crash.
        order = np.flatnonzero(new)[np.argsort(tick[new], kind="stable")]
        machine = who[order] * (_BUCKETS + 1) + bucket[order]
        first = order[np.sort(np.unique(machine, return_index=True)[1])]
        most = np.zeros(ring.intervals, np.int64)
        so_far = np.zeros(_BUCKETS + 1, np.int64)
        for event in first:
            so_far[bucket[event]] += 1
            most[tick[event]] = max(most[tick[event]], so_far[bucket[event]])
        return np.maximum.accumulate(most)

    def _past(self) -> Ints:
        """Crash reports an hour of the previous version over 15 days."""
        ring = self.ring
        hour = np.arange(_HISTORY_HOURS)
        pace = 1.0 + ring.day_night * np.sin(2.0 * np.pi * (hour % 24 + 0.5) / 24.0)
        if ring.shock:
            shape = ring.shock**-2
            pace *= np.repeat(self.chance.gamma(shape, 1.0 / shape, _HISTORY_HOURS // 24), 24)
        rate = ring.crash * ring.machines / 24.0
        rate += ring.bursts * ring.machines / 2.0 * HOUR / ring.tick
        past: Ints = self.chance.poisson(rate * ring.telemetry * pace)
        return past
