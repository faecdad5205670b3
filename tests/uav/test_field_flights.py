"""Flights as cameras write them: DJI's and FLIR's files, subtitles, logs, a lens, hills; and bad ones."""

from __future__ import annotations

import math
import shutil

import cv2
import numpy as np
import pandas as pd
import PIL.Image
import pytest
import rasterio

from crossband.errors import CrossbandError
from crossband.frames import Frames
from crossband.io.subtitles import read_subtitles
from crossband.simulation.aircraft_files import write_dji_flight, write_dji_video, write_flir_flight
from crossband.uav.flight import Beside, open_flight, undistorted
from crossband.uav.flight_checks import mend
from crossband.uav.flight_log import clock_offset

from .test_flight import sequence

POSE = ("lat", "lon", "altitude", "heading", "pitch")


def frames_of(world) -> Frames:
    frames = Frames.read(world / "world" / "frames.parquet")
    return frames.select((frames.table["sequence"] == "flight0").to_numpy(bool))


@pytest.mark.parametrize("make", [write_dji_flight, write_flir_flight])
def test_a_folder_of_radiometric_jpegs_is_a_flight(world, tmp_path, make):
    frames = frames_of(world)
    flight = open_flight(make(frames, tmp_path / "flight"))
    for name in POSE:
        assert flight.table[name].to_numpy(float) == pytest.approx(frames.table[name].to_numpy(float), abs=0.01)
    assert flight.table["lat"].to_numpy(float) == pytest.approx(frames.table["lat"].to_numpy(float), abs=1e-7)
    assert flight.table["focal"].to_numpy(float) == pytest.approx([60.0] * 3, rel=0.02)
    assert flight.pixels(0)[0].shape == (48, 64)
    assert flight.thermometric == (make is write_flir_flight)
    if flight.thermometric:
        assert flight.kelvin(1) == pytest.approx(open_flight(frames.root).kelvin(1), abs=0.02)


def test_photographs_of_the_other_cameras_of_a_dji_flight_are_left_alone(world, tmp_path):
    folder = write_dji_flight(frames_of(world), tmp_path / "flight")
    shutil.copy(folder / "DJI_0001_T.JPG", folder / "DJI_0001_W.JPG")
    assert open_flight(folder).names == ["DJI_0001_T", "DJI_0002_T", "DJI_0003_T"]


@pytest.mark.slow
def test_a_video_with_subtitles_is_joined_by_time(world, tmp_path, capsys):
    frames = frames_of(world)
    path = write_dji_video(frames, tmp_path / "flight.mp4")
    flight = open_flight(tmp_path)
    assert flight.names == ["000000", "000005", "000010"]
    for name in POSE:
        assert flight.table[name].to_numpy(float) == pytest.approx(frames.table[name].to_numpy(float), abs=0.01)
    assert flight.pixels(2)[0].shape == (48, 64)
    subtitles = path.with_suffix(".SRT")
    subtitles.write_text("\n\n".join(subtitles.read_text().split("\n\n")[:2]))
    assert open_flight(path).names == ["000000", "000005"]
    assert "1 of 3 frames of" in capsys.readouterr().err


def test_older_subtitles_say_longitude_first(tmp_path):
    (tmp_path / "a.srt").write_text(
        "1\n00:00:00,000 --> 00:00:01,000\n"
        "HOME(9.1,48.7) 2018.03.02 11:22:33\nGPS(9.1,48.7,19) BAROMETER:41.5\n"
    )
    row = read_subtitles(tmp_path / "a.srt").iloc[0]
    assert (row["lat"], row["lon"], row["altitude"]) == (48.7, 9.1, 41.5)
    assert pd.Timestamp(row["time"], unit="s") == pd.Timestamp("2018-03-02 11:22:33")


def track(seconds: np.ndarray) -> pd.DataFrame:
    """Along a street, faster and slower, and around a corner."""
    along = 8 * seconds + 20 * np.sin(seconds / 5)
    return pd.DataFrame({"lat": 48.7 + along / 111_320, "lon": 9.1 + np.maximum(seconds - 30, 0) * 1e-4})


@pytest.mark.parametrize("offset", [40.0, -3.0, 3600.0 - 2.4])
def test_the_clock_of_a_log_is_found_by_where_the_frames_were(offset):
    seconds = np.arange(0.0, 60)
    log = track(np.arange(-100.0, 200)).assign(time=np.arange(-100.0, 200) + offset + 1.7e9)
    frames = track(seconds) + np.random.default_rng(0).normal(0, 2e-5, (60, 2))
    found = clock_offset(frames, seconds + 1.7e9, log, lambda row: np.zeros((8, 8)))
    assert found == pytest.approx(offset, abs=0.5)


def test_the_clock_of_a_log_is_found_by_how_fast_the_ground_moves():
    ground = cv2.GaussianBlur(np.random.default_rng(0).normal(0, 50, (64, 1500)).astype(np.float32), (0, 0), 3)
    seconds, speeds = np.arange(-30.0, 90), np.random.default_rng(1).uniform(2, 18, 120)
    along = np.cumsum(speeds)

    def image(row: int) -> np.ndarray:
        return ground[:, round(along[30 + row]) : round(along[30 + row]) + 96]

    log = pd.DataFrame({"time": seconds + 12, "lat": 48.7 + along / 111_320, "lon": 9.1})
    frames = pd.DataFrame(index=range(40))
    assert clock_offset(frames, np.arange(40.0), log, image) == pytest.approx(12, abs=1)


