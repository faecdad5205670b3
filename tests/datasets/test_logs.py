"""Positions by time: GPX and CSV logs joined to frames; what did not join is said."""

from __future__ import annotations

import numpy as np
import pytest

from crossband.datasets import join_log, read_log
from crossband.errors import CrossbandError
from crossband.frames import Frames

GPX = """<?xml version="1.0"?><gpx version="1.1" creator="t" xmlns="http://www.topografix.com/GPX/1/1">
<trk><trkseg>{}</trkseg></trk></gpx>"""
POINT = '<trkpt lat="{}" lon="{}"><ele>{}</ele><time>2026-07-01T10:00:{:02d}Z</time></trkpt>'


def frames_at(*seconds: float) -> Frames:
    rows = [
        {"frame": str(i), "rgb": f"{i}.png", "time": f"2026-07-01T10:00:{second:09.6f}"}
        for i, second in enumerate(seconds)
    ]
    return Frames.make(rows, ".")


@pytest.fixture
def gpx(tmp_path):
    path = tmp_path / "flight.gpx"
    path.write_text(GPX.format("".join(POINT.format(46 + i, 6 + i, 100 + i, i) for i in range(4))))
    return path


def test_a_gpx_track_is_interpolated_between_its_points(gpx):
    table = join_log(frames_at(0, 1.25, 3), gpx).table
    assert table["lat"].tolist() == pytest.approx([46, 47.25, 49])
    assert table["lon"].tolist() == pytest.approx([6, 7.25, 9])
    assert table["altitude"].tolist() == pytest.approx([100, 101.25, 103])


@pytest.mark.parametrize(
    ("times", "header"),
    [
        (["2026-07-01T10:00:00Z", "2026-07-01T10:00:02Z"], "time,latitude,Lng,alt (m),yaw"),
        (["2026-07-01 10:00:00", "2026-07-01 10:00:02"], "Timestamp,lat,lon,Height [m],heading"),
        (["1782900000", "1782900002"], "utc,GPS_lat,gps_lon,ele,course"),
        (["1782900000000", "1782900002000"], "time,lat,lon,altitude,yaw"),
    ],
)
def test_a_table_under_names_that_people_use(tmp_path, times, header):
    rows = [f"{times[0]},46,179.9,100,350", f"{times[1]},47,-179.9,102,10"]
    (tmp_path / "log.csv").write_text("\n".join([header, *rows]))
    row = join_log(frames_at(1), tmp_path / "log.csv").table.iloc[0]
    assert row["lat"] == pytest.approx(46.5)
    assert abs(row["lon"]) == pytest.approx(180)  # over the date line, not around the Earth
    assert row["altitude"] == pytest.approx(101)
    assert row["heading"] == pytest.approx(0, abs=1e-6)  # through north


def test_what_does_not_join_is_said_and_has_no_position(gpx, capsys):
    table = join_log(frames_at(0, 3.4, 30), gpx, tolerance=0.5).table
    assert np.isfinite(table["lat"]).tolist() == [True, True, False]
    assert table["lat"][1] == 49  # the nearest: there is none on the other side
    said = capsys.readouterr().err
    assert "1 of 3 frames" in said
    assert "first 2 (27.0 s away)" in said


def test_an_offset_joins_clocks_of_two_zones_and_is_suggested(gpx):
    local = Frames.make([{"frame": "a", "rgb": "a.png", "time": "2026-07-01T12:00:01"}], ".")
    with pytest.raises(CrossbandError, match="-7201 s"):
        join_log(local, gpx)
    assert join_log(local, gpx, offset=-7200).table["lat"].tolist() == [47]


BOMB = '<!DOCTYPE gpx [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">]>'


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.gpx", BOMB + GPX.format("<name>&b;</name>")),
        ("a.gpx", '<!DOCTYPE gpx SYSTEM "http://127.0.0.1:9/x.dtd">' + GPX.format("")),
        ("a.gpx", "<gpx>"),
        ("a.gpx", "\0\0\0"),
        ("a.gpx", GPX.format('<trkpt lat="x" lon="1"><time>2026-07-01T10:00:00Z</time></trkpt>')),
        ("a.gpx", GPX.format("")),
        ("a.csv", "time,lat\nsoon,46\n"),
        ("a.csv", "lat,lon\n46,6\n"),
        ("a.csv", "time,remark\n1,x\n"),
        ("a.csv", ""),
        ("a.csv", '"' * 5000),
    ],
)
def test_logs_that_are_none_are_a_sentence(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    with pytest.raises(CrossbandError):
        read_log(tmp_path / name)


def test_places_off_the_earth_are_no_places(tmp_path):
    (tmp_path / "a.csv").write_text("time,lat,lon\n1,46,6\n2,460,6\n3,nan,1e400\n")
    assert read_log(tmp_path / "a.csv")["lat"].dropna().tolist() == [46]


def test_frames_without_times_take_no_log(gpx):
    with pytest.raises(CrossbandError, match="no times"):
        join_log(Frames.make([{"frame": "a", "rgb": "a.png"}], "."), gpx)
