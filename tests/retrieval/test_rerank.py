"""Re-ranking changes the order of the first items and nothing else."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from crossband.bands import Band
from crossband.datasets import open_frames
from crossband.errors import CrossbandError
from crossband.metrics import Ranks
from crossband.metrics.protocol import PositiveMask, Protocol
from crossband.models import find_model, list_rerankers
from crossband.nn.reranker import Reranker
from crossband.retrieval import Descriptor, Options, benchmark, embed, index, search
from crossband.retrieval.directions import Direction, Sides
from crossband.retrieval.rerank import Reranked, Reranking, rerank

WAY = Direction(Band.RGB, Band.TIR)


class Alike(Reranker):
    """Scores by the distance of the local features, the farthest first where ``sign`` is 1."""

    channels = 4

    def __init__(self, sign: float = -1) -> None:
        super().__init__()
        self.sign = sign

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images.mean(1).flatten(1).unflatten(1, (-1, 4))

    def scores(self, query, candidates):
        return np.array([self.sign * float((query - one).norm()) for one in candidates])


@dataclass
class Rows:
    """Vectors with the interface of finished rows."""

    vectors: np.ndarray

    @property
    def shape(self):
        return self.vectors.shape

    def rows(self, start, stop):
        return self.vectors[start:stop]

    def take(self, index):
        return self.vectors[index]


@pytest.fixture
def sides(pairs) -> Sides:
    rng = np.random.default_rng(0)
    queries, gallery = rng.random((12, 8)).astype(np.float32), rng.random((12, 8)).astype(np.float32)
    return Sides(Rows(queries), pairs, Rows(gallery), pairs, False)


@pytest.mark.parametrize("k", [1, 5, 12, 40])
def test_a_list_keeps_its_items(sides, k):
    found = rerank(sides, sides, Alike(1), k)
    apart = np.linalg.norm(sides.queries.vectors[:, None] - sides.gallery.vectors[None], axis=2)
    for row, columns in enumerate(found.columns):
        assert set(columns) == set(np.argsort(apart[row])[:k])
        assert list(columns) == sorted(columns, key=lambda c, row=row: -apart[row, c])
        assert np.allclose(found.distances[row], apart[row, columns], atol=1e-5)


def test_a_second_look_by_the_first_ones_measure_changes_nothing(sides):
    found = rerank(sides, sides, Alike(), 12)
    rule = Protocol.parse("exact")
    before = sides.ranks(rule, 1 << 24)
    after = found.ranks(before, rule.positives(sides.query_frames, sides.gallery_frames))
    assert np.array_equal(before.ranks, after.ranks)


def test_ranks_follow_the_new_order_ties_count_against_and_what_lies_behind_stays():
    positives = PositiveMask(np.array([0, 1, 2, 3, 9]), np.arange(6), None)
    columns = np.array([[5, 0, 1], [1, 2, 0], [0, 1, 3], [3, 4, 5], [0, 1, 2]])
    scores = np.array([[9.0, 5, 1], [7, 7, 2], [3, 2, 1], [4, 1, 0], [3, 2, 1]])
    found = Reranked(columns, np.zeros((5, 3)), scores)
    ranks = found.ranks(Ranks(np.array([1, 3, 6, 3, 0])), positives)
    assert ranks.ranks.tolist() == [2, 2, 6, 1, 0]


def test_a_query_does_not_find_itself_in_its_own_band(pairs):
    vectors = np.random.default_rng(1).random((12, 8)).astype(np.float32)
    same = Sides(Rows(vectors), pairs, Rows(vectors), pairs, True)
    found = rerank(same, same, Alike(), 4)
    assert found.columns.shape == (12, 4)
    assert not (found.columns == np.arange(12)[:, None]).any()


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Random R2Former weights, as a checkpoint of the authors."""
    torch.manual_seed(0)
    state = find_model("r2former").build().body.state_dict()
    folder = tmp_path_factory.mktemp("weights")
    save_file({f"module.{key}": value for key, value in state.items()}, folder / "r2former.safetensors")
    return folder


