"""How sure a figure is: bootstrap intervals, and a paired test between two models."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..errors import CrossbandError

__all__ = ["PairedTest", "bootstrap_interval", "cluster_interval", "paired_test", "recall_interval"]

_MOST_DRAWN = 1 << 20  # numbers drawn at once


def bootstrap_interval(
    hits: np.ndarray, level: float = 0.95, resamples: int = 2000, seed: int = 0
) -> tuple[float, float]:
    """Compute the percentile bootstrap interval, in percent, of the mean of ``hits`` ``(n,)``.

    Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13. Queries are resampled as if
    independent; frames of one sequence are not, so for correlated sets the interval is too narrow.

    Example:
        >>> bootstrap_interval(np.ones(50, bool))
        (100.0, 100.0)
    """
    values = np.asarray(hits, np.float64)
    if not values.size:
        raise CrossbandError("no query counts, so the interval is undefined")
    return _bootstrap((values,), np.mean, level, resamples, seed)


def cluster_interval(
    values: np.ndarray, groups: np.ndarray, level: float = 0.95, resamples: int = 2000, seed: int = 0
) -> tuple[float, float]:
    """Compute a bootstrap interval, in percent, of the mean of ``values``, drawing whole groups.

    The queries of one identity are alike, and say less than as many identities would.

    Efron and Tibshirani, 1993, chapter 8: what is drawn is what is independent.

    Args:
        values: float ``(n,)``.
        groups: int ``(n,)``, which group each value is of.

    Example:
        >>> cluster_interval(np.array([1.0, 1.0, 0.0, 0.0]), np.array([0, 0, 1, 1]))
        (0.0, 100.0)
    """
    if not len(values):
        raise CrossbandError("no query counts, so the interval is undefined")
    _, group = np.unique(groups, return_inverse=True)
    parts = np.bincount(group, values), np.bincount(group)
    return _bootstrap(
        parts, lambda sums, counts, axis: sums.sum(axis) / counts.sum(axis), level, resamples, seed
    )


def recall_interval(hits: np.ndarray, level: float = 0.95, seed: int = 0) -> tuple[float, float]:
    """Compute the interval of a recall, in percent, of booleans ``(n,)``.

    The bootstrap's, and where all queries agree, so that every resample is the same, the exact one of Clopper
    and Pearson (Biometrika, 1934).

    Example:
        >>> low, high = recall_interval(np.ones(24, bool))
        >>> round(low, 1), high
        (85.8, 100.0)
    """
    hits = np.asarray(hits, bool)
    if not hits.size or 0 < np.count_nonzero(hits) < hits.size:
        return bootstrap_interval(hits, level, seed=seed)
    edge = 100 * ((1 - level) / 2) ** (1 / hits.size)
    return (edge, 100.0) if hits[0] else (0.0, 100 - edge)


@dataclass(frozen=True)
class PairedTest:
    """Whether two models differ on the same queries.

    Attributes:
        difference: hits of the first minus hits of the second, in percent of the queries.
        ci95: bootstrap interval of that difference.
        only_first: queries that only the first gets right; ``only_second`` likewise.
        p_value: of McNemar's exact test, two-sided.
    """

    difference: float
    ci95: tuple[float, float]
    only_first: int
    only_second: int
    p_value: float


def paired_test(first: np.ndarray, second: np.ndarray, seed: int = 0) -> PairedTest:
    """Compare the hits of two models on the same queries, ``(n,)`` booleans each.

    McNemar, Psychometrika 1947, in its exact binomial form: only the queries on which the models disagree
    say anything, and under equality each is a fair coin.

    Raises:
        CrossbandError: unequal numbers of queries.

    Example:
        >>> paired_test(np.array([1, 1, 1, 1, 1, 1], bool), np.zeros(6, bool)).p_value
        0.03125
    """
    first, second = np.asarray(first, bool), np.asarray(second, bool)
    if first.shape != second.shape:
        raise CrossbandError(
            f"a paired test needs the same queries in both runs: {len(first)} and {len(second)} were given"
        )
    import scipy.stats

    only_first, only_second = int((first & ~second).sum()), int((~first & second).sum())
    discordant = only_first + only_second
    difference = first.astype(float) - second.astype(float)
    return PairedTest(
        difference=100 * float(difference.mean()),
        ci95=bootstrap_interval(difference, seed=seed),
        only_first=only_first,
        only_second=only_second,
        p_value=float(scipy.stats.binomtest(only_first, discordant).pvalue) if discordant else 1.0,
    )


def _bootstrap(
    samples: tuple[np.ndarray, ...],
    statistic: Callable[..., np.ndarray],
    level: float,
    resamples: int,
    seed: int,
) -> tuple[float, float]:
    """The percentile interval of a statistic, in percent; samples are drawn together, row by row."""
    if len(samples[0]) == 1:
        alone = 100 * float(statistic(*samples, axis=0))
        return alone, alone
    import scipy.stats  # here: it takes most of a second

    found = scipy.stats.bootstrap(
        samples,
        statistic,
        n_resamples=resamples,
        batch=max(1, _MOST_DRAWN // len(samples[0])),
        confidence_level=level,
        method="percentile",
        paired=len(samples) > 1,
        vectorized=True,
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return 100 * float(found.low), 100 * float(found.high)
