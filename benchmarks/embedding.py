"""Images per second of the embedding pass, against a plain loop and against the forward pass alone.

The plain loop is the script one would write: open with Pillow, convert to RGB, torchvision's resize, tensor
and normalize, one image per forward pass, torch's own threads. The forward pass alone runs the same network
on tensors that lie ready, in the same lanes as the embedding pass.
"""

from __future__ import annotations

import os
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import PIL.Image
import torch
from torchvision import transforms

from crossband.allocator import keep_freed_memory
from crossband.datasets import scan
from crossband.frames import Frames
from crossband.retrieval import Descriptor, embed

from ._harness import HEAD, in_turn, line, machine, sample_pairs

MODELS = ("efficientnet_lite0@blocks.4:avg5s3", "squeezenet1_1", "hog")


def plain_loop(frames: Frames, descriptor: Descriptor) -> torch.Tensor:
    statistics = descriptor.encoder.statistics
    transform = transforms.Compose(
        [
            transforms.Resize((320, 320)),
            transforms.ToTensor(),
            transforms.Normalize(statistics.mean, statistics.std),
        ]
    )
    vectors = []
    with torch.no_grad():
        for band in frames.bands:
            for path in frames.paths(band):
                image = transform(PIL.Image.open(path).convert("RGB"))[None]
                vectors.append(descriptor.pooling(descriptor.encoder(image, descriptor.layer)))
    return torch.cat(vectors)


def forward_alone(descriptor: Descriptor, images: int) -> None:
    batch, before = torch.randn(2, 3, 320, 320), torch.get_num_threads()
    torch.set_num_threads(1)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(lambda _: descriptor.pooled(batch), range(images // 2)))
    torch.set_num_threads(before)


def embedding_pass(frames: Frames, descriptor: Descriptor) -> None:
    with tempfile.TemporaryDirectory() as store:
        embed(frames, descriptor, store=store)


def available(name: str) -> Descriptor | None:
    from crossband.errors import CrossbandError

    try:
        return Descriptor.load(name)
    except CrossbandError:
        print(f"{name}: its weights are not available; left out")
        return None


def main() -> str:
    keep_freed_memory()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        frames = scan(sample_pairs(Path(folder), 48))
        for name in MODELS:
            descriptor = available(name)
            if descriptor is None:
                continue
            times = in_turn(
                {
                    "plain": lambda d=descriptor: plain_loop(frames, d),
                    "forward": lambda d=descriptor: forward_alone(d, 96),
                    "ours": lambda d=descriptor: embedding_pass(frames, d),
                }
            )
            rate = 96 / times["ours"].median
            what = f"embedding pass, `{name}`, {rate:.0f} images/s"
            rows.append(line(what, times["ours"].ratio(times["plain"]), "a plain loop", "at least 1.5"))
            rows.append(
                line(what, times["ours"].ratio(times["forward"]), "the forward pass alone", "at least 0.83")
            )
    return "\n".join(
        [f"Embedding 96 images of 500x330, 320x320 to the network ({machine()}):", "", HEAD, *rows]
    )


if __name__ == "__main__":
    print(main())
