"""The promised figures on real pairs: the paper's, and the default model's. They take most of a minute."""

from __future__ import annotations

import pytest

from crossband.datasets import open_frames
from crossband.papers.rgbt_retrieval import published_retrieval
from crossband.retrieval import benchmark

pytestmark = pytest.mark.shared


@pytest.fixture(scope="module")
def frames(shared):
    return open_frames(shared / "data" / "roadscene")


@pytest.fixture(autouse=True)
def weights(shared, monkeypatch):
    monkeypatch.setenv("CROSSBAND_WEIGHTS", str(shared / "weights"))
    monkeypatch.setenv("CROSSBAND_OFFLINE", "1")


@pytest.mark.slow
def test_squeezenet_has_the_paper_s_recall_and_cka(frames, tmp_path):
    paper = published_retrieval("roadscene", "squeezenet1_1")
    (run,) = benchmark(frames, ["squeezenet1_1"], "rgb", "tir", store=tmp_path, misaligned=False).runs
    assert run.n_queries == 221
    assert run.recall["1"] == pytest.approx(paper.recall_1, abs=1.5)
    assert run.recall["5"] == pytest.approx(paper.recall_5, abs=1.0)
    assert run.cka == pytest.approx(paper.cka, abs=0.02)


@pytest.mark.slow
def test_the_default_model_finds_aligned_and_misaligned_pairs_both_ways(frames, tmp_path):
    third = frames.select(slice(None, None, 3))  # a minute less; benchmarks/roadscene.py measures them all
    for run in benchmark(third, store=tmp_path).runs:
        assert run.recall["1"] == 100, (run.query_band, run.gallery_band)
        assert run.misaligned["1"] >= 97, (run.query_band, run.gallery_band)
