"""A small tree of every known dataset, in the layout that its authors publish: paths, and the text of some."""

from __future__ import annotations

_BANDS = {"vtuav": ("rgb", "ir"), "msvr310": ("vis", "ni", "th"), "rgbnt201": ("RGB", "NI", "TI")}
_DRIVE = "_2021-08-13-21-36-10"
_PLACE = "@0585001.12@4477001.50@17@T@040.44000@-079.99000@p1@@090@@@@20230712_101500@{note}@.jpg"
_POLYGON = (
    "<annotation><object><name>car</name><polygon><x1>150</x1><y1>150</y1><x2>190</x2><y2>160</y2>"
    "<x3>180</x3><y3>200</y3><x4>140</x4><y4>190</y4></polygon></object></annotation>"
)

TREES: dict[str, dict[str, str | None]] = {
    "boson_nighttime": dict.fromkeys(
        f"{split}_{part}/@1203@4571.png" for split in ("train", "test") for part in ("database", "queries")
    ),
    "cold": dict.fromkeys(
        f"saarbruecken/seq4_{which}/std_cam/t1152283190.5_x1.25_y-0.5_a0.1.jpeg"
        for which in ("cloudy1", "night3")
    ),
    "color_thermal_objects": dict.fromkeys(["color/car7_a.jpg", "thermal/car7_01.png"]),
    "corridor": {"ref/000000.jpg": "", "query/000000.jpg": "", "gt.json": "{}"},
    "cvc14": {
        f"{time}/{camera}/{part}/{kind}/2014_05_01_17_53_06_010000.{suffix}": text if suffix == "txt" else ""
        for time in ("Day", "Night")
        for camera, text in (("Visible", "101 201 20 40 1 0 0 0 0 1 0\n"), ("FIR", ""))
        for part in ("Train", "NewTest")
        for kind, suffix in (("FramesPos", "tif"), ("Annotations", "txt"))
    },
    "drone_vehicle": {
        f"{split}/{split}{kind}/00001.{suffix}": _POLYGON if suffix == "xml" else ""
        for split in ("train", "val", "test")
        for kind, suffix in (("img", "jpg"), ("imgr", "jpg"), ("label", "xml"), ("labelr", "xml"))
    },
    "flir_adas": dict.fromkeys(
        f"{split}/{name}"
        for split in ("train", "val")
        for name in ("RGB/FLIR_00001.jpg", "thermal_8_bit/FLIR_00001.jpeg", "thermal_16_bit/FLIR_00001.tiff")
    ),
    "fmb": dict.fromkeys(
        f"{split}/{folder}/0000{i}.png"
        for split in ("train", "test")
        for folder in ("Visible", "Infrared", "Label", "color")
        for i in (1, 2)
    ),
    "freiburg_thermal": {
        **dict.fromkeys(
            f"train/{drive}/00/{kind}/{kind}_1570722156_952177040.png"
            for drive in ("seq_00_day", "seq_01_night")
            for kind in ("fl_rgb", "fl_ir_aligned", "fl_ir", "fr_rgb")
        ),
        "train/seq_00_day/00/fl_rgb_labels/fl_rgb_labels_1570722156_952177040.png": "",
        **dict.fromkeys(
            f"test/{time}/{file}"
            for time in ("day", "night")
            for file in (
                "ImagesRGB/1579080512_296238130_rgb.png",
                "ImagesIR/1579080512_296238130_ir.png",
                "SegmentationClass/1579080512_296238130.npy",
            )
        ),
    },
    "gardens_point": dict.fromkeys(f"{walk}/Image000.jpg" for walk in ("day_left", "day_right", "night_right")),
    "hit_uav": {
        "val/1_60_50_0_00319.jpg": "",
        "annotations/val.json": '{"images": [], "categories": [], "annotation": []}',
    },
    "ino": dict.fromkeys(f"INO_A/INO_A_{band}/000001.png" for band in ("RGB", "T")),
    "kaist": {
        **dict.fromkeys(
            f"images/{video}/{band}/I00000.jpg"
            for video in ("set00/V000", "set04/V001", "set11/V000")
            for band in ("visible", "lwir")
        ),
        "annotations/set00/V000/I00000.txt": "% bbGt version=3\nperson 10 20 30 40 0 0 0 0 0 0 0\n",
        "annotations/set04/V001/I00000.txt": "% bbGt version=3\n",
        "annotations-xml-new-sanitized/set00/V000/I00000.xml": (
            "<annotation><object><name>person</name><bndbox><x>11</x><y>21</y><w>30</w><h>40</h></bndbox></object>"
            "</annotation>"
        ),
        "imageSets/train-all-02.txt": "set00/V000/I00000\n",
    },
    "llvip": dict.fromkeys(
        f"{band}/{split}/{name}.jpg"
        for band in ("visible", "infrared")
        for split, name in (("train", "010001"), ("test", "190001"))
    ),
    "m3fd": dict.fromkeys(["Vis/00000.png", "Ir/00000.png", "Annotation/00000.xml"]),
    "mfnet": {
        "images/00003D.png": "",
        "labels/00003D.png": "",
        "train.txt": "",
        "val.txt": "",
        "test.txt": "00003D\n",
    },
    "micasense": dict.fromkeys(f"SYNC0000SET/000/IMG_0000_{band}.tif" for band in range(1, 7)),
    "ms2": {
        **dict.fromkeys(
            f"sync_data/{_DRIVE}/{camera}/img_{side}/{i:06d}.png"
            for camera in ("rgb", "nir", "thr")
            for side in ("left", "right")
            for i in range(2)
        ),
        **dict.fromkeys(
            [f"sync_data/{_DRIVE}/{camera}/img_left_timestamp.txt" for camera in ("rgb", "nir", "thr")],
            "1628215174691250698\n1628215174791250698\n",
        ),
        f"sync_data/{_DRIVE}/gps_imu/data/000000.txt": "127.3625\n80.1\n36.3741\n0\n0\n0\n0\n0.1\n0.2\n0.3\n",
        f"odom/{_DRIVE}/rgb/000000.txt": "1 0 0 2.5\n0 1 0 0\n0 0 1 7.5\n0 0 0 1\n",
        "train_list.txt": f"{_DRIVE}\n",
        "val_list.txt": "_2021-08-13-16-08-46\n",
    },
    "msrs": dict.fromkeys(
        f"{split}/{folder}/0000{i}D.png"
        for split in ("train", "test")
        for folder in ("vi", "ir", "Segmentation_labels")
        for i in (1, 2)
    ),
    "msvr310": dict.fromkeys(
        f"{folder}/0001/{band}/0001_s001_v1_000.jpg"
        for folder in ("bounding_box_train", "query3", "bounding_box_test")
        for band in _BANDS["msvr310"]
    ),
    "oxford_radar_robotcar": {
        "2019-01-10-11-46-21-radar-oxford-10k/mono_left/1000000.png": "",
        "2019-01-10-11-46-21-radar-oxford-10k/gps/ins.csv": (
            "timestamp,northing,easting,yaw\n0,1,2,0\n2000000,1,2,0\n"
        ),
    },
    "pst900": dict.fromkeys(
        f"{split}/{folder}/a.png"
        for split in ("train", "test")
        for folder in ("rgb", "thermal", "thermal_raw", "labels")
    ),
    "regdb": {
        **{
            f"{folder}/{identity}/male_back_{letter}_0000{i}_{identity}.bmp": ""
            for folder, letter in (("Visible", "v"), ("Thermal", "t"))
            for identity in (1, 2)
            for i in (1, 2)
        },
        **{
            f"idx/{half}_{folder.lower()}_{trial}.txt": "".join(
                f"{folder}/{identity}/male_back_{letter}_0000{i}_{identity}.bmp 0\n" for i in (1, 2)
            )
            for folder, letter in (("Visible", "v"), ("Thermal", "t"))
            for trial in (1, 2)
            for half, identity in (("train", trial), ("test", 3 - trial))
        },
    },
    "rgbn300": {
        "rgbn300.txt": "",
        **dict.fromkeys(f"bounding_box_train/{band}/0001_c1_0001.png" for band in ("rgb", "nir")),
    },
    "rgbnt100": {
        "rgbnt100.txt": "",
        **dict.fromkeys(f"bounding_box_train/{band}/0001_c1_0001.png" for band in ("rgb", "nir", "tir")),
    },
    "rgbnt201": dict.fromkeys(
        f"{folder}/{band}/000001_cam1_0_00.jpg"
        for folder in ("train_171", "test")
        for band in _BANDS["rgbnt201"]
    ),
    "roadscene": dict.fromkeys(["crop_LR_visible/FLIR_00006.jpg", "cropinfrared/FLIR_00006.jpg"]),
    "sequoia": dict.fromkeys(
        f"0001/IMG_170805_17394{second}_000{second}_{band}"
        for second in (4, 5)
        for band in ("RGB.JPG", "GRE.TIF", "NIR.TIF", "RED.TIF", "REG.TIF")
    ),
    "sysu_mm01": {
        **dict.fromkeys(
            f"cam{camera}/{identity:04d}/0001.jpg" for camera in range(1, 7) for identity in (1, 2, 6)
        ),
        "exp/train_id.txt": "1\n",
        "exp/val_id.txt": "2,3\n",
        "exp/test_id.txt": "6,10\n",
        "exp/available_id.txt": "1,2,3,6,10\n",
    },
    "vedai": {
        **dict.fromkeys(f"Vehicules512/0000000{i}_{end}.png" for i in range(3) for end in ("co", "ir")),
        "Annotations512/00000000.txt": (
            "100.5 80.0 0.8 1 1 0 90 110 112 92 70 72 90 88\n9 9 0 11 1 0 1 2 3 4 5 6 7 8\n"
        ),
        "Annotations512/annotation512.txt": "00000000 100.5 80.0 0.8 90 110 112 92 70 72 90 88 001 1 0\n",
        "Annotations512/fold01.txt": "00000000\n00000001\n",
        "Annotations512/fold01test.txt": "00000002\n",
        "Annotations512/fold02.txt": "00000002\n00000001\n",
        "Annotations512/fold02test.txt": "00000000\n",
    },
    "vot_rgbt": dict.fromkeys(["car/color/00000001v.jpg", "car/ir/00000001i.jpg", "car/groundtruth.txt"]),
    "vpr": dict.fromkeys(
        f"images/{split}/{folder}/" + _PLACE.format(note=note)
        for split in ("train", "val", "test")
        for folder, note in (("database", "a"), ("queries", "b"))
    ),
    "vtuav": dict.fromkeys(
        f"train_ST_001/bus_017/{file}" for file in ("rgb/000000.jpg", "ir/000000.jpg", "rgb.txt", "ir.txt")
    ),
}
