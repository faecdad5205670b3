"""A small world that is known to the last pixel: a map of blocks and streets, cars on it, flights over it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch

from crossband.checkpoints import write_checkpoint
from crossband.frames import Frames
from crossband.geo import METERS_PER_DEGREE
from crossband.models.geo_gan import GeoGAN
from crossband.models.thermal_gan import ThermalGAN
from crossband.models.tile_distance import TileDistance
from crossband.models.yolo_semantic import YoloSemantic
from crossband.uav.ground_classes import GROUND, LABELS
from crossband.uav.projection import Pose
from crossband.uav.semantic_map import SemanticMap

SIDE, SIZE = 160, (48, 64)
LATITUDE, LONGITUDE = 48.7, 9.1
COLORS = np.array([[90, 90, 95], [150, 145, 140], [70, 130, 60], [160, 110, 90], [40, 90, 50]], np.uint8)
KELVIN = np.array([300.0, 297.0, 290.0, 294.0, 287.0])
CLASSES = {name: number + 1 for number, name in enumerate(GROUND)} | {"vehicle": 6}


def blocks() -> np.ndarray:
    """Classes of the ground, a pixel a meter: streets between blocks that all differ."""
    rng = np.random.default_rng(3)
    labels = np.zeros((SIDE, SIDE), np.uint8)
    for top in range(4, SIDE, 26):
        for left in range(4, SIDE, 26):
            height, width = rng.integers(14, 22, 2)
            labels[top : top + height, left : left + width] = rng.integers(1, len(GROUND))
            labels[top + 3 : top + height - 5, left + 4 : left + width - 3] = rng.integers(1, len(GROUND))
    return labels


def pose(x: float, y: float, heading: float = 30.0, pitch: float = -90.0) -> Pose:
    return Pose(x, y, 40.0, heading, pitch, 60.0, *SIZE)


def write_world(root: Path, flights: int = 2, frames: int = 3) -> Path:
    """``frames.parquet``, ``boxes.json`` and ``map/`` below ``root``; all flights but the last by day."""
    ground = SemanticMap(blocks(), 1.0, LATITUDE, LONGITUDE)
    write_map(root / "map", ground.labels)
    rng = np.random.default_rng(0)
    rows: list[dict[str, Any]] = []
    coco: dict[str, Any] = {"images": [], "annotations": [], "categories": [{"id": 2, "name": "car"}]}
    for flight in range(flights):
        cars = rng.uniform(45, 115, (6, 2))
        heat, paint = rng.uniform(-8, 14, 6), rng.integers(0, 255, (6, 3))
        for step in range(frames):
            camera = pose(70.0 + 6 * step, 70.0 + 3 * step, heading=30.0 + 40 * flight)
            name = f"{flight}_{step}"
            labels = ground.seen_by(camera).clip(0, len(GROUND) - 1)
            layers = {
                "rgb": COLORS[labels].astype(int),
                "tir": KELVIN[labels],
                "semantic": labels + 1,
                "instances": np.zeros_like(labels, np.uint16),
            }
            image = len(coco["images"]) + 1
            coco["images"].append({"id": image, "file_name": f"rgb/{name}.png", "width": 64, "height": 48})
            for car, (x, y) in enumerate(cars):
                column, row = (float(v) for v in camera.to_pixels(np.array(x), np.array(y)))
                left, top = round(column) - 5, round(row) - 4
                if min(left, top) < 0 or left + 10 > SIZE[1] or top + 8 > SIZE[0]:
                    continue
                place = np.s_[top : top + 8, left : left + 10]
                layers["rgb"][place], layers["tir"][place] = paint[car], 300 + heat[car]
                layers["tir"][top : top + 3, left : left + 4] += 6
                layers["semantic"][place], layers["instances"][place] = CLASSES["vehicle"], 100 + car
                coco["annotations"].append(
                    {
                        "id": len(coco["annotations"]) + 1,
                        "image_id": image,
                        "category_id": 2,
                        "area": 80,
                        "bbox": [left, top, 10, 8],
                        "iscrowd": 0,
                        "instance": 100 + car,
                    }
                )
            noise = rng.normal(0, 3, layers["rgb"].shape)
            layers["rgb"] = (layers["rgb"] + noise).clip(0, 255).astype(np.uint8)
            layers["tir"] = np.rint((layers["tir"] + rng.normal(0, 0.05, labels.shape)) * 100).astype(np.uint16)
            for layer, pixels in layers.items():
                (root / layer).mkdir(parents=True, exist_ok=True)
                kind = np.uint16 if layer in ("tir", "instances") else np.uint8
                PIL.Image.fromarray(pixels.astype(kind)).save(root / layer / f"{name}.png")
            latitude, longitude = ground.to_geographic(camera.x, camera.y)
            rows.append(
                {
                    "frame": name,
                    **{layer: f"{layer}/{name}.png" for layer in layers},
                    "tir_units": "centikelvin",
                    "sequence": f"flight{flight}",
                    "lat": latitude,
                    "lon": longitude,
                    "x": camera.x,
                    "y": camera.y,
                    "altitude": camera.altitude,
                    "heading": camera.heading,
                    "pitch": camera.pitch,
                    "focal": camera.focal,
                    "boxes": "boxes.json",
                    "split": "train" if flight == 0 else "val",
                    "condition": "night" if flight == flights - 1 and flights > 2 else "day",
                }
            )
    (root / "boxes.json").write_text(json.dumps(coco))
    Frames.make(rows, root).write(root / "frames.parquet")
    return root


def write_map(folder: Path, labels: np.ndarray) -> Path:
    """The city's own form: four tiles and ``tiles.json``."""
    folder.mkdir(parents=True)
    half = SIDE // 2
    tiles = []
    for row in range(2):
        for column in range(2):
            top = SIDE - (row + 1) * half
            name = f"{column}_{row}.png"
            part = labels[top : top + half, column * half : (column + 1) * half]
            PIL.Image.fromarray((part + 1).astype(np.uint8)).save(folder / name)
            tiles.append(
                {
                    "file": name,
                    "x": column * half,
                    "y": row * half,
                    "south": LATITUDE + row * half / METERS_PER_DEGREE,
                    "west": LONGITUDE + column * half / (METERS_PER_DEGREE * np.cos(np.radians(LATITUDE))),
                }
            )
    index = {"meters_per_pixel": 1.0, "tile_meters": half, "classes": CLASSES, "tiles": tiles}
    (folder / "tiles.json").write_text(json.dumps(index))
    return folder


