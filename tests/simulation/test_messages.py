"""What the simulation says where it cannot."""

from __future__ import annotations

import pytest

from crossband.errors import CrossbandError
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
    "plan": (lambda at: plan("retreival", None, 1, (24, 32), 0), "retrieval"),
    "weather": (lambda at: weather("clowdy"), "cloudy"),
    "frames": (lambda at: run(at, frames=0), "1 frame or more, not 0"),
    "size, small": (lambda at: run(at, size=(8, 8)), "16 to 4096 pixels, not 8 and 8"),
    "size, large": (lambda at: run(at, size=(320, 99999)), "16 to 4096 pixels, not 320 and 99999"),
    "seed": (lambda at: run(at, seed=-1), "0 or more, not -1"),
    "folder": (lambda at: run(at / "file" / "out"), "file"),
    "export": (lambda at: export_mfnet(others(at), at), "labels"),
    "sheet": (lambda at: contact_sheet(others(at), at / "s.png", ["b"]), "'b'"),
}


@pytest.mark.parametrize("case", MESSAGES)
def test_the_message_says(tmp_path, case):
    (tmp_path / "file").touch()
    call, words = MESSAGES[case]
    assert_says(lambda: call(tmp_path), words)


@pytest.mark.parametrize(
    ("parameter", "value"), [("frames", 0), ("size", (8, 8)), ("size", (320, 99999)), ("seed", -1)]
)
def test_the_error_names_the_parameter_that_fixes_it(tmp_path, parameter, value):
    with pytest.raises(CrossbandError) as caught:
        run(tmp_path, **{parameter: value})
    assert caught.value.parameter == parameter
