"""``benchmark``, ``explain``, ``robustness`` and ``fit``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ._app import app
from ._arguments import (
    BandsQuery,
    Comparing,
    FramesArgument,
    JsonOption,
    ModelsOption,
    Reading,
    takes,
    with_units,
)
from ._printing import print_json, print_table


@app.command()
@takes(Comparing)
def benchmark(
    source: FramesArgument,
    models: ModelsOption = "crossband",
    query: BandsQuery = "all",
    gallery: BandsQuery = "all",
    out: Annotated[Path, typer.Option(help="where results.json, results.csv and report.html go")] = Path(
        "crossband-out"
    ),
    misaligned: Annotated[bool, typer.Option(help="also measure with one band moved")] = True,
    own_means: Annotated[
        bool,
        typer.Option("--own-means/--model-means", help="center by whose band means"),
    ] = True,
    rerank: Annotated[
        int | None,
        typer.Option(min=1, help="items of each list that models with a second look (patch_netvlad) re-rank"),
    ] = None,
    *,
    comparing: Comparing,
    as_json: JsonOption = False,
) -> None:
    """Which model finds the right image in the other band? All directions, from one pass a model.

    Example: crossband benchmark recordings --models crossband,hog --query rgb --gallery tir --out results
    """
    from ..papers.rgbt_retrieval import published_retrieval
    from ..retrieval import benchmark as run
    from ..retrieval.report import write_report

    frames, settings = comparing.run(source, models, out)
    result = run(
        frames,
        query=query,
        gallery=gallery,
        misaligned=misaligned,
        own_means=own_means,
        rerank=rerank,
        **settings,
    )
    result.write(out)
    report = write_report(result, frames, out, published=published_retrieval)
    if as_json:
        print_json(result.to_json())
    else:
        print_table(result.to_display())
        print(f"report: {report}")


@app.command()
@takes(Comparing)
def explain(
    source: FramesArgument,
    models: ModelsOption = "crossband",
    query: Annotated[str, typer.Option(help="a band")] = "rgb",
    gallery: Annotated[str, typer.Option(help="another band")] = "tir",
    out: Annotated[Path, typer.Option(help="where explanation.json, results.json and report.html go")] = Path(
        "crossband-out"
    ),
    frame: Annotated[
        list[str] | None,
        typer.Option(help="a query to draw; may be repeated; without it, those that fail most"),
    ] = None,
    projections: Annotated[str, typer.Option(help="comma-separated: tsne, pca, umap")] = "tsne,pca",
    window: Annotated[int, typer.Option(min=0, help="side of the masks in pixels; 0 draws no heat maps")] = 40,
    stride: Annotated[int, typer.Option(min=1, help="pixels between masks")] = 16,
    *,
    comparing: Comparing,
) -> None:
    """Why does a model find what it finds? Heat maps, distances, projections and gaps, all in report.html.

    Example: crossband explain recordings --models crossband,hog --out results
    """
    from ..papers.rgbt_retrieval import published_retrieval
    from ..retrieval import explain as run
    from ..retrieval.report import write_report
    from ..retrieval.similarity_map import Masks

    frames, settings = comparing.run(source, models, out)
    found = run(
        frames,
        query=query,
        gallery=gallery,
        queries=frame,
        projections=[name for name in projections.split(",") if name],
        masks=Masks(window, stride) if window else None,
        **settings,
    )
    found.write(out)
    report = write_report(found.result, frames, out, found, published_retrieval)
    print_table(found.result.to_display())
    print(f"report: {report}")


@app.command()
@takes(Comparing)
def robustness(
    source: FramesArgument,
    models: ModelsOption = "crossband",
    query: BandsQuery = "all",
    gallery: BandsQuery = "all",
    out: Annotated[Path, typer.Option(help="where robustness.csv and robustness.png go")] = Path(
        "crossband-out"
    ),
    *,
    comparing: Comparing,
    as_json: JsonOption = False,
) -> None:
    """How much misalignment does a model stand? Recall as one band is shifted, scaled or turned.

    Example: crossband robustness recordings --models crossband,hog --out results
    """
    from ..retrieval import robustness as run

    frames, settings = comparing.run(source, models, out)
    curve = run(
        frames,
        query=query,
        gallery=gallery,
        **settings,
    )
    curve.write(out)
    if as_json:
        print_json(curve.points.to_dict("records"))
    else:
        print_table(curve.points)
        print(f"curves: {out / 'robustness.png'}")


@app.command()
@takes(Reading)
def fit(
    sources: Annotated[
        list[str], typer.Argument(metavar="FRAMES...", help="sets to fit on, never those to search")
    ],
    out: Annotated[Path, typer.Option(help="the descriptor file to write, .safetensors")],
    model: Annotated[str, typer.Option(help="the descriptor to shrink")] = "crossband",
    dim: Annotated[int, typer.Option(min=2, help="numbers a vector")] = 256,
    whiten: Annotated[float, typer.Option(min=0, max=1, help="0 keeps the variances, 1 equals them")] = 0.5,
    split: Annotated[str | None, typer.Option(help="fit on this split only")] = None,
    *,
    reading: Reading,
) -> None:
    """Shrink a descriptor to a few numbers: principal axes, whitened, fitted without labels.

    The file stands wherever a model's name can.

    Example: crossband fit llvip epfl --model efficientnet_lite0@blocks.4:avg8 --out small.safetensors
    """
    from ..datasets import open_frames
    from ..retrieval import Descriptor, fit_descriptor

    sets = [with_units(open_frames(source), reading.units) for source in sources]
    sets = [frames.split(split) for frames in sets] if split else sets
    descriptor = Descriptor.load(model, reading.options(sets))
    fitted = fit_descriptor(sets, descriptor, dim, store=reading.store or out.parent / "store", whiten=whiten)
    images = sum(int(frames.table[band.value].notna().sum()) for frames in sets for band in frames.bands)
    print(f"{fitted.save(out)}: {dim} numbers, fitted on {images} images")
