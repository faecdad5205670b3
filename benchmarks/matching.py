"""Re-ranking, "same place" and registration, measured: the tables of docs/matching.md.

``python -m benchmarks.matching calibrate OUT --city CITY --m3svd M3SVD`` fits the probability of one place on
the simulated city (other seeds than the demo's) and M3SVD (MIT) alone. ``... recall`` measures on sets it has
not seen and, with ``--write``, puts its rows into docs/matching.md. ``... features OUT --sets
roadscene=FOLDER`` compares learned local features with the encoder's maps without a first stage. ``... walks
OUT --sets NAME=FOLDER ...`` measures walks (one band), frame by frame and by sequences of 5, 9 and 15.
"""

from __future__ import annotations

import argparse
import math
import time
from dataclasses import fields, replace
from pathlib import Path
from typing import cast

import numpy as np
import torch
import torch.nn.functional as F
from scipy.optimize import minimize
from scipy.special import expit

from crossband.bands import Band
from crossband.data.preprocess import Warp
from crossband.datasets import open_frames, scan
from crossband.frames import Frames
from crossband.io import read_image
from crossband.matching import Evidence, LocalFeatures, MatchReranker, SamePlace
from crossband.matching.keypoints import OWN, KeypointReranker, create_features
from crossband.metrics import Protocol, recall_at
from crossband.metrics.reliability import reliability
from crossband.progress import track
from crossband.retrieval import Descriptor, benchmark, embed
from crossband.retrieval.directions import Sides, directions
from crossband.retrieval.measure import MISALIGNED
from crossband.retrieval.rerank import Reranking, rerank

from ._harness import ROOT, machine, write_section

HARD = Warp(shift=0.10, scale=1.15, rotate=8)


def two_bands(folder: Path) -> Frames:
    """Frames of a folder with RGB and one more band."""
    frames = open_frames(folder)
    if Band.TIR in frames.bands and Band.NIR in frames.bands:
        return Frames(frames.table.drop(columns="nir"), frames.root)
    return frames


def m3svd(root: Path, out: Path, each: int = 8) -> Frames:
    """``each`` moments of each of M3SVD's videos as images."""
    import cv2

    for band, name in (("visible", "rgb"), ("infrared", "tir")):
        (out / name).mkdir(parents=True, exist_ok=True)
        for video in sorted((root / band).glob("*.mp4")):
            if (out / name / f"{video.stem}_{each - 1}.png").exists():
                continue
            capture = cv2.VideoCapture(str(video))
            total = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
            for moment in range(each):
                capture.set(cv2.CAP_PROP_POS_FRAMES, int(total * (moment + 0.5) / each))
                cv2.imwrite(str(out / name / f"{video.stem}_{moment}.png"), capture.read()[1])
    return scan(out)


def images(frames: Frames, every: int = 1) -> list[tuple[Path, Band]]:
    """The images of all bands."""
    return [(path, band) for band in frames.bands for path in frames.paths(band)[::every] if path is not None]


def local(
    descriptor: Descriptor, features: LocalFeatures, band: Band, path: Path, warp: Warp | None
) -> torch.Tensor:
    pixels = replace(descriptor.preprocess, warp=warp)(read_image(path, band), band)
    with torch.inference_mode():
        return features(pixels[None])[0]


