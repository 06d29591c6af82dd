r"""A whole series of cells at once: the same fold as ``verdict.fold``, in strides.

Whoever judges counts of their own may bring a million rows, and a fold that looks at one cell at
a time would take minutes. All factors of a stretch of cells are computed together here, and the
wealth on its way is their running sum,

    H_j after cell t  =  H_j before the stretch  +  sum over i <= t of  ln f_j of cell i

summed from the first to the last, so that the bits are those of one cell at a time. Nothing is
kept but the state at the end and the largest E on the way.

The largest E is taken where an interval (a ``deck`` of cells) ends. The cells of one interval
became known together: between them nobody could have stopped, and who could choose their order
by what they say, worst first, would find a largest E that no level bounds.

A signal that nobody counted at the beginning may come later. It is then lent its share out of
what the others have made so far, so that E neither jumps nor is told anew from the beginning:
with n signals that hold W together, each keeps n/(n+1) of its own and the new one begins with
W/(n+1). That is settled before the new one's first harm, so it is one more bet of one game.

``together`` is for machines that may fail together, by a shared fault or a site's outage, where
nobody dealt cards: E is then the linear factor's alone, in which one closing is one observation
however many machines fell in it. It needs E[y] <= w, that the treated get no more than their
share of a closing's first harms on average, and nothing about how machines depend on each other
within a closing. Clearance has no such factor: a class in which machines fail together is not
the many observations it looks like.

Source: evidence.md 2.3 (factors), 2.4 (over-dispersion), 2.5 (starting times), 2.7 (clearance).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice, pairwise
from typing import Final

import numpy as np

from firedoor.core.cell import Cell, Test
from firedoor.core.evidence import clearance, harm, mixture, relative
from firedoor.core.evidence import cluster as clusters
from firedoor.core.evidence.clearance import Clearance
from firedoor.core.evidence.counts import Counts, Floats, Ints, Matured
from firedoor.core.evidence.harm import Harm
from firedoor.core.evidence.mixture import Wealth, frozen, log_sum
from firedoor.core.evidence.relative import Relative

STRIDE: Final = 4096
"""Cells looked at together; what is held at once grows with it."""

_LN_2: Final = float(np.log(2.0))


@dataclass(frozen=True, slots=True)
class Stream:
    """Harm evidence of one signal at the end of the series.

    Attributes:
        log_weight: ln of what E of the signal is multiplied by: of its share of the wealth, or of
            what was lent to it; -inf before it comes.
        harm: The e-process.
        log_e: ln E of the signal now.
        max_log_e: The largest it has been where an interval ended, >= 0.
        treated: Treated members at risk, summed over closings, count >= 0.
        control: Control members at risk, likewise.
        treated_harmed: Treated members harmed.
        control_harmed: Control members harmed.
    """

    log_weight: float
    harm: Harm
    log_e: float = 0.0
    max_log_e: float = 0.0
    treated: int = 0
    control: int = 0
    treated_harmed: int = 0
    control_harmed: int = 0


@dataclass(frozen=True, slots=True)
class Series:
    """What a series of cells amounts to.

    Attributes:
        log_e: ln of the E of all signals together, now.
        max_log_e: The largest it has ever been where an interval ended, >= 0.
        streams: By signal, in the order of the weights.
        clearance: The clearance e-process, one row.
        matured: Totals behind it.
        relative: The relative clearance e-process, one row; None where it was not asked for.
    """

    log_e: float
    max_log_e: float
    streams: Mapping[str, Stream]
    clearance: Clearance
    matured: Matured
    relative: Relative | None = None


def fold(
    weights: Mapping[str, float],
    delta: float,
    cells: Iterable[Cell],
    *,
    together: bool = False,
    ratio: float | None = None,
    cluster: int = 1,
    dealt: bool = False,
    later: Mapping[str, int] | None = None,
) -> Series:
    """Evidence of all cells of a release, in the order given.

    Args:
        weights: Share of the wealth of every signal that is there from the beginning, each > 0,
            sum 1.
        delta: What the clearance is aimed at, in (0, 1).
        cells: Of one release; epochs must not fall. Those of one interval stand together, with
            one ``deck``, in an order that does not depend on who was harmed.
        together: Machines may fail together: the linear factor alone.
        ratio: Odds ratio that relative clearance excludes, > 1; None for none.
        cluster: Most machines that one accident harms, >= 1: what is excluded is divided by it,
            and the plain factor of harm as well unless ``dealt``.
        dealt: Chance chose who is treated, machine by machine: the plain factor of harm is then
            valid whatever fails together.
        later: Further signals, and with which ``deck`` each comes.

    Raises:
        ValueError: A cell's signal has no weight.
    """
    now = Series(
        log_e=0.0,
        max_log_e=0.0,
        streams={
            signal: Stream(float(np.log(weight)), harm.start(1))
            for signal, weight in weights.items()
        }
        | {signal: Stream(-np.inf, harm.start(1)) for signal in later or {}},
        clearance=clearance.start(1, delta),
        matured=Matured(),
        relative=None if ratio is None else relative.start(1, ratio),
    )
    coming, deck = iter(cells), 0
    divisor = 1 if dealt else cluster
    while stretch := list(islice(coming, STRIDE)):
        harms = [cell for cell in stretch if cell.test is Test.HARM]
        classes = [cell for cell in stretch if cell.test is Test.CLEARANCE]
        if harms:
            # An interval that goes on in the next stretch has not ended with this one.
            if harms[0].deck != deck:
                now = _latched(now)
            deck = harms[-1].deck
            now = _absorb_harm(now, harms, later or {}, together=together, divisor=divisor)
        if classes:
            now = _absorb_classes(now, classes, cluster)
    return _latched(now)


def _latched(series: Series) -> Series:
    """An interval has ended: what E is now counts for the largest it has been."""
    return replace(
        series,
        max_log_e=max(series.max_log_e, series.log_e),
        streams={
            name: replace(stream, max_log_e=max(stream.max_log_e, stream.log_e))
            for name, stream in series.streams.items()
        },
    )


def _absorb_harm(
    series: Series,
    cells: Sequence[Cell],
    later: Mapping[str, int],
    *,
    together: bool,
    divisor: int,
) -> Series:
    names = list(series.streams)
    numbers = {name: number for number, name in enumerate(names)}
    unknown = next((cell.signal for cell in cells if cell.signal not in numbers), None)
    if unknown is not None:
        raise ValueError(f"signal {unknown!r} has no weight")
    signal = np.array([numbers[cell.signal] for cell in cells])
    epochs = np.array([cell.epoch for cell in cells], dtype=np.int64)
    decks = np.array([cell.deck for cell in cells])
    ends = np.flatnonzero(np.diff(decks))
    counts = Counts.of_cells(cells)
    paths = np.empty((len(names), len(cells)))
    streams: dict[str, Stream] = {}
    for number, name in enumerate(names):
        stream = series.streams[name]
        own = np.flatnonzero(signal == number)
        after, path = _walk(
            stream, counts.take(own), epochs[own], together=together, divisor=divisor
        )
        # Between its own cells a signal stays where it was.
        last = np.searchsorted(own, np.arange(len(cells)), side="right")
        paths[number] = np.concatenate([[stream.log_e], path])[last]
        most = float(paths[number, ends].max(initial=stream.max_log_e))
        streams[name] = replace(after, max_log_e=most)
    shares, merged = _merged(series, paths, decks, later)
    return replace(
        series,
        log_e=float(merged[-1]),
        max_log_e=float(merged[ends].max(initial=series.max_log_e)),
        streams={
            name: replace(streams[name], log_weight=share)
            for name, share in zip(names, shares.tolist(), strict=True)
        },
    )


def _merged(
    series: Series, paths: Floats, decks: Ints, later: Mapping[str, int]
) -> tuple[Floats, Floats]:
    """Weights of the signals after some cells, and ln of the E of all after each of them."""
    shares = np.array([stream.log_weight for stream in series.streams.values()])
    comes = np.array([later.get(name, 0) for name in series.streams])
    due = (comes >= decks[0]) & (comes <= decks[-1]) & np.isneginf(shares)
    merged, before, begin = np.empty(len(decks)), series.log_e, 0
    for deck in [*np.unique(comes[due]).tolist(), None]:
        end = len(decks) if deck is None else int(np.argmax(decks >= deck))
        if end > begin:
            merged[begin:end] = log_sum(shares[:, None] + paths[:, begin:end], axis=0)
            before, begin = float(merged[end - 1]), end
        if deck is not None:
            new = comes == deck
            held = int(np.isfinite(shares).sum())
            total = held + int(new.sum())
            shares += np.log(held / total)
            shares[new] = before - np.log(total)
    return shares, merged


def _walk(
    stream: Stream, counts: Counts, epochs: Ints, *, together: bool, divisor: int
) -> tuple[Stream, Floats]:
    """Take cells of one signal; return the state after and ln E after each of them."""
    if not len(epochs):
        return stream, np.empty(0)
    linear, path = _run(stream.harm.linear, harm.linear(counts), epochs)
    plain = stream.harm.plain
    if not together:
        factors = harm.plain(counts) if divisor == 1 else clusters.plain(counts, divisor)
        plain, plain_path = _run(plain, factors, epochs)
        path = np.logaddexp(plain_path, path) - _LN_2
    after = Stream(
        log_weight=stream.log_weight,
        harm=Harm(plain, linear),
        log_e=float(path[-1]),
        max_log_e=stream.max_log_e,
        treated=stream.treated + int(counts.treated.sum()),
        control=stream.control + int(counts.control.sum()),
        treated_harmed=stream.treated_harmed + int(counts.treated_harmed.sum()),
        control_harmed=stream.control_harmed + int(counts.control_harmed.sum()),
    )
    return after, path


def _run(wealth: Wealth, factors: Floats, epochs: Ints) -> tuple[Wealth, Floats]:
    borders = [0, *(np.flatnonzero(np.diff(epochs)) + 1), len(epochs)]
    path = np.empty(len(epochs))
    for first, end in pairwise(borders):
        opened = mixture.open_through(wealth, int(epochs[first]))
        placed = np.cumsum(np.concatenate([opened.placed, factors[first:end]]), axis=0)[1:]
        through = np.repeat(opened.epochs, end - first)
        path[first:end] = mixture.log_e(Wealth(frozen(placed), through))
        wealth = Wealth(frozen(placed[-1:].copy()), opened.epochs)
    return wealth, path


def _absorb_classes(series: Series, cells: Sequence[Cell], cluster: int) -> Series:
    counts, before = Counts.of_cells(cells), series.clearance
    # A bet looks at the controls of earlier classes and at nothing else that came before, so
    # each class can stand in a row of its own that knows just that.
    nothing = np.zeros((len(cells), before.intercepts.shape[1]))
    alone = clearance.absorb(
        Clearance(
            before.delta,
            nothing,
            nothing,
            before.control + np.cumsum(counts.control) - counts.control,
            before.control_harmed + np.cumsum(counts.control_harmed) - counts.control_harmed,
        ),
        counts,
        cluster=cluster,
    )
    matured = series.matured
    return replace(
        series,
        clearance=Clearance(
            before.delta,
            _sum(before.intercepts, alone.intercepts),
            _sum(before.slopes, alone.slopes),
            alone.control[-1:],
            alone.control_harmed[-1:],
        ),
        matured=matured.plus(counts),
        relative=_absorb_ratio(series.relative, counts),
    )


def _absorb_ratio(before: Relative | None, counts: Counts) -> Relative | None:
    if before is None:
        return None
    plain, linear = relative.log_factors(counts, before.rho)
    return Relative(before.rho, _sum(before.plain, plain), _sum(before.linear, linear))


def _sum(before: Floats, rows: Floats) -> Floats:
    # From the first to the last: pairs of pairs would give other bits.
    return frozen(np.cumsum(np.concatenate([before, rows]), axis=0)[-1:].copy())
