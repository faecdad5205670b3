"""What the task promises: it learns both bands, never selects on test, resumes exactly, names what is wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch
from safetensors.torch import load_file

pytest.importorskip("lightning", reason="training is an extra: crossband[train]")
pytest.importorskip("cv2", reason="pseudo-labels need OpenCV: crossband[train]")

from crossband.checkpoints import read_metadata
from crossband.errors import CrossbandError
from crossband.frames import Frames
from crossband.training import evaluate, read_recipe, train
from crossband.training.logs import read_log

SIZE = (64, 64)


def write_yard(root: Path, n: int = 12) -> Path:
    """``n`` frames: a bright square (class 1) that RGB shows by day alone, a warm one (2) in thermal alone."""
    rng, rows = np.random.default_rng(0), []
    root.mkdir(parents=True)
    for i in range(n):
        labels = np.zeros(SIZE, np.uint8)
        night = i % 2 == 1
        rgb = rng.normal(60, 5, (*SIZE, 3))
        tir = rng.normal(29000, 20, SIZE)
        for number, x in ((1, 4), (2, 36)):
            top, left = int(rng.integers(0, 40)), x + int(rng.integers(0, 4))
            labels[top : top + 24, left : left + 24] = number
        rgb[labels == 1] += 0 if night else 150
        tir[labels == 2] += 2000
        split = ("train", "train", "train", "train", "val", "test")[i // 2 % 6]
        pictures = {"rgb": rgb.clip(0, 255).astype(np.uint8), "tir": tir.astype(np.uint16), "labels": labels}
        for folder, pixels in pictures.items():
            (root / folder).mkdir(exist_ok=True)
            PIL.Image.fromarray(pixels).save(root / folder / f"{i}.png")
        rows.append(
            {
                "frame": str(i),
                "rgb": f"rgb/{i}.png",
                "tir": f"tir/{i}.png",
                "labels": f"labels/{i}.png",
                "split": split,
                "condition": "night" if night else "day",
                "sequence": str(i // 2),
            }
        )
    Frames.make(rows, root).write(root / "frames.parquet")
    return root


@pytest.fixture(scope="module")
def yard(tmp_path_factory) -> Path:
    return write_yard(tmp_path_factory.mktemp("data") / "yard").parent


def recipe(**changes: dict[str, Any]) -> dict[str, Any]:
    content: dict[str, Any] = {
        "task": "segmentation",
        "data": {
            **{part: {"frames": "yard", "where": {"split": [part]}} for part in ("train", "val")},
            "test": {"yard": {"frames": "yard", "where": {"split": ["test"]}}},
            "classes": ["nothing", "bright", "warm"],
            "size": list(SIZE),
            "mirror": 0.5,
            "cache_mb": 8,
        },
        "model": {
            "name": "rsfnet",
            "pretrained": False,
            "options": {
                "first": "timm/test_resnet",
                "second": "timm/test_resnet",
                "widths": [8, 8, 8, 8],
                "reduced": 4,
                "kernel_size": 3,
            },
        },
        "optimizer": {"name": "sgd", "lr": 0.05},
        "trainer": {"epochs": 2, "batch_size": 2, "device": "cpu", "save_seconds": 0.0},
    }
    for section, values in changes.items():
        content[section] = {**content.get(section, {}), **values}
    return content


class _Killed(Exception):
    pass


def figures(out, name: str) -> list[float]:
    return [float(value) for _, _, key, value in read_log(out) if key == name]


@pytest.fixture(scope="module")
def learned(yard, tmp_path_factory) -> Path:
    """A run of twenty epochs."""
    out = tmp_path_factory.mktemp("run")
    train(recipe(trainer={"epochs": 20}), (), out, data_root=yard)
    return out


@pytest.mark.slow
def test_it_learns_what_each_band_shows(learned, yard):
    losses = figures(learned, "train/loss")
    assert losses[-1] < 0.6 * losses[0]
    [scores] = evaluate(None, learned / "best.safetensors", data_root=yard).tests.values()
    assert scores["iou"]["warm"] > 50
    assert scores["n_frames"] == 2
    assert scores["day"]["n_frames"] == scores["night"]["n_frames"] == 1
    assert scores["ci95"]["miou"][0] <= scores["miou"] <= scores["ci95"]["miou"][1]


@pytest.mark.slow
def test_the_checkpoint_says_what_a_reader_needs(learned):
    metadata = read_metadata(learned / "best.safetensors")
    assert metadata["classes"] == ["nothing", "bright", "warm"]
    assert metadata["bands"] == ["rgb", "tir"]
    assert metadata["preprocess"]["size"] == list(SIZE)
    assert metadata["scores"]["val/miou"] == max(figures(learned, "val/miou"))


@pytest.mark.slow
def test_a_killed_run_ends_as_one_left_alone(yard, tmp_path, monkeypatch):
    from crossband.segmentation.task import Segmentation

    whole, broken = tmp_path / "whole", tmp_path / "broken"
    train(recipe(), (), whole, data_root=yard)
    real, calls = Segmentation.loss, []

    def dies(self, batch):
        calls.append(1)
        if len(calls) == 4:
            raise _Killed
        return real(self, batch)

    monkeypatch.setattr(Segmentation, "loss", dies)
    with pytest.raises(_Killed):
        train(recipe(), (), broken, data_root=yard)
    monkeypatch.setattr(Segmentation, "loss", real)
    train(recipe(), (), broken, data_root=yard)
    first, second = (load_file(out / "best.safetensors") for out in (whole, broken))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_pseudo_labels_are_for_networks_that_learn_confidences(yard, tmp_path):
    from crossband.training.task import find_task

    build = find_task("segmentation").build
    for options, wanted in (({}, True), ({"confident": False}, False)):
        content = recipe()
        content["model"]["options"] |= options
        task = build(read_recipe(content), yard)
        task.samples(0)
        batch = task.read(np.array([0]), torch.Generator().manual_seed(0))
        assert ("wanted" in batch) == wanted
    assert ("wanted" in task.read(np.array([0]), torch.Generator())) is False


@pytest.mark.slow
def test_the_authors_training_learns_with_its_heads_and_two_rates(yard, tmp_path):
    """Auxiliary heads, boxed pseudo-labels, a mean over weights, blur, and encoders at a tenth of the rate."""
    from crossband.training.engine import make_optimizer
    from crossband.training.task import find_task

    content = recipe(
        data={"blur": 0.5},
        loss={"pseudo_labels": "boxed", "mean": "weights"},
        optimizer={"name": "sgd", "lr": 0.005, "head_lr": 0.05, "weight_decay": 5e-4},
    )
    content["model"]["options"] |= {"auxiliary": True, "skip": "before"}
    task = find_task("segmentation").build(read_recipe(content), yard)
    groups = make_optimizer(task, task.recipe.optimizer).param_groups
    slow = sum(p.numel() for group in groups if group["lr"] == 0.005 for p in group["params"])
    assert slow == sum(p.numel() for p in task.network.encoder.parameters())
    assert {group["lr"] for group in groups} == {0.005, 0.05}
    train(content, (), tmp_path / "run", data_root=yard)
    assert len(figures(tmp_path / "run", "train/loss")) == 2
    assert "auxiliary.stride8.0.0.weight" in load_file(tmp_path / "run" / "best.safetensors")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "options"),
    [("bisenetv2", {"auxiliary": True}), ("egfnet", {"auxiliary": True, "encoder": "resnet18"}), ("mfnet", {})],
)
def test_every_kind_of_network_trains(yard, tmp_path, name, options):
    content = recipe(
        model={"name": name, "options": options},
        trainer={"epochs": 1},
        optimizer={"name": "adamw", "lr": 1e-4},
    )
    train(content, (), tmp_path / "run", data_root=yard)
    assert (tmp_path / "run" / "best.safetensors").is_file()


def test_a_base_is_changed_key_by_key(tmp_path):
    (tmp_path / "base.yaml").write_text(
        "task: segmentation\ndata: {train: {frames: a}, val: {frames: b}}\nmodel: {name: mfnet, options: {}}\n"
    )
    (tmp_path / "row.yaml").write_text(
        "base: base.yaml\nmodel: {name: rsfnet50_18, options: {kernel_size: 7}}\n"
    )
    found: Any = read_recipe(tmp_path / "row.yaml")
    assert found.model.name == "rsfnet50_18"
    assert found.model.options == {"kernel_size": 7}
    assert found.data.val.frames == "b"
    (tmp_path / "row.yaml").write_text("base: ../base.yaml\n")
    with pytest.raises(CrossbandError, match="base"):
        read_recipe(tmp_path / "row.yaml")
    (tmp_path / "row.yaml").write_text("base: row.yaml\n")
    with pytest.raises(CrossbandError, match="base"):
        read_recipe(tmp_path / "row.yaml")


@pytest.mark.slow
def test_a_network_that_loses_bands_while_training_reads_each_alone(yard, tmp_path):
    model = {"name": "band_fusion", "options": {"width": 16, "frozen": 0}, "pretrained": False}
    content = recipe(
        model=model,
        data={"drop": 0.9, "statistics": "symmetric"},
        loss={"balance": 0},
        trainer={"epochs": 1, "average": 0.9},
    )
    done = train(read_recipe(content), (), tmp_path, data_root=yard)
    assert 0 <= done.best <= 100
    assert evaluate(None, done.checkpoint, data_root=yard).tests


def test_a_part_may_be_of_several_folders_and_leave_frames_out(tmp_path):
    from crossband.data.items import part_frames
    from crossband.data.parts import Part

    for name in ("a", "b"):
        write_yard(tmp_path / name, 6)
    second = Part(frames="b", where={"sequence": ["1"]})
    both = Part(frames="a", leave_out={"condition": ["night"]}, also=[second])
    frames = part_frames(both, tmp_path)
    assert frames.names == ["a/0", "a/2", "a/4", "b/2", "b/3"]
    assert all(path is not None and path.is_file() for path in frames.paths("tir"))
    assert frames.table["sequence"].nunique() == 4


def test_rare_classes_are_drawn_as_often_as_others_and_lie_in_the_crops(tmp_path):
    from crossband.training.task import find_task

    root = tmp_path / "data"
    write_yard(root / "yard", 24)
    once = root / "yard" / "labels" / "0.png"
    labels = np.array(PIL.Image.open(once))
    labels[60:64, 60:64] = 3
    PIL.Image.fromarray(labels).save(once)
    content = recipe()
    content["data"] |= {"classes": ["ground", "bright", "warm", "rare"], "crop": [16, 16], "rare": 0.75}
    task = find_task("segmentation").build(read_recipe(content), root)
    drawn = np.concatenate([task.samples(epoch)[:, 0] for epoch in range(60)])
    shown = (drawn == 0).mean()  # the one frame of the rare class, a third of three quarters
    assert 0.2 < shown < 0.35
    row = np.array([0])
    found = [(task.read(row, torch.Generator().manual_seed(seed))["labels"] == 3).any() for seed in range(40)]
    assert 0.5 < np.mean(found) < 0.9
