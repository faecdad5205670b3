"""A street of places that trains in seconds: each place is a picture of its own, seen by day and by night."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest

from crossband.frames import Frames

from .conftest import blobs

N_PLACES = 8


def write_street(root: Path, n: int = N_PLACES, step: float = 10.0, size: tuple[int, int] = (32, 32)) -> Path:
    """``frames.parquet`` below ``root``: ``n`` places ``step`` meters apart, each by day (twice, 1 m apart) and
    by night, in rgb and tir; of every third place the night is split ``val``, of the others ``test``."""
    rng, rows = np.random.default_rng(0), []
    for place in range(n):
        scene = np.stack([blobs(rng, size) for _ in range(3)], -1)
        for visit, gain in (("day", 1.0), ("again", 0.9), ("night", 0.3)):
            name = f"{visit}{place}"
            noise = rng.normal(0, 0.02, scene.shape)
            pictures = {
                "rgb": ((scene * gain + noise).clip(0, 1) * 255).astype(np.uint8),
                "tir": (29000 + 1000 * scene.mean(-1) + rng.normal(0, 20, size[::-1])).astype(np.uint16),
            }
            for band, pixels in pictures.items():
                (root / band).mkdir(parents=True, exist_ok=True)
                PIL.Image.fromarray(pixels).save(root / band / f"{name}.png")
            split = "train" if visit != "night" else "val" if place % 3 == 0 else "test"
            rows.append(
                {
                    "frame": name,
                    "rgb": f"rgb/{name}.png",
                    "tir": f"tir/{name}.png",
                    "split": split,
                    "sequence": visit,
                    "x": step * place + (visit == "again"),
                    "y": 0.0,
                    "condition": visit,
                }
            )
    Frames.make(rows, root).write(root / "frames.parquet")
    return root


@pytest.fixture(scope="session")
def street(tmp_path_factory) -> Path:
    """The folder above ``street/frames.parquet``."""
    root = tmp_path_factory.mktemp("data")
    write_street(root / "street")
    return root


def part(**where: str) -> dict[str, Any]:
    return {"frames": "street", "where": {column: [value] for column, value in where.items()}}


@pytest.fixture
def recipe() -> Callable[..., dict[str, Any]]:
    """``recipe(section={key: value})`` is a recipe for the street, with changes."""

    def make(**changes: dict[str, Any]) -> dict[str, Any]:
        gallery = part(sequence="day")
        content: dict[str, Any] = {
            "task": "places",
            "data": {
                "train": part(split="train"),
                "val": {"queries": part(split="val"), "gallery": gallery},
                "test": {"night": {"queries": part(split="test"), "gallery": gallery}},
                "size": [32, 32],
                "photometry": 0.3,
                "cache_mb": 8,
            },
            "model": {
                "encoder": "squeezenet1_1",
                "layer": "features.4",
                "pretrained": False,
                "kmeans_images": 8,
            },
            "sampling": {"positive": 2.0, "negative": 5.0, "n_negatives": 2},
            "scoring": {"thresholds": [5.0, 2.0]},
            "optimizer": {"lr": 1e-3},
            "trainer": {"epochs": 2, "batch_size": 4, "device": "cpu", "save_seconds": 0.0},
        }
        for section, values in changes.items():
            content[section] = {**content.get(section, {}), **values} if isinstance(values, dict) else values
        return content

    return make
