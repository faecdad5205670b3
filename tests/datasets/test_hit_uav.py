import json

import pytest

from crossband.datasets import scan
from crossband.errors import CrossbandError
from crossband.io.boxes import read_boxes

from .conftest import rows


def coco(*boxes, images="images", name="filename", annotations="annotation"):
    return {
        images: [{"id": 9, name: "1_60_50_0_00319.jpg"}],
        "categories": [{"id": 3, "name": "DontCare"}, {"id": 1, "name": "Car"}],
        annotations: [{"image_id": 9, "category_id": kind, "bbox": list(box)} for kind, box in boxes],
    }


def test_names_say_time_altitude_and_angle(plant):
    root = plant(["val/1_60_50_0_00319.jpg", "val/0_130_90_0_00001.jpg"])
    (root / "annotations").mkdir()
    (root / "annotations" / "val.json").write_text(json.dumps(coco((1, (1, 2, 3, 4)), (3, (0, 0, 9, 9)))))
    frames = scan(root)
    assert rows(frames, "frame", "condition", "height", "sequence") == [
        ("val/0_130_90_0_00001", "day", "130m", "130m_90deg"),
        ("val/1_60_50_0_00319", "night", "60m", "60m_50deg"),
    ]
    assert frames.table["pitch"].tolist() == [-90, -50]
    boxes = read_boxes(frames)
    assert boxes.classes == ["Car"]
    assert [part.tolist() for part in boxes.rows] == [[], [[1, 2, 3, 4, 0, -1]]]


def test_another_layout_is_refused(plant):
    with pytest.raises(CrossbandError, match="HIT-UAV"):
        scan(plant(["val/1_60_50_0_00319.jpg"]), kind="hit_uav")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "is not valid JSON"),
        ('{"images": []}', "is not a COCO box file"),
        ('{"images": [], "categories": [], "annotations": 3}', "not a COCO"),
    ],
)
def test_a_broken_file_of_boxes_is_named(plant, text, said):
    root = plant(["val/1_60_50_0_00319.jpg"])
    (root / "annotations").mkdir()
    (root / "annotations" / "val.json").write_text(text)
    with pytest.raises(CrossbandError, match=said):
        read_boxes(scan(root, kind="hit_uav"))


@pytest.mark.shared
def test_the_real_part_is_read(shared):
    frames = scan(shared / "data" / "hituav")
    boxes = read_boxes(frames)
    assert len(frames) == 290
    assert boxes.classes == ["Person", "Car", "Bicycle", "OtherVehicle"]
    assert sum(map(len, boxes.rows)) == 2453
