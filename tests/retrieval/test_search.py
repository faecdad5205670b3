"""Exact search in bounded memory equals the whole matrix and a stable sort, ties included."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from crossband.errors import CrossbandError
from crossband.metrics import linear_cka
from crossband.retrieval.descriptor_cache import ArrayRows, DescriptorStore, Rows
from crossband.retrieval.search import (
    DEFAULT_MEMORY,
    cka_of_rows,
    distance_blocks,
    exact_search,
    gram_matrix,
    parse_memory,
)

MEMORIES = [DEFAULT_MEMORY, 1 << 20, 40_000, 5_000]  # of 33 dims a row: the last is a few rows


def _reference_search(queries, gallery, k, keep=None) -> tuple[np.ndarray, np.ndarray]:
    """Every distance, a stable sort, the first k."""
    distances = cdist(np.asarray(queries, np.float64), np.asarray(gallery, np.float64))
    if keep is not None:
        distances[:, ~keep] = np.inf
        k = min(k, int(keep.sum()))
    rows = np.argsort(distances, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(distances, rows, 1), rows


def check(
    queries: np.ndarray, gallery: np.ndarray, k: int, memory: int, keep=None, rows: Rows | None = None
) -> None:
    found, where = exact_search(ArrayRows(queries), rows or ArrayRows(gallery), k, memory, keep)
    distances, expected = _reference_search(queries, gallery, k, keep)
    np.testing.assert_array_equal(where, expected)
    np.testing.assert_allclose(found, distances, rtol=1e-6, atol=1e-6)
    assert found.dtype == np.float32
    assert where.dtype == np.int64


@pytest.mark.parametrize("memory", MEMORIES)
def test_it_equals_the_full_matrix_whatever_the_memory(memory):
    rng = np.random.default_rng(0)
    gallery = rng.normal(size=(300, 33)).astype(np.float32)
    check(rng.normal(size=(40, 33)).astype(np.float32), gallery, 10, memory)


@pytest.mark.parametrize("memory", MEMORIES)
def test_equal_distances_come_in_the_order_of_the_gallery(memory):
    rng = np.random.default_rng(1)
    few = rng.integers(-2, 3, (20, 33)).astype(np.float32)  # whole numbers: distances tie exactly
    gallery = few[rng.integers(0, 20, 300)]
    check(rng.integers(-2, 3, (15, 33)).astype(np.float32), gallery, 25, memory)


@pytest.mark.parametrize("memory", MEMORIES)
def test_copies_beyond_count_come_in_the_order_of_the_gallery(memory):
    """Far more copies of one image than are asked for: the first of them must come, not any of them."""
    rng = np.random.default_rng(2)
    gallery = np.repeat(rng.normal(size=(3, 33)), 200, axis=0)[rng.permutation(600)].astype(np.float32)
    check(gallery[:12], gallery, 5, memory)


def test_near_copies_are_told_apart_where_a_float32_product_cannot():
    rng = np.random.default_rng(3)
    base = (rng.normal(size=33) * 100).astype(np.float32)
    gallery = np.tile(base, (400, 1))
    gallery[:, 0] += rng.permutation(400).astype(np.float32) * 2e-4
    check(base[None], gallery, 20, DEFAULT_MEMORY)


@pytest.mark.parametrize("memory", MEMORIES)
def test_only_what_is_kept_is_found(memory):
    rng = np.random.default_rng(4)
    gallery = rng.integers(-2, 3, (300, 33)).astype(np.float32)
    keep = rng.random(300) < 0.05
    check(gallery[:20], gallery, 10, memory, keep)


def test_a_gallery_smaller_than_k_comes_back_whole():
    rng = np.random.default_rng(5)
    gallery = rng.normal(size=(7, 4)).astype(np.float32)
    check(gallery, gallery, 50, DEFAULT_MEMORY)
    check(gallery, gallery, 50, DEFAULT_MEMORY, np.array([1, 0, 0, 1, 0, 0, 0], bool))


def test_nothing_kept_and_no_query_give_empty_answers():
    rows = ArrayRows(np.ones((3, 2)))
    distances, found = exact_search(rows, rows, 2, keep=np.zeros(3, bool))
    assert distances.shape == found.shape == (3, 0)
    assert exact_search(ArrayRows(np.ones((0, 2))), rows, 2)[1].shape == (0, 2)


@pytest.mark.parametrize("memory", [DEFAULT_MEMORY, 5_000])
def test_rows_on_disk_are_searched_as_those_in_memory(tmp_path, memory):
    rng = np.random.default_rng(6)
    vectors = rng.normal(size=(120, 33)).astype(np.float16)
    store = DescriptorStore(tmp_path, "model")
    for i, vector in enumerate(vectors):
        store.add(str(i), vector)
        if i % 50 == 49:
            store.flush()  # several shards
    order = rng.permutation(120)
    rows = store.select([str(i) for i in order])
    gallery = vectors[order].astype(np.float32)
    check(gallery[:30], gallery, 10, memory, rows=rows)


@pytest.mark.slow
def test_memory_stays_within_what_is_allowed():
    rng = np.random.default_rng(7)
    gallery = ArrayRows(rng.normal(size=(2000, 512)).astype(np.float32))
    allowed = 2 << 20
    tracemalloc.start()  # counts what numpy takes; what torch takes is bounded by the same tiles
    exact_search(gallery, gallery, 5, allowed)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1.2 * allowed


@pytest.mark.parametrize("memory", MEMORIES)
def test_blocks_are_the_squared_distances_some_queries_at_a_time(memory):
    rng = np.random.default_rng(8)
    x, y = rng.normal(size=(50, 33)).astype(np.float32), rng.normal(size=(70, 33)).astype(np.float32)
    parts = list(distance_blocks(ArrayRows(x), ArrayRows(y), memory))
    assert [start for start, _ in parts] == np.cumsum([0, *(len(block) for _, block in parts)])[:-1].tolist()
    whole = np.concatenate([block for _, block in parts])
    np.testing.assert_allclose(whole, cdist(x, y, "sqeuclidean"), rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("memory", MEMORIES)
def test_equal_rows_are_at_distance_zero(memory):
    x = ArrayRows(np.random.default_rng(9).normal(size=(60, 33)).astype(np.float32) * 10)
    whole = np.concatenate([block for _, block in distance_blocks(x, x, memory)])
    assert (np.diag(whole) == 0).all()
    assert (whole[~np.eye(60, dtype=bool)] > 1).all()


@pytest.mark.parametrize("memory", MEMORIES)
def test_the_gram_matrix_is_all_inner_products(memory):
    x = np.random.default_rng(10).normal(size=(50, 33)).astype(np.float32)
    gram = gram_matrix(ArrayRows(x), memory)
    np.testing.assert_allclose(gram, x.astype(np.float64) @ x.T, rtol=1e-5, atol=1e-4)
    np.testing.assert_allclose(gram, gram.T, rtol=1e-6, atol=1e-5)


@pytest.mark.parametrize("use", ["search", "blocks", "gram"])
def test_a_memory_too_small_for_one_descriptor_is_one_sentence_that_says_how_much_is_enough(use):
    rows = ArrayRows(np.zeros((2, 400_000), np.float32))
    calls = {
        "search": lambda memory: exact_search(rows, rows, 1, memory),
        "blocks": lambda memory: list(distance_blocks(rows, rows, memory)),
        "gram": lambda memory: gram_matrix(rows, memory),
    }
    with pytest.raises(CrossbandError, match=r"13M"):
        calls[use](1 << 20)
    calls[use](parse_memory("13M"))


@pytest.mark.parametrize(("text", "size"), [("100", 100), ("2k", 2048), ("512M", 512 << 20), ("1.5G", 3 << 29)])
def test_a_size_is_a_number_and_a_unit(text, size):
    assert parse_memory(text) == size


@pytest.mark.parametrize("text", ["", "much", "2X", "-1G", "0", "inf", "nan", "1e999G"])
def test_what_is_no_size_is_one_sentence(text):
    with pytest.raises(CrossbandError, match="is no size; write 512M") as caught:
        parse_memory(text)
    assert caught.value.parameter == "max_memory"


@pytest.mark.parametrize("n", [12, 200])
def test_cka_of_rows_is_linear_cka_on_either_side_of_n_and_d(n):
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=(n, 40)), rng.normal(size=(n, 30)) + 5
    y[:, :10] += x[:, :10]
    got = cka_of_rows(ArrayRows(x), ArrayRows(y), max_memory=1 << 20)
    assert got == pytest.approx(linear_cka(x.astype(np.float32), y.astype(np.float32)), rel=1e-4)
