import json

import numpy as np
import pytest

from crossband.errors import CrossbandError
from crossband.io import read_image
from crossband.simulation import contact_sheet, export_coco, export_mfnet, export_pst900

pytestmark = pytest.mark.slow


def test_mfnet(drive, tmp_path):
    out = export_mfnet(drive, tmp_path)
    names = [n for split in ("train", "val", "test") for n in (out / f"{split}.txt").read_text().split()]
    assert sorted(names) == sorted(drive.names)
    image = read_image(out / "images" / f"{names[0]}.png").pixels
    assert image.shape == (32, 48, 4)
    assert np.array_equal(image[..., :3], read_image(drive.root / "rgb" / f"{names[0]}.png").pixels)
    assert read_image(out / "labels" / f"{names[0]}.png").pixels.max() <= 8


def test_pst900(drive, tmp_path):
    out = export_pst900(drive, tmp_path)
    files = list(out.glob("*/labels/*.png"))
    assert len(files) == 7
    for file in files:
        assert set(np.unique(read_image(file).pixels)) <= {0, 2, 4}
        assert read_image(file.parents[1] / "thermal" / file.name).pixels.dtype == np.uint8
        assert read_image(file.parents[1] / "thermal_raw" / file.name).pixels.dtype == np.uint16


@pytest.mark.parametrize("band", ["rgb", "tir"])
def test_coco(drive, tmp_path, band):
    out = export_coco(drive, tmp_path, band)
    total = 0
    for file in (out / "annotations").iterdir():
        coco = json.loads(file.read_text())
        split = file.stem.removeprefix("instances_")
        ids = {image["id"] for image in coco["images"]}
        assert all(box["image_id"] in ids for box in coco["annotations"])
        assert all((out / "images" / split / image["file_name"]).is_file() for image in coco["images"])
        total += len(coco["images"])
    assert total == 7


def test_a_contact_sheet_shows_bands_and_classes_side_by_side(drive, tmp_path):
    path = contact_sheet(drive, tmp_path / "sheet.png", drive.names[:2])
    assert read_image(path).pixels.shape == (2 * 32, 4 * 48, 3)
    with pytest.raises(CrossbandError, match=drive.names[0]):
        contact_sheet(drive, tmp_path / "sheet.png", [drive.names[0] + "x"])
