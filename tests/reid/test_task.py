"""The task ``reidentification`` on made-up vehicles: every band says something, some frames lack one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch

from crossband.errors import CrossbandError
from crossband.frames import Frames
from crossband.training import evaluate, read_recipe, train
from crossband.training.engine import rate_factor
from crossband.training.recipe import Optimizer
from crossband.training.task import find_task

from ..conftest import blobs

SIZE = (32, 16)  # width, height


def write_vehicles(root: Path, seed: int = 0, identities: int = 6, cameras: int = 4) -> Path:
    """``frames.parquet`` below ``root``: each identity before each camera, the first half to train on; in
    camera c3 it is black night, which leaves nothing in rgb."""
    rng, rows = np.random.default_rng(seed), []
    for identity in range(identities):
        look = np.stack([blobs(rng, SIZE) for _ in range(5)], -1)
        for camera in range(cameras):
            name = f"v{identity}c{camera}"
            seen = (look + rng.normal(0, 0.02, look.shape)).clip(0, 1)
            night = camera == 3
            pictures = {
                "rgb": (seen[..., :3] * (0 if night else 255)).astype(np.uint8),
                "nir": (seen[..., 3] * 255).astype(np.uint8),
                "tir": (29000 + 1000 * seen[..., 4]).astype(np.uint16),
            }
            for band, pixels in pictures.items():
                (root / band).mkdir(parents=True, exist_ok=True)
                PIL.Image.fromarray(pixels).save(root / band / f"{name}.png")
            split = "train" if identity < identities // 2 else "query" if camera == 0 else "gallery"
            rows.append(
                {
                    "frame": name,
                    **{band: f"{band}/{name}.png" for band in pictures},
                    "split": split,
                    "identity": f"v{identity}",
                    "camera": f"c{camera}",
                    "tags": "BN" if night else "",
                    "time": f"2025-01-01T0{camera}:00:00",
                }
            )
    Frames.make(rows, root).write(root / "frames.parquet")
    return root


@pytest.fixture(scope="session")
def vehicles(tmp_path_factory) -> Path:
    """The folder above ``vehicles/`` and ``others/``, whose identities are others."""
    root = tmp_path_factory.mktemp("reid")
    write_vehicles(root / "vehicles")
    write_vehicles(root / "others", seed=1)
    return root


def content(**changes: Any) -> dict[str, Any]:
    both = {"split": ["query", "gallery"]}
    val = {"frames": "others", "where": both}
    test = {"frames": "vehicles", "where": both}
    made: dict[str, Any] = {
        "task": "reidentification",
        "data": {
            "train": {"frames": "vehicles", "where": {"split": ["train"]}},
            "val": {"queries": val, "gallery": val},
            "test": {"test": {"queries": test, "gallery": test}},
            "bands": ["rgb", "nir", "tir"],
            "size": [32, 64],
            "cache_mb": 8,
            "crop": 2,
        },
        "model": {"encoder": "squeezenet1_1", "layer": "features.4", "pretrained": False},
        "optimizer": {"name": "adam", "lr": 1e-3},
        "trainer": {"epochs": 2, "batch_size": 4, "device": "cpu", "save_seconds": 0.0},
    }
    for section, values in changes.items():
        made[section] = {**made.get(section, {}), **values} if isinstance(values, dict) else values
    return made


def task_of(vehicles: Path, **changes: Any):
    recipe = read_recipe(content(**changes))
    return find_task("reidentification").build(recipe, vehicles)


@pytest.mark.slow
@pytest.mark.parametrize("bands", [["tir"], ["rgb", "nir"], ["rgb", "nir", "tir"]])
@pytest.mark.parametrize("loss", [{}, {"coherence": 0.001, "class_aware": 1.0}])
def test_any_list_of_bands_trains_through_the_same_code(vehicles, tmp_path, bands, loss):
    recipe = read_recipe(content(data={"bands": bands}, loss=loss))
    run = train(recipe, [], tmp_path / "run", data_root=vehicles)
    assert run.monitor == "val/mAP"
    assert 0 < run.best <= 100
    found = evaluate(None, run.checkpoint, data_root=vehicles).tests["test"]
    n = 2 ** len(bands) - 1
    assert len(found["pairs"]) == 2 * n * n
    assert found["n_queries"] == 12
    assert found["n_gallery"] == 12
    assert found["protocol"] == "same-camera"


def test_streams_share_no_weights(vehicles):
    network = task_of(vehicles).network
    pointers = [{p.data_ptr() for p in stream.parameters()} for stream in network.streams.values()]
    assert len(pointers) == 3
    assert not (pointers[0] & pointers[1])
    assert not (pointers[0] & pointers[2])
    assert not (pointers[1] & pointers[2])


@pytest.mark.slow
def test_training_learns_the_identities_it_is_shown(vehicles):
    task = task_of(vehicles, data={"crop": 0, "flip": 0.0}, optimizer={"lr": 3e-3}, loss={"class_aware": 1.0})
    torch.manual_seed(0)
    optimizer = torch.optim.Adam(task.network.parameters(), 1e-3)
    batch = _batch(task, np.arange(len(task.items)))
    task.network.train()
    losses = []
    for _ in range(60):
        optimizer.zero_grad()
        loss = task.loss(dict(batch))
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]


@pytest.mark.slow
@pytest.mark.parametrize("frozen", [True, False])
def test_batchnorm_learns_its_statistics_unless_it_is_frozen(vehicles, tmp_path, frozen):
    from safetensors.torch import load_file

    model = {"encoder": "resnet18", "layer": "layer1", "freeze_batchnorm": frozen}
    recipe = read_recipe(content(data={"bands": ["rgb"]}, model=model, trainer={"epochs": 1}))
    run = train(recipe, [], tmp_path / "run", data_root=vehicles)
    mean = load_file(run.checkpoint)["streams.rgb.encoder.body.bn1.running_mean"]
    assert bool((mean == 0).all()) == frozen


def _batch(task, rows: np.ndarray) -> dict[str, torch.Tensor]:
    samples = [task.read(np.array([row]), torch.Generator().manual_seed(int(row))) for row in rows]
    return {name: torch.stack([sample[name] for sample in samples]) for name in samples[0]}


@pytest.mark.slow
def test_geometry_is_one_for_all_bands_of_a_frame(vehicles, tmp_path):
    """The same picture in all bands stays the same in all bands, whatever is drawn."""
    ramp = np.tile(np.arange(64, dtype=np.uint8) * 3, (32, 1))
    for band in ("rgb", "nir", "tir"):
        (tmp_path / "same" / band).mkdir(parents=True)
        PIL.Image.fromarray(ramp).save(tmp_path / "same" / band / "a.png")
    rows = [{"frame": "a", **{band: f"{band}/a.png" for band in ("rgb", "nir", "tir")}, "identity": "a"}]
    Frames.make(rows, tmp_path / "same").write(tmp_path / "same" / "frames.parquet")
    task = task_of(
        vehicles,
        data={
            "crop": 8,
            "flip": 0.5,
            "view_shift": 0.3,
            "normalization": dict.fromkeys(("rgb", "nir", "tir"), "range"),
        },
    )
    from crossband.data.items import FrameItems

    items = FrameItems(
        Frames.read(tmp_path / "same" / "frames.parquet"), ["rgb", "nir", "tir"], task.preprocess
    )
    seen = []
    for seed in range(8):
        images, _ = items.tensor(0, task._geometry, None, torch.Generator().manual_seed(seed))
        assert torch.allclose(images[0], images[1])
        assert torch.allclose(images[0], images[2])
        seen.append(images[0])
    assert len({float(one.sum()) for one in seen}) > 4


def test_balanced_sampling_brings_several_frames_of_each_identity(vehicles):
    task = task_of(vehicles, sampling={"each": 2}, trainer={"batch_size": 4})
    for epoch in range(3):
        rows = task.samples(epoch)[:, 0]
        assert len(rows) == 12
        labels = task._labels[rows].reshape(-1, 2, 2)
        assert (labels[:, :, 0] == labels[:, :, 1]).all()
    assert not np.array_equal(task.samples(0), task.samples(1))


def test_the_papers_schedule_rises_for_ten_epochs_and_falls_at_40_and_70():
    paper = Optimizer(
        lr=3.5e-4, schedule="steps", decay=0.1, milestones=[40, 70], warmup=10 / 120, warmup_from=0.1
    )
    rates = {epoch: 3.5e-4 * rate_factor(paper, epoch / 120, epoch) for epoch in range(120)}
    assert rates[0] == pytest.approx(3.5e-5)
    assert rates[5] == pytest.approx((3.5e-5 + 3.5e-4) / 2)
    assert rates[10] == rates[39] == pytest.approx(3.5e-4)
    assert rates[40] == rates[69] == pytest.approx(3.5e-5)
    assert rates[70] == rates[119] == pytest.approx(3.5e-6)


@pytest.fixture
def gaps(tmp_path) -> Path:
    """Vehicles of which one training frame lacks a band, one is damaged in one band, and one in all."""
    root = write_vehicles(tmp_path / "vehicles").parent
    write_vehicles(root / "others", seed=1)
    frames = Frames.read(root / "vehicles" / "frames.parquet")
    table = frames.table.copy()
    table.loc[table["frame"] == "v0c1", "tir"] = None
    table.loc[table["frame"] == "v4c2", "nir"] = None
    Frames.make(table, frames.root).write(root / "vehicles" / "frames.parquet")
    (root / "vehicles" / "nir" / "v1c1.png").write_bytes(b"no picture")
    for band in ("rgb", "nir", "tir"):
        (root / "vehicles" / band / "v2c2.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    return root


@pytest.mark.slow
def test_missing_bands_and_corrupt_images_are_counted_said_and_do_not_stop_an_epoch(gaps, tmp_path, capsys):
    loss = {"coherence": 0.001, "class_aware": 1.0}
    run = train(read_recipe(content(loss=loss)), [], tmp_path / "run", data_root=gaps)
    said = capsys.readouterr().err
    assert said.count("v1c1.png: not an image") == 1  # once, not every epoch
    assert said.count("v2c2.png: not an image") == 3
    log = (tmp_path / "run" / "metrics.csv").read_text()
    assert "train/missing_bands,2.0" in log  # with the one that cannot be read
    assert "train/unreadable_images,0.0" in log  # left out before the first epoch
    values = [float(line.split(",")[3]) for line in log.splitlines()[1:] if ",loss," in line]
    assert values
    assert np.isfinite(values).all()
    found = evaluate(None, run.checkpoint, data_root=gaps).tests["test"]
    by_pair = {(p["query"], p["gallery"], p["descriptor"]): p for p in found["pairs"]}
    assert by_pair["nir", "rgb", "features"]["n_queries_without_band"] == 1
    assert by_pair["rgb", "nir", "features"]["n_gallery_without_band"] == 1
    assert by_pair["rgb+nir", "rgb+nir+tir", "features"]["n_queries_without_band"] == 0
    assert "queries: 1 bands are missing and 0 images cannot be read" in capsys.readouterr().err


@pytest.mark.slow
def test_what_stands_in_a_missing_band_does_not_count(gaps):
    task = task_of(gaps, data={"crop": 0, "flip": 0.0})
    row = task.items.frames.names.index("v0c1")
    images, present = task.items.tensor(row)
    assert present.tolist() == [True, True, False]
    assert (images[2] == 0).all()
    images[2] = 7.0
    with torch.inference_mode():
        output = task.network(images[None], present[None])
    assert (output.features[0, 2] == 0).all()
    assert (output.scores[0, 2] == 0).all()


def test_frames_that_cannot_be_trained_on_are_left_out_and_counted(vehicles, tmp_path, capsys):
    frames = Frames.read(vehicles / "vehicles" / "frames.parquet")
    table = frames.table.copy()
    table.loc[table["frame"] == "v0c0", "identity"] = None
    table.loc[table["frame"] == "v0c1", ["tir"]] = None
    Frames.make(table, frames.root).write(tmp_path / "frames.parquet")
    task = task_of(
        tmp_path.parent,
        data={
            "bands": ["tir"],
            "train": {"frames": f"{tmp_path.name}/frames.parquet", "where": {"split": ["train"]}},
        },
    )
    assert len(task.items) == 10
    said = capsys.readouterr().err
    assert "1 of 12 training frames are left out: they lack an identity" in said
    assert "1 of 12 training frames are left out: they lack any of the bands" in said


def test_an_identity_in_one_camera_only_is_dropped_and_said(vehicles, tmp_path, capsys):
    frames = Frames.read(vehicles / "vehicles" / "frames.parquet")
    table = frames.table.copy()
    table.loc[table["identity"] == "v5", "camera"] = "c9"
    Frames.make(table, frames.root).write(tmp_path / "frames.parquet")
    part = {"frames": f"{tmp_path.name}/frames.parquet", "where": {"split": ["query", "gallery"]}}
    task = task_of(vehicles)
    task._root = tmp_path.parent
    pair = type(task.recipe.data.val).model_validate({"queries": part, "gallery": part})
    counts = task.measure(pair).scores.counts()
    assert (counts["n_queries"], counts["n_only_junk"]) == (8, 4)
    assert "4 with nothing left of it" in capsys.readouterr().err


@pytest.mark.slow
def test_re_ranked_figures_stand_beside_the_others_where_asked_for(vehicles):
    found = task_of(vehicles, scoring={"rerank": True}).test()["test"]
    assert found["reranked"]["n_queries"] == found["n_queries"]
    assert 0 < found["reranked"]["mAP"] <= 100
    assert "reranked" not in task_of(vehicles).test()["test"]


@pytest.mark.slow
def test_val_selects_by_the_descriptor_that_tests_report(vehicles):
    by = {
        descriptor: task_of(vehicles, scoring={"descriptor": descriptor})
        for descriptor in ("features", "scores")
    }
    found = {descriptor: task.test()["test"] for descriptor, task in by.items()}
    assert [found[descriptor]["descriptor"] for descriptor in found] == ["features", "scores"]
    for task in by.values():
        pair = task.recipe.data.val
        assert task.validate()["val/mAP"] == pytest.approx(
            task.measure(pair, task._vectors(pair)).scores.mean_ap
        )


def test_a_gallery_smaller_than_the_largest_rank_is_said(vehicles, capsys):
    task = task_of(vehicles, scoring={"ranks": [1, 50]})
    found = task.test()["test"]
    assert found["rank"]["50"] == 100.0
    assert "the gallery is smaller than rank 50" in capsys.readouterr().err


@pytest.mark.slow
def test_a_run_that_was_stopped_ends_with_the_same_weights(vehicles, tmp_path, monkeypatch):
    from safetensors.torch import load_file

    from crossband.reid.task import Reidentification

    whole = train(read_recipe(content()), [], tmp_path / "whole", data_root=vehicles)
    honest, calls = Reidentification.loss, []

    def stopped(self, batch):
        calls.append(1)
        if len(calls) == 5:
            raise CrossbandError("stopped")
        return honest(self, batch)

    monkeypatch.setattr(Reidentification, "loss", stopped)
    with pytest.raises(CrossbandError, match="stopped"):
        train(read_recipe(content()), [], tmp_path / "parts", data_root=vehicles)
    monkeypatch.undo()
    parts = train(read_recipe(content()), [], tmp_path / "parts", data_root=vehicles)
    a, b = load_file(whole.checkpoint), load_file(parts.checkpoint)
    assert a.keys() == b.keys()
    assert all(torch.equal(a[name], b[name]) for name in a)


def test_val_and_test_must_not_share_queries(vehicles, tmp_path):
    shared = content()
    shared["data"]["val"] = {
        "queries": {"frames": "vehicles", "where": {"split": ["query"]}},
        "gallery": {"frames": "vehicles", "where": {"split": ["gallery"]}},
    }
    with pytest.raises(CrossbandError, match=r"v\dc\d"):
        train(read_recipe(shared), [], tmp_path, data_root=vehicles)
