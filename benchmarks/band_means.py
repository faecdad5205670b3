"""Make the band means that ship: ``python -m benchmarks.band_means FRAMES OUT``.

FRAMES are aligned pairs that may be learned from for weights that ship: M3SVD, 16 frames of each of its five
published test videos, at equal steps.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from safetensors.numpy import save_file

from crossband.datasets import open_frames
from crossband.files import write_file
from crossband.retrieval import Descriptor
from crossband.retrieval.embed import embed


def main(source: str, out: str) -> None:
    descriptor = Descriptor.load("crossband")
    with tempfile.TemporaryDirectory() as store:
        means = embed(open_frames(source), descriptor, store=store).means()
    metadata = {
        "weights": descriptor.weights_digest,
        "layer": descriptor.layer,
        "pooling": str(descriptor.pooling),
        "preprocess": descriptor.preprocess.describe(),
        "source": "M3SVD, MIT",
    }
    tensors = {band.value: mean for band, mean in means.items()}
    write_file(Path(out), lambda path: save_file(tensors, path, metadata={"crossband": json.dumps(metadata)}))


if __name__ == "__main__":
    main(*sys.argv[1:])
