"""Train the head of the local features that ships: two bands under known warps, of the city and M3SVD (MIT).

``python -m benchmarks.local_head OUT --city CITY CITY --m3svd M3SVD`` keeps the maps of warped images in OUT
(each set about 0.7 GB for 120 frames), learns, and writes OUT/head.safetensors; started again, it goes on where
it was. Cities are of ``crossband simulate --preset retrieval`` or ``driving``, with other seeds than those that
choose or are measured. The axes that it starts from are the principal axes of the same maps.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from crossband.checkpoints import read_state, write_state
from crossband.frames import Frames
from crossband.io import read_image
from crossband.matching import LocalFeatures
from crossband.matching.head import LocalHead
from crossband.progress import track
from crossband.retrieval import Descriptor

from .matching import m3svd, place_codes, two_bands

SIDE, QUERIES, BATCH = 40, 400, 8
NEAR = 1.5  # cells around the right one that are not wrong
M3SVD_SHARE, SAME_BAND = 0.33, 0.15
STEPS, SCHEDULE, RATE, DECAY = 1000, 1500, 1e-3, 1e-2  # stopped before the schedule's end: better on LLVIP
KEPT = 0.5  # of what was learned: all of it is worse on real images it has not seen


@dataclass(frozen=True)
class Maps:
    """The joined maps of one set: ``(n, 2 bands, views, positions, channels)``, and each view's homography."""

    values: np.ndarray
    views: np.ndarray
    places: np.ndarray


def keep_maps(name: str, frames: Frames, out: Path, views: int, seed: int) -> Maps:
    """Maps of ``views`` warped, jittered copies of each image; read where they are there."""
    table, done = out / f"{name}.npy", out / f"{name}-views.npy"
    places = place_codes(frames)
    if not done.exists():
        descriptor, rng = Descriptor.load(), np.random.default_rng(seed)
        features = LocalFeatures(descriptor.encoder)
        matrices = np.zeros((len(frames), 2, views, 3, 3), np.float32)
        values = None
        for row in track(range(len(frames)), len(frames), f"maps of {name}", "frames"):
            for column, band in enumerate(frames.bands[:2]):
                path = frames.paths(band)[row]
                assert path is not None
                pixels = descriptor.preprocess(read_image(path, band), band)
                matrices[row, column] = [random_view(rng, small=view == 0) for view in range(views)]
                images = seen(pixels, matrices[row, column], descriptor, rng)
                with torch.inference_mode():
                    found = features(images).half().numpy()
                if values is None:
                    shape = (len(frames), 2, *found.shape)
                    values = np.lib.format.open_memmap(table, mode="w+", dtype=np.float16, shape=shape)
                values[row, column] = found
        assert values is not None
        values.flush()
        np.save(done, matrices)
    return Maps(np.load(table, mmap_mode="r"), np.load(done), places)


def random_view(rng: np.random.Generator, small: bool) -> np.ndarray:
    """A homography from the warped image to the image, both in [-1, 1]."""
    scale, angle, shift = (
        math.exp(rng.uniform(-0.22, 0.22)),
        math.radians(rng.uniform(-12, 12)),
        rng.uniform(-0.22, 0.22, 2),
    )
    tilt = rng.uniform(-0.05, 0.05, 2)
    if small:
        scale, angle, shift, tilt = (
            math.exp(rng.normal(0, 0.02)),
            rng.normal(0, 0.01),
            rng.normal(0, 0.015, 2),
            tilt * 0,
        )
    cos, sin = scale * math.cos(angle), scale * math.sin(angle)
    return np.array([[cos, -sin, shift[0]], [sin, cos, shift[1]], [*tilt, 1]], np.float32)


def seen(
    pixels: torch.Tensor, matrices: np.ndarray, descriptor: Descriptor, rng: np.random.Generator
) -> torch.Tensor:
    """Standardized gray images as each of some views shows them, with another gamma, gain, blur and noise."""
    mean, std = (
        torch.tensor(v)[:, None, None]
        for v in (descriptor.encoder.statistics.mean, descriptor.encoder.statistics.std)
    )
    gray = ((pixels * std + mean) * torch.tensor([0.299, 0.587, 0.114])[:, None, None]).sum(0)[None, None]
    height, width = pixels.shape[-2:]
    points = grid_points(height, width).reshape(height, width, 3)
    found = []
    for matrix in matrices:
        moved = points @ matrix.T
        grid = torch.from_numpy(moved[..., :2] / moved[..., 2:])[None]
        image = F.grid_sample(gray, grid, padding_mode="border", align_corners=False).clamp(0, 1)
        image = image ** math.exp(rng.normal(0, 0.35))
        if rng.random() < 0.3:
            image = F.avg_pool2d(F.pad(image, (1, 1, 1, 1), mode="replicate"), 3, 1)
        if rng.random() < 0.5:
            noise = rng.normal(0, float(rng.exponential(0.01)), tuple(image.shape))
            image = image + torch.from_numpy(noise.astype(np.float32))
        found.append((image * math.exp(rng.normal(0, 0.15))).clamp(0, 1))
    return (torch.cat(found) - mean) / std