def test_a_clock_that_cannot_be_found_is_said_to_be_taken_as_none(capsys):
    log = pd.DataFrame({"time": np.arange(90.0), "lat": 48.7 + np.arange(90) * 1e-4, "lon": 9.1})
    still = np.random.default_rng(0).normal(0, 9, (32, 32)).astype(np.float32)
    assert clock_offset(pd.DataFrame(index=range(9)), np.arange(9.0), log, lambda row: still) == 0
    assert "cannot be told" in capsys.readouterr().err


def test_a_log_says_where_the_frames_were_and_leaves_out_those_beyond_it(tmp_path, capsys):
    taken = [f"2025-05-01T10:{moment}" for moment in ("00:00", "00:01", "09:00")]
    folder = sequence(tmp_path / "flight", lat=None, lon=None, time=taken)
    seconds = np.arange(0, 60)
    times = pd.Timestamp("2025-05-01 10:00:40") + pd.to_timedelta(seconds, unit="s")
    track(seconds.astype(float)).assign(time=times.astype(str)).to_csv(tmp_path / "log.csv", index=False)
    flight = open_flight(folder, beside=Beside(tmp_path / "log.csv", clock=40.0))
    assert flight.table["lat"].tolist() == pytest.approx(track(np.arange(2.0))["lat"].tolist())
    assert "1 of 3 frames are beyond the log" in capsys.readouterr().err
    with pytest.raises(CrossbandError, match="no frame lies within the log"):
        open_flight(folder, beside=Beside(tmp_path / "log.csv", clock=-4000.0))


def test_hills_change_how_high_a_frame_is(tmp_path):
    heights = np.tile(np.linspace(300, 400, 101), (101, 1)).astype(np.float32)  # rising to the east
    place = rasterio.transform.from_origin(9.0, 48.8, 0.002, 0.002)
    profile = {"driver": "GTiff", "height": 101, "width": 101, "count": 1, "dtype": "float32"}
    with rasterio.open(tmp_path / "dem.tif", "w", crs="EPSG:4326", transform=place, **profile) as file:
        file.write(heights, 1)
    folder = sequence(tmp_path / "flight", lon=[9.1, 9.102, 9.104], altitude=[40.0, 41.0, 42.0])
    flight = open_flight(folder, beside=Beside(terrain=tmp_path / "dem.tif"))
    assert flight.table["altitude"].tolist() == pytest.approx([40.0, 40.0, 40.0], abs=0.05)
    with pytest.raises(CrossbandError, match="does not cover the flight"):
        open_flight(sequence(tmp_path / "other", lon=12.0), beside=Beside(terrain=tmp_path / "dem.tif"))


def test_a_lens_is_straightened():
    straight = np.zeros((120, 160), np.uint16)
    straight[30] = 1000
    places = np.stack(np.meshgrid(np.arange(160.0), np.arange(120.0)), -1).reshape(-1, 1, 2)
    camera = np.array([[100, 0, 79.5], [0, 100, 59.5], [0, 0, 1]])
    from_where = cv2.undistortPoints(places, camera, np.array([-0.2, 0, 0, 0]), P=camera)
    bent = cv2.remap(straight, from_where.reshape(120, 160, 2).astype(np.float32), None, cv2.INTER_LINEAR)
    for picture, off in ((bent, 2.0), (undistorted(bent, 100.0, (-0.2, 0, 0, 0)), 0.5)):
        lines = picture[:, 20:140].astype(float)
        middle = (lines * np.arange(120)[:, None]).sum(0) / lines.sum(0)
        assert (np.abs(middle - 30).max() < 0.5) == (off == 0.5)


def table(n: int = 12, **changes) -> pd.DataFrame:
    steps = np.arange(n)
    columns = {"frame": [str(i) for i in steps], "lat": 48.7 + steps * 1e-4, "lon": 9.1, "pitch": -90.0}
    return pd.DataFrame({**columns, **changes})


def test_positions_that_jump_are_taken_from_their_neighbors(tmp_path, capsys):
    given = table()
    given.loc[5, "lon"] += 0.01
    mended = mend(given, tmp_path)
    assert mended["lon"].tolist() == pytest.approx([9.1] * 12)
    assert "1 of 12 frames of" in (said := capsys.readouterr().err)
    assert "first 5 by 73" in said
    assert mend(table(), tmp_path).equals(table())


def test_frames_that_look_at_the_horizon_are_left_out(tmp_path, capsys):
    pitch = np.full(12, -60.0)
    pitch[:3] = -2
    assert mend(table(pitch=pitch), tmp_path)["frame"].tolist() == [str(i) for i in range(3, 12)]
    assert "3 of 12 frames look at the horizon, first 0" in capsys.readouterr().err
    with pytest.raises(CrossbandError, match="look at the horizon or above"):
        mend(table(pitch=0.0), tmp_path)


def test_frames_without_a_position_or_on_the_ground_are_left_out(tmp_path, capsys):
    folder = sequence(tmp_path / "flight", lat=[48.7, math.nan, 48.7], altitude=[40.0, 40.0, 0.0])
    flight = open_flight(folder)
    assert flight.names == ["frames/0"]
    assert "1 of 3 frames of" in (said := capsys.readouterr().err)
    assert "have no lat" in said
    assert "taken on the ground" in said
    with PIL.Image.open(folder / "frames" / "0.png") as image:
        assert np.array_equal(flight.pixels(0)[0], np.asarray(image))


def test_a_dji_folder_without_a_fix_says_so(world, tmp_path):
    frames = frames_of(world)
    lost = frames.assign(lat=[0.0] * 3, lon=[0.0] * 3)
    with pytest.raises(CrossbandError, match=r"do not all say lat, lon .* or give a log"):
        open_flight(write_dji_flight(lost, tmp_path / "flight"))
