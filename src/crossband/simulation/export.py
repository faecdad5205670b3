"""The city in the layouts of public datasets, so that code written for them reads it unchanged."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import PIL.Image

from ..bands import Band, to_kelvin
from ..errors import CrossbandError, unknown_name
from ..frames import Frames
from ..io import read_image
from .meshes import Kind
from .sensor import agc

__all__ = ["LAYOUTS", "check_layout", "export_coco", "export_layout", "export_mfnet", "export_pst900"]

_PST900 = {Kind.BACKPACK: 2, Kind.PERSON: 4}  # fire extinguisher 1 and hand drill 3 do not occur in streets


def export_mfnet(frames: Frames, out: str | Path) -> Path:
    """Write the layout of MFNet (Ha et al., IROS 2017).

    ``images/NAME.png`` has four channels, RGB and 8-bit thermal; ``labels/NAME.png`` the nine classes; the
    lists ``train.txt``, ``val.txt``, ``test.txt``, ``test_day.txt`` and ``test_night.txt`` name the frames.
    NAME ends in D by day and in N by night.

    Args:
        frames: what :func:`~crossband.simulation.simulate` wrote, with ``rgb``, ``tir`` and ``labels``.
        out: folder to write into.

    Returns:
        The folder.

    Raises:
        CrossbandError: a column is missing, or the folder cannot be written.
    """
    _need(frames, "rgb", "tir", "labels", "split")
    out = _folders(out, "images", "labels")
    lists: dict[str, list[str]] = {name: [] for name in ("train", "val", "test", "test_day", "test_night")}
    for number, row in _rows(frames):
        night = row["condition"] == "night"
        name = row["frame"] if row["frame"][:-1].isdigit() else f"{number:05d}{'N' if night else 'D'}"
        pixels = np.dstack([_pixels(frames, row, "rgb"), _thermal8(frames, row)])
        PIL.Image.fromarray(pixels).save(out / "images" / f"{name}.png")
        shutil.copyfile(frames.root / row["labels"], out / "labels" / f"{name}.png")
        split = {"gallery": "test", "query": "test"}.get(row["split"], row["split"])
        lists[split].append(name)
        if split == "test":
            lists["test_night" if night else "test_day"].append(name)
    for split, names in lists.items():
        (out / f"{split}.txt").write_text("".join(f"{name}\n" for name in names), encoding="utf-8")
    return out


def export_pst900(frames: Frames, out: str | Path) -> Path:
    """Write the layout of PST900 (Shivakumar et al., ICRA 2020).

    Below ``train/`` and ``test/``: ``rgb/``, ``thermal/`` (8 bits), ``thermal_raw/`` (16 bits, centikelvin),
    ``depth/`` (16 bits, centimeters) and ``labels/`` with its classes, of which the city has backpacks (2)
    and persons, as survivors (4). Frames for validation go to ``train``.

    Args:
        frames: what :func:`~crossband.simulation.simulate` wrote, with all of its folders.
        out: folder to write into.

    Returns:
        The folder.

    Raises:
        CrossbandError: a column is missing, or the folder cannot be written.
    """
    _need(frames, "rgb", "tir", "depth", "semantic", "split")
    kinds = ("rgb", "thermal", "thermal_raw", "depth", "labels")
    out = _folders(out, *(f"{split}/{kind}" for split in ("train", "test") for kind in kinds))
    classes = np.zeros(256, np.uint8)
    for kind, number in _PST900.items():
        classes[kind] = number
    for _, row in _rows(frames):
        folder = out / ("train" if row["split"] in ("train", "val") else "test")
        name = f"{row['frame']}.png"
        for source, target in (("rgb", "rgb"), ("tir", "thermal_raw"), ("depth", "depth")):
            shutil.copyfile(frames.root / row[source], folder / target / name)
        PIL.Image.fromarray(_thermal8(frames, row)).save(folder / "thermal" / name)
        PIL.Image.fromarray(classes[_pixels(frames, row, "semantic")]).save(folder / "labels" / name)
    return out


def export_coco(frames: Frames, out: str | Path, band: Band | str = Band.TIR) -> Path:
    """Write the layout of COCO: ``images/SPLIT/NAME.png`` and ``annotations/instances_SPLIT.json``.

    Args:
        frames: what :func:`~crossband.simulation.simulate` wrote, with ``boxes``.
        out: folder to write into.
        band: whose pictures; thermal ones are written in 8 bits, after gain control.

    Returns:
        The folder.

    Raises:
        CrossbandError: a column is missing, or the folder cannot be written.
    """
    band = Band(band)
    _need(frames, band.value, "boxes", "split")
    source = json.loads((frames.root / frames.table["boxes"].iloc[0]).read_text(encoding="utf-8"))
    numbers = {Path(image["file_name"]).stem: image["id"] for image in source["images"]}
    splits = sorted(frames.table["split"].dropna().unique())
    out = _folders(out, "annotations", *(f"images/{split}" for split in splits))
    for split in splits:
        part = frames.split(split)
        images = []
        for _, row in _rows(part):
            name = f"{row['frame']}.png"
            pixels = _thermal8(part, row) if band is Band.TIR else _pixels(part, row, band.value)
            PIL.Image.fromarray(pixels).save(out / "images" / split / name)
            height, width = pixels.shape[:2]
            images.append({"id": numbers[row["frame"]], "file_name": name, "width": width, "height": height})
        wanted = {image["id"] for image in images}
        boxes = [box for box in source["annotations"] if box["image_id"] in wanted]
        whole = {"images": images, "annotations": boxes, "categories": source["categories"]}
        (out / "annotations" / f"instances_{split}.json").write_text(json.dumps(whole), encoding="utf-8")
    return out


def _need(frames: Frames, *columns: str) -> None:
    lacking = [column for column in columns if not frames.has(column)]
    if lacking:
        raise CrossbandError(
            f"the frames have no {', '.join(lacking)}; export what crossband simulate wrote, with all columns"
        )


def _folders(out: str | Path, *names: str) -> Path:
    out = Path(out)
    try:
        for name in names:
            (out / name).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CrossbandError(
            f"cannot write {out} ({error.strerror}); choose another folder", parameter="out"
        ) from None
    return out


def _rows(frames: Frames) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, (_, row) in enumerate(frames.table.iterrows(), start=1):
        yield number, {str(key): "" if pd.isna(value) else value for key, value in row.items()}


def _pixels(frames: Frames, row: dict[str, Any], column: str) -> np.ndarray:
    return read_image(frames.root / row[column]).pixels


def _thermal8(frames: Frames, row: dict[str, Any]) -> np.ndarray:
    return agc(to_kelvin(read_image(frames.root / row["tir"], Band.TIR).pixels, "centikelvin"))


LAYOUTS = {"mfnet": export_mfnet, "pst900": export_pst900, "coco": export_coco}


def check_layout(layout: str) -> None:
    """Check that a layout is known before anything is rendered for it.

    Raises:
        CrossbandError: it is not; the others are named.
    """
    if layout not in LAYOUTS:
        raise unknown_name("layout", layout, LAYOUTS)


def export_layout(layout: str, frames: Frames, out: str | Path) -> Path:
    """Write the layout called ``mfnet``, ``pst900`` or ``coco``; return the folder or file.

    Raises:
        CrossbandError: an unknown layout, or as the layout's own function.
    """
    check_layout(layout)
    return LAYOUTS[layout](frames, out)
