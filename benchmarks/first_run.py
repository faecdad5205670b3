"""The size of the wheel, and how long verbs take from an empty folder with nothing but a picture.

``python -m benchmarks.first_run FLIGHT STREET VEHICLES OUT`` puts pictures of three folders of the city into
OUT, runs ``segment``, ``detect``, ``reid`` and ``translate`` there, each as a process of its own that begins
with importing, and writes the table into docs/models.md. What they write stays in OUT, to be looked at.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import PIL.Image

from crossband.frames import Frames

from ._harness import ROOT, machine, write_section

_GALLERY = 40
_ROUNDS = 3


def fill(folder: Path, flights: Path, streets: Path, vehicles: Path) -> list[list[str]]:
    """Put pictures into an empty folder; what to run there."""
    street = Frames.read(streets / "frames.parquet")
    night = int(np.flatnonzero((street.table["condition"] == "night").to_numpy(bool))[0])
    _copy(street, night, "rgb", folder / "photo.png")
    _copy(street, night, "tir", folder / "thermal.png")
    flight = Frames.read(flights / "frames.parquet")
    day = int(np.flatnonzero((flight.table["condition"] == "day").to_numpy(bool))[0])
    _copy(flight, day, "tir", folder / "above.png")
    _copy(flight, day, "rgb", folder / "above.jpg")
    cars = Frames.read(vehicles / "frames.parquet").select(np.arange(_GALLERY))
    for band in ("rgb", "nir", "tir"):
        (folder / "cars" / band).mkdir(parents=True)
        for row in range(len(cars)):
            _copy(cars, row, band, folder / "cars" / band / f"{cars.names[row]}.png")
    car = cars.names[0]
    return [
        ["segment", "photo.png", "--tir", "thermal.png"],
        ["segment", "photo.png"],
        ["detect", "above.png"],
        ["reid", f"cars/rgb/{car}.png"],
        ["translate", "above.jpg"],
    ]


def _copy(frames: Frames, row: int, band: str, to: Path) -> None:
    path = frames.paths(band)[row]
    assert path is not None
    if to.suffix == path.suffix:
        shutil.copy(path, to)
    else:
        PIL.Image.open(path).convert("RGB").save(to, quality=92)


def seconds(command: list[str], folder: Path) -> float:
    """The quickest of a few runs, each in a folder without the results of the last."""
    found = []
    for number in range(_ROUNDS):
        start = time.perf_counter()
        run = [sys.executable, "-m", "crossband", *command]
        if command[0] in ("segment", "detect"):
            run += ["--out", f"{command[0]}_{number}_{len(command)}"]
        subprocess.run(run, cwd=folder, check=True, capture_output=True, env=_bare())
        found.append(time.perf_counter() - start)
    return min(found)


def _bare() -> dict[str, str]:
    """The environment without weights or caches of this machine."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("CROSSBAND_")}
    return {**kept, "CROSSBAND_OFFLINE": "1"}


def wheel() -> float:
    """The size of the wheel, MB."""
    with tempfile.TemporaryDirectory() as out:
        command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--quiet", "-w", out, str(ROOT)]
        subprocess.run(command, check=True)
        return next(Path(out).glob("*.whl")).stat().st_size / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("flight", "street", "vehicles", "out"):
        parser.add_argument(name, type=Path)
    given = parser.parse_args()
    given.out.mkdir(parents=True)
    lines = ["| from an empty folder | seconds |", "|---|---:|"]
    for command in fill(given.out, given.flight, given.street, given.vehicles):
        lines.append(f"| `crossband {' '.join(command)}` | {seconds(command, given.out):.1f} |")
        print(lines[-1], flush=True)
    weights = sum(path.stat().st_size for path in (ROOT / "src" / "crossband").rglob("*.safetensors")) / 1e6
    lines += [
        "",
        f"Each with all imports, the quickest of {_ROUNDS}; `reid` searches {_GALLERY - 1} other frames in "
        f"three bands. The wheel is {wheel():.1f} MB; its weights are {weights:.1f} MB before they are "
        f"compressed. {machine()}",
    ]
    write_section(ROOT / "docs" / "models.md", "first-run", "\n".join(lines))


if __name__ == "__main__":
    main()
