"""Rings of machines: a release installed by some, at random, while others stay as they were.

Everything that happens without the release is drawn before the cards and happens to both arms
alike: crashes, sleep, partitions, outages of the collector. Harm is drawn for every machine too,
and strikes those that drew a treated card.

Decks live as long as ``core.valve`` lets them; their members stay sealed until they are counted
harmed. Silence is asked for one deadline after the cut, and again after 4 and 24. As in the
product, a deadline that meets an outage of the collector itself begins again after it.
"""

from dataclasses import dataclass

import numpy as np
from tests.bench.rules.rule import DAY, HOUR, Bools, Briefing, Closing, Floats, Ints
from tests.bench.streams.stream import Closings, Counts, Stream, reveal, totals

from firedoor.core import valve

NEVER = 1e9
CRASH, SILENCE = 0, 1
SIGNALS = ("crash", "silence")
RUNGS = (1, 4, 24)
"""Silence is asked for after so many deadlines."""

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
        soak: Hours after the cut at which a machine's outcome is taken for clearance.
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
    soak: float = 24.0
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
    def intervals(self) -> int:
        """T."""
        return self.hours * HOUR // self.tick

    def draw(self, runs: int, chance: np.random.Generator) -> Stream:
        """Draw R runs."""
        drawn = [_Run(self, chance).play() for _ in range(runs)]
        counts = {name: np.stack([run.seen[name] for run in drawn]) for name in drawn[0].seen}
        reporting = counts.pop("reporting") > 0
        hourly = np.stack([run.hourly for run in drawn])
        return Stream(
            self.tick,
            Briefing(runs, self.treated, self.control, hourly),
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


class _Run:
    """The drawing of one run; times are minutes since boarding."""

    def __init__(self, ring: Ring, chance: np.random.Generator) -> None:
        self.ring, self.chance = ring, chance
        n = ring.machines
        self.index = np.sort(chance.uniform(0.0, ring.spread * HOUR, n))
        self.deck = (self.index // ring.deck_minutes).astype(np.int64)
        self.cut = np.minimum((self.deck + 1) * ring.deck_minutes, ring.spread * HOUR)
        self.site = chance.permutation(n) % ring.sites
        self.reports = chance.random(n) < ring.telemetry
        self.heavy = np.zeros(n, np.bool_)
        self.heavy[chance.permutation(n)[: round(ring.heavy * n)]] = True
        self.pace = self._pace()
        self.treated = self._deal()

    def play(self) -> Drawn:
        ring, end = self.ring, self.ring.hours * HOUR
        who, when = self._background()
        extra_who, extra_when = self._extra()
        died = self._deaths()
        died_treated = np.where(self.treated, died, NEVER)
        who, when = np.concatenate([who, extra_who]), np.concatenate([when, extra_when])
        real = (when >= self.index[who]) & (when < died_treated[who]) & (when < end)
        who, when = who[real], when[real]
        fresh = np.zeros(len(who), np.bool_)
        last = np.flatnonzero(died_treated < end)
        loud = last[self.chance.random(len(last)) < ring.says]
        who, when = np.concatenate([who, loud]), np.concatenate([when, died_treated[loud]])
        fresh = np.concatenate([fresh, np.ones(len(loud), np.bool_)])
        harmed = np.full(ring.machines, NEVER)
        np.minimum.at(harmed, who, when)
        harmed = np.minimum(harmed, died_treated)
        told = self.reports[who] & ~self._cut_off(who, when)
        who, when, fresh = who[told], when[told], fresh[told]
        silent = self._silences(died_treated)
        return Drawn(
            self._seen(who, when, fresh, silent),
            self._past(),
            self._closings(who, when, silent),
            np.cumsum(totals(self._tick(harmed[self.treated]), ring.intervals)),
        )

    def _tick(self, when: Floats) -> Ints:
        return np.where(when < NEVER, when // self.ring.tick, -1).astype(np.int64)

    def _deal(self) -> Bools:
        """Cards: in each deck the ring's share, shuffled; or whole sites."""
        ring, n = self.ring, self.ring.machines
        if ring.whole_sites:
            chosen = self.chance.permutation(ring.sites)[: ring.sites * ring.treated // n]
            return np.isin(self.site, chosen)
        treated = np.zeros(n, np.bool_)
        dealt, so_far = 0, 0
        for deck in range(int(self.deck.max()) + 1):
            members = np.flatnonzero(self.deck == deck)
            so_far += len(members)
            upto = round(so_far * ring.treated / n)
            treated[self.chance.permutation(members)[: upto - dealt]] = True
            dealt = upto
        return treated

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
        """Crashes that the release adds."""
        ring = self.ring
        if ring.ratio == 1.0:
            return np.zeros(0, np.int64), np.zeros(0)
        # Of twice as many, half fall into a bad span: the mean ratio stays what it says.
        factor = (ring.ratio - 1.0) * (2.0 if ring.flips else 1.0)
        who, when = self._crashes(factor, self.pace)
        begins = np.maximum(self.index + self._reboots(), ring.onset * HOUR)
        real = self.treated[who] & (when >= begins[who])
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

    def _due(self, rung: int) -> Floats:
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
        for rung in reversed(RUNGS):
            due = self._due(rung)
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
        tick = self._tick(when)
        mine = treated[who]
        failed = np.full(ring.machines, NEVER)
        np.minimum.at(failed, who, when)
        done = self.index + _DONE_MINUTES
        finished = np.where(failed <= done, NEVER, done)
        joined = totals(self._tick(self.index[treated]), length)
        joined0 = totals(self._tick(self.index[~treated]), length)
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
            "finished": totals(self._tick(finished[treated]), length),
            "failed": totals(self._tick(failed[treated]), length),
            "overdue": totals(self._tick(silent[treated]), length),
            "control_overdue": totals(self._tick(silent[~treated]), length),
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

    def _closings(self, who: Ints, when: Floats, silent: Floats) -> Closings:
        ring = self.ring
        crashed = np.full(ring.machines, NEVER)
        np.minimum.at(crashed, who, when)
        # What happens before the cut is evaluated at the cut.
        crash_tick = self._tick(np.where(crashed < NEVER, np.maximum(crashed, self.cut), NEVER))
        silent_tick = self._tick(silent)
        by_crash = (crash_tick >= 0) & ((silent_tick < 0) | (crash_tick <= silent_tick))
        tick = np.where(by_crash, crash_tick, silent_tick)
        tick = np.where(tick < ring.intervals, tick, -1)
        signal = np.where(by_crash, CRASH, SILENCE)
        closings = reveal(self.deck, self.treated, tick, signal, SIGNALS)
        for deck in range(int(self.deck.max()) + 1):
            members = self.deck == deck
            if not members.any():
                continue
            mature = int((self.cut[members][0] + ring.soak * HOUR) // ring.tick)
            if mature >= ring.intervals:
                continue
            harmed = members & (tick >= 0) & (tick <= mature)
            m1 = int((members & self.treated).sum())
            x1 = int((harmed & self.treated).sum())
            m0, x0 = int(members.sum()) - m1, int(harmed.sum()) - x1
            closings.setdefault(mature, []).append(Closing(deck + 1, "any", m1, m0, x1, x0))
        return closings