def calibrate(sets: list[tuple[str, Frames]], out: Path, others: int = 9, seed: int = 0) -> SamePlace:
    """Fit the probability of one place on right pairs under random misalignments and as many wrong ones: for a
    pair by itself, also where one camera sees much less than the other, the one of nine at random that agrees
    best; for lists, of which every second one lacks the right image, of the nine nearest by the descriptor."""
    descriptor, rng = Descriptor.load(), np.random.default_rng(seed)
    reranker = MatchReranker(descriptor.encoder, descriptor.preprocess.size)
    alone, listed = [], []
    for _, frames in track(sets, len(sets), "calibrating", "sets"):
        warps, wide = (
            [random_warp(rng, shift, math.log(scale)) for _ in range(len(frames))]
            for shift, scale in ((0.1, 1.15), (0.2, 1.6))
        )
        still: list[Warp | None] = [None] * len(frames)
        (mine, near), (theirs, far), (cut, _) = (
            described(descriptor, reranker.features, frames.paths(band), band, moves)
            for band, moves in zip((*frames.bands[:2], frames.bands[1]), (still, warps, wide), strict=True)
        )
        apart, places = np.linalg.norm(near[:, None] - far, axis=2), place_codes(frames)
        for row, code in enumerate(places):
            order = np.argsort(apart[row])
            wrong = order[places[order] != code][: others + 1]
            found = reranker.evidence(mine[row], [theirs[c] for c in (row, *wrong)])
            anyone = rng.choice(order[places[order] != code], others, replace=False)
            for those in (theirs, cut):
                pairs = reranker.evidence(mine[row], [those[c] for c in (row, *anyone)])
                best = 1 + int(pairs.agreement[1:].argmax())
                alone += [(pairs.features()[0], True), (pairs.features()[best], False)]
            for members, right in ((slice(0, others + 1), True), (slice(1, None), False)):
                some = led(found, members)
                best = int(some.agreement.argmax()) if not right else 0
                listed.append((some.features()[best], right))
                if right and len(some.agreement) > 1:
                    listed.append((some.features()[1 + int(some.agreement[1:].argmax())], False))
    (weights, bias), (listed_weights, listed_bias) = fitted(alone), fitted(listed)
    told = " and ".join(dict.fromkeys(name for name, _ in sets)) + f", {len(alone)} pairs"
    model = SamePlace(weights, bias, listed_weights, listed_bias, told)
    model.write(out)
    print(model)
    return model


def random_warp(rng: np.random.Generator, shift: float, scale: float) -> Warp:
    """A warp by up to a share of the sides, a logarithm of the scale, and 8 degrees."""
    return Warp(
        float(rng.uniform(-shift, shift)), math.exp(rng.uniform(-scale, scale)), float(rng.uniform(-8, 8))
    )


def described(
    descriptor: Descriptor, features: LocalFeatures, paths: list[Path], band: Band, warps: list[Warp | None]
) -> tuple[list[torch.Tensor], np.ndarray]:
    """Local features of images, and their descriptors, less the mean."""
    found, vectors = [], []
    for path, warp in zip(paths, warps, strict=True):
        pixels = replace(descriptor.preprocess, warp=warp)(read_image(path, band), band)[None]
        with torch.inference_mode():
            found.append(features(pixels)[0])
            vectors.append(F.normalize(descriptor.pooled(pixels), dim=1)[0].numpy())
    centered = np.stack(vectors) - np.mean(vectors, 0)
    return found, centered / np.linalg.norm(centered, axis=1, keepdims=True)


def led(found: Evidence, members: slice) -> Evidence:
    """The evidence of some candidates as a list, the best's margin over the next with it."""
    some = Evidence(*(getattr(found, f.name)[members] for f in fields(found) if f.name != "margin"))
    order = np.argsort(-some.agreement)
    margin = np.zeros(len(order))
    if len(order) > 1:
        margin[order[0]] = some.agreement[order[0]] - some.agreement[order[1]]
    return replace(some, margin=margin)


def fitted(rows: list[tuple[np.ndarray, bool]]) -> tuple[tuple[float, ...], float]:
    """Weights and bias of a logistic regression, and how well it does on its own rows, printed.

    No weight is negative: more of any evidence never makes one place less probable.
    """
    x, y = np.array([row for row, _ in rows]), np.array([right for _, right in rows])
    scale, sign = x.std(0), np.where(y, 1, -1)

    def loss(weights: np.ndarray) -> float:
        odds = sign * (x / scale @ weights[:-1] + weights[-1])
        return float(np.logaddexp(0, -odds).sum() + (weights[:-1] ** 2).sum() / 2)

    n = x.shape[1]
    found = minimize(loss, np.zeros(n + 1), bounds=[(0, None)] * n + [(None, None)]).x
    print(reliability(expit(x / scale @ found[:-1] + found[-1]), y))
    return tuple((found[:-1] / scale).round(4).tolist()), round(float(found[-1]), 4)


