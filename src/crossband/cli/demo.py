"""Where a new user starts: ``demo`` and ``simulate``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ._app import app
from ._arguments import ModelsOption, WeightsOption, Working, model_names, read_size, takes
from ._printing import print_table


@app.command()
def demo(
    data: Annotated[Path | None, typer.Option(help="a folder of real pairs to use instead")] = None,
    out: Annotated[Path, typer.Option(help="folder for the results")] = Path("crossband-demo"),
    models: ModelsOption = "crossband,hog",
    weights: WeightsOption = None,
) -> None:
    """Benchmark models on simulated pairs, or your own: a table and report.html, from nothing.

    Example: crossband demo --data my_pairs --out demo
    """
    from ..demo import demo as run

    print_table(run(data, out, model_names(models), weights).to_display())
    print(f"report: {out / 'report.html'}")


@app.command("simulate")
@takes(Working)
def simulate_(
    preset: Annotated[
        str, typer.Option(help="retrieval, places, vehicles, fleet, driving, streets, uav or flight")
    ] = "retrieval",
    frames: Annotated[int, typer.Option(help="number of frames")] = 100,
    size: Annotated[str, typer.Option(help="WIDTHxHEIGHT in pixels")] = "320x256",
    seed: Annotated[int, typer.Option(help="random seed of the city and all in it")] = 0,
    workers: Annotated[
        int | None, typer.Option(min=1, help="worker processes; one per core by default")
    ] = None,
    misaligned: Annotated[
        bool, typer.Option("--misaligned", help="offset thermal camera, with ground-truth flow")
    ] = False,
    baseline: Annotated[
        float | None,
        typer.Option(help="meters from the color to the thermal camera of a rig; with ground-truth flow"),
    ] = None,
    eight_bit: Annotated[
        bool, typer.Option("--eight-bit", help="also thermal images after gain control")
    ] = False,
    samples: Annotated[int, typer.Option(help="rays per pixel, 1 or 4")] = 4,
    out: Annotated[Path, typer.Option(help="folder to write pictures, labels and frames.parquet into")] = Path(
        "city"
    ),
    layout: Annotated[str | None, typer.Option(help="also export to OUT/LAYOUT: mfnet, pst900 or coco")] = None,
    *,
    working: Working,
) -> None:
    """Render aligned RGB, NIR and thermal images of a city, with every label.

    Example: crossband simulate --preset driving --frames 100 --size 320x256 --seed 0 --out city
    """
    from ..simulation import simulate

    made = simulate(
        preset,
        frames,
        read_size(size),
        seed,
        out,
        workers=workers,
        misaligned=misaligned,
        baseline=baseline,
        eight_bit=eight_bit,
        samples=samples,
        layout=layout,
        engine=working.open(),
    )
    print(f"{out / 'frames.parquet'}: {len(made)} frames, {', '.join(band.value for band in made.bands)}")
