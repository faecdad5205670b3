"""The verbs of segmentation: JSON for programs, and one sentence with status 2 for a mistake."""

from __future__ import annotations

import json

import PIL.Image
import pytest

from ..segmentation.test_predict import CLASSES, checkpoint_of


@pytest.mark.slow
def test_profile_prints_what_the_design_says(crossband):
    done = crossband(
        "profile", "mfnet", "--size", "64x48", "--rounds", 2, "--form", "deployed", "--device", "cpu", "--json"
    )
    assert done.status == 0
    found = json.loads(done.out)
    assert found["input"] == [1, 4, 48, 64]
    assert found["form"] == "deployed"
    assert set(found["latency_ms"]) == {"p50", "p95"}
    both = crossband("profile", "rsfnet", "first=resnet18", "second=resnet18", "--rounds", 0, "--size", "64x64")
    assert both.status == 0
    assert "deployed" in both.out


def test_models_lists_segmentation_networks(crossband):
    [found] = json.loads(crossband("models", "mfnet", "--json").out)
    assert found["task"] == "segmentation"
    assert found["params_m"] == pytest.approx(0.736, abs=0.001)


@pytest.mark.slow
def test_segment_prints_the_share_of_each_class(crossband, pairs, tmp_path):
    checkpoint = checkpoint_of(tmp_path / "best.safetensors")
    done = crossband(
        "segment", pairs, "--checkpoint", checkpoint, "--without", "tir", "--out", tmp_path / "o", "--json"
    )
    assert done.status == 0
    found = json.loads(done.out)
    assert len(found) == 2
    assert set(found[0]["shares"]) == set(found[0]["without"]["tir"]) == set(CLASSES)
    assert PIL.Image.open(found[0]["labels"]).mode == "P"
    table = crossband("segment", pairs, "--checkpoint", checkpoint, "--out", tmp_path / "o")
    assert "overlays and label maps" in table.out


@pytest.fixture(scope="module")
def pairs(tmp_path_factory, make_pairs):
    return make_pairs(tmp_path_factory.mktemp("set") / "pairs", n=2)


@pytest.mark.slow
def test_an_export_says_how_far_it_differs(crossband, tmp_path):
    pytest.importorskip("onnxruntime", reason="export is an extra: crossband[export]")
    done = crossband("export", "mfnet", "--size", "64x48", "--out", tmp_path / "a.onnx")
    assert done.status == 0
    assert "largest difference" in done.out
