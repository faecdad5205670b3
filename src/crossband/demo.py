"""The main job in one call: from a folder of pairs to a table, example strips and a report."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from .datasets import open_frames
from .errors import CrossbandError
from .reports.html import write_report
from .retrieval import Benchmark, Options, benchmark
from .retrieval.benchmark import make_folder

__all__ = ["demo"]

# Real pairs that may lie beside a checkout.
_SAMPLE = Path("../shared/data/roadscene")


def demo(
    data: str | Path | None, out: str | Path, models: Sequence[str], weights: str | Path | None = None
) -> Benchmark:
    """Benchmark models on a folder of pairs and write ``report.html``, ``results.json`` and ``results.csv``.

    Args:
        data: a folder of pairs or a manifest.
        out: where results go.
        models: descriptors to compare.
        weights: where to look for weights first.

    Raises:
        CrossbandError: no data, or none that can be used.
    """
    source = Path(data) if data is not None else _SAMPLE
    if data is None and not source.is_dir():
        raise CrossbandError(
            "no pairs to work on; give a folder of them: make demo DATA=folder, or --data folder"
        )
    out = make_folder(out)
    frames = open_frames(source)
    result = benchmark(frames, models, store=out / "store", options=Options(weights=weights))
    result.write(out)
    write_report(result, frames, out)
    return result