def grid_points(rows: int, columns: int) -> np.ndarray:
    """Centers of cells in [-1, 1], homogeneous, ``(rows * columns, 3)``."""
    y, x = np.mgrid[:rows, :columns]
    points = [(2 * x + 1) / columns - 1, (2 * y + 1) / rows - 1, np.ones(x.shape)]
    return np.stack(points, -1).reshape(-1, 3).astype(np.float32)


def principal_axes(sets: list[Maps], dim: int = 64) -> torch.Tensor:
    """Principal axes ``(channels, dim)`` of the maps of some sets, not centered, not whitened."""
    total = np.zeros((sets[0].values.shape[-1],) * 2)
    for one in sets:
        for row in one.values[::4]:
            flat = row[:, 0].reshape(-1, row.shape[-1]).astype(np.float32)
            total += flat.T @ flat
    return torch.from_numpy(np.linalg.eigh(total)[1][:, ::-1][:, :dim].astype(np.float32).copy())


Batch = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


def draw(sets: list[Maps], shares: np.ndarray, rng: np.random.Generator) -> Batch:
    """Two views of eight frames, four of them neighbors: maps of each, and where the first's cells fall in the
    second of every pair, ``(B, B, 1600, 2)``."""
    one = sets[rng.choice(len(sets), p=shares)]
    first = int(rng.integers(len(one.values)))
    same = np.flatnonzero(one.places == one.places[first])
    near = same[np.argsort(np.abs(same - first))][:4] if rng.random() < 0.9 else same[:0]
    rest = rng.choice(np.setdiff1d(np.arange(len(one.values)), near), BATCH - len(near), replace=False)
    rows = np.concatenate([near, rest])
    here, there = (1, 0) if rng.random() < 0.5 else (0, 1)
    there = here if rng.random() < SAME_BAND else there
    views = rng.integers(one.values.shape[2], size=(2, BATCH))
    mine, theirs = (
        torch.from_numpy(np.stack([one.values[r, band, v] for r, v in zip(rows, chosen, strict=True)])).float()
        for band, chosen in ((here, views[0]), (there, views[1]))
    )
    points = grid_points(SIDE, SIDE)
    from_mine, from_theirs = one.views[rows, here, views[0]], one.views[rows, there, views[1]]
    across = np.linalg.inv(from_theirs)[None] @ from_mine[:, None]
    moved = np.einsum("abij,pj->abpi", across, points)
    falls = (moved[..., :2] / moved[..., 2:] + 1) * SIDE / 2 - 0.5
    return mine, theirs, torch.from_numpy(falls.astype(np.float32))


