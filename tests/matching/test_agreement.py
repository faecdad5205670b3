"""Laid over each other, the same grid agrees, another one does not, and what nothing is like counts little."""

from __future__ import annotations

import numpy as np
import pytest

from crossband.matching import lay_over

SIDE = 20
ROWS, COLUMNS = np.mgrid[:SIDE, :SIDE]
HERE = (COLUMNS + 1j * ROWS).ravel()


def smooth_grid(seed: int, where: np.ndarray = HERE) -> np.ndarray:
    """Unit vectors that change smoothly over the grid, at some positions."""
    rng = np.random.default_rng(seed)
    waves, phases = rng.normal(0, 0.5, (24, 2)), rng.uniform(0, 2 * np.pi, 24)
    values = np.cos(np.stack([where.real, where.imag], 1) @ waves.T + phases)
    return (values / np.linalg.norm(values, axis=1, keepdims=True)).astype(np.float32)


def cosines(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return (one @ other.T)[None].astype(np.float32)


@pytest.mark.parametrize("seed", range(4))
def test_a_guess_half_a_position_off_is_mended(seed):
    factor, offset = 1.05 * np.exp(0.08j), 1.2 - 0.7j
    ours, theirs = smooth_grid(seed, factor * HERE + offset), smooth_grid(seed)
    laid = lay_over(
        cosines(ours, theirs), HERE, np.array([factor]), np.array([offset + 0.6 - 0.4j]), (SIDE, SIDE)
    )
    off = np.abs(laid.factor[0] * HERE + laid.offset[0] - factor * HERE - offset)
    assert off.mean() < 0.25
    assert laid.agreement[0] > 0.75


def test_the_same_grid_agrees_more_than_another_and_all_is_told_in_the_order_of_the_candidates():
    same, other = smooth_grid(0), smooth_grid(1)
    similar = np.concatenate([cosines(same, other), cosines(same, same)])
    laid = lay_over(similar, HERE, np.ones(2), np.zeros(2, complex), (SIDE, SIDE))
    assert laid.agreement[1] > 0.8
    assert laid.agreement[0] < 0.5 * laid.agreement[1]


def test_what_nothing_is_like_speaks_neither_for_nor_against():
    ours, night = smooth_grid(0), smooth_grid(0)
    noise = np.random.default_rng(0).normal(size=(SIDE * SIDE // 2, 24))
    night[: SIDE * SIDE // 2] = 0.1 * noise / np.linalg.norm(noise, axis=1, keepdims=True)
    similar = np.concatenate([cosines(ours, ours), cosines(ours, night)])
    laid = lay_over(similar, HERE, np.ones(2), np.zeros(2, complex), (SIDE, SIDE))
    assert laid.agreement[1] > 0.95 * laid.agreement[0]


@pytest.mark.parametrize("offset", [50.0, 18.0])
def test_a_small_overlap_is_hardly_believed(offset):
    same = smooth_grid(0)
    shifted = smooth_grid(0, HERE + offset)
    laid = lay_over(cosines(shifted, same), HERE, np.ones(1), np.array([offset + 0j]), (SIDE, SIDE))
    assert 0 <= laid.agreement[0] < 0.5


@pytest.mark.parametrize("grid", [(1, 1), (2, 5), (1, 7)])
def test_small_grids_are_compared_as_they_lie(grid):
    n = grid[0] * grid[1]
    rows, columns = np.mgrid[: grid[0], : grid[1]]
    laid = lay_over(
        np.eye(n, dtype=np.float32)[None], (columns + 1j * rows).ravel(), np.ones(1), np.zeros(1, complex), grid
    )
    assert laid.agreement[0] == pytest.approx(1 / 1.15)