@pytest.mark.slow
def test_a_benchmark_reranks_what_can_look_twice(pairs, weights, tmp_path):
    options = Options(size=(64, 64), device="cpu", weights=weights)
    given = {"store": tmp_path / "store", "options": options, "misaligned": True}
    plain = benchmark(pairs, ["r2former"], "rgb", "tir", rerank=0, **given).runs[0]
    both = benchmark(pairs, ["r2former", "hog"], "rgb", "tir", rerank=10, **given)
    twice, hog = both.runs
    assert plain.reranked is None
    assert hog.reranked is None
    assert twice.reranked == 10
    assert twice.misaligned is not None
    behind = plain.ranks.ranks > 10
    assert np.array_equal(plain.ranks.ranks[behind], twice.ranks.ranks[behind])
    assert (twice.ranks.ranks[~behind] <= 10).all()
    assert not np.array_equal(plain.ranks.ranks, twice.ranks.ranks)
    assert plain.cka == twice.cka
    assert both.to_dict()["protocol"]["reranked"] == 10


@pytest.mark.slow
def test_the_second_look_is_that_of_the_local_features_of_the_same_images(pairs, weights, tmp_path):
    descriptor = Descriptor.load("r2former", Options(size=(64, 64), device="cpu", weights=weights))
    reranking = Reranking.of(descriptor)
    assert reranking.descriptor.fingerprint != descriptor.fingerprint
    plain, local = (embed(pairs, d, WAY_BANDS, store=tmp_path) for d in (descriptor, reranking.descriptor))
    found = rerank(Sides.of(plain, WAY), Sides.of(local, WAY), reranking.reranker, 3)
    row = 7
    rows = [local.bands[band].pooled.rows(0, 12).reshape(12, -1, 131) for band in WAY_BANDS]
    with torch.inference_mode():
        alone = [
            reranking.reranker.scores(torch.tensor(rows[0][row]), [torch.tensor(rows[1][column])])[0]
            for column in found.columns[row]
        ]
    assert found.scores[row].tolist() == pytest.approx(alone, abs=1e-5)
    assert Reranking.of(Descriptor.load("hog", Options(size=(64, 64), device="cpu"))) is None


WAY_BANDS = [Band.RGB, Band.TIR]


def test_models_that_nothing_reranks_keep_their_order(pairs, small, tmp_path):
    (run,) = benchmark(pairs, ["hog"], "rgb", "tir", store=tmp_path, rerank=5, options=small).runs
    assert run.reranked is None
    assert run.recall == run.recall_descriptor
    assert list_rerankers() == ["patch_netvlad", "r2former"]


LITE = "efficientnet_lite0@blocks.4:avg+center"


@pytest.mark.slow
def test_a_benchmark_says_what_a_search_gives_and_what_the_descriptor_alone_would(pairs, small, tmp_path):
    given = {"store": tmp_path / "store", "options": small}
    (plain,) = benchmark(pairs, [LITE], "rgb", "tir", rerank=0, **given).runs
    (run,) = benchmark(pairs, [LITE], "rgb", "tir", rerank=5, **given).runs
    assert plain.recall == plain.recall_descriptor == run.recall_descriptor
    assert plain.misaligned == run.misaligned_descriptor
    assert (plain.reranked, plain.same_place) == (None, None)
    assert run.reranked == 5
    assert run.same_place["n"] == sum(n for _, _, n in run.same_place["bins"])
    with pytest.raises(CrossbandError, match="-1 items"):
        benchmark(pairs, [LITE], "rgb", "tir", rerank=-1, **given)


@pytest.mark.slow
def test_a_gallery_that_keeps_local_features_needs_no_images(make_pairs, small, tmp_path):
    root = make_pairs(tmp_path / "pairs", n=6, bands=("rgb", "tir"))
    frames = open_frames(root)
    index(frames, tmp_path / "plain", LITE, ["tir"], options=small)
    index(frames, tmp_path / "kept", LITE, ["tir"], options=small, local=True)
    query = root / "rgb" / "0002.png"
    by_images = search(query, tmp_path / "plain", 4, options=small)
    assert all(match.inliers is not None and 0 <= match.same_place <= 1 for match in by_images)
    assert {"distance", "inliers", "same_place"} <= by_images[0].to_dict().keys()
    unchanged = search(query, tmp_path / "plain", 4, options=small, rerank=0)
    assert [match.inliers for match in unchanged] == [None] * 4
    for image in (root / "tir").iterdir():
        image.unlink()
    by_kept = search(query, tmp_path / "kept", 4, options=small)
    assert [(m.frame, m.inliers) for m in by_kept] == [(m.frame, m.inliers) for m in by_images]
    without = search(query, tmp_path / "plain", 4, options=small)
    assert [match.frame for match in without] == [match.frame for match in unchanged]