def losses(
    head: LocalHead, batch: Batch, heat: torch.Tensor, rng: np.random.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """How well a position finds its own, among all of its image, of others, and of the queries for it; and how
    well an image's agreement, laid over by the true warp, tells it from its neighbors."""
    mine, theirs, falls = batch
    maps = torch.cat([mine, theirs]).transpose(1, 2).unflatten(2, (SIDE, SIDE))
    with torch.autocast("cpu", torch.bfloat16):
        vectors = head(maps.contiguous())
    vectors = F.normalize(vectors.float(), dim=1)
    chosen = torch.from_numpy(rng.permutation(SIDE * SIDE)[:QUERIES])
    asked = vectors[:BATCH].flatten(2)[..., chosen].transpose(1, 2)
    searched = vectors[BATCH:].flatten(2).transpose(1, 2)
    falls = falls[:, :, chosen]
    inside = ((falls >= 0) & (falls <= SIDE - 1)).all(3)
    grid = ((falls + 0.5) / (SIDE / 2) - 1).transpose(0, 1)
    targets = F.grid_sample(vectors[BATCH:], grid, padding_mode="border", align_corners=False)
    alike = torch.einsum("apc,bcap->abp", asked, targets)
    agreement = _agreement(asked, searched, falls, inside, alike)
    ranked = agreement * heat[1].exp()
    label = torch.arange(BATCH)
    moments = (F.cross_entropy(ranked, label) + F.cross_entropy(ranked.T, label)) / 2
    cells = torch.from_numpy(np.stack(np.mgrid[:SIDE, :SIDE][::-1], -1).reshape(-1, 2)).float()
    positions = torch.zeros(())
    for row in range(BATCH):
        there, known = falls[row, row], inside[row, row]
        where, query = there[known], asked[row][known]
        right = alike[row, row][known] * heat[0].exp()
        apart = (where[:, None] - cells).abs().amax(2) <= NEAR
        own = (query @ searched[row].T * heat[0].exp()).masked_fill(apart, -1e4)
        others = torch.cat([searched[j][int(rng.integers(7)) :: 7] for j in range(BATCH) if j != row])
        wrong = torch.cat([own, query @ others.T * heat[0].exp()], 1)
        back = targets[row][:, row][:, known].T @ asked[row].T * heat[0].exp()
        back = back.masked_fill((where[:, None] - there).abs().amax(2) <= NEAR, -1e4)
        for rivals, weight in ((wrong, 1.0), (back, 0.5)):
            positions = (
                positions + weight * (torch.logsumexp(torch.cat([right[:, None], rivals], 1), 1) - right).mean()
            )
    return positions / BATCH, moments


def _agreement(
    asked: torch.Tensor, searched: torch.Tensor, falls: torch.Tensor, inside: torch.Tensor, alike: torch.Tensor
) -> torch.Tensor:
    """As :func:`crossband.matching.agreement.lay_over` has it, ``(B, B)``; no gradient through the weights."""
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        flat = asked.flatten(0, 1)
        most = [(flat @ one.T).unflatten(0, (BATCH, QUERIES)).amax(1) for one in searched]
        near = falls.round().clamp(0, SIDE - 1).long()
        best = torch.stack(most, 1).float().gather(2, near[..., 1] * SIDE + near[..., 0]).clamp_min(0.05)
        weight, overlap = best**2 * inside, inside.float().mean(2)
    return (alike * weight).sum(2) / ((best * weight).sum(2) + 1e-6) * overlap / (overlap + 0.15)


def train(sets: list[Maps], shares: np.ndarray, out: Path, steps: int) -> LocalHead:
    """Learn, keeping the state every hundred steps; printed: both losses."""
    torch.manual_seed(0)
    head = LocalHead(sets[0].values.shape[-1])
    axes = principal_axes(sets).T[:, :, None, None]
    head.axes.weight.data.copy_(axes)
    heat = torch.nn.Parameter(torch.tensor([math.log(12.0), math.log(20.0)]))
    groups = [
        {"params": list(head.parameters()), "weight_decay": DECAY},
        {"params": [heat], "lr": 1e-2, "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=RATE)
    state = read_state(out / "head.pt")
    start = 0
    if state is not None:
        head.load_state_dict(state["network"])
        heat.data.copy_(state["heat"])
        optimizer.load_state_dict(state["optimizer"])
        start = state["step"]
    seen_losses = []
    for step in track(range(start, steps), steps - start, "training the head", "steps"):
        rng = np.random.default_rng([0, step])
        rate = RATE * min(1, step / 100) * (0.5 + 0.5 * math.cos(math.pi * step / SCHEDULE))
        optimizer.param_groups[0]["lr"] = rate
        positions, moments = losses(head, draw(sets, shares, rng), heat, rng)
        optimizer.zero_grad()
        (positions + moments).backward()
        torch.nn.utils.clip_grad_norm_(head.parameters(), 1.0)
        optimizer.step()
        seen_losses.append((positions.item(), moments.item()))
        if step % 100 == 99:
            print(step + 1, np.mean(seen_losses[-100:], 0).round(3).tolist(), flush=True)
            kept = {"step": step + 1, "network": head.state_dict(), "heat": heat.data}
            write_state(out / "head.pt", {**kept, "optimizer": optimizer.state_dict()})
    with torch.no_grad():
        head.axes.weight.lerp_(axes, 1 - KEPT)
        for values in head.leave.parameters():
            values.mul_(KEPT)
    return head.eval()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--city", type=Path, nargs="+", required=True)
    parser.add_argument("--m3svd", type=Path, required=True)
    parser.add_argument("--views", type=int, default=4)
    parser.add_argument("--steps", type=int, default=STEPS)
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    begun = time.perf_counter()
    named = [(folder.name, two_bands(folder)) for folder in given.city]
    named.append(("m3svd", m3svd(given.m3svd, given.out / "m3svd-images", 25)))
    sets = [keep_maps(name, frames, given.out, given.views, seed) for seed, (name, frames) in enumerate(named)]
    sizes = np.array([len(one.values) for one in sets[:-1]], float)
    shares = np.append(sizes / sizes.sum() * (1 - M3SVD_SHARE), M3SVD_SHARE)
    head = train(sets, shares, given.out, given.steps)
    said = {"trained_on": [name for name, _ in named], "steps": given.steps, "license": "Apache-2.0"}
    layers = "+".join(LocalFeatures(Descriptor.load().encoder).layers)
    print(head.write(given.out / "head.safetensors", layers, **said), f"{time.perf_counter() - begun:.0f} s")
    print(json.dumps(said))


if __name__ == "__main__":
    main()
