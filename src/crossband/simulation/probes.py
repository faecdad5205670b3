"""Probe images: one object cut out of one frame, to be found again in others."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import PIL.Image

from ..frames import Frames

__all__ = ["write_probes"]

_MARGIN = 0.25
_LEAST_SIDE = 8  # pixels of the shorter side that are worth looking for


def write_probes(frames: Frames) -> Path:
    """Cut one probe of each vehicle, person, bicycle and dog that at least two frames show.

    Writes ``probes/NUMBER_BAND.png`` for every band, and ``probes/probes.json``: for each probe its
    ``instance``, ``category_id``, the ``frame`` it is cut from, its ``bbox`` there, and ``seen_in``, the
    other frames that show it.

    Returns:
        The path of ``probes.json``.
    """
    folder = frames.root / "probes"
    folder.mkdir(exist_ok=True)
    coco = json.loads((frames.root / "boxes.json").read_text(encoding="utf-8"))
    names = {image["id"]: Path(image["file_name"]).stem for image in coco["images"]}
    seen: dict[tuple[int, int], list[dict[str, Any]]] = defaultdict(list)
    for box in (box for box in coco["annotations"] if not box["iscrowd"]):
        seen[box["instance"], box["category_id"]].append(box)
    rows = {row["frame"]: row for _, row in frames.table.iterrows()}
    probes = []
    for (instance, category), boxes in sorted(seen.items()):
        best = max(boxes, key=lambda box: (box["area"], -box["id"]))
        if len(boxes) < 2 or min(best["bbox"][2:]) < _LEAST_SIDE:
            continue
        name = names[best["image_id"]]
        files = {}
        for band in ("rgb", "nir", "tir"):
            with PIL.Image.open(frames.root / rows[name][band]) as image:
                file = f"{instance:05d}_{band}.png"
                image.crop(_widened(best["bbox"], image.size)).save(folder / file)
                files[band] = f"probes/{file}"
        others = [names[box["image_id"]] for box in boxes if box is not best]
        probes.append(
            {
                "instance": instance,
                "category_id": category,
                "frame": name,
                "bbox": best["bbox"],
                "seen_in": others,
                **files,
            }
        )
    path = folder / "probes.json"
    path.write_text(json.dumps(probes, indent=1), encoding="utf-8")
    return path


def _widened(bbox: list[int], size: tuple[int, int]) -> tuple[int, int, int, int]:
    x, y, width, height = bbox
    dx, dy = round(width * _MARGIN) + 1, round(height * _MARGIN) + 1
    return max(0, x - dx), max(0, y - dy), min(size[0], x + width + dx), min(size[1], y + height + dy)
