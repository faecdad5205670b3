"""Small videos without loss, gray of 8 or 16 bits or in color."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest


def write_test_video(path: Path, frames: Sequence[np.ndarray], rate: int = 10) -> Path:
    av = pytest.importorskip("av", reason="videos are an extra: crossband[uav]")
    kind = "rgb24" if frames[0].ndim == 3 else "gray" if frames[0].dtype == np.uint8 else "gray16le"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=rate)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "bgr0" if kind == "rgb24" else kind
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format=kind)))
        container.mux(stream.encode())
    return path
