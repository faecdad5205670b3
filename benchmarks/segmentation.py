"""RSFNet deployed against RTFNet-152 and MFNet at 480x640 on the CPU, each in turn: eager, as ONNX, and eager
in bfloat16 with channels last.

``python -m benchmarks.segmentation [ROUNDS] [RESULTS.json] [HEIGHTxWIDTH]``
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import torch

from crossband.export import onnx_session, write_onnx
from crossband.models import create_segmenter
from crossband.nn.counting import count_cost
from crossband.nn.reparam import deploy

from ._harness import ROOT, Timing, in_turn, machine, write_section

NETWORKS = ("rsfnet50_18", "rsfnet101_34", "rtfnet152", "mfnet")
FORMS = ("eager", "ONNX", "bfloat16")
# on one RTX 2080 Ti, table III of Li et al.
PUBLISHED_FPS = {"rsfnet50_18": 81.36, "rsfnet101_34": 57.31, "rtfnet152": 33.86, "mfnet": 205.47}
_SLOWEST = "rtfnet152"


def contenders(folder: Path, size: tuple[int, int]) -> tuple[dict[str, Callable[[], object]], dict[str, float]]:
    """A pass of every network in each form, and the deployed networks' multiply-adds, 10^9."""
    images = torch.rand(1, 4, *size, generator=torch.Generator().manual_seed(0))
    short = images.to(torch.bfloat16).to(memory_format=torch.channels_last)
    runs: dict[str, Callable[[], object]] = {}
    macs = {}
    for name in NETWORKS:
        network = deploy(create_segmenter(name), torch.rand(1, 4, 64, 64))
        macs[name] = count_cost(network, 1, 4, *size).macs_g
        session = onnx_session(write_onnx(network, images, folder / f"{name}.onnx"))
        runs[f"{name} eager"] = lambda network=network: _pass(network, images)
        runs[f"{name} ONNX"] = lambda session=session: session.run(None, {"images": images.numpy()})
        half = deploy(create_segmenter(name), torch.rand(1, 4, 64, 64))
        half = half.to(torch.bfloat16).to(memory_format=torch.channels_last)
        runs[f"{name} bfloat16"] = lambda network=half: _pass(network, short)
    return runs, macs


def _pass(network: torch.nn.Module, images: torch.Tensor) -> None:
    with torch.inference_mode():
        network(images)


def table(times: dict[str, Timing], macs: dict[str, float]) -> str:
    """Frames per second, and how many times as fast as RTFNet-152 in the same form, round by round."""
    head = (
        "| network | form | MACs, G | ms, median | FPS | times RTFNet-152 (lowest to highest round) | paper |"
    )
    rows = [head, "|---|---|---|---|---|---|---|"]
    for run, timing in times.items():
        name, form = run.split()
        low, middle, high = timing.ratio(times[f"{_SLOWEST} {form}"])
        paper = PUBLISHED_FPS[name] / PUBLISHED_FPS[_SLOWEST]
        rows.append(
            f"| {name} | {form} | {macs[name]:.1f} | {1000 * timing.median:.0f} | {1 / timing.median:.2f} | "
            f"{middle:.2f} ({low:.2f} to {high:.2f}) | {paper:.2f} |"
        )
    return "\n".join(rows)


def gains(times: dict[str, Timing]) -> str:
    """How many times as fast RSFNet50-18 is in other forms than eager float32."""
    eager = times["rsfnet50_18 eager"]
    median = {form: times[f"rsfnet50_18 {form}"].ratio(eager)[1] for form in FORMS[1:]}
    return ", ".join(f"{value:.2f} times as {form}" for form, value in median.items())


def main(rounds: int = 5, results: Path | None = None, size: tuple[int, int] = (480, 640)) -> str:
    with tempfile.TemporaryDirectory() as folder:
        runs, macs = contenders(Path(folder), size)
        times = in_turn(runs, rounds)
    if results is not None:
        results.write_text(
            json.dumps({name: timing.seconds for name, timing in times.items()}), encoding="utf-8"
        )
    whole = statistics.median(sum(each) for each in zip(*(t.seconds for t in times.values()), strict=True))
    said = (
        f"RSFNet50-18's speed against eager float32: {gains(times)} (bfloat16 with channels last). A round "
        f"of all took {whole:.0f} s. The paper's column is on one RTX 2080 Ti."
    )
    threads = f"{torch.get_num_threads()} thread{'s' if torch.get_num_threads() > 1 else ''}"
    head = f"Segmentation, {size[0]}x{size[1]}, one frame at a time, deployed ({machine()}, {threads}):"
    return "\n".join([head, "", table(times, macs), "", said])


if __name__ == "__main__":
    sides = [int(side) for side in sys.argv[3].split("x")] if len(sys.argv) > 3 else [480, 640]
    text = main(
        *(int(value) for value in sys.argv[1:2]),
        *(Path(value) for value in sys.argv[2:3]),
        size=(sides[0], sides[1]),
    )
    if sides == [480, 640]:
        write_section(ROOT / "docs" / "segmentation.md", "segmentation", text)
    print(text)
