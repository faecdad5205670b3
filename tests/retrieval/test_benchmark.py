"""The benchmark: every direction from one pass, figures that are right, and a file of the promised schema."""

from __future__ import annotations

import json
import math

import numpy as np
import pandas as pd
import PIL.Image
import pytest
import tifffile

from crossband import __version__
from crossband.datasets import open_frames
from crossband.errors import CrossbandError
from crossband.files import make_folder
from crossband.frames import Frames
from crossband.metrics import linear_cka, paired_test
from crossband.retrieval import Descriptor, benchmark, embed, fit_descriptor
from crossband.retrieval.measure import MISALIGNED

# DESIGN.md, "results.json of benchmark"
PROMISED = {
    "model",
    "query_band",
    "gallery_band",
    "n_queries",
    "n_dropped",
    "n_gallery",
    "descriptor_dim",
    "params_m",
    "recall",
    "recall_ci95",
    "cka",
    "centroid",
    "images_per_s",
    "peak_memory_mb",
}
EXTRAS = {
    "reranked",
    "recall_descriptor",
    "misaligned",
    "misaligned_descriptor",
    "same_place",
    "by_condition",
    "params_used_m",
    "size",
    "normalization",
    "remark",
    "sequence",
    "worst",
}


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return tmp_path_factory.mktemp("store")


@pytest.fixture(scope="module")
def result(pairs, small, store):
    """Two models in all six directions, computed now."""
    return benchmark(pairs, ["hog", "hog:avg"], store=store, options=small)


def one(frames, small, store, **options):
    """The single run of hog, rgb to tir."""
    (run,) = benchmark(frames, ["hog"], "rgb", "tir", store=store, options=small, **options).runs
    return run


def test_correlated_pairs_are_found_in_every_direction(result):
    best = [run for run in result.runs if run.model == "hog"]
    assert len(best) == 6
    assert {(run.query_band, run.gallery_band) for run in best} == {
        (a, b) for a in ("rgb", "nir", "tir") for b in ("rgb", "nir", "tir") if a != b
    }
    for run in best:
        assert run.recall["1"] >= 80
        assert run.recall["1"] <= run.recall["5"] <= run.recall["10"]
        assert (run.n_queries, run.n_dropped, run.n_gallery, run.descriptor_dim) == (12, 0, 12, 128)
        low, high = run.recall_ci95["1"]
        assert low <= run.recall["1"] <= high


def test_results_json_has_the_promised_schema_and_named_extras(tmp_path, result):
    folder = result.write(tmp_path / "out")
    content = json.loads((folder / "results.json").read_text(), parse_constant=lambda name: pytest.fail(name))
    assert set(content) == {"crossband", "protocol", "runs", "comparisons", "left_out"}
    assert content["crossband"] == __version__
    assert content["protocol"]["positives"] == "exact"
    assert content["protocol"]["ties"] == "ties are ranked pessimistically; search breaks them by gallery order"
    for run in content["runs"]:
        assert set(run) == PROMISED | EXTRAS
        for name in ("recall", "recall_ci95", "misaligned"):
            assert set(run[name]) == {"1", "5", "10"}
        assert all(0 <= value <= 100 for value in run["recall"].values())
        assert all(len(interval) == 2 for interval in run["recall_ci95"].values())
        assert isinstance(run["n_queries"], int)
        assert run["peak_memory_mb"] > 10
        assert all(1 < one["rank"] <= run["n_gallery"] for one in run["worst"])
        assert (run["recall"]["1"] == 100) == (not run["worst"])
        assert run["centroid"] is run["by_condition"] is None


def test_results_csv_is_the_same_table(tmp_path, result):
    table = pd.read_csv(result.write(tmp_path) / "results.csv")
    assert table["model"].tolist() == [run.model for run in result.runs]
    np.testing.assert_allclose(table["R@1"], [run.recall["1"] for run in result.runs])
    np.testing.assert_allclose(table["R@1_misaligned"], [run.misaligned["1"] for run in result.runs])


def test_a_second_run_computes_nothing_and_finds_the_same(pairs, small, store, result):
    again = benchmark(pairs, ["hog", "hog:avg"], store=store, options=small)
    assert all(run.images_per_s for run in result.runs)
    assert all(run.images_per_s is None for run in again.runs)
    assert json.loads(json.dumps(again.to_dict()))["runs"][0]["images_per_s"] is None
    assert [run.recall for run in again.runs] == [run.recall for run in result.runs]
    assert [run.misaligned for run in again.runs] == [run.misaligned for run in result.runs]


def test_another_protocol_costs_no_pass(pairs, small, store, result):
    placed = pairs.assign(place=[f"p{i // 3}" for i in range(12)])
    run = one(placed, small, store, protocol="place")
    assert run.images_per_s is None
    assert run.recall["1"] >= one(pairs, small, store).recall["1"]  # more is right
    assert run.centroid is not None
    assert run.centroid["places"] == 4


def test_cka_is_that_of_the_final_vectors(pairs, small, store):
    embedding = embed(pairs, Descriptor.load("hog", small), store=store)
    expected = linear_cka(*(embedding.rows(band).rows(0, 12) for band in ("rgb", "tir")))
    assert one(pairs, small, store).cka == pytest.approx(expected, abs=1e-4)
    assert one(pairs, small, store, max_memory=40_000).cka == pytest.approx(expected, abs=1e-4)


def test_misalignment_costs_recall_and_can_be_left_out(pairs, small, store):
    run = one(pairs, small, store)
    assert run.misaligned["1"] <= run.recall["1"]
    assert one(pairs, small, store, misaligned=False).misaligned is None
    assert (MISALIGNED.shift, MISALIGNED.scale, MISALIGNED.rotate) == (0.05, 1.1, 5)


