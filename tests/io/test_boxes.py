"""Boxes of several datasets are read together."""

from __future__ import annotations

import json

import numpy as np
import PIL.Image
import pytest

from crossband.errors import CrossbandError
from crossband.frames import Frames
from crossband.io.boxes import read_boxes


def _set(root, name, classes, boxes):
    """A folder with one image and its COCO file; ``boxes`` are (class, left)."""
    folder = root / name
    folder.mkdir()
    PIL.Image.fromarray(np.zeros((40, 40), np.uint8)).save(folder / "a.png")
    coco = {
        "images": [{"id": 1, "file_name": "a.png"}],
        "categories": [{"id": number, "name": one} for number, one in enumerate(classes, start=1)],
        "annotations": [
            {"id": i, "image_id": 1, "category_id": 1 + classes.index(kind), "bbox": [left, 0, 10, 10]}
            for i, (kind, left) in enumerate(boxes)
        ],
    }
    (folder / "boxes.json").write_text(json.dumps(coco))
    return {"frame": f"{name}/a", "tir": f"{name}/a.png", "boxes": f"{name}/boxes.json"}


def test_sets_with_other_classes_in_another_order_are_read_together_by_name(tmp_path):
    first = _set(tmp_path, "first", ["Person", "Car", "dontcare"], [("Car", 1), ("Person", 2), ("dontcare", 3)])
    classes = ["car", "dog", "person", "DontCare"]
    second = _set(tmp_path, "second", classes, [("person", 4), ("dog", 5), ("car", 6), ("DontCare", 7)])
    found = read_boxes(Frames.make([first, second], tmp_path))
    assert found.classes == ["Person", "Car", "dog"]
    named = [{(found.classes[int(b[4])], b[0]) for b in rows} for rows in found.rows]
    assert named == [{("Car", 1), ("Person", 2)}, {("Person", 4), ("dog", 5), ("Car", 6)}]


def test_two_classes_of_one_name_in_a_file_are_refused(tmp_path):
    row = _set(tmp_path, "first", ["Car", "car"], [("Car", 1)])
    with pytest.raises(CrossbandError, match="two classes of one name"):
        read_boxes(Frames.make([row], tmp_path))


def test_a_crowd_is_no_box_to_be_found_but_is_told(tmp_path):
    row = _set(tmp_path, "first", ["car"], [("car", 1), ("car", 20)])
    coco = json.loads((tmp_path / row["boxes"]).read_text())
    coco["annotations"][1]["iscrowd"] = 1
    (tmp_path / row["boxes"]).write_text(json.dumps(coco))
    found = read_boxes(Frames.make([row], tmp_path))
    assert [boxes[0, 0] for boxes in (*found.rows, *found.crowds)] == [1, 20]
