"""What the chain from a photograph to the map says where it cannot."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import PIL.Image
import pytest
import rasterio

from crossband.models import create_encoder
from crossband.uav import stages
from crossband.uav.flight import open_flight, read_video
from crossband.uav.match import calibrate_threshold, combined, signature
from crossband.uav.networks import Networks
from crossband.uav.pipeline import reid
from crossband.uav.semantic_map import read_map
from crossband.uav.stages import align_labels
from crossband.uav.tasks.objects import keep_resolution

from ..messages import assert_says
from .conftest import blocks
from .test_flight import sequence, video
from .test_semantic_map import write_raster


@dataclass
class At:
    """What a case may use: the world, its networks, a photograph of it, and a folder of its own."""

    world: Path
    networks: Path
    photo: Path
    folder: Path

    def reid(self, photo: Path | None = None, networks: Path | None = None, **options):
        world = self.world / "world"
        return reid(
            photo or self.photo, world, world, networks or self.networks, self.folder / "out", **options
        )

    def flight(self, **changes):
        return open_flight(sequence(self.folder / "flight", **changes))

    def tiles(self, change: Callable[[dict], object]):
        """Read a map whose list of tiles is changed."""
        listed = json.loads((self.world / "world" / "map" / "tiles.json").read_text())
        change(listed["tiles"][0])
        (self.folder / "tiles.json").write_text(json.dumps(listed))
        return read_map(self.folder)

    def gray(self) -> Path:
        PIL.Image.new("L", (20, 20)).save(self.folder / "gray.png")
        return self.folder / "gray.png"


@pytest.fixture
def at(world, networks, tmp_path) -> At:
    photo = tmp_path / "photo.png"
    with PIL.Image.open(world / "world" / "rgb" / "0_0.png") as image:
        image.crop((10, 8, 42, 34)).save(photo)
    return At(world, networks, photo, tmp_path)


def without_coordinates(at: At):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        path = write_raster(at.folder / "map.tif", blocks(), crs=None, transform=rasterio.Affine.identity())
    return read_map(path)


def long_table(at: At):
    path = video(at.folder / "flight.mkv")
    table = pd.read_csv(path.with_suffix(".csv"))
    table.assign(frame=[0, 1, 9]).to_csv(path.with_suffix(".csv"), index=False)
    return open_flight(path).pixels(2)


def without_table(at: At):
    path = video(at.folder / "flight.mkv")
    path.with_suffix(".csv").unlink()
    return open_flight(path)


def no_video(at: At):
    (at.folder / "a.mkv").write_bytes(b"nothing of the kind")
    return next(iter(read_video(at.folder / "a.mkv")))


MESSAGES = {
    # flights
    "flight": (lambda at: open_flight(at.folder / "none"), "no flight at"),
    "flight, no table": (
        lambda at: open_flight(at.gray().parent),
        "do not all say lat, lon, altitude, heading, focal ... write ... flight.csv",
    ),
    "flight, column": (lambda at: at.flight(lat=None), "no metadata lat for every frame"),
    "flight, ground": (lambda at: at.flight(altitude=0.0), "not above 0"),
    "flight, word": (lambda at: at.flight(heading="north"), "heading that is not a number"),
    "flight, outside": (lambda at: at.flight(file="../a.png"), "stay inside"),
    "flight, no file": (lambda at: at.flight(file=None), "rows without a file"),
    "flight, nothing left": (
        lambda at: open_flight(sequence(at.folder / "flight"), {"file": ["other"]}),
        "no frames of the flight",
    ),
    "video": (no_video, "no video that can be read"),
    "video, table": (without_table, "no metadata; write flight.csv"),
    "video, too short": (long_table, "has 3 frames, its table asks for number 9"),
    # maps
    "map": (lambda at: read_map(at.folder), "no map"),
    "map, georeference": (without_coordinates, "map.tif has no georeference"),
    "map, tile": (lambda at: at.tiles(lambda tile: tile.pop("south")), "no georeference of its tiles"),
    "map, outside": (
        lambda at: at.tiles(lambda tile: tile.update(file="../secret.png")),
        "lie in its folder",
    ),
    "map, classes": (
        lambda at: read_map(write_raster(at.folder / "map.tif", np.full((20, 20), 77, np.uint8))),
        "no known class; ... map.json",
    ),
    "map, numbers": (
        lambda at: read_map(write_raster(at.folder / "map.tif", np.zeros((20, 20), np.float32))),
        "no labels",
    ),
    "map, position": (lambda at: read_map(at.world / "world").check_near(-50, 100, 40), "off the map"),
    # the chain
    "box": (
        lambda at: at.reid(box=(30, 0, 10, 10)),
        "30,0,10,10 has no area",
    ),
    "gray": (lambda at: at.reid(at.gray()), "gray"),
    "networks": (
        lambda at: at.reid(networks=at.folder / "none"),
        "no calibration ... reproduce thermal-reid",
    ),
    "map wanted": (
        lambda at: stages.detect(open_flight(at.world / "world"), Networks(at.networks).detector, at.folder),
        "reads the map's labeling; give the map",
    ),
    "sizes": (lambda at: align_labels(blocks(), np.zeros((3, 3))), "not aligned"),
    "no temperature": (lambda at: signature(np.zeros((0, 4)), 300.0), "without temperatures"),
    "beta": (lambda at: combined(np.array([0.2]), np.array([0.6]), 1.5), "beta"),
    "threshold": (
        lambda at: calibrate_threshold(np.array([0.1]), np.zeros(0)),
        "probes with and without a match",
    ),
    "stride": (
        lambda at: keep_resolution(create_encoder("squeezenet1_1", pretrained=False)),
        "for ResNets",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", MESSAGES)
def test_the_message_says(at, case):
    call, words = MESSAGES[case]
    assert_says(lambda: call(at), words)
