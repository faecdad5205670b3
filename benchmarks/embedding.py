"""Images per second of the embedding pass, and what its ways of running a network do to recall.

``python -m benchmarks.embedding [--before SRC]`` measures the pass against a plain torch loop (Pillow,
torchvision's transforms, 32 images a forward pass, torch's own threads) and, with the ``src`` folder of another
checkout, against that one: each in a process of its own, in turn. Networks without weights at hand get random
ones. ``python -m benchmarks.embedding recall FRAMES...`` runs each network as it is, as its quick copy and in
bfloat16, and compares R@1. Both write into docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import PIL.Image
import torch
import torchvision
from torchvision import transforms

from crossband.allocator import keep_freed_memory
from crossband.datasets import open_frames, scan
from crossband.errors import CrossbandError
from crossband.frames import Frames
from crossband.retrieval import Descriptor, Options, benchmark, embed

from ._harness import ROOT, Timing, machine, sample_pairs, write_section

MODELS = ("crossband", "crossband512", "squeezenet1_1", "mobilenet_v2", "resnet50", "hog")
PAIRS, ROUNDS, BATCH = 48, 3, 32


def plain_loop(frames: Frames, descriptor: Descriptor) -> None:
    statistics = descriptor.encoder.statistics
    transform = transforms.Compose(
        [
            transforms.Resize((320, 320)),
            transforms.ToTensor(),
            transforms.Normalize(statistics.mean, statistics.std),
        ]
    )
    paths = [path for band in frames.bands for path in frames.paths(band)]
    with torch.inference_mode():
        for start in range(0, len(paths), BATCH):
            images = [transform(PIL.Image.open(path).convert("RGB")) for path in paths[start : start + BATCH]]
            descriptor.pooling(descriptor.encoder(torch.stack(images), descriptor.layer))


def embedding_pass(frames: Frames, descriptor: Descriptor) -> None:
    with tempfile.TemporaryDirectory() as store:
        embed(frames, descriptor, store=store)


def chosen_pace(descriptor: Descriptor) -> str:
    """The way the network is run here, measured if it is not known; nothing in an older checkout."""
    try:
        from crossband.retrieval.descriptor.pace import choose_pace
    except ImportError:
        return ""
    return choose_pace(descriptor, 1000)


def timed_here(folder: Path, model: str, contender: str, weights: str | None) -> dict[str, object]:
    """Seconds of one pass after one that does not count, by the processor and on the clock."""
    keep_freed_memory()
    frames, descriptor = scan(folder), Descriptor.load(model, Options(weights=weights, device="cpu"))
    if contender == "loop":
        run, pace = plain_loop, ""
    else:
        run, pace = embedding_pass, chosen_pace(descriptor)
    run(frames.select(slice(0, 8)), descriptor)
    start, worked = time.perf_counter(), time.process_time()
    run(frames, descriptor)
    return {"clock": time.perf_counter() - start, "seconds": time.process_time() - worked, "pace": pace}


def timed(folder: Path, model: str, contender: str, source: Path, weights: Path | None) -> dict[str, object]:
    """The same in a process of its own, by the code in a folder."""
    asked = json.dumps([str(folder), model, contender, None if weights is None else str(weights)])
    paths = f"{source}{os.pathsep}{ROOT}"
    command = [sys.executable, "-m", "benchmarks.embedding", "--child", asked]
    done = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": paths}, capture_output=True, text=True, check=True
    )
    found: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    return found


def weights_of(model: str, folder: Path) -> Path | None:
    """A folder with random weights for a network that has none at hand."""
    try:
        Descriptor.load(model, Options(device="cpu"))
    except CrossbandError:
        from safetensors.torch import save_file

        torch.manual_seed(0)
        save_file(torchvision.models.get_model(model).state_dict(), folder / f"{model}.safetensors")
        return folder
    return None


Found = dict[str, list[dict[str, object]]]


def measured(models: tuple[str, ...], before: Path | None) -> dict[str, Found]:
    """What each contender took in each round, a model."""
    contenders = {"loop": ROOT / "src", "now": ROOT / "src"} | ({"before": before} if before else {})
    found: dict[str, Found] = {}
    with tempfile.TemporaryDirectory() as kept:
        folder = sample_pairs(Path(kept) / "images", PAIRS)
        for model in models:
            weights = weights_of(model, Path(kept))
            found[model] = {name: [] for name in contenders}
            for _ in range(ROUNDS):
                for name, source in contenders.items():
                    found[model][name].append(timed(folder, model, name, source, weights))
                    print(model, name, found[model][name][-1], file=sys.stderr, flush=True)
    return found


def table(found: dict[str, Found]) -> str:
    lines = [
        "| model | plain loop | before | now | times as fast as the loop | as before | likewise on the clock | "
        "how it is run |",
        "|---|---:|---:|---:|---:|---:|---:|---|",
    ]
    for model, contenders in found.items():
        work, clock = (
            {name: Timing([float(str(one[kind])) for one in rounds]) for name, rounds in contenders.items()}
            for kind in ("seconds", "clock")
        )
        others = [name for name in ("loop", "before") if name in work]
        rate = {name: f"{2 * PAIRS / timing.median:.0f}" for name, timing in work.items()}
        over = {name: f"{work['now'].ratio(work[name])[1]:.2f}" for name in others}
        seen = ", ".join(f"{clock['now'].ratio(clock[name])[1]:.2f}" for name in others)
        lines.append(
            f"| `{model}` | {rate['loop']} | {rate.get('before', '')} | {rate['now']} | {over['loop']} | "
            f"{over.get('before', '')} | {seen} | {contenders['now'][-1]['pace']} |"
        )
    note = (
        "Images of 500 x 330 for a second of the processor, 320 x 320 to the network; medians of "
        f"{ROUNDS} rounds in turn. {machine()}."
    )
    return "\n".join([*lines, "", note])


def recall(sources: list[str], models: tuple[str, ...]) -> str:
    lines = [
        "| frames | model | R@1 of all directions between two bands | as its quick copy | in bfloat16 |",
        "|---|---|---|---|---|",
    ]
    for source in sources:
        for model in (name for name in models if name not in ("hog", "resnet50")):
            cells = []
            for pace in ("plain", "float32", "bfloat16"):
                os.environ["CROSSBAND_PACE"] = pace
                with tempfile.TemporaryDirectory() as store:
                    options = Options(device="cpu")
                    frames = open_frames(source)
                    runs = benchmark(frames, model, options=options, store=store, rerank=0, misaligned=False)
                cells.append(", ".join(f"{run.recall['1']:.1f}" for run in runs.runs))
            print(source, model, cells, file=sys.stderr, flush=True)
            lines.append(f"| {Path(source).name} | `{model}` | " + " | ".join(cells) + " |")
    return "\n".join([*lines, "", f"By the descriptor alone. {machine()}."])


def main() -> str:
    return table(measured(MODELS, None))


def command() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", nargs="*", default=[])
    parser.add_argument("--before", type=Path)
    parser.add_argument("--models", default=",".join(MODELS))
    parser.add_argument("--child")
    asked = parser.parse_args()
    if asked.child:
        folder, model, contender, weights = json.loads(asked.child)
        print(json.dumps(timed_here(Path(folder), model, contender, weights)))
        return
    recalled = asked.what[:1] == ["recall"]
    models = tuple(asked.models.split(","))
    text = recall(asked.what[1:], models) if recalled else table(measured(models, asked.before))
    print(text)
    write_section(ROOT / "docs" / "benchmarks.md", "paces" if recalled else "embedding", text)


if __name__ == "__main__":
    command()
