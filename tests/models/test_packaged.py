"""Packaged networks: what goes in comes out, each says what it is, and a verb finds it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from crossband.checkpoints import load_network, read_metadata, write_checkpoint
from crossband.errors import CrossbandError
from crossband.factory import create_model
from crossband.models import packaged
from crossband.models.packaged import Card, card_of, checkpoint_for, list_packaged, pack, tensors_digest
from crossband.models.streams import StreamsOutput
from crossband.training import read_recipe
from crossband.weights import file_digest

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


@pytest.mark.parametrize("info", list_packaged(), ids=lambda info: info.name)
def test_create_model_makes_what_ships_and_its_digest_is_the_files(info):
    path = packaged.FOLDER / f"{info.name}.safetensors"
    network = create_model(path)
    channels = {
        "crossband-segment": (4,),
        "crossband-vehicles": (3, 3),
        "crossband-objects": (3,),
        "crossband-translate": (3,),
    }.get(info.name, (1,))
    given = [torch.rand(1, *channels, 64, 96)]
    if info.name == "crossband-translate":
        given.append(torch.tensor([290.0]))
    with torch.inference_mode():
        out = network(*given)
    out = out.features if isinstance(out, StreamsOutput) else out
    shapes = [tuple(one.shape) for one in (out if isinstance(out, tuple) else (out,))]
    assert shapes == {
        "crossband-segment": [(1, 9, 64, 96)],
        "crossband-detect": [(1, 5, 16, 24), (1, 5, 4, 16, 24)],
        "crossband-translate": [(1, 1, 64, 96), (1, 1, 64, 96)],
        "crossband-objects": [(1, 1008)],
        "crossband-vehicles": [(1, 3, 512)],
    }.get(info.name, shapes)
    assert network.digest == file_digest(path)


@pytest.mark.parametrize("info", list_packaged(), ids=lambda info: info.name)
def test_the_recipe_of_what_ships_can_be_read_and_simulates_what_the_network_sees(info):
    """Pictures that are simulated upright and seen lying would be squeezed: sizes are (height, width)."""
    recipe = read_recipe(read_metadata(packaged.FOLDER / f"{info.name}.safetensors")["recipe"])
    measured = [recipe.data.val, *recipe.data.test.values()]
    parts = [recipe.data.train, *recipe.data.train.also, *(getattr(one, "queries", one) for one in measured)]
    sizes = [part.simulate.size for part in parts if part.simulate is not None]
    if isinstance(recipe.data.size, int):  # crops of frames, which are read as they are
        assert all(min(size) >= recipe.data.size for size in sizes)
    else:
        assert all(size == tuple(recipe.data.size) for size in sizes)


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("crossband-detect", "models/detect"),
        ("crossband-label", "models/label"),
        ("crossband-objects", "models/objects"),
        ("crossband-translate", "models/translate"),
        ("crossband-segment", "models/segment"),
        ("crossband-vehicles", "models/vehicles"),
        ("crossband512", "retrieval/crossband512"),
    ],
)
def test_a_recipe_of_what_ships_says_what_was_done(name, file):
    written = read_recipe(Path(__file__).parents[2] / "recipes" / f"{file}.yaml")
    inside = read_recipe(read_metadata(packaged.FOLDER / f"{name}.safetensors")["recipe"])
    who = {"trainer": {"processes"}}  # who does the work is no part of what was done
    assert written.model_dump(exclude=who) == inside.model_dump(exclude=who)
