"""Registration of two cameras against known transforms, into docs/matching.md.

``python -m benchmarks.alignment EPFL [FOLDER ...]`` aligns the pairs of EPFL's warped scenes, whose
``NNNN_nir.npy`` hold the true matrix from RGB to NIR pixels, and writes how far corners are off.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np

from crossband.errors import CrossbandError
from crossband.matching.align import Aligner, corner_error
from crossband.progress import track

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


if __name__ == "__main__":
    print(main(Path(sys.argv[1]), sys.argv[2:] or list(FOLDERS)))