@pytest.fixture(scope="session")
def world(tmp_path_factory) -> Path:
    """The folder above ``world/frames.parquet``: two flights by day, one by night, three frames each."""
    root = tmp_path_factory.mktemp("data")
    write_world(root / "world", flights=3)
    return root


@pytest.fixture
def recipe() -> Callable[..., dict[str, Any]]:
    """``recipe(task, section={...})`` is a recipe for the world that trains in a second or two."""

    def make(task: str, **changes: Any) -> dict[str, Any]:
        part = {"frames": "world", "where": {"sequence": ["flight0"]}}
        other = {"frames": "world", "where": {"sequence": ["flight1"]}}
        content: dict[str, Any] = {
            "task": task,
            "data": {
                "train": part,
                "val": other,
                "size": 32,
                "crops": 2,
                "cache_mb": 8,
                "test": {"all": {"frames": "world", "where": {"sequence": ["flight2"]}}},
            },
            "optimizer": {"name": "adam", "lr": 1e-3, "betas": [0.5, 0.999]},
            "trainer": {"epochs": 2, "batch_size": 2, "device": "cpu", "save_seconds": 0.0},
        }
        for section, values in changes.items():
            content[section] = {**content.get(section, {}), **values} if isinstance(values, dict) else values
        return content

    return make


@pytest.fixture(scope="session")
def networks(tmp_path_factory) -> Path:
    """A folder of networks as :mod:`crossband.uav.networks` reads them, with random weights."""
    folder = tmp_path_factory.mktemp("models")
    torch.manual_seed(0)
    gan = {"width": 4, "depth": 2, "span": 40.0, "contrast": 30.0, "dropout": 0.0}
    label = {"band": "tir", "zoom": 0.5, "width": 4, "depth": 2, "dropout": 0.0}
    tile = {"pixels": 32, "width": 0.25, "channels": 4}
    yolo = {"semantics": True, "width": 4, "repeats": [1, 1, 1, 1, 1], "priors": 1, "zoom": 1.0}
    priors = [[[10.0, 8.0]], [[20.0, 16.0]], [[40.0, 30.0]]]
    plain = {name: value for name, value in label.items() if name not in ("band", "zoom")}
    detector = YoloSemantic(1, len(GROUND), priors, 4, (1, 1, 1, 1, 1))
    for head in detector.heads:
        head.bias.data[4] = 1.0  # sure of something everywhere, so that there is something to compare
    built: dict[str, tuple[torch.nn.Module, dict[str, Any]]] = {
        "translation": (ThermalGAN(**gan), {"model": gan}),
        "labeling": (GeoGAN(1, len(LABELS), **plain), {"model": label}),
        "localization": (
            TileDistance(len(GROUND), **tile),
            {"model": tile, "search": {"tile": 48, "stride": 16, "radius": 60, "rough": 30}},
        ),
        "detection": (detector, {"model": yolo}),
    }
    for task, (network, said) in built.items():
        metadata = {"recipe": {"task": task, **said}, "classes": ["car"], "priors": priors}
        write_checkpoint(folder / f"{task}.safetensors", network, metadata)
    (folder / "calibration.json").write_text(json.dumps({"beta": 0.5, "threshold": 0.9}))
    return folder


@pytest.fixture
def photo(world, tmp_path):
    path = tmp_path / "photo.png"
    with PIL.Image.open(world / "world" / "rgb" / "0_0.png") as image:
        image.crop((10, 8, 42, 34)).save(path)
    return path
