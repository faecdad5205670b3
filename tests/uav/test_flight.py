"""Flights as manifest, image sequence and video; 16 bits stay 16 bits; what is missing is named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import PIL.Image
import pytest

from crossband.errors import CrossbandError
from crossband.uav.flight import open_flight, with_rough_positions
from crossband.uav.semantic_map import read_map

COLUMNS = {"lat": 48.7, "lon": 9.1, "altitude": 40.0, "heading": 30.0, "focal": 60.0, "units": "centikelvin"}


def pictures(n: int = 3) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.integers(0, 65536, (48, 64)).astype(np.uint16) for _ in range(n)]


def sequence(root: Path, **changes) -> Path:
    (root / "frames").mkdir(parents=True)
    for i, pixels in enumerate(pictures()):
        PIL.Image.fromarray(pixels).save(root / "frames" / f"{i}.png")
    table = pd.DataFrame([{"file": f"frames/{i}.png", **COLUMNS} for i in range(3)])
    for name, value in changes.items():
        table = table.drop(columns=name) if value is None else table.assign(**{name: value})
    table.to_csv(root / "flight.csv", index=False)
    return root


def video(path: Path, codec: str = "ffv1", kind: str = "gray16le") -> Path:
    av = pytest.importorskip("av")
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=5)
        stream.width, stream.height, stream.pix_fmt = 64, 48, kind
        for pixels in pictures():
            frame = av.VideoFrame.from_ndarray(pixels, format="gray16le")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    pd.DataFrame([{"frame": i, **COLUMNS} for i in range(3)]).to_csv(path.with_suffix(".csv"), index=False)
    return path


def test_a_manifest_is_a_flight_and_may_be_restricted(world):
    flight = open_flight(world / "world", {"sequence": ["flight1"]})
    assert flight.names == ["1_0", "1_1", "1_2"]
    assert flight.kelvin(0).dtype == np.float32
    assert 285 < flight.ambient() < 305
    assert flight.digest != open_flight(world / "world").digest


@pytest.mark.parametrize(
    "make", [lambda root: sequence(root / "flight"), lambda root: video(root / "flight.mkv")]
)
def test_sixteen_bits_come_out_as_they_went_in(tmp_path, make):
    flight = open_flight(make(tmp_path))
    for row in (0, 2, 1):  # backwards too
        pixels, units = flight.pixels(row)
        assert pixels.dtype == np.uint16
        assert units == "centikelvin"
        assert np.array_equal(pixels, pictures()[row])
        assert np.array_equal(np.rint(flight.kelvin(row).astype(np.float64) * 100), pictures()[row])


def test_a_video_of_the_flight_gives_the_poses_of_its_table(tmp_path, world):
    flight = open_flight(video(tmp_path / "flight.mkv"))
    pose = flight.pose(1, read_map(world / "world"), (48, 64))
    assert (pose.altitude, pose.heading, pose.pitch) == (40.0, 30.0, -90.0)
    assert (pose.x, pose.y) == pytest.approx((0, 0), abs=1e-6)


@pytest.mark.parametrize("column", ["lat", "altitude", "heading", "focal"])
def test_a_flight_without_metadata_names_what_is_missing(tmp_path, column):
    with pytest.raises(CrossbandError, match=column):
        open_flight(sequence(tmp_path / "flight", **{column: None}))


def test_rough_positions_are_wrong_by_no_more_than_asked(world):
    ground, flight = read_map(world / "world"), open_flight(world / "world")
    rough = with_rough_positions(flight, ground, 30.0)
    off = [
        np.subtract(
            ground.to_meters(*rough.table[["lat", "lon"]].iloc[i]),
            ground.to_meters(*flight.table[["lat", "lon"]].iloc[i]),
        )
        for i in range(len(flight))
    ]
    assert 0 < np.hypot(*np.array(off).T).max() <= 30.0
    assert rough.digest != flight.digest