def place_codes(frames: Frames) -> np.ndarray:
    """What makes two frames another place: the manifest's place or sequence, or the video."""
    for column in ("place", "sequence"):
        if frames.has(column):
            return frames.table[column].to_numpy(str)
    return np.array([frame.rsplit("_", 1)[0] for frame in frames.names])


def recall(frames: Frames, store: Path, warps: dict[str, Warp | None], k: int = 10) -> list[str]:
    """Rows of the table: R@1 of the descriptor and re-ranked, both ways; how far "same place" holds."""
    descriptor = Descriptor.load()
    reranking = Reranking.of(descriptor)
    assert reranking is not None
    rule, bands = Protocol.parse("exact"), list(frames.bands[:2])
    ways = directions(frames, bands[0].value, bands[1].value, rule) + directions(
        frames, bands[1].value, bands[0].value, rule
    )
    plain = embed(frames, descriptor, bands, store=store, reranking=reranking)
    lines = []
    for name, warp in warps.items():
        moved = None
        if warp is not None:
            moved = embed(
                frames, descriptor.with_warp(warp), bands[1:], store=store, reranking=reranking.with_warp(warp)
            )
        cells, trusted = [], []
        for way in ways:
            sides = Sides.of(plain, way, moved, bands[1])
            ours = Sides.of(plain.local, way, moved.local if moved else None, bands[1])
            lists = rerank(sides, ours, reranking.reranker, k)
            positives = rule.positives(sides.query_frames, sides.gallery_frames)
            before = sides.ranks(rule, 1 << 30)
            after = lists.ranks(before, positives)
            cells.append((recall_at(before, 1), recall_at(after, 1)))
            trusted.append(lists.trust(positives))
        told = "; ".join(f"{t['auroc']:.3f}, {t['ece']:.3f}" for t in trusted if t is not None)
        lines.append(
            f"| {name} | {cells[0][0]:.1f}, {cells[1][0]:.1f} | {cells[0][1]:.1f}, {cells[1][1]:.1f} | {told} |"
        )
        print(lines[-1], flush=True)
    return lines


def compared_features(frames: Frames, names: list[str], weights: Path | None, warp: Warp | None) -> list[str]:
    """Rows of the table of local features: every query against every item, both ways, in one run."""
    descriptor, (first, second) = Descriptor.load(), frames.bands[:2]
    statistics = descriptor.encoder.statistics
    lines = []
    for name in names:
        if name == OWN:
            reranker = MatchReranker(descriptor.encoder, descriptor.preprocess.size)
        else:
            reranker = KeypointReranker(create_features(name, weights), name, statistics, 1024)
        kept, start = {}, time.process_time()
        for band, moved in ((first, None), (second, warp)):
            preprocess = replace(descriptor.preprocess, warp=moved)
            with torch.inference_mode():
                kept[band] = [
                    reranker(preprocess(read_image(path, band), band)[None])[0]
                    for path in track(frames.paths(band), len(frames), f"{name}, {band}")
                ]
        image_ms = (time.process_time() - start) * 1e3 / (2 * len(frames))
        recalls, start = [], time.process_time()
        for asked, searched in ((first, second), (second, first)):
            right = 0
            for row, query in enumerate(track(kept[asked], len(frames), f"{name}, {asked}")):
                scores = reranker.scores(query, kept[searched])
                right += int((scores >= scores[row]).sum() == 1)  # a tie counts against
            recalls.append(100 * right / len(frames))
        pair_ms = (time.process_time() - start) * 1e3 / (2 * len(frames) ** 2)
        lines.append(f"| {name} | {recalls[0]:.1f}, {recalls[1]:.1f} | {image_ms:.0f} | {pair_ms:.1f} |")
        print(lines[-1], flush=True)
    return lines


