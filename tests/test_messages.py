"""What bands, frames, weights, files, profiles and exports say where they cannot."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from crossband.bands import Normalization, parse_band, parse_units, to_kelvin
from crossband.export import export
from crossband.files import make_folder
from crossband.frames import Frames
from crossband.profile import profile
from crossband.weights import WeightsSource, find_weights, load_state_dict

from .messages import assert_says

GRAY16 = np.zeros((2, 2), np.uint16)
PAIR = {"frame": "a", "rgb": "a", "split": "gallery"}
NET = WeightsSource("net", url="https://weights.invalid/models/net-0123abcd.pth")


def make(*rows: dict, root: str = ".") -> Frames:
    return Frames.make(list(rows), root)


def normalize(text: str, pixels: np.ndarray = GRAY16) -> np.ndarray:
    return Normalization.parse(text)(pixels)


MESSAGES = {
    "band": (lambda: parse_band("tirr"), "unknown band 'tirr'; did you mean tir"),
    "units": (
        lambda: parse_units("centikelvins"),
        "unknown units 'centikelvins'; did you mean centikelvin",
    ),
    "counts": (lambda: to_kelvin(GRAY16, "counts"), "counts have no temperature ... tir_units"),
    "kelvin of counts": (lambda: normalize("kelvin"), "counts have no temperature"),
    "8 bits": (lambda: normalize("repeat8"), "repeat8 needs 8-bit pixels, not uint16"),
    "range": (lambda: normalize("range", np.zeros((2, 2), np.float32)), "float32; use percentile"),
    "limits": (lambda: normalize("kelvin:300:300"), "needs two limits"),
    "normalization": (lambda: normalize("percentil"), "unknown normalization 'percentil'"),
    "frames, a name twice": (lambda: make(PAIR, PAIR), "frame names must be unique; 'a' appears twice"),
    "frames, no name": (
        lambda: make({"frame": None, "rgb": "a"}),
        "every row of a manifest needs a frame name",
    ),
    "frames, no image": (lambda: make({"frame": "a", "place": "b"}), "at least one of rgb, nir, tir"),
    "frames, no column": (lambda: make({"rgb": "a"}), "a column 'frame'"),
    "frames, a word": (
        lambda: make({**PAIR, "x": "north"}),
        "column 'x' of the manifest must hold numbers",
    ),
    "frames, units": (
        lambda: make({**PAIR, "tir_units": "fahrenheit"}),
        "unknown units 'fahrenheit'",
    ),
    "frames, a path outside": (
        lambda: make({"frame": "a", "rgb": "../a.png"}),
        "paths must stay inside the manifest's folder; rgb has",
    ),
    "frames, split": (lambda: make(PAIR).split("test"), "no frames in split test; there are gallery"),
    "frames, no split": (lambda: make({"frame": "a", "rgb": "a"}).split("test"), "there are none"),
    "frames, band": (
        lambda: make({**PAIR, "tir": "b"}).paths("nir"),
        "no frames have the band nir; these have rgb, tir",
    ),
    "profile, model": (
        lambda: profile("rsfnet50-18"),
        "unknown model 'rsfnet50-18'; did you mean rsfnet50_18",
    ),
    "profile, form": (
        lambda: profile("mfnet", forms=["trained"]),
        "unknown form 'trained'; did you mean training",
    ),
    "profile, dtype": (lambda: profile("mfnet", dtype="int8"), "unknown dtype 'int8'"),
    "profile, options": (
        lambda: profile("squeezenet1_1", options={"kernel_size": 3}),
        "squeezenet1_1 ... takes no options",
    ),
    "profile, size": (
        lambda: profile("mfnet", size=(8, 8), rounds=0),
        "cannot read images of ... choose another size",
    ),
    "export, file": (lambda: export("mfnet", "a.pt"), "an export is a .onnx file"),
    "weights, no download": (lambda: find_weights(WeightsSource("net")), "no download is available"),
    "weights, offline": (lambda: find_weights(NET, download=False), "downloads are off"),
}

FILES = {
    "manifest, gone": (
        lambda at: Frames.read(at / "f.csv"),
        "no manifest at ... f.csv; crossband data scan writes one",
    ),
    "manifest, root gone": (lambda at: Frames.read(at / "gone.csv"), "which is no folder; give their folder"),
    "manifest, suffix": (
        lambda at: make(PAIR, root=at).write(at / "f.txt"),
        "a .parquet or .csv file, not f.txt",
    ),
    "manifest, folder": (
        lambda at: make(PAIR, root=at).write(at / "gone.csv" / "f.csv"),
        "cannot write ... choose another place",
    ),
    "manifest, mixed": (
        lambda at: make({**PAIR, "own": 1}, {**PAIR, "frame": "b", "own": "x"}, root=at).write(
            at / "f.parquet"
        ),
        "cannot hold these columns",
    ),
    "folder": (lambda at: make_folder(at / "gone.csv" / "out"), "cannot write"),
    "weights, given": (lambda at: find_weights(NET, at / "nowhere"), "no weights at ... nowhere"),
    "weights, damaged": (
        lambda at: load_state_dict(at / "cut.pth"),
        "cut.pth holds no weights that can be loaded safely",
    ),
    "weights, no tensors": (lambda at: load_state_dict(at / "epoch.pth"), "is not a state dict"),
}


@pytest.mark.parametrize("case", MESSAGES)
def test_the_message_says(case, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.delenv("CROSSBAND_WEIGHTS", raising=False)
    assert_says(*MESSAGES[case])


@pytest.mark.parametrize("case", FILES)
def test_a_file_says(case, tmp_path):
    (tmp_path / "gone.csv").write_text("# root: gone\nframe,rgb\na,a.png\n")
    torch.save({"epoch": 3}, tmp_path / "epoch.pth")
    (tmp_path / "cut.pth").write_bytes((tmp_path / "epoch.pth").read_bytes()[:-9])
    call, words = FILES[case]
    assert_says(lambda: call(tmp_path), words)
