"""The parts of objects: where they are, where they lie in a crop, what they weigh; and all of it learns."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch

from crossband.data.scenes import Scenes
from crossband.errors import CrossbandError
from crossband.frames import Frames
from crossband.training import evaluate, read_recipe, train
from crossband.uav.object_descriptor import crop_around
from crossband.uav.object_parts import MOST, PartReader, part_weights, parts_in_crop, temperature_parts
from crossband.uav.tasks.objects import ObjectModel, _turned, build_object_network

from .test_tasks import SMALL, made

SMALL_PARTS = {
    **SMALL["objects"],
    "model": {**SMALL["objects"]["model"], "parts": {"width": 8, "pretrained": False, "least": 0.01}},
}


@pytest.fixture
def marked(world, tmp_path):
    """The world with a column ``parts``: the left half of every box."""
    shutil.copytree(world, tmp_path / "data")
    root = tmp_path / "data" / "world"
    content = json.loads((root / "boxes.json").read_text())
    for box in content["annotations"]:
        box["bbox"][2] /= 2
    (root / "parts.json").write_text(json.dumps(content))
    frames = Frames.read(root / "frames.parquet")
    Frames.make(frames.table.assign(parts="parts.json"), root).write(root / "frames.parquet")
    return tmp_path / "data"


def test_parts_are_warmer_or_colder_than_their_object_alone():
    kelvin = np.full((10, 12), 300.0)
    own = np.zeros((10, 12), bool)
    own[2:8, 2:10] = True
    kelvin[0:3, 2:5] = 320  # half of it is beside the object
    kelvin[5:7, 7:9] = 280
    kelvin[6, 4] = 320  # a pixel is no part
    assert temperature_parts(kelvin, own, 5.0).tolist() == [[7, 5, 9, 7]]
    kelvin[2:4, 2:5] = 320
    assert temperature_parts(kelvin, own, 5.0).tolist() == [[2, 2, 5, 4], [7, 5, 9, 7]]
    assert temperature_parts(kelvin, own, 25.0).tolist() == []
    assert temperature_parts(kelvin, ~own & False, 5.0).shape == (0, 4)


def test_a_part_lies_in_the_crop_where_the_image_shows_it_however_it_is_turned():
    image = torch.zeros(1, 60, 80)
    image[0, 25:31, 40:50] = 1
    box, part = (30, 20, 60, 40), np.array([[40, 25, 50, 31]])
    crop = crop_around(image, box, 120)
    place = parts_in_crop(part, image.shape, box, 120)
    assert place.shape == (MOST, 4)
    assert not place[1:].any()
    for mirrored in (False, True):
        for turns in range(4):
            shown = torch.rot90(crop.flip(-1) if mirrored else crop, turns, (-2, -1))[0] > 0.5
            rows, columns = (torch.nonzero(shown.any(k)).flatten() for k in (1, 0))
            seen = torch.stack([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1])
            moved = _turned(place, 120, mirrored, turns)
            assert float((moved[0] - seen).abs().max()) < 2
            assert not (moved[1:, 2] > moved[1:, 0]).any()  # no part where there is none


def test_a_crop_at_the_edge_keeps_its_scale_and_is_filled_evenly():
    image = torch.arange(60.0)[None, None].expand(1, 40, 60).contiguous()
    crop = crop_around(image, (0, 10, 20, 30), 80, 0.5)  # ten pixels beyond the left edge
    assert crop.shape == (1, 80, 80)
    inside = crop[0, :, 20:78]
    assert float((inside[:, 1:] - inside[:, :-1]).mean()) == pytest.approx(0.5, abs=0.02)
    assert crop[0, :, :18].unique().numel() == 1
    # however large the box: nothing larger than the crop is made
    assert crop_around(image, (-1e6, -1e6, 1e6, 1e6), 16, 1.0).shape == (1, 16, 16)


def test_weights_are_one_outside_and_the_shares_of_cells_inside():
    parts = torch.tensor([[[0.0, 0.0, 6.0, 4.0], [0.0, 0.0, 0.0, 0.0]], [[0.0] * 4] * 2])
    weights = part_weights(parts, 8, (2, 2), 5.0)
    assert weights[0, 0].tolist() == [[5.0, 3.0], [1.0, 1.0]]
    assert weights[1].eq(1).all()


@pytest.mark.slow
def test_a_network_with_parts_gives_twice_as_long_vectors_of_which_the_first_half_is_the_old():
    torch.manual_seed(0)
    model = ObjectModel(**SMALL_PARTS["model"])
    network = build_object_network(model, pretrained=False).eval()
    crops = torch.rand(2, 3, 32, 32)
    parts = torch.zeros(2, MOST, 4)
    with torch.no_grad():
        whole, same = (before for before, _ in network.vectors(crops, parts))
        torch.testing.assert_close(whole, same)  # no parts: all positions weigh alike
        parts[:, 0] = torch.tensor([0.0, 0.0, 16.0, 16.0])
        again, weighted = (before for before, _ in network.vectors(crops, parts))
        assert torch.equal(again, whole)
        assert not torch.allclose(weighted, whole)
        found = network(crops)
    assert found.shape == (2, 2 * network.dim)
    torch.testing.assert_close(found.norm(dim=1), torch.ones(2))
    plain = build_object_network(ObjectModel(**SMALL["objects"]["model"]), pretrained=False)
    assert set(plain.state_dict()) == {k for k in network.state_dict() if not k.startswith("parts.")}


def test_parts_are_those_of_the_object_whose_box_holds_their_middle(marked):
    scenes = Scenes(Frames.read(marked / "world" / "frames.parquet"))
    reader = PartReader(scenes)
    row = next(row for row, boxes in enumerate(scenes.boxes) if len(boxes))
    box = scenes.boxes[row][0]
    half = [box[0], box[1], (box[0] + box[2]) / 2, box[3]]
    assert any(np.allclose(part, half, atol=1e-4) for part in reader(row, 0))


def test_frames_without_what_parts_need_are_named(world):
    scenes = Scenes(Frames.read(world / "world" / "frames.parquet"))
    assert not PartReader.possible(scenes, "column")
    with pytest.raises(CrossbandError, match="no column 'parts'"):
        PartReader(scenes)
    table = scenes.frames.table
    bare = Scenes(Frames.make(table.drop(columns=["instances"]), scenes.frames.root))
    with pytest.raises(CrossbandError, match="instances"):
        PartReader(bare, "temperature")
    counts = Scenes(Frames.make(table.assign(tir_units="counts"), scenes.frames.root))
    with pytest.raises(CrossbandError, match=r"kelvin; these have counts"):
        PartReader(counts, "temperature")
    outside = Scenes(Frames.make(table.assign(parts="../parts.json"), scenes.frames.root))
    with pytest.raises(CrossbandError, match="does not stay in"):
        PartReader(outside)


@pytest.mark.slow
@pytest.mark.parametrize("source", ["column", "temperature"])
def test_it_trains_with_its_detector_and_is_measured(recipe, marked, tmp_path, source):
    content = made(recipe, "objects", **SMALL_PARTS)
    content["model"] = {**content["model"], "parts": {**content["model"]["parts"], "source": source}}
    done = train(read_recipe(content), (), tmp_path / "run", data_root=marked)
    scores = evaluate(None, done.checkpoint, data_root=marked).tests["all"]
    assert 0 <= scores["nauc"] <= 100
    if source == "column":  # the small world's cars have one temperature each
        assert 0 <= scores["parts_ap50"] <= 100
