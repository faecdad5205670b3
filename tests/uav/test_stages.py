"""Alignment against a known shift, translation's range and depth, crops and their boxes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from crossband.data.scenes import Crop, thermal_input
from crossband.errors import CrossbandError
from crossband.io import read_image
from crossband.models.thermal_gan import ThermalGAN
from crossband.uav.align import align_labels, flow_error, read_flow
from crossband.uav.ground_classes import GROUND, UNKNOWN
from crossband.uav.networks import Networks
from crossband.uav.stage_evaluation import chance_nauc
from crossband.uav.stages import StageFile, label_image
from crossband.uav.tasks.detection import crop_boxes, semantic_planes
from crossband.uav.translate import Photograph, Thermal, translate_photograph

from .conftest import KELVIN, blocks


@pytest.mark.parametrize("shift", [(5, 0), (-4, 3), (0, 0)])
def test_alignment_finds_a_shift_of_the_map(shift):
    labels = np.kron(blocks()[:64, :80], np.ones((2, 2), np.uint8))
    seen = np.roll(labels, shift[::-1], (0, 1))
    thermal = KELVIN[seen] + np.random.default_rng(0).normal(0, 0.1, seen.shape)
    found = align_labels(labels, thermal)
    truth = np.broadcast_to(np.array(shift, float), (*labels.shape, 2))
    inner = np.zeros(labels.shape, bool)
    inner[12:-12, 12:-12] = True
    before, after = flow_error(np.zeros_like(truth), truth, inner), flow_error(found.flow, truth, inner)
    assert after < max(0.5 * before, 1.0)  # never a pixel worse
    assert (found.labels == seen)[inner].mean() >= (labels == seen)[inner].mean()


def test_alignment_with_labels_finds_shift_turn_and_scale_where_edges_say_nothing():
    labels = np.kron(blocks()[:64, :80], np.ones((2, 2), np.uint8))
    rows, columns = np.mgrid[: labels.shape[0], : labels.shape[1]].astype(float)
    x, y = columns - (labels.shape[1] - 1) / 2, rows - (labels.shape[0] - 1) / 2
    scale, turn, right, down = 0.04, 0.03, 4.0, -3.0
    u, v = (1 + scale) * x - turn * y + right, turn * x + (1 + scale) * y + down
    truth = np.stack([u - x, v - y], -1)
    back = np.linalg.inv(np.array([[1 + scale, -turn], [turn, 1 + scale]]))
    from_x, from_y = (back[i, 0] * (x - right) + back[i, 1] * (y - down) for i in (0, 1))
    at = np.rint(np.stack([from_y + (labels.shape[0] - 1) / 2, from_x + (labels.shape[1] - 1) / 2])).astype(int)
    inside = (at >= 0).all(0) & (at[0] < labels.shape[0]) & (at[1] < labels.shape[1])
    seen = np.where(inside, labels[tuple(at.clip(0, np.array(labels.shape)[:, None, None] - 1))], UNKNOWN)
    flat = np.random.default_rng(0).normal(290, 0.1, labels.shape)
    inner = np.zeros(labels.shape, bool)
    inner[12:-12, 12:-12] = True
    found = align_labels(labels, flat, seen.astype(np.uint8))
    assert flow_error(found.flow, truth, inner) < 0.5


def test_flow_that_explains_nothing_is_not_followed():
    labels = blocks()
    thermal = np.random.default_rng(0).normal(300, 5, labels.shape)
    found = align_labels(labels, thermal)
    assert found.labels.dtype == np.uint8
    known = align_labels(np.full_like(labels, UNKNOWN), thermal)
    assert not known.flow.any()


def test_kittis_flow_is_read_back():
    flow = np.random.default_rng(0).uniform(-20, 20, (4, 5, 2)).astype(np.float32)
    written = np.dstack([np.rint(flow * 64 + 32768), np.ones((4, 5))]).astype(np.uint16)
    found, known = read_flow(written)
    assert found == pytest.approx(flow, abs=1 / 128)
    assert known.all()


def test_a_translation_stays_in_its_stated_range_and_keeps_16_bits(tmp_path):
    network = ThermalGAN(width=4, depth=2, span=20, contrast=10).eval()
    photograph = Photograph(torch.rand(3, 30, 41), (5, 5, 30, 25))
    made = translate_photograph(photograph, network, 290.0)
    assert (made.low, made.high) == (260.0, 320.0)
    assert made.kelvin.shape == (30, 41)
    assert made.low <= made.kelvin.min() <= made.kelvin.max() <= made.high
    kept = read_image(made.write(tmp_path / "probe.png"), "tir").pixels
    assert kept.dtype == np.uint16
    assert np.abs(kept / 100 - made.kelvin).max() <= 0.0051


def test_every_centikelvin_survives_writing(tmp_path):
    kelvin = (np.arange(65536) / 100).astype(np.float32).reshape(256, 256)
    made = Thermal(kelvin, (0, 0, 1, 1), 290.0, 0.0, 655.35)
    assert np.array_equal(read_image(made.write(tmp_path / "a.png"), "tir").pixels.ravel(), np.arange(65536))
    with pytest.raises(CrossbandError, match=r"a\.jpg"):
        made.write(tmp_path / "a.jpg")


def test_a_large_photograph_is_brought_to_the_size_of_what_is_searched():
    network = ThermalGAN(width=2, depth=1).eval()
    photograph = Photograph(torch.rand(3, 300, 400), (100, 100, 300, 200))
    made = translate_photograph(photograph, network, 290.0, longest=40)
    assert made.kelvin.shape == (60, 80)
    assert made.box == pytest.approx((20, 20, 60, 40))
    with pytest.raises(CrossbandError, match="ambient"):
        translate_photograph(photograph, network, 20.0)


def test_networks_read_sixteen_bits_and_not_eight():
    kelvin = np.full((4, 4), 29000, np.uint16)
    kelvin[0, 0] += 1  # a hundredth of a kelvin
    seen = thermal_input(kelvin, "centikelvin")
    assert float(seen[0, 0, 0]) == pytest.approx(0.01 / 12, rel=1e-2)
    assert float(seen[0, 1, 1]) == 0


def test_counts_are_scaled_by_what_the_image_holds():
    rng = np.random.default_rng(0)
    counts = rng.integers(0, 256, (40, 40)).astype(np.uint8)
    assert torch.allclose(
        thermal_input(counts, "counts"), thermal_input(counts.astype(np.uint16) * 200 + 7, "counts")
    )


def test_a_labeling_has_the_size_of_its_image(world, networks):
    labeler = Networks(networks).labeler
    found = label_image(labeler, np.full((37, 51), 29000, np.uint16), "centikelvin")
    assert found.shape == (37, 51)
    assert found.dtype == np.uint8


@pytest.mark.parametrize("turns", range(4))
@pytest.mark.parametrize("mirrored", [False, True])
def test_boxes_follow_their_pixels_through_a_crop(turns, mirrored):
    image = torch.zeros(1, 60, 80)
    image[:, 20:30, 33:49] = 1.0
    crop = Crop(left=10, top=5, side=50, size=50, turns=turns, mirrored=mirrored)
    rows, columns = torch.nonzero(crop(image)[0] > 0.5, as_tuple=True)
    seen = [int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1]
    boxes = crop_boxes(crop, np.array([[33, 20, 49, 30, 2, 7]], np.float32))
    assert boxes.tolist() == [[2.0, *map(float, seen)]]


def test_semantic_planes_are_one_for_each_class_and_nothing_for_the_unknown():
    planes = semantic_planes(np.array([[0, 4, UNKNOWN]], np.uint8))
    assert planes.shape == (len(GROUND), 1, 3)
    assert planes.sum(0).tolist() == [[1.0, 1.0, 0.0]]


def test_a_stage_file_of_something_else_is_begun_again(tmp_path):
    first = StageFile(tmp_path / "a.jsonl", {"x": 1})
    assert first.run(["a", "b"], lambda row: {"value": row}) == [
        {"frame": "a", "value": 0},
        {"frame": "b", "value": 1},
    ]
    assert list(StageFile(tmp_path / "a.jsonl", {"x": 1}).records) == ["a", "b"]
    assert not StageFile(tmp_path / "a.jsonl", {"x": 2}).records


def test_chance_is_what_a_random_order_scores():
    rng = np.random.default_rng(0)
    hits = np.array([rng.permutation(60)[:3].min() for _ in range(4000)])
    curve = [100 * np.mean(hits < rank) for rank in range(1, 21)]
    assert chance_nauc(60, 3) == pytest.approx(np.trapezoid(curve) / 19, abs=1.5)
