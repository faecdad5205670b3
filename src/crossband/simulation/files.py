"""One frame's files: written apart, then moved into place, its record last."""

from __future__ import annotations

import json
import os
import shutil
from io import BytesIO
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import PIL.Image

from .city import geographic
from .labels import boxes, mfnet_labels
from .meshes import Kind
from .sensor import ThermalSensor, agc, centikelvin, expose, expose_nir, thermal_camera
from .studio import Shot, Take

__all__ = ["RECORDS", "frame_images", "is_complete", "record_of", "write_frame"]

RECORDS = ".frames"
"""Folder of the finished frames' records, below the output folder."""

_CENTIMETERS = 100.0
_SENSOR = ThermalSensor()


def is_complete(out: Path, frame: str) -> bool:
    """Return whether a frame's record is there; it is written after all of its images."""
    return (out / RECORDS / f"{frame}.json").is_file()


def record_of(out: Path, frame: str) -> dict[str, Any]:
    """Read a finished frame's row of the manifest and its boxes."""
    return json.loads((out / RECORDS / f"{frame}.json").read_text(encoding="utf-8"))


def frame_images(shot: Shot, take: Take, seed: int, eight_bit: bool) -> dict[str, np.ndarray]:
    """Return all images of a frame by folder: uint8, uint16, or ``(H, W, 3)`` uint16 for the flow.

    ``tir`` is in centikelvin, ``tir8`` the same after gain control; ``depth`` in centimeters, 0 for the
    sky; ``temperature`` in centikelvin; ``flow`` as KITTI writes it: (value * 64 + 32768) right and down,
    and whether both cameras see the point.
    """
    own = np.random.default_rng([seed, 6, *shot.frame.encode()])
    picture = take.picture
    kelvin = thermal_camera(take.thermal.tir, own, _SENSOR)
    images = {
        "rgb": expose(picture.rgb, own, largest=shot.gain),
        "nir": expose_nir(picture.nir, own),
        "tir": centikelvin(kelvin),
        "labels": mfnet_labels(picture.kind),
        "semantic": picture.kind,
        "instances": np.clip(picture.instance, 0, 65535).astype(np.uint16),
        "depth": np.clip(np.rint(picture.depth * _CENTIMETERS), 0, 65535).astype(np.uint16),
        "temperature": centikelvin(picture.temperature),
    }
    if eight_bit:
        images["tir8"] = agc(kelvin)
    if take.flow is not None and take.visible is not None:
        scaled = np.clip(np.rint(take.flow * 64 + 32768), 0, 65535)
        images["flow"] = np.dstack([scaled, take.visible]).astype(np.uint16)
    return images


def write_frame(out: Path, shot: Shot, take: Take, seed: int, eight_bit: bool) -> None:
    """Write a frame, all or nothing.

    Raises:
        OSError: the folder cannot be written.
    """
    images = frame_images(shot, take, seed, eight_bit)
    partial = out / ".partial" / f"{shot.frame}.{os.getpid()}"
    partial.mkdir(parents=True, exist_ok=True)
    for folder, image in images.items():
        (partial / f"{folder}.png").write_bytes(_png(image))
    for folder in images:
        (out / folder).mkdir(exist_ok=True)
        (partial / f"{folder}.png").replace(out / folder / f"{shot.frame}.png")
    record = {"row": _row(shot, take, images), "boxes": boxes(take.picture)}
    (partial / "record.json").write_text(json.dumps(record), encoding="utf-8")
    (out / RECORDS).mkdir(exist_ok=True)
    (partial / "record.json").replace(out / RECORDS / f"{shot.frame}.json")
    shutil.rmtree(partial, ignore_errors=True)


def _png(image: np.ndarray) -> bytes:
    """Lossless and the same bytes for the same pixels."""
    if image.ndim == 3 and image.dtype == np.uint16:
        return bytes(imagecodecs.png_encode(image, level=4))
    buffer = BytesIO()
    PIL.Image.fromarray(image).save(buffer, "PNG", compress_level=4)
    return buffer.getvalue()


def _row(shot: Shot, take: Take, images: dict[str, np.ndarray]) -> dict[str, object]:
    camera = shot.camera
    latitude, longitude = geographic(float(camera.position[0]), float(camera.position[1]))
    paths = {folder: f"{folder}/{shot.frame}.png" for folder in images}
    row: dict[str, object] = {
        "frame": shot.frame,
        **{name: paths.pop(name) for name in ("rgb", "nir", "tir")},
        "tir_units": "centikelvin",
        "split": shot.split,
        "place": shot.place,
        "identity": shot.identity,
        "camera": shot.camera_name,
        "sequence": shot.sequence,
        "day": f"{shot.day:03d}",
        "time": _clock(shot),
        "x": round(float(camera.position[0]), 3),
        "y": round(float(camera.position[1]), 3),
        "lat": round(float(latitude), 8),
        "lon": round(float(longitude), 8),
        "condition": shot.conditions.name,
        "labels": paths.pop("labels"),
        "boxes": "boxes.json",
        **paths,
        "altitude": round(float(camera.position[2]), 3),
        "heading": round(camera.heading, 3),
        "pitch": round(camera.pitch, 3),
        "weather": shot.conditions.weather,
        "focal": round(camera.focal, 4),
    }
    if shot.identity:
        row["tags"] = " ".join(_tags(shot, take, images["rgb"]))
    return row


def _clock(shot: Shot) -> str:
    """Local solar time as ISO 8601; the year means nothing."""
    moment = np.datetime64("2025-01-01T00:00:00.000") + np.timedelta64(shot.conditions.day_of_year - 1, "D")
    seconds = shot.conditions.hour * 3600 + shot.time
    return str(moment + np.timedelta64(round(seconds * 1000), "ms"))


def _tags(shot: Shot, take: Take, rgb: np.ndarray) -> list[str]:
    """The challenges of RGBN300 (Li et al., AAAI 2020) that a crop of a vehicle has.

    VC view change (not one of the four cameras that see fronts or rears from near the axis), OC occlusion
    (over a tenth hidden), AL abnormal light (a low sun colors it), SH shadow (the sun is up and clear but
    reaches under a fifth of the vehicle), GL glare (over 1 % of the image saturated), LI low illumination,
    BN black night.
    """
    tags = set(shot.tags)
    subject = take.picture.kind == Kind.VEHICLE
    subject &= (
        take.picture.instance == np.bincount(take.picture.instance[subject]).argmax()
        if subject.any()
        else subject
    )
    sun_up = shot.conditions.sun[2] > 0.05 and shot.conditions.weather == "clear"
    if take.occlusion is not None and take.occlusion > 0.1:
        tags.add("OC")
    if sun_up and subject.any() and take.picture.lit[subject].mean() < 0.2:
        tags.add("SH")
        tags.discard("AL")
    if (rgb.min(axis=2) > 250).mean() > 0.01:
        tags.add("GL")
    if shot.camera_name in ("camera3", "camera4", "camera5", "camera6"):
        tags.add("VC")
    return sorted(tags)