def walked(name: str, frames: Frames, store: Path) -> str:
    """A row of the table of sequences: R@1 within two frames."""
    single, cells = "", []
    for length in SEQUENCES:
        found = benchmark(
            frames,
            query="rgb",
            gallery="rgb",
            protocol="index:2",
            sequence=length,
            misaligned=False,
            store=store,
        ).runs[0]
        assert found.sequence is not None
        both = [cast(dict[str, float], found.sequence[key])["1"] for key in ("recall_descriptor", "recall")]
        single = f"{found.recall_descriptor['1']:.1f} | {found.recall['1']:.1f}"
        cells.append(f"{both[0]:.1f}, {both[1]:.1f}")
    return f"| {name} | {single} | {' | '.join(cells)} |"


SEQUENCES = (5, 9, 15)
WALKS_HEAD = (
    "| | descriptor | re-ranked | sequence of 5: descriptor, re-ranked | of 9 | of 15 |\n"
    "|---|---:|---:|---:|---:|---:|"
)
FEATURES_HEAD = "| local features | R@1 both ways | ms an image | ms a pair |\n|---|---|---:|---:|"
HEAD = "| set | descriptor R@1 | re-ranked R@1 | same place: AUROC, calibration error |\n|---|---|---|---|"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("calibrate", "recall", "features", "walks"))
    parser.add_argument("out", type=Path, help="a file for calibrate, a folder to work in for recall")
    parser.add_argument(
        "--city", type=Path, nargs="*", default=[], help="folders of crossband simulate --preset retrieval"
    )
    parser.add_argument("--m3svd", type=Path)
    parser.add_argument("--sets", nargs="*", default=[], help="NAME=FOLDER of pairs to measure on")
    parser.add_argument("--features", nargs="*", default=[OWN, "aliked", "xfeat"])
    parser.add_argument("--weights", type=Path, help="folder of learned features' weights")
    parser.add_argument("--queries", type=int, default=40, help="of features, at equal steps")
    parser.add_argument("--write", action="store_true")
    given = parser.parse_args()
    start = time.perf_counter()
    if given.what == "features":
        frames = two_bands(Path(given.sets[0].partition("=")[2]))
        chosen = np.linspace(0, len(frames) - 1, given.queries).astype(int)
        lines = compared_features(frames.select(chosen), given.features, given.weights, MISALIGNED)
        if given.write:
            told = f"{given.queries} RoadScene pairs, {MISALIGNED}; processor time of one core. {machine()}"
            text = "\n".join([FEATURES_HEAD, *lines, "", told])
            write_section(ROOT / "docs" / "matching.md", "features", text)
        return
    sets = [(name, Path(folder)) for name, _, folder in (text.partition("=") for text in given.sets)]
    if given.what == "walks":
        lines = [walked(name, open_frames(folder), given.out / "store") for name, folder in sets]
        print("\n".join(lines))
        if given.write:
            write_section(
                ROOT / "docs" / "matching.md", "walks", "\n".join([WALKS_HEAD, *lines, "", machine()])
            )
        return
    if given.what == "recall":
        lines = []
        for name, folder in sets:
            warps = {name: None, f"{name}, {MISALIGNED}": MISALIGNED, f"{name}, {HARD}": HARD}
            lines += recall(two_bands(folder), given.out, warps)
        if given.write:
            write_section(ROOT / "docs" / "matching.md", "recall", "\n".join([HEAD, *lines, "", machine()]))
        return
    cities = [("the city", two_bands(folder)) for folder in given.city]
    videos = ("M3SVD", m3svd(given.m3svd, given.out.parent / "m3svd-images"))
    calibrate([*cities, videos], given.out)
    print(f"{time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
