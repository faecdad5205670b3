"""The package's own descriptor: trained, packed, and measured on real pairs it has never seen.

``python -m benchmarks.descriptor OUT ../shared/data --weights ../shared/weights`` trains
recipes/retrieval/crossband512.yaml below OUT, where m3svd/ holds M3SVD's frames (what is done already stays),
and writes the table of docs/retrieval.md; with ``--pack`` the checkpoint becomes the package's and has its card
in docs/models.md, with a picture of OUT/city/driving_231, a city it has not seen. Misaligned is a shift by 5 %,
a scale of 1.1 and a turn by 5 degrees at once. No list is re-ranked.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import PIL.Image
import torch

from crossband.bands import Band
from crossband.data.items import usable_part
from crossband.data.parts import Part
from crossband.data.preprocess import Warp
from crossband.datasets import scan
from crossband.frames import Frames
from crossband.io import as_image
from crossband.models.packaged import Card, card_of, pack
from crossband.reports.strips import Tile, strip, thumbnail
from crossband.retrieval import Descriptor, Options, benchmark
from crossband.training import train

from ._harness import ROOT, in_turn, machine, write_section

RECIPE = ROOT / "recipes" / "retrieval" / "crossband512.yaml"
OTHERS = {
    "efficientnet_lite0@blocks.4:avg5s3+center": "the default, no training",
    "efficientnet_lite0@blocks.4:avg5s4+center": "the trained one's windows, no training",
    "efficientnet_lite0@blocks.4:avg5+center": "the mark, no training",
    "squeezenet1_1": "SqueezeNet's flattened map, the paper's best",
}
SETS = ("roadscene", "epfl_nirscene", "llvip_sample")
_MEASURED = ("RoadScene", "RoadScene misaligned", "EPFL", "LLVIP")
_WAYS = ("first", "second")
_UNSEEN = {
    "frames": "city/driving_231",
    "simulate": {"preset": "driving", "frames": 160, "size": [256, 320], "seed": 231},
}


CARD = Card(
    name="crossband512",
    task="pairs",
    does="one scene across visible, near-infrared and thermal images, in 512 numbers",
    data="1,320 frames of ten of crossband's own simulated cities, by day and night, and 82 of M3SVD's videos",
    license="Apache-2.0",
    attribution="M3SVD: Linfeng Tang, MIT. Encoder: EfficientNet-Lite0, ImageNet, Apache-2.0",
    date="2026-11-30",
    images=24192,
    hours=1.2,
    hardware="2 x AMD EPYC",
    limits="Frames that follow each other and differ by a pedestrian (LLVIP): its windows are coarse.",
)


def main(out: Path, data: Path, weights: Path | None, ship: bool) -> None:
    checkpoint = train(RECIPE, (), out / "crossband512", data_root=out).checkpoint
    measure(Path(checkpoint), out, data, weights, ship)


def measure(checkpoint: Path, out: Path, data: Path, weights: Path | None, ship: bool) -> None:
    """Write the table of docs/retrieval.md; with ``ship`` the package gets the network, and its card."""
    options = Options(weights=weights, device="cpu")
    sets = {name: _frames(data / name) for name in SETS}
    packed = pack(checkpoint, CARD, out)
    models = {str(packed): "`crossband512`: learned on the city and M3SVD"}
    models |= {text: f"`{text}`: {said}" for text, said in OTHERS.items()}
    rows = [_row(text, said, sets, out / "store", options) for text, said in models.items()]
    speeds = _speeds(list(models), options)
    page = ROOT / "docs" / "retrieval.md"
    write_section(page, "own-descriptor", _table(rows, speeds, sets))
    if ship:
        path = pack(checkpoint, replace(CARD, figures=_figures(rows[0])))
        picture(usable_part(Part.model_validate(_UNSEEN), out), options)
        write_section(
            ROOT / "docs" / "models.md",
            "crossband512",
            _card_text(path, [len(sets[name]) for name in ("roadscene", *SETS)]),
        )


def _figures(row: list[str]) -> dict[str, float]:
    """R@1 both ways of each set, by the cells of a row."""
    both = {name: cell.split(", ") for name, cell in zip(_MEASURED, row[4:], strict=True)}
    return {
        f"{name} RGB {way}": float(one)
        for name, pair in both.items()
        for way, one in zip(_WAYS, pair, strict=True)
    }


def _card_text(path: Path, counts: Sequence[int]) -> str:
    """The card; ``counts`` are the pairs of what was measured, in the order of the figures."""
    card = card_of(path)
    assert card is not None
    return "\n".join(
        [
            f"- **Learned from**: {card.data}.",
            f"- **Training**: `recipes/retrieval/crossband512.yaml`, one seed; {card.images:,} images seen in "
            f"{card.hours:.1f} h of a shared {card.hardware}, {card.date}.",
            f"- **License**: {card.license}. {card.attribution}.",
            f"- **Size**: {path.stat().st_size / 1e6:.1f} MB.",
            f"- **Where it fails**: {card.limits}",
            f"- **Digest**: `{card.digest[:16]}`",
            "",
            "| real pairs, R@1 (95 %, Wilson) | pairs | RGB first | RGB second |",
            "|---|---:|---:|---:|",
            *(
                f"| {name} | {n} | "
                + " | ".join(_with_interval(card.figures[f"{name} RGB {way}"], n) for way in _WAYS)
                + " |"
                for name, n in zip(_MEASURED, counts, strict=True)
            ),
            "",
            "![Color queries in an unseen simulated city and the nearest thermal frames, which were shifted, "
            "scaled and turned; green is right, red is before it](images/crossband512.jpg)",
        ]
    )


def _with_interval(percent: float, n: int) -> str:
    """A share with its 95 % interval (Wilson, Journal of the American Statistical Association, 1927)."""
    share, z = percent / 100, 1.96
    middle, half = share + z * z / (2 * n), z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    low, high = (100 * (middle + side) / (1 + z * z / n) for side in (-half, half))
    return f"{percent:.1f} ({low:.1f} to {high:.1f})"


def picture(frames: Frames, options: Options) -> None:
    """Draw color queries, the worst among them, and what is nearest among all thermal frames, moved."""
    conditions = dict(zip(frames.names, frames.table["condition"], strict=True))
    with TemporaryDirectory() as folder:
        pairs = _moved(frames, Path(folder) / "pairs", Warp(0.05, 1.1, 5.0))
        store = Path(folder) / "store"
        run = benchmark(pairs, ["crossband512"], store=store, options=options, rerank=0).runs[0]
        rows = []
        for example in run.examples:
            note = "found first" if example.rank == 1 else f"its match ranks {example.rank}"
            query = pairs.root / "rgb" / f"{example.query}.png"
            row = [Tile(query, "rgb", f"query, {conditions[example.query]}", note)]
            for rank, (name, distance, right) in enumerate(example.found[:4], 1):
                path, mark = pairs.root / "tir" / f"{name}.png", right if rank <= example.rank else None
                row.append(Tile(path, "tir", f"{rank}.", f"distance {distance:.2f}", mark))
            rows.append(row)
        strip(rows).save(ROOT / "docs" / "images" / "crossband512.jpg", quality=85)


def _moved(frames: Frames, folder: Path, warp: Warp) -> Frames:
    """The frames as 8-bit pictures, the thermal ones moved."""
    for band in ("rgb", "tir"):
        (folder / band).mkdir(parents=True)
        for name, path in zip(frames.names, frames.paths(band), strict=True):
            seen = thumbnail(as_image(path, band), Band(band), (640, 512))
            if band == "tir":
                pixels = torch.from_numpy(np.array(seen)).permute(2, 0, 1).float()
                seen = PIL.Image.fromarray(warp(pixels).permute(1, 2, 0).round().byte().numpy())
            seen.save(folder / band / f"{name}.png")
    return scan(folder)


def _frames(folder: Path) -> Frames:
    """Pairs that are aligned: of the EPFL sets, the one whose images were not moved."""
    frames = scan(folder)
    if folder.name == "epfl_nirscene":
        keep = frames.table["rgb"].fillna("").str.contains("country/").to_numpy(bool)
        frames = frames.select(keep)
    return frames


def _row(text: str, said: str, sets: dict[str, Frames], store: Path, options: Options) -> list[str]:
    descriptor = Descriptor.load(text, options)
    cells = []
    numbers = 0
    for name, frames in sets.items():
        moved = name == "roadscene"
        runs = benchmark(frames, [text], store=store, options=options, misaligned=moved, rerank=0).runs
        numbers = runs[0].descriptor_dim
        cells.append(", ".join(f"{run.recall['1']:.1f}" for run in runs))
        if name == "roadscene":
            cells.append(", ".join(f"{run.misaligned['1']:.1f}" for run in runs if run.misaligned))
    used = descriptor.encoder.used_parameters(descriptor.layer)
    used += 0 if descriptor.axes is None else descriptor.axes.size
    return [said, f"{numbers:,}", f"{4 * numbers:,}", f"{used / 1e6:.2f}", *cells]


def _speeds(models: Sequence[str], options: Options) -> list[str]:
    """Images per second through network, pooling and axes, two at a time, one thread; in turn."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    images = torch.rand(8, 3, 320, 320)
    contenders = {}
    for text in models:
        descriptor = Descriptor.load(text, options)

        def run(d: Descriptor = descriptor) -> None:
            for pair in images.split(2):
                pooled = d.pooled(pair)
                if d.axes is not None:
                    torch.nn.functional.normalize(pooled) @ torch.from_numpy(d.axes)

        contenders[text] = run
    times = in_turn(contenders, rounds=5)
    torch.set_num_threads(threads)
    return [f"{len(images) / times[text].median:.0f}" for text in models]


def _table(rows: list[list[str]], speeds: list[str], sets: dict[str, Frames]) -> str:
    sizes = ", ".join(f"{name} {len(frames)}" for name, frames in sets.items())
    lines = [
        f"R@1 in percent, both ways (RGB first), protocol exact, not re-ranked; frames: {sizes}; EPFL's are "
        "`country`, RGB and near-infrared. Bytes are of float32. Images/s: one thread, 320x320, without "
        "reading. "
        f"{machine()}.",
        "",
        "| descriptor | dim | bytes per image | M parameters | RoadScene | RoadScene misaligned | EPFL "
        "| LLVIP | images/s |",
        "|---|---:|---:|---:|---|---|---|---|---:|",
        *(f"| {' | '.join(row)} | {speed} |" for row, speed in zip(rows, speeds, strict=True)),
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--pack", action="store_true")
    given = parser.parse_args()
    main(given.out, given.data, given.weights, given.pack)
