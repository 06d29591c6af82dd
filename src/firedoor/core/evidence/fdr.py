r"""Lists of the guilty: which of many streams to name, with few innocents among those named.

One release is judged by its own evidence and needs no correction. A list over many (release,
signal, group) does: of K streams, name the k with the largest e-values for the largest k with

    e_(k)  >=  K / (q k)

and the expected share of innocents among those named is at most q, under any dependence between
the streams. That holds for the e-values *at one decision time*. The largest values of the past
are no e-values: a list of everything that was ever above the line has no such guarantee.

Source: e-BH, Wang and Ramdas 2022; evidence.md 3.5. Running maxima: Tavyrikov, Goeman and
de Heide 2025.
"""

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray


def guilty(log_e: ArrayLike, level: float) -> NDArray[np.bool_]:
    """Name streams by e-BH.

    Args:
        log_e: ln of the current e-value of each of K streams, shape (K,); infinities are taken
            at their word.
        level: q, bound on the expected share of innocents among those named, in (0, 1).

    Returns:
        Shape (K,), true for those named. Streams with equal evidence share their fate.

    Raises:
        ValueError: A value is not a number, or the level is no share.
    """
    logs = np.atleast_1d(np.asarray(log_e, dtype=np.float64))
    if not 0.0 < level < 1.0:
        raise ValueError(f"level {level} is not in (0, 1)")
    if np.isnan(logs).any():
        raise ValueError("evidence that is not a number names nobody and clears nobody")
    falling = np.sort(logs)[::-1]
    ranks = np.arange(1, len(logs) + 1)
    enough = np.flatnonzero(falling >= math.log(max(len(logs), 1) / level) - np.log(ranks))
    if len(enough) == 0:
        return np.zeros(len(logs), dtype=np.bool_)
    return np.asarray(logs >= falling[enough[-1]])
