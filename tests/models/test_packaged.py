"""Packaged networks: what goes in comes out, each says what it is, and a verb finds it."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from crossband.checkpoints import load_network, write_checkpoint
from crossband.errors import CrossbandError
from crossband.models import packaged
from crossband.models.packaged import Card, card_of, checkpoint_for, list_packaged, pack, tensors_digest

CARD = Card(
    "crossband-toy",
    "toy",
    "nothing",
    "noise",
    "CC0",
    "nobody",
    "2026-01-01",
    3,
    0.1,
    "a processor",
    {"mAP": 12.5},
)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    torch.manual_seed(0)
    write_checkpoint(tmp_path / "best.safetensors", nn.Linear(4, 3), {"recipe": {"task": "toy"}})
    monkeypatch.setattr(packaged, "FOLDER", tmp_path / "packed")
    (tmp_path / "packed").mkdir()
    pack(tmp_path / "best.safetensors", CARD, tmp_path / "packed")
    return tmp_path


def test_a_packed_network_loads_and_differs_by_rounding_alone(folder):
    before, network = nn.Linear(4, 3), nn.Linear(4, 3)
    load_network(folder / "best.safetensors", before)
    metadata = load_network(folder / "packed" / "crossband-toy.safetensors", network)
    assert metadata["recipe"] == {"task": "toy"}
    assert network.weight.dtype == torch.float32
    torch.testing.assert_close(network.weight, before.weight, rtol=1e-3, atol=1e-4)


def test_the_card_is_inside_and_its_digest_is_of_the_tensors(folder):
    path = folder / "packed" / "crossband-toy.safetensors"
    card = card_of(path)
    assert card is not None
    assert card.figures == {"mAP": 12.5}
    assert card.digest == tensors_digest(load_file(path))


def test_a_verb_takes_the_packaged_network_says_so_and_prefers_a_given_one(folder, capsys):
    assert checkpoint_for("toy", None).stem == "crossband-toy"
    assert "crossband-toy" in capsys.readouterr().err
    assert checkpoint_for("toy", "mine.safetensors").name == "mine.safetensors"
    with pytest.raises(CrossbandError, match="no network for dreaming"):
        checkpoint_for("dreaming", None)


def test_a_card_of_another_task_is_refused(folder):
    card = Card(**{**vars(CARD), "task": "other"})
    with pytest.raises(CrossbandError, match="toy"):
        pack(folder / "best.safetensors", card, folder / "packed")


def test_weights_that_float16_cannot_hold_are_refused(folder):
    network = nn.Linear(1, 1)
    nn.init.constant_(network.weight, 1e6)
    write_checkpoint(folder / "large.safetensors", network, {"recipe": {"task": "toy"}})
    with pytest.raises(CrossbandError, match="weight"):
        pack(folder / "large.safetensors", CARD, folder / "packed")


def test_all_that_ships_is_small_and_says_what_it_is():
    found = list_packaged()
    paths = list(packaged.FOLDER.glob("crossband-*.safetensors"))
    assert len(found) == len(paths)
    for path in paths:
        card = card_of(path)
        assert card is not None
        assert card.digest == tensors_digest(load_file(path))
        assert card.license
        assert card.figures
        assert path.stat().st_size <= 12e6
    assert sum(path.stat().st_size for path in paths) <= 60e6
