"""What the city writes in the layout of a public dataset, that dataset's reader reads back."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("embreex", reason="the simulation's ray caster is an extra: crossband[simulation]")

from crossband.datasets import scan
from crossband.io import read_image, read_labels
from crossband.simulation import export_mfnet, export_pst900


def test_mfnet_round_trip(drive, tmp_path):
    frames = scan(export_mfnet(drive, tmp_path))
    assert frames.names == drive.names
    assert frames.table["split"].tolist() == drive.table["split"].tolist()
    assert (frames.table["condition"] == "night").tolist() == (drive.table["condition"] == "night").tolist()
    for row in range(len(frames)):
        color = read_image(drive.paths("rgb")[row]).pixels
        assert np.array_equal(read_image(frames.paths("rgb")[row]).pixels[..., :3], color)
        assert read_image(frames.paths("tir")[row], "tir").pixels.shape == color.shape[:2]
        ours, theirs = (f.root / f.table["labels"][row] for f in (drive, frames))
        assert np.array_equal(read_labels(ours), read_labels(theirs))


def test_pst900_round_trip(drive, tmp_path):
    frames = scan(export_pst900(drive, tmp_path))
    assert sorted(name.rpartition("/")[2] for name in frames.names) == sorted(drive.names)
    deep = read_image(frames.root / frames.table["thermal_raw"][0], "tir").pixels
    assert deep.dtype == np.uint16
    assert read_image(frames.paths("tir")[0], "tir").pixels.dtype == np.uint8
