"""How people's own folders lie: sequences in folders, time stamps, DJI's names, prefixes, MicaSense, EXIF."""

from __future__ import annotations

import numpy as np
import PIL.Image
import pytest
import tifffile

from crossband.datasets import open_frames, scan
from crossband.errors import CrossbandError
from crossband.io import read_image

RNG = np.random.default_rng(0)


def picture(path, gray=False, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = (24, 32) if gray else (24, 32, 3)
    PIL.Image.fromarray(RNG.integers(0, 256, shape, np.uint8)).save(path, **options)


@pytest.mark.parametrize(
    ("sequences", "bands"),
    [
        (("set00/V000", "set03/V001"), ("visible", "lwir")),
        (("flight1", "flight2"), ("RGB", "TIR")),
    ],
)
def test_a_folder_a_sequence_is_read_with_its_path(tmp_path, sequences, bands):
    for sequence in sequences:
        for i in range(2):
            picture(tmp_path / sequence / bands[0] / f"I{i}.png")
            picture(tmp_path / sequence / bands[1] / f"I{i}.png", gray=True)
    frames = scan(tmp_path)
    assert frames.names == [f"{sequence}/I{i}" for sequence in sequences for i in range(2)]
    assert frames.table["sequence"].tolist() == [sequence for sequence in sequences for _ in range(2)]
    assert frames.table[["rgb", "tir"]].notna().all().all()


@pytest.mark.parametrize(("tolerance", "pairs"), [(0.05, 5), (0.03, 0), (0.07, 5)])
@pytest.mark.parametrize("form", ["seconds", "nanoseconds"])
def test_time_stamps_are_paired_within_the_tolerance_and_each_once(tmp_path, tolerance, pairs, form):
    """RGB at 10 Hz, thermal 40 ms later; the fourth has no thermal image, and one comes a frame early."""

    def name(ms):
        return f"{ms // 1000}.{ms % 1000:03d}000" if form == "seconds" else f"{ms}000000"

    start = 1_628_000_000_000
    for i in range(-1, 6):
        if i >= 0:
            picture(tmp_path / "rgb" / f"{name(start + 100 * i)}.png")
        if i != 3:
            picture(tmp_path / "thermal" / f"{name(start + 100 * i + 40)}.png", gray=True)
    if not pairs:
        with pytest.raises(CrossbandError, match="stem"):
            scan(tmp_path, tolerance=tolerance)
        return
    frames = scan(tmp_path, tolerance=tolerance)
    both = frames.table[["rgb", "tir"]].notna().all(axis=1)
    assert both.sum() == pairs
    assert len(frames) == 12 - pairs
    if pairs == 5:
        assert frames.table["time"][both].tolist()[1] == "2021-08-03T14:13:20.100000"


@pytest.mark.parametrize("layout", ["same", "late", "consecutive"])
def test_dji_names_pair_by_running_number_and_clock(tmp_path, layout):
    for i in range(3):
        thermal = {"same": (i, i + 1), "late": (i + 1, i + 1), "consecutive": (0, 2 * i + 2)}[layout]
        if layout == "consecutive":
            color, heat = f"DJI_{2 * i + 1:04d}_W", f"DJI_{thermal[1]:04d}_T"
        else:
            color, heat = f"DJI_2026070110000{i}_{i + 1:04d}_W", f"DJI_2026070110000{thermal[0]}_{i + 1:04d}_T"
        picture(tmp_path / f"{color}.JPG", format="JPEG")
        picture(tmp_path / f"{heat}.JPG", gray=True, format="JPEG")
        picture(tmp_path / f"{color[:-1]}Z.JPG", format="JPEG")
    frames = scan(tmp_path)
    assert len(frames) == 3
    assert frames.table[["rgb", "tir"]].notna().all().all()
    assert all(path.endswith("_W.JPG") for path in frames.table["rgb"])


def test_dji_frames_minutes_apart_are_no_pair(tmp_path):
    picture(tmp_path / "DJI_20260701100000_0001_W.JPG", format="JPEG")
    picture(tmp_path / "DJI_20260701100500_0001_T.JPG", gray=True, format="JPEG")
    with pytest.raises(CrossbandError):
        scan(tmp_path)


@pytest.mark.parametrize(
    ("rgb", "tir"),
    [
        ("rgb_{i}.png", "thermal_{i}.png"),
        ("VIS-{i}.png", "IR-{i}.png"),
        ("RGB{i}.png", "TIR{i}.png"),
        ("{i}_W.png", "{i}_T.png"),
        ("{i}_V.png", "{i}_T.png"),
        ("{i}-color.png", "{i}-lwir.png"),
        ("rgb/rgb_{i}.png", "tir/tir_{i}.png"),
        ("visible/{i}_vis.png", "thermal/{i}_ir.png"),
        ("visible/img/{i}.png", "thermal/png/{i}.png"),
        ("day2_rgb/{i}.png", "day2_thermal/{i}.png"),
    ],
)
def test_words_of_bands_in_any_place_pair_the_frames(tmp_path, rgb, tir):
    for i in ("0007", "0008"):
        picture(tmp_path / rgb.format(i=i))
        picture(tmp_path / tir.format(i=i), gray=True)
    assert scan(tmp_path).table.to_dict("records")[0] == {
        "frame": "0007",
        "rgb": rgb.format(i="0007"),
        "tir": tir.format(i="0007"),
    }


@pytest.mark.parametrize(
    ("rgb", "tir", "name"),
    [
        ("data/{f}/rgb/{i}.png", "data/{f}/tir/{i}.png", "data/{f}/{i}"),
        ("{f}_rgb/{i}.png", "{f}_thermal/{i}.png", "{f}/{i}"),
        ("RGB_{f}/{i}.png", "IR_{f}/{i}.png", "{f}/{i}"),
        ("{f}/DJI_{i}_W.png", "{f}/DJI_{i}_T.png", "{f}/DJI_{i}"),
        ("{f}/rgb_{i}.png", "{f}/thermal_{i}.png", "{f}/{i}"),
        ("rgb/{f}/{i}.png", "thermal/{f}/{i}.png", "{f}/{i}"),
    ],
)
def test_no_flight_is_lost_where_several_lie_together(tmp_path, rgb, tir, name):
    told = [{"f": flight, "i": i} for flight in ("flight1", "flight2", "flight10") for i in ("0001", "0002")]
    for one in told:
        picture(tmp_path / rgb.format(**one))
        picture(tmp_path / tir.format(**one), gray=True)
    frames = scan(tmp_path)
    assert frames.names == [name.format(**one) for one in told]
    assert frames.table[["rgb", "tir"]].notna().all().all()


def test_numbers_of_two_counters_are_no_pairs(tmp_path):
    """Which of two counters' numbers is which moment nobody can tell: refused, not guessed."""
    for i in range(3):
        picture(tmp_path / "rgb" / f"frame_{i}.png")
        picture(tmp_path / "tir" / f"IMG_{i + 40}.png", gray=True)
    with pytest.raises(CrossbandError, match="no file stem occurs in two"):
        scan(tmp_path)


def test_micasense_has_color_of_three_files(tmp_path):
    bands = RNG.integers(0, 60000, (6, 24, 32)).astype(np.uint16)
    for number in range(1, 7):
        tifffile.imwrite(tmp_path / f"IMG_0000_{number}.tif", bands[number - 1])
    frames = scan(tmp_path)
    [row] = frames.table.to_dict("records")
    assert (row["frame"], row["tir_units"]) == ("IMG_0000", "centikelvin")
    color = read_image(frames.paths("rgb")[0], "rgb").pixels
    assert np.array_equal(color, np.stack([bands[2], bands[1], bands[0]], -1))
    assert np.array_equal(read_image(frames.paths("nir")[0], "nir").pixels, bands[3])


def test_exif_and_xmp_say_where_and_when(tmp_path):
    for i in range(2):
        exif = PIL.Image.Exif()
        exif[0x8825] = {1: "S", 2: (46.0, 30.0, 0.648 * i), 3: "E", 4: (6.0, 36.0, 0.0)}
        exif[0x0132] = f"2026:07:01 10:00:0{i}"
        xmp = b'<x drone-dji:RelativeAltitude="+60.10" drone-dji:GimbalYawDegree="+12.50"'
        xmp += b' drone-dji:GimbalPitchDegree="-90.00"/>'
        picture(tmp_path / "rgb" / f"{i}.jpg", exif=exif)
        picture(tmp_path / "thermal" / f"{i}.jpg", gray=True, exif=exif, xmp=xmp)
    table = scan(tmp_path).table
    assert table["lat"].tolist() == pytest.approx([-46.5, -46.50018], abs=1e-6)
    assert table["lon"].tolist() == pytest.approx([6.6, 6.6])
    assert table["time"].tolist() == ["2026-07-01T10:00:00", "2026-07-01T10:00:01"]
    assert table[["altitude", "heading", "pitch"]].to_numpy().tolist() == [[60.1, 12.5, -90.0]] * 2


def test_a_csv_manifest_in_a_folder_counts(tmp_path):
    picture(tmp_path / "a.png")
    picture(tmp_path / "b.png")
    (tmp_path / "frames.csv").write_text("frame,rgb,place\none,a.png,bridge\n")
    assert open_frames(tmp_path).table["place"].tolist() == ["bridge"]


def test_a_csv_manifest_counts_for_flights_too(tmp_path):
    from crossband.uav.flight import open_flight

    picture(tmp_path / "a.png", gray=True)
    columns = "frame,tir,lat,lon,altitude,heading,pitch,focal"
    (tmp_path / "frames.csv").write_text(f"{columns}\none,a.png,46,6,60,0,-90,40\n")
    flight = open_flight(tmp_path)
    assert flight.names == ["one"]
    assert flight.source == tmp_path
