"""Runs that begin with weights from before."""

import json

import pytest
import torch
from torch import nn

from crossband.bands import Band
from crossband.checkpoints import write_checkpoint
from crossband.errors import CrossbandError
from crossband.models.band_fusion import build_band_fusion
from crossband.models.center_detector import CenterDetector
from crossband.training import train
from crossband.training.start import begin_with


def network(classes: int) -> nn.Module:
    return nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, classes))


def test_what_fits_is_taken_and_what_does_not_is_said(tmp_path, capsys):
    before, after = network(5), network(2)
    own = after[2].weight.clone()
    write_checkpoint(tmp_path / "a.safetensors", before, {"recipe": {"task": "x"}})
    begin_with(after, str(tmp_path / "a.safetensors"))
    assert torch.equal(after[0].weight, before[0].weight)
    assert torch.equal(after[2].weight, own)
    assert "2 of 4 tensors" in capsys.readouterr().err


def test_a_detector_begins_with_weights_of_one_box_for_all_classes(tmp_path):
    after, before = CenterDetector(3, width=8), CenterDetector(3, width=8)
    before.sides[1] = nn.Conv2d(8, 4, 1)
    write_checkpoint(tmp_path / "a.safetensors", before, {"recipe": {"task": "x"}})
    begin_with(after, str(tmp_path / "a.safetensors"))
    assert torch.equal(after.sides[1].weight, before.sides[1].weight.repeat(3, 1, 1, 1))


def test_a_packaged_network_is_known_by_its_name():
    begun, _ = build_band_fusion(9, (Band.RGB, Band.TIR), False)
    other, _ = build_band_fusion(9, (Band.RGB, Band.TIR), False)
    begin_with(begun, "crossband-segment")
    begin_with(other, "crossband-segment")
    for name, value in begun.state_dict().items():
        assert torch.equal(value, other.state_dict()[name]), name


@pytest.mark.parametrize("source", ["crossband-nothing", "absent.safetensors", "../crossband-segment"])
def test_a_start_that_is_not_there_is_one_sentence(source):
    with pytest.raises(CrossbandError, match="no"):
        begin_with(network(2), source)


def test_weights_of_which_none_fits_are_refused():
    with pytest.raises(CrossbandError, match="fit"):
        begin_with(network(2), "crossband-segment")


def test_a_run_whose_start_is_not_there_says_so_before_anything_is_simulated(tmp_path, monkeypatch):
    from crossband.simulation import render

    monkeypatch.setattr(render, "_render", lambda *given: pytest.fail("simulates"))
    frames = {"frames": "city", "simulate": {"preset": "flight", "frames": 8, "size": [32, 48], "seed": 0}}
    recipe = {
        "task": "detection",
        "title": "starts from nothing",
        "start": "out/none.safetensors",
        "data": {"train": frames, "val": {**frames, "every": 2}, "test": {"all": {"frames": "other"}}},
    }
    path = tmp_path / "recipe.yaml"
    path.write_text(json.dumps(recipe))
    with pytest.raises(CrossbandError, match=r"starts from out/none\.safetensors, which is not there"):
        train(path, (), tmp_path / "run", data_root=tmp_path)
    assert not (tmp_path / "run").exists()
