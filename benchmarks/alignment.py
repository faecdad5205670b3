"""Registration of two cameras against known transforms, into docs/matching.md.

``python -m benchmarks.alignment EPFL [FOLDER ...]`` aligns the pairs of EPFL's warped scenes, whose
``NNNN_nir.npy`` hold the true matrix from RGB to NIR pixels, and writes how far corners are off.
``python -m benchmarks.alignment rigs FOLDER ...`` fits a rig to each of some cities, made by ``crossband
simulate --preset driving --baseline METERS``, and writes how far it is from their true flow.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import numpy as np

from crossband.datasets import open_frames
from crossband.errors import CrossbandError
from crossband.io import read_image
from crossband.matching.align import Aligner, corner_error
from crossband.matching.rig import RigFit, fit_rig
from crossband.progress import track
from crossband.uav.align import read_flow

from ._harness import ROOT, machine, write_section

FOLDERS = ("field", "forest", "mountain", "oldbuilding")
_HEAD = (
    "| pairs | aligned | corners off by under 1 % of the side | median, % | median error / `error_px` "
    "| seconds a pair |\n|---|---:|---:|---:|---:|---:|"
)


def measure(folder: Path, aligner: Aligner) -> list[tuple[float, float, float]]:
    """For each pair: corners' mean error as percent of the side, the error over the told one, and seconds."""
    found = []
    truths = sorted(folder.glob("*_nir.npy"))
    for path in track(truths, len(truths), folder.name, "pairs"):
        number = path.name.removesuffix("_nir.npy")
        rgb, nir = (next(folder.glob(f"{number}_{band}.[!n]*")) for band in ("rgb", "nir"))
        truth = np.vstack([np.load(path, allow_pickle=False), [0, 0, 1]])
        start = time.process_time()
        try:
            one, other = aligner.read(rgb, "rgb"), aligner.read(nir, "nir")
            registered = aligner.align(one, other)
        except CrossbandError as error:
            print(f"{folder.name}/{number}: {error}", file=sys.stderr)
            found.append((np.inf, np.inf, time.process_time() - start))
            continue
        error = corner_error(registered.matrix, truth, one.size)
        share = 100 * error / max(other.size)
        found.append((share, error / max(registered.error_px, 1e-9), time.process_time() - start))
    return found


def line(name: str, found: list[tuple[float, float, float]]) -> str:
    table = np.array(found)
    there = np.isfinite(table[:, 0])
    return (
        f"| {name} | {there.sum()} of {len(table)} | {100 * (table[:, 0] < 1).mean():.1f} % "
        f"| {np.median(table[:, 0]):.2f} | {np.median(table[there, 1]):.2f} | {np.median(table[:, 2]):.1f} |"
    )


def main(root: Path, folders: list[str]) -> str:
    aligner, lines, everything = Aligner("auto"), [], []
    for name in folders:
        found = measure(root / name, aligner)
        everything += found
        lines.append(line(name, found))
        print(lines[-1], flush=True)
    lines.append(line("all", everything))
    told = f"RGB to warped NIR; processor time of one core. {machine()}"
    text = "\n".join([_HEAD, *lines, "", told])
    write_section(ROOT / "docs" / "matching.md", "alignment", text)
    return text


_RIG_HEAD = """| baseline | error, median | residuals of the nearest and of the farthest fifth | said |
|---:|---:|---:|---|"""


def off_flow(fit: RigFit) -> float:
    """How far a rig takes a pixel from where the true flow takes it: medians over pixels, then over frames."""
    errors, frames = [], fit.frames
    for path in frames.table["flow"]:
        flow, seen = read_flow(read_image(frames.root / path).pixels)
        rows, columns = np.mgrid[: flow.shape[0], : flow.shape[1]]
        here = np.stack([columns, rows, np.ones_like(rows)], -1)
        there = here @ fit.rig.matrix.T
        off = there[..., :2] / there[..., 2:] - here[..., :2] - flow
        errors.append(np.median(np.linalg.norm(off, axis=-1)[seen]))
    return float(np.median(errors))


def rigs(folders: list[Path]) -> str:
    lines = []
    for folder in folders:
        baseline = json.loads((folder / "simulation.json").read_text())["baseline"]
        fit = fit_rig(open_frames(folder), "homography", "rgb", "tir", most=20)
        depths = fit.residuals.by_depth()
        said = "one transform" if fit.rig.one_transform else "parallax"
        near, far = (f"{depths[end].along_px:+.1f}" for end in (0, -1))
        lines.append(f"| {100 * baseline:.0f} cm | {off_flow(fit):.2f} px | {near}, {far} px | {said} |")
        print(lines[-1], flush=True)
    text = "\n".join([_RIG_HEAD, *lines, "", machine()])
    write_section(ROOT / "docs" / "matching.md", "rigs", text)
    return text


if __name__ == "__main__":
    if sys.argv[1] == "rigs":
        print(rigs([Path(folder) for folder in sys.argv[2:]]))
        sys.exit()
    print(main(Path(sys.argv[1]), sys.argv[2:] or list(FOLDERS)))
