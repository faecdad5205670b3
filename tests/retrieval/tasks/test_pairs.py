"""The task ``pairs`` on made-up scenes: a thermal image is the inverse of a color one, a little apart."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch

from crossband.bands import Band
from crossband.errors import CrossbandError
from crossband.frames import Frames
from crossband.models.pair_descriptor import create_pair_descriptor
from crossband.retrieval import Descriptor, Options
from crossband.training import evaluate, read_recipe, train
from crossband.training.task import find_task

from ...conftest import blobs


def write_scenes(root: Path, seed: int, n: int = 24) -> Path:
    """``frames.parquet`` below ``root``; the last frame has no thermal image."""
    rng, rows = np.random.default_rng(seed), []
    for i in range(n):
        scene = np.stack([blobs(rng, (48, 48)) for _ in range(3)], -1)
        pictures = {"rgb": scene, "tir": 1 - scene[..., 0]}
        row = {"frame": f"{i:03d}"}
        for band, pixels in pictures.items():
            if (i, band) != (n - 1, "tir"):
                (root / band).mkdir(parents=True, exist_ok=True)
                PIL.Image.fromarray((pixels * 255).astype(np.uint8)).save(root / band / f"{i:03d}.png")
                row[band] = f"{band}/{i:03d}.png"
        rows.append(row)
    Frames.make(rows, root).write(root / "frames.parquet")
    return root


@pytest.fixture(scope="module")
def scenes(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("pairs")
    for seed, name in enumerate(("one", "two", "three")):
        write_scenes(root / name, seed)
    return root


def recipe(**changes: Any) -> dict[str, Any]:
    content: dict[str, Any] = {
        "task": "pairs",
        "data": {
            "train": {"frames": "one"},
            "val": {"frames": "two"},
            "test": {"three": {"frames": "three"}},
            "size": [48, 48],
            "cache_mb": 50,
        },
        "model": {
            "encoder": "squeezenet1_1",
            "layer": "features.4",
            "pooling": "avg3",
            "dim": 16,
            "pretrained": False,
        },
        "loss": {"temperature": 0.2, "hold": 0.01},
        "optimizer": {"name": "adam", "lr": 1e-3, "head_lr": 1e-2},
        "trainer": {"epochs": 3, "batch_size": 12, "device": "cpu"},
    }
    for part, values in changes.items():
        content[part] = {**content[part], **values}
    return content


@pytest.fixture(scope="module")
def trained(scenes, tmp_path_factory) -> Path:
    return train(recipe(), (), tmp_path_factory.mktemp("run"), data_root=scenes).checkpoint


@pytest.mark.slow
def test_the_loss_falls_and_the_score_is_of_aligned_and_misaligned_pairs(scenes):
    task = find_task("pairs").build(read_recipe(recipe()), scenes)
    task.prepare()
    generator = torch.Generator().manual_seed(0)
    samples = task.samples(0)
    assert sorted(samples[:, 0]) == list(range(23)), "the frame without a thermal image teaches nothing"
    batch = [task.read(sample, generator) for sample in samples[:12]]
    batch = {name: torch.stack([one[name] for one in batch]) for name in batch[0]}
    optimizer = torch.optim.Adam([p for p in task.network.parameters() if p.requires_grad], 1e-2)
    losses = []
    for _ in range(8):
        optimizer.zero_grad()
        loss = task.loss(batch)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.7 * losses[0]
    scores = task.validate()
    assert scores["val/recall"] == pytest.approx((scores["val/aligned"] + scores["val/misaligned"]) / 2)
    assert 0 <= scores["val/misaligned"] <= 100


def test_it_starts_from_principal_axes_that_hold_pulls_it_back_to(scenes):
    task = find_task("pairs").build(read_recipe(recipe(loss={"hold": 3.0})), scenes)
    task.prepare()
    axes = task.network.axes.detach().double()
    gram = axes.T @ axes
    off = gram - torch.diag(gram.diagonal())
    assert float(off.abs().max()) < 1e-4 * float(gram.diagonal().max()), "principal axes are at right angles"
    generator = torch.Generator().manual_seed(0)
    batch = {name: tensor[None] for name, tensor in task.read(np.array([0]), generator).items()}
    assert task.loss(batch).item() == pytest.approx(0, abs=1e-6), "one frame has nobody to be told apart from"
    with torch.no_grad():
        task.network.axes.mul_(2)
    assert task.loss(batch).item() == pytest.approx(3.0, rel=1e-5)


def test_only_the_axes_are_trained_unless_the_recipe_names_a_layer(scenes):
    held = find_task("pairs").build(read_recipe(recipe()), scenes)
    assert [name for name, p in held.network.named_parameters() if p.requires_grad] == ["axes"]
    freed = find_task("pairs").build(read_recipe(recipe(model={"train_from": "features.3"})), scenes)
    names = {name for name, p in freed.network.named_parameters() if p.requires_grad}
    assert "axes" in names
    assert all("features.3" in n or "features.4" in n for n in names - {"axes"})
    assert len(names) > 1


def test_what_lies_behind_the_cut_is_not_in_the_checkpoint():
    network, _ = create_pair_descriptor(
        "squeezenet1_1", "features.4", "avg3", (48, 48), 16, 2, pretrained=False
    )
    assert not [name for name in network.state_dict() if "features.5" in name or "classifier" in name]
    assert [name for name in network.state_dict() if "features.4" in name]


@pytest.mark.slow
def test_the_checkpoint_is_a_descriptor_like_any_other(scenes, trained):
    descriptor = Descriptor.load(str(trained), Options(device="cpu"))
    task = find_task("pairs").build(read_recipe(recipe()), scenes)
    task.network.load_state_dict(_state(trained))
    images = torch.rand(5, 3, 48, 48)
    pooled = descriptor.pooled(images).numpy()
    means = {Band.RGB: task.network.means[0].numpy()}
    ours = descriptor.finish(means)(pooled, Band.RGB)
    with torch.inference_mode():
        theirs = task.network.finish(task.network.pooled(images), task.network.means[0]).numpy()
    assert ours.shape == (5, 16)
    np.testing.assert_allclose(ours, theirs, atol=2e-5)
    without = descriptor.finish(None)(pooled, Band.RGB)  # one photograph and no set: the means it came with
    np.testing.assert_allclose(without, ours, atol=2e-5)


def test_evaluate_measures_every_direction(scenes, trained):
    tests = evaluate(None, trained, data_root=scenes).tests["three"]
    assert set(tests["aligned"]) == set(tests["misaligned"]) == {"rgb -> tir", "tir -> rgb"}
    assert tests["n_frames"] == 24


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"data": {"bands": ["rgb"]}}, "at least two bands"),
        ({"data": {"bands": ["rgb", "nir"]}}, "no frames of .* have the band nir"),
        ({"data": {"val": {"frames": "three"}}}, "selected on val, never on test"),
        ({"model": {"dim": 9999}}, "9999 dims cannot be made"),
    ],
)
def test_bad_recipes_are_named(scenes, changes, said):
    with pytest.raises(CrossbandError, match=said):
        find_task("pairs").build(read_recipe(recipe(**changes)), scenes)


def _state(path: Path) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    return load_file(path)


def test_checking_for_shared_frames_simulates_nothing(scenes, tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).symlink_to(scenes / name)
    (tmp_path / "half").mkdir()  # as a simulation that was stopped leaves it
    city = {"frames": "half", "simulate": {"preset": "driving", "frames": 3}}
    task = find_task("pairs").build(read_recipe(recipe(data={"test": {"city": city}})), tmp_path)
    task.check()
    assert not list((tmp_path / "half").iterdir())


def test_a_pair_that_val_does_not_have_is_left_out_of_the_score(scenes, tmp_path):
    for name in ("one", "three"):
        (tmp_path / name).symlink_to(scenes / name)
    table = Frames.read(scenes / "two" / "frames.parquet").table.head(8).copy()
    table["nir"] = [None if i % 2 else str(path) for i, path in enumerate(table["rgb"])]
    table.loc[table.index % 2 == 0, "tir"] = None  # nir and tir are never together
    Frames(table, scenes / "two").write(tmp_path / "val.parquet")
    train_table = Frames.read(scenes / "one" / "frames.parquet").table.assign(nir=lambda t: t["rgb"])
    Frames(train_table, scenes / "one").write(tmp_path / "train.parquet")
    data = {"train": {"frames": "train.parquet"}, "val": {"frames": "val.parquet"}, "test": {}}
    task = find_task("pairs").build(
        read_recipe(recipe(data={**data, "bands": ["rgb", "nir", "tir"]})), tmp_path
    )
    task.check()
    scores = task.validate()
    assert np.isfinite(list(scores.values())).all()
    single = recipe(data={**data, "bands": ["nir", "tir"]})
    with pytest.raises(CrossbandError, match=r"data\.val"):
        find_task("pairs").build(read_recipe(single), tmp_path).check()


def forged(trained: Path, out: Path, change: Any, tensors: dict[str, torch.Tensor] | None = None) -> Path:
    """The checkpoint with other metadata, or other tensors."""
    from safetensors import safe_open
    from safetensors.torch import save_file

    with safe_open(trained, framework="pt") as file:
        metadata = json.loads(file.metadata()["crossband"])
    change(metadata)
    save_file({**_state(trained), **(tensors or {})}, out, metadata={"crossband": json.dumps(metadata)})
    return out


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda a: a["recipe"]["data"].update(bands=["rgb", "x"]), "unknown band"),
        (lambda a: a["recipe"]["data"].update(bands=["rgb", "rgb"]), "names a band twice"),
        (lambda a: a["recipe"]["data"].update(size=[4096, 4096]), "sizes contradict each other"),
        (lambda a: a["recipe"]["data"].update(size=[99999, 48]), "its image size is not valid"),
        (lambda a: a["recipe"]["data"].update(size=[float("inf"), 48]), "cannot convert float infinity"),
        (lambda a: a["recipe"]["model"].update(dim=17), "its tensors do not match its recipe"),
        (lambda a: a["recipe"].pop("model"), "model"),
    ],
)
def test_a_forged_checkpoint_is_one_sentence(trained, tmp_path, change, said):
    path = forged(trained, tmp_path / "forged.safetensors", change)
    with pytest.raises(CrossbandError, match=rf"not a pairs checkpoint: .*{said}"):
        Descriptor.load(str(path), Options(device="cpu"))


def test_axes_that_are_no_numbers_are_refused(trained, tmp_path):
    axes = torch.full_like(_state(trained)["axes"], float("nan"))
    path = forged(trained, tmp_path / "nan.safetensors", lambda metadata: None, {"axes": axes})
    with pytest.raises(CrossbandError, match=r"nan\.safetensors"):
        Descriptor.load(str(path), Options(device="cpu"))


@pytest.mark.parametrize("name", ["boq_resnet50", "squeezenet1_1"])
def test_trimming_leaves_a_network_that_runs(name):
    """Attention reads the weights of modules that it never enters."""
    with torch.device("meta"):
        network, _ = create_pair_descriptor(name, None, "flat", (96, 96), 16, 2, pretrained=False)
        assert network.pooled(torch.zeros(1, 3, 96, 96)).shape[1] == len(network.axes)
