import json

import pytest

from crossband.datasets import scan
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
    assert [part.tolist() for part in boxes.rows] == [[], [[1, 2, 4, 6, 0, -1]]]


@pytest.mark.shared
def test_the_real_part_is_read(shared):
    frames = scan(shared / "data" / "hituav")
    frames = frames.select(frames.table["split"] == "val")
    boxes = read_boxes(frames)
    assert len(frames) == 290
    assert boxes.classes == ["Person", "Car", "Bicycle", "OtherVehicle"]
    assert sum(map(len, boxes.rows)) == 2453