def test_query_and_gallery_splits_are_honoured(pairs, small, store):
    split = ["query"] * 4 + ["gallery"] * 5 + ["train"] * 3
    placed = pairs.assign(place=["p0", "p1", "p2", "elsewhere", "p0", "p0", "p1", "p2", "p3", "p0", "p1", "p2"])
    run = one(placed.assign(split=split), small, store, protocol="place")
    assert (run.n_queries, run.n_dropped, run.n_gallery) == (3, 1, 5)


def test_recall_is_told_apart_by_the_condition_of_the_query(pairs, small, store):
    condition = np.array(["day", "night", "day"] * 4)
    run = one(pairs.assign(condition=condition), small, store)
    hits = run.ranks.ranks == 1
    assert run.by_condition == {
        name: pytest.approx(100 * hits[condition == name].mean()) for name in ("day", "night")
    }


def test_within_counts_meters(pairs, small, store):
    line = pairs.assign(x=np.arange(12) * 10.0, y=np.zeros(12))
    assert one(line, small, store, protocol="within:200").recall["1"] == 100
    exact = one(pairs, small, store)
    assert one(line, small, store, protocol="within:5").recall == exact.recall


def test_queries_with_nothing_right_are_dropped_and_counted(pairs, small, store):
    table = pairs.table.copy()
    table.loc[[0, 4, 9], "tir"] = None
    run = one(Frames.make(table, pairs.root), small, store)
    assert (run.n_queries, run.n_dropped, run.n_gallery) == (9, 3, 9)


def test_models_are_compared_with_the_best_of_each_direction_on_the_same_queries(result):
    assert len(result.comparisons) == 6
    for comparison in result.comparisons:
        way = (comparison["query_band"], comparison["gallery_band"])
        runs = {r.model: r for r in result.runs if (r.query_band, r.gallery_band) == way}
        best, other = runs[comparison["best"]], runs[comparison["model"]]
        assert best.recall["1"] >= other.recall["1"]
        expected = paired_test(best.ranks.ranks == 1, other.ranks.ranks == 1)
        assert comparison["p_value"] == pytest.approx(expected.p_value)
        assert comparison["difference"] == pytest.approx(best.recall["1"] - other.recall["1"])


def test_a_model_named_twice_is_measured_once(pairs, small, store):
    assert len(benchmark(pairs, ["hog", "hog"], "rgb", "tir", store=store, options=small).runs) == 1


def test_a_faulty_set_says_what_it_left_out_and_goes_on(tmp_path, make_pairs, small, capsys):
    from crossband.datasets import open_frames

    frames = open_frames(make_pairs(tmp_path / "a", n=6))
    frames.paths("rgb")[1].write_bytes(b"")
    frames.paths("tir")[4].write_text("not an image")
    found = benchmark(frames, ["hog", "hog:avg"], store=tmp_path / "store", options=small)
    assert [run.n_queries for run in found.runs] == [4] * 4
    assert len(found.to_dict()["left_out"]) == 2
    assert capsys.readouterr().err.count("left out: ") == 2


def test_parameters_are_without_the_classifier(pairs, small, store):
    (run,) = benchmark(
        pairs, ["efficientnet_lite0@blocks.4:avg"], "rgb", "tir", store=store, options=small, misaligned=False
    ).runs
    assert math.floor(run.params_m * 100) / 100 == 3.37
    assert run.descriptor_dim == 112


def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(CrossbandError, match="cannot write") as caught:
        make_folder(tmp_path / "file" / "out")
    assert caught.value.parameter == "out"
    assert list(make_folder(tmp_path / "new").iterdir()) == []


def test_cka_is_of_the_vectors_that_were_ranked(tmp_path, pairs, small, store):
    fitted = fit_descriptor([pairs.select(slice(0, 6))], Descriptor.load("hog:flat", small), 4, store=store)
    file = str(fitted.save(tmp_path / "fitted.safetensors"))
    own, foreign = (
        benchmark(pairs, [file], "rgb", "tir", store=store, own_means=own).runs[0] for own in (True, False)
    )
    assert own.cka != foreign.cka


def test_each_run_says_what_is_to_be_known_once_though_both_read_the_images_twice(
    tmp_path, make_pairs, small, capsys
):
    root = make_pairs(tmp_path, n=5)
    pixels = np.asarray(PIL.Image.open(root / "tir" / "0003.png"))
    tifffile.imwrite(root / "tir" / "0003.png", np.stack([pixels, pixels + 1]), photometric="minisblack")
    frames = open_frames(root)
    for number in range(2):
        capsys.readouterr()
        benchmark(frames, ["hog"], store=tmp_path / f"store{number}", options=small)
        assert capsys.readouterr().err.count("pages: ") == 1


def test_a_constant_band_has_no_cka_and_ends_nothing(tmp_path, make_pairs, small, store, capsys):
    import PIL.Image

    from crossband.datasets import scan

    root = make_pairs(tmp_path / "flat", n=4)
    for image in (root / "tir").iterdir():
        PIL.Image.new("L", (64, 48), 90).save(image)
    run = one(scan(root), small, store)
    assert run.cka is None
    assert run.recall["1"] == 0  # every thermal image is the same, and ties count against the model


def test_each_run_says_the_size_its_descriptor_reads(tmp_path, pairs, small, store):
    fitted = fit_descriptor([pairs], Descriptor.load("hog:flat", small), 4, store=store)
    file = str(fitted.save(tmp_path / "fitted.safetensors"))
    assert benchmark(pairs, [file], "rgb", "tir", store=store).runs[0].size == small.size


def test_results_that_cannot_be_written_are_one_sentence(tmp_path, result):
    (tmp_path / "results.json").mkdir()
    with pytest.raises(CrossbandError, match="results"):
        result.write(tmp_path)
