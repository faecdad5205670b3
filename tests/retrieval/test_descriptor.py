"""A descriptor is its name, its file and its identity: equal ones give equal vectors, others differ."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from crossband.bands import Band
from crossband.data.preprocess import Preprocess, Warp
from crossband.errors import CrossbandError
from crossband.io import read_image
from crossband.retrieval import PACKED, PRESETS, Descriptor, Options, fit_descriptor
from crossband.retrieval.descriptor import (
    Finish,
    FinishedRows,
    descriptor_metadata,
    list_packed,
    unit_length,
)
from crossband.retrieval.descriptor_cache import ArrayRows

LITE = "efficientnet_lite0"


@pytest.mark.parametrize(
    ("name", "layer", "pooling", "center"),
    [
        ("hog", "cells", "normflat", True),
        ("hog:avg", "cells", "avg", False),
        ("hog:avg4+center", "cells", "avg4", True),
        ("hog:center+max", "cells", "max", True),
        (LITE, "blocks.6", "normflat", False),
        (f"{LITE}@blocks.4", "blocks.4", "normflat", False),
        (f"{LITE}@blocks.2:gem3", "blocks.2", "gem3", False),
        ("crossband", "blocks.4", "avg5s3", True),
    ],
)
def test_a_name_is_encoder_layer_pooling_and_center(small, name, layer, pooling, center):
    descriptor = Descriptor.load(name, small)
    assert descriptor.name == name
    assert (descriptor.layer, str(descriptor.pooling), descriptor.center) == (layer, pooling, center)


def test_the_default_is_a_preset_that_is_written_out():
    assert PRESETS["crossband"].startswith(LITE)
    written = Descriptor.load(PRESETS["crossband"])
    assert written.identity == Descriptor.load().identity


@pytest.mark.slow
def test_the_packed_descriptor_is_small_and_needs_nothing_but_the_package(monkeypatch):
    monkeypatch.setattr("crossband.weights.locate_weights", lambda *_: pytest.fail("looked for weights"))
    descriptor = Descriptor.load("crossband512", Options(device="cpu"))
    (info,) = list_packed("crossband512")
    assert info.dim == descriptor.axes.shape[1] == 512
    own = sum(p.numel() for p in descriptor.encoder.parameters()) + descriptor.axes.size
    assert info.params_m == pytest.approx(own / 1e6)
    assert own <= 3_000_000
    assert PACKED["crossband512"].stat().st_size <= 15_000_000
    pooled = descriptor.pooled(torch.rand(2, 3, 320, 320)).numpy()
    vectors = descriptor.finish(None)(pooled, Band.TIR)  # its own means, where no set is at hand
    assert vectors.shape == (2, 512)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-5)


@pytest.mark.slow
def test_the_packed_descriptor_takes_the_users_normalization_and_no_other_size():
    kelvin = Descriptor.load("crossband512", Options(device="cpu", normalization={"tir": "kelvin:263:313"}))
    assert str(kelvin.preprocess.normalization[Band.TIR]) == "kelvin:263:313"
    assert kelvin.identity != Descriptor.load("crossband512", Options(device="cpu")).identity
    with pytest.raises(CrossbandError, match="crossband512"):
        Descriptor.load("crossband512", Options(device="cpu", size=(224, 224)))


def test_the_identity_changes_with_all_that_changes_the_vector(small):
    variants = [
        Descriptor.load("hog", small),
        Descriptor.load("hog:normflat", small),
        Descriptor.load("hog:avg2+center", small),
        Descriptor.load(LITE, small),
        Descriptor.load(f"{LITE}@blocks.4", small),
        Descriptor.load("hog", Options(size=(64, 80), device="cpu")),
        Descriptor.load("hog", replace(small, normalization={"tir": "kelvin:263:313"})),
        Descriptor.load("hog", replace(small, normalization={"tir": "percentile:2:98"})),
        Descriptor.load("hog", small).with_warp(Warp(shift=0.1)),
        replace(Descriptor.load("hog", small), axes=np.eye(128, 4, dtype=np.float32)),
        replace(Descriptor.load("hog", small), axes=np.eye(128, 5, dtype=np.float32)),
    ]
    assert len({d.identity for d in variants}) == len(variants)
    assert Descriptor.load("hog", small).identity == variants[0].identity


def test_the_pooled_vector_s_fingerprint_does_not_change_with_what_comes_after(small):
    plain, centered = Descriptor.load("hog:normflat", small), Descriptor.load("hog", small)
    assert plain.fingerprint == centered.fingerprint
    assert replace(centered, axes=np.eye(128, 4, dtype=np.float32)).fingerprint == plain.fingerprint
    assert plain.fingerprint != plain.with_warp(Warp(rotate=5)).fingerprint


@pytest.fixture
def fitted(tmp_path, pairs, lite):
    descriptor = fit_descriptor([pairs], lite, 6, store=tmp_path / "store")
    return descriptor, descriptor.save(tmp_path / "small.safetensors")


@pytest.mark.slow
def test_a_saved_descriptor_gives_the_same_identity_and_vectors(fitted, pairs):
    before, path = fitted
    after = Descriptor.load(str(path), Options(device="cpu"))
    assert after.identity == before.identity
    image = read_image(pairs.paths("tir")[0], "tir")
    vectors = [
        d.finish(None)(d.pooled(d.preprocess(image, Band.TIR)[None]).numpy(), Band.TIR) for d in (before, after)
    ]
    assert vectors[0].shape == (1, 6)
    np.testing.assert_array_equal(*vectors)


def test_a_descriptor_of_a_file_goes_by_the_name_of_the_file(fitted):
    before, path = fitted
    assert before.name != str(path)
    assert Descriptor.load(str(path)).name == str(path)
    assert descriptor_metadata(path)["encoder"] == LITE


def test_a_file_needs_no_suffix_and_never_hides_a_model(fitted, tmp_path, monkeypatch):
    _, path = fitted
    monkeypatch.chdir(tmp_path)
    path.rename("fitted")
    (tmp_path / "hog").write_text("something else")
    assert Descriptor.load("fitted").axes is not None
    assert Descriptor.load("hog").encoder_name == "hog"


@pytest.mark.slow
def test_a_file_fitted_with_other_weights_is_refused(fitted, tmp_path):
    _, path = fitted
    other = Descriptor.load(LITE).encoder.body.state_dict()
    other["conv_stem.weight"] = other["conv_stem.weight"] + 1
    from crossband.models._registry import find_model

    whole = find_model(LITE).build().body.state_dict() | other
    torch.save(whole, tmp_path / "efficientnet_lite0.pth")
    with pytest.raises(CrossbandError, match=r"efficientnet_lite0"):
        Descriptor.load(str(path), Options(weights=tmp_path))


@pytest.mark.parametrize("content", [b"", b"no tensors", b"\x08\0\0\0\0\0\0\0{}      "])
def test_a_file_that_is_no_descriptor_is_one_sentence(tmp_path, content):
    path = tmp_path / "bad.safetensors"
    path.write_bytes(content)
    with pytest.raises(CrossbandError, match=r"bad\.safetensors"):
        Descriptor.load(str(path))


def test_a_file_of_bare_weights_is_no_descriptor(tmp_path):
    save_file({"w": np.ones(3)}, tmp_path / "weights.safetensors")
    with pytest.raises(CrossbandError, match=r"weights\.safetensors"):
        Descriptor.load(str(tmp_path / "weights.safetensors"))


def test_finishing_nothing_is_the_identity():
    vectors = np.random.default_rng(0).normal(size=(3, 5)).astype(np.float32)
    assert Finish()(vectors, Band.RGB) is vectors


def test_centering_takes_the_band_s_mean_from_unit_vectors_and_scales_to_unit_length():
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(20, 5)).astype(np.float32) * 7
    mean = unit_length(vectors).mean(0)
    finished = Finish({Band.RGB: mean})(vectors, Band.RGB)
    expected = vectors / np.linalg.norm(vectors, axis=1, keepdims=True) - mean
    np.testing.assert_allclose(finished, expected / np.linalg.norm(expected, axis=1, keepdims=True), rtol=1e-4)
    np.testing.assert_allclose(np.linalg.norm(finished, axis=1), 1, rtol=1e-6)


def test_projected_vectors_have_unit_length_and_the_axes_number():
    rng = np.random.default_rng(0)
    axes = rng.normal(size=(5, 3)).astype(np.float32)
    vectors = rng.normal(size=(4, 5)).astype(np.float32)
    finished = Finish(None, axes)(vectors, Band.TIR)
    expected = vectors @ axes
    np.testing.assert_allclose(finished, expected / np.linalg.norm(expected, axis=1, keepdims=True), rtol=1e-4)


def test_means_at_hand_go_before_those_that_came_with_the_descriptor(hog):
    own = replace(hog, means={Band.RGB: np.ones(3), Band.TIR: np.ones(3)})
    finish = own.finish({Band.TIR: np.zeros(3)})
    assert finish.means is not None
    assert finish.means[Band.RGB].tolist() == [1, 1, 1]
    assert finish.means[Band.TIR].tolist() == [0, 0, 0]


def test_rows_are_finished_as_they_are_read(tmp_path):
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(9, 5)).astype(np.float32)
    finish = Finish({Band.RGB: vectors.mean(0)}, rng.normal(size=(5, 2)).astype(np.float32))
    rows = FinishedRows(ArrayRows(vectors), finish, Band.RGB)
    whole = finish(vectors, Band.RGB)
    assert rows.shape == (9, 2)
    np.testing.assert_allclose(rows.rows(2, 5), whole[2:5], rtol=1e-6)
    np.testing.assert_allclose(rows.take(np.array([8, 0])), whole[[8, 0]], rtol=1e-6)


def test_unit_length_leaves_zero_at_zero():
    assert unit_length(np.zeros((1, 3))).tolist() == [[0, 0, 0]]


def test_a_device_that_is_not_here_is_one_sentence():
    if torch.cuda.is_available():
        pytest.skip("this machine has the device")
    with pytest.raises(CrossbandError, match="device"):
        Descriptor.load("hog", Options(device="cuda"))


METADATA = {
    "format": "crossband-descriptor-1",
    "crossband": "0",
    "name": "hog",
    "encoder": "hog",
    "weights": "none",
    "layer": "cells",
    "pooling": "normflat",
    "center": True,
    "preprocess": Preprocess().describe(),
}
GOOD = {"mean.tir": np.ones(4, np.float32), "axes": np.ones((4, 2), np.float32)}


def _statistics(*one: list[float]) -> dict[str, object]:
    return {"statistics": {band: list(one) for band in ("rgb", "nir", "tir")}}


def _preprocess(**changes: object) -> dict[str, object]:
    return {"preprocess": {**Preprocess().describe(), **changes}}


@pytest.mark.parametrize(
    ("metadata", "tensors"),
    [
        *[({name: None}, {}) for name in ("name", "encoder", "weights", "layer", "pooling", "center")],
        ({"center": 1}, {}),
        ({"preprocess": None}, {}),
        ({"preprocess": []}, {}),
        ({"preprocess": {"size": [64, 64]}}, {}),
        (_preprocess(size=[10**6, 10**6]), {}),
        (_preprocess(size=[64]), {}),
        (_preprocess(size=["64", "64"]), {}),
        (_preprocess(size=[15, 64]), {}),
        (_preprocess(size=[True, 64]), {}),
        (_preprocess(statistics={}), {}),
        (_preprocess(statistics={"tir": 1}), {}),
        (_preprocess(**_statistics([0, 0], [1, 1])), {}),
        (_preprocess(**_statistics([0, 0, 0], [1, 1, 0])), {}),
        (_preprocess(**_statistics([0, 0, 10**400], [1, 1, 1])), {}),
        (_preprocess(normalization={"tir": "percentile"}), {}),
        (_preprocess(normalization=dict.fromkeys(("rgb", "nir", "tir"), 5)), {}),
        (_preprocess(normalization={"x": "range"}), {}),
        (_preprocess(warp=[0.1, 1, 0, 0]), {}),
        (_preprocess(warp=[0.1, 0, 0]), {}),
        ({}, {"mean.tir": np.ones((2, 2), np.float32)}),
        ({}, {"mean.tir": np.ones(5, np.float32)}),
        ({}, {"mean.tir": np.array([1, 1, np.nan, 1], np.float32)}),
        ({}, {"mean.tir": np.ones(4, np.int64)}),
        ({}, {"axes": np.ones(4, np.float32)}),
        ({}, {"axes": np.full((4, 2), np.inf, np.float32)}),
        ({}, {"axes": np.ones((4, 0), np.float32)}),
    ],
)
def test_a_damaged_or_hostile_file_is_one_sentence_that_names_it(tmp_path, metadata, tensors):
    path = tmp_path / "bad.safetensors"
    save_file({**GOOD, **tensors}, path, metadata={"crossband": json.dumps({**METADATA, **metadata})})
    with pytest.raises(CrossbandError, match=r"bad\.safetensors") as caught:
        Descriptor.load(str(path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["[" * 100_000, "[]", "1", "null", '"text"', "{"])
def test_a_file_whose_metadata_is_invalid_is_one_sentence(tmp_path, text):
    save_file(GOOD, tmp_path / "bad.safetensors", metadata={"crossband": text})
    with pytest.raises(CrossbandError, match=r"bad\.safetensors"):
        Descriptor.load(str(tmp_path / "bad.safetensors"))


def test_the_fingerprint_changes_with_the_version_of_our_own_preprocessing(small, monkeypatch):
    before = Descriptor.load("hog", small)
    fingerprint, identity = before.fingerprint, before.identity
    monkeypatch.setattr("crossband.retrieval.descriptor.descriptor._PREPROCESSING", 3)
    assert before.fingerprint != fingerprint
    assert before.identity != identity
