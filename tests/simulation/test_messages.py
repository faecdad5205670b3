"""What the simulation says where it cannot."""

from __future__ import annotations

import pytest

from crossband.frames import Frames
from crossband.simulation import simulate
from crossband.simulation.export import export_mfnet
from crossband.simulation.presets import plan
from crossband.simulation.sheet import contact_sheet
from crossband.simulation.weather import weather

from ..messages import assert_says


def run(out, preset="driving", frames=1, size=(48, 32), seed=0):
    return simulate(preset, frames, size, seed, out)


def others(root) -> Frames:
    return Frames.make([{"frame": "a", "rgb": "a.png"}], root)


MESSAGES = {
    "preset": (lambda at: run(at, "driveing"), "driving"),
    "plan": (lambda at: plan("retreival", None, 1, (32, 24), 0), "retrieval"),
    "weather": (lambda at: weather("clowdy"), "cloudy"),
    "frames": (lambda at: run(at, frames=0), "--frames"),
    "size, small": (lambda at: run(at, size=(8, 8)), "--size"),
    "size, large": (lambda at: run(at, size=(320, 99999)), "--size"),
    "seed": (lambda at: run(at, seed=-1), "--seed"),
    "folder": (lambda at: run(at / "file" / "out"), "file"),
    "export": (lambda at: export_mfnet(others(at), at), "labels"),
    "sheet": (lambda at: contact_sheet(others(at), at / "s.png", ["b"]), "'b'"),
}


@pytest.mark.parametrize("case", MESSAGES)
def test_the_message_says(tmp_path, case):
    (tmp_path / "file").touch()
    call, words = MESSAGES[case]
    assert_says(lambda: call(tmp_path), words)
