"""The frames of a video, one after the other, in their own depth."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import CrossbandError
from .images import MAX_PIXELS

__all__ = ["read_timed_video", "read_video", "video_rate", "video_times"]


def read_video(path: str | Path) -> Iterator[np.ndarray]:
    """Yield a video's frames, uint8 or uint16: ``(H, W)`` of gray ones, ``(H, W, 3)`` of color.

    Raises:
        CrossbandError: as :func:`read_timed_video`.
    """
    return (pixels for _, pixels in read_timed_video(path))


def video_times(path: str | Path) -> np.ndarray:
    """Return the time of each frame of a video, seconds since the first, float64; nothing is decoded.

    Raises:
        CrossbandError: as :func:`read_timed_video`.
    """
    with _opened(path) as (container, stream):
        packets = container.demux(stream)
        stamps = [float(one.pts * one.time_base) for one in packets if one.pts is not None]
    times = np.sort(np.array(stamps, float))
    return times - times[0] if len(times) else times


def video_rate(path: str | Path) -> Fraction | None:
    """Return the frames a second of a video on average, ``None`` where it does not say.

    Raises:
        CrossbandError: as :func:`read_timed_video`.
    """
    with _opened(path) as (_, stream):
        return Fraction(stream.average_rate) if stream.average_rate else None


def read_timed_video(path: str | Path) -> Iterator[tuple[float, np.ndarray]]:
    """Yield a video's frames with the time of each, seconds since the first.

    Raises:
        CrossbandError: no video, PyAV is missing, or too large.
    """
    with _opened(path) as (container, stream):
        if stream.codec_context is None:
            raise CrossbandError(f"{path} has video of a kind that is not read; convert it, to FFV1 say")
        if stream.codec_context.width * stream.codec_context.height > MAX_PIXELS:
            raise CrossbandError(f"the frames of {path} have more than {MAX_PIXELS} pixels")
        rate, start = float(stream.average_rate or 25), None
        for number, frame in enumerate(container.decode(stream)):
            time = number / rate if frame.time is None else float(frame.time)
            start = time if start is None else start
            # gray ones in their own depth: a conversion between depths would scale the values
            gray = frame.format.name.startswith("gray")
            yield time - start, frame.to_ndarray() if gray else frame.to_ndarray(format="rgb24")


@contextlib.contextmanager
def _opened(path: str | Path) -> Iterator[tuple[Any, Any]]:
    """A video and its first stream of images; what PyAV says of it is said in a sentence.

    Raises:
        CrossbandError: no video, or PyAV is missing.
    """
    try:
        import av
    except ModuleNotFoundError:
        raise CrossbandError("reading video needs PyAV; pip install 'crossband[uav]'") from None
    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                raise CrossbandError(f"{path} has no video in it")
            yield container, container.streams.video[0]
    except (av.FFmpegError, ValueError) as error:
        reason = " ".join(str(error).split())[:100]
        raise CrossbandError(f"{path} is no video that can be read: {reason}") from None
