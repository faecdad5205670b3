"""The main job in one call, from nothing: pairs, a table, example strips and a report."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from .datasets import open_frames
from .files import make_folder
from .frames import Frames
from .papers.rgbt_retrieval import published_retrieval
from .progress import says_once
from .retrieval import Benchmark, Options, benchmark
from .simulation import simulate

__all__ = ["demo"]

_FRAMES, _SIZE, _SEED = 60, (256, 320), 0


@says_once
def demo(
    data: str | Path | None = None,
    out: str | Path = "crossband-demo",
    models: str | Sequence[str] = ("crossband", "hog"),
    weights: str | Path | None = None,
) -> Benchmark:
    """Benchmark models on pairs, by day and by night, and write a report.

    The files are ``report.html``, ``results.json`` and ``results.csv``.

    Args:
        data: a folder of pairs or a manifest; without it, a small ``retrieval`` set of the simulated city is
            made in ``out/city`` and its RGB and thermal images are used.
        out: where results go.
        models: descriptors to compare.
        weights: where to look for weights first.

    Raises:
        CrossbandError: data that cannot be used, or a folder that cannot be written.
    """
    out = make_folder(out)
    frames = open_frames(data) if data is not None else _city(out / "city")
    result = benchmark(frames, models, store=out / "store", options=Options(weights=weights))
    result.report(out, published_retrieval)
    return result


def _city(out: Path) -> Frames:
    """RGB and thermal pairs of the simulated city."""
    frames = simulate("retrieval", _FRAMES, _SIZE, _SEED, out)
    return Frames(frames.table.drop(columns="nir"), frames.root)
