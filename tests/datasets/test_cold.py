from __future__ import annotations

import pytest

from crossband.datasets import scan

from .conftest import rows

NAME = "t1152283190.500000_x1.250000_y-0.500000_a{a}.jpeg"


def image(sequence: str, a: str = "0.100000") -> str:
    return f"{sequence}/std_cam/{NAME.format(a=a)}"


@pytest.mark.parametrize("above", ["", "saarbruecken/", "COLD/saarbruecken/"])
def test_the_pose_is_in_the_name_and_the_sequence_tells_the_split(plant, above):
    names = ("seq4_sunny3", "seq4_cloudy1", "seq4_cloudy2", "seq4_night3", "seq4_sunny1", "seq1_cloudy1")
    frames = scan(plant([image(above + name) for name in names]))
    by_sequence = {
        row[0]: row[1:] for row in rows(frames, "sequence", "split", "condition", "x", "y", "heading")
    }
    assert by_sequence["seq4_cloudy1"] == ("gallery", "cloudy", 1.25, -0.5, 0.1)
    assert by_sequence["seq4_night3"][:2] == ("query", "night")
    assert by_sequence["seq4_sunny3"][:2] == ("train", "sunny")
    assert by_sequence["seq4_sunny1"][0] == "val"
    assert frames.table["split"].isna().sum() == 1


def test_rooms_are_read_where_they_are_listed(plant):
    root = plant([image("seq4_cloudy1"), image("seq4_cloudy1", "-1.2e-05"), "seq4_cloudy1/omni_cam/x.jpeg"])
    (root / "seq4_cloudy1" / "std_cam" / "places.lst").write_text(f"{NAME.format(a='0.100000')} PA-B\n")
    frames = scan(root)
    assert len(frames) == 2
    assert dict(rows(frames, "heading", "place"))[0.1] == "PA-B"
    assert frames.table["place"].isna().sum() == 1
