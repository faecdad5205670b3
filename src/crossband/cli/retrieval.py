"""``benchmark``, ``explain``, ``robustness`` and ``fit``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ._app import app
from ._arguments import (
    BandsQuery,
    Comparing,
    CslsOption,
    FramesArgument,
    JsonOption,
    LikelyOption,
    ModelsOption,
    Reading,
    RerankOption,
    SequenceOption,
    Working,
    takes,
    with_units,
)
from ._printing import print_json, print_table


@app.command()
@takes(Comparing, Working)
def benchmark(
    source: FramesArgument,
    models: ModelsOption = "crossband",
    query: BandsQuery = "all",
    gallery: BandsQuery = "all",
    out: Annotated[Path, typer.Option(help="folder for results.json, results.csv and report.html")] = Path(
        "crossband-out"
    ),
    misaligned: Annotated[bool, typer.Option(help="also measure with one band misaligned")] = True,
    own_means: Annotated[
        bool,
        typer.Option(
            "--own-means/--model-means", help="center by the band means of the frames or of the model"
        ),
    ] = True,
    rerank: RerankOption = 10,
    rerank_features: Annotated[
        str,
        typer.Option(
            help="what re-ranks: encoder, or learned features: aliked, aliked-n16, disk, xfeat, ..+lightglue"
        ),
    ] = "encoder",
    sequence: SequenceOption = None,
    csls: CslsOption = False,
    likely: LikelyOption = 0.5,
    *,
    comparing: Comparing,
    working: Working,
    as_json: JsonOption = False,
) -> None:
    """Measure which model finds the right image in the other band, in every direction.

    One embedding pass per model serves all directions.

    Example: crossband benchmark recordings --models crossband,hog --query rgb --gallery tir --out results
    """
    from ..papers.rgbt_retrieval import published_retrieval
    from ..retrieval import benchmark as run
    from ..retrieval.benchmark import check_own_results

    engine = working.open()
    frames, settings = comparing.run(source, models, query, gallery, out)
    check_own_results(out)
    result = run(
        frames,
        misaligned=misaligned,
        own_means=own_means,
        rerank=rerank,
        rerank_features=rerank_features,
        sequence=sequence,
        csls=csls,
        likely=likely,
        engine=engine,
        **settings,
    )
    report = result.report(out, published_retrieval)
    if as_json:
        print_json(result.to_dict())
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
    out: Annotated[Path, typer.Option(help="folder for explanation.json, .csv and .html")] = Path(
        "crossband-out"
    ),
    frame: Annotated[
        list[str] | None,
        typer.Option(help="query to draw; may be repeated; by default the worst ones"),
    ] = None,
    projections: Annotated[str, typer.Option(help="comma-separated: tsne, pca, umap")] = "tsne,pca",
    window: Annotated[
        int, typer.Option(min=0, help="side of the masks in pixels; 0 skips the similarity maps")
    ] = 40,
    stride: Annotated[int, typer.Option(min=1, help="pixels between masks")] = 16,
    rerank: RerankOption = 10,
    *,
    comparing: Comparing,
) -> None:
    """Explain in explanation.html why a model finds what it finds: similarity maps, distances, and more.

    Example: crossband explain recordings --models crossband,hog --out results
    """
    from ..papers.rgbt_retrieval import published_retrieval
    from ..retrieval import explain as run
    from ..retrieval.similarity_map import Masks

    frames, settings = comparing.run(source, models, query, gallery, out)
    found = run(
        frames,
        queries=frame,
        projections=[name for name in projections.split(",") if name],
        masks=Masks(window, stride) if window else None,
        rerank=rerank,
        **settings,
    )
    report = found.report(out, published_retrieval)
    print_table(found.result.to_display())
    print(f"report: {report}")


@app.command()
@takes(Comparing)
def robustness(
    source: FramesArgument,
    models: ModelsOption = "crossband",
    query: BandsQuery = "all",
    gallery: BandsQuery = "all",
    out: Annotated[Path, typer.Option(help="folder for robustness.csv and robustness.png")] = Path(
        "crossband-out"
    ),
    *,
    comparing: Comparing,
    as_json: JsonOption = False,
) -> None:
    """Measure recall as one band is shifted, scaled or turned against the other.

    Example: crossband robustness recordings --models crossband,hog --out results
    """
    from ..retrieval import robustness as run

    frames, settings = comparing.run(source, models, query, gallery, out)
    curve = run(frames, **settings)
    curve.report(out)
    if as_json:
        print_json(curve.points.to_dict("records"))
    else:
        print_table(curve.points)
        print(f"curves: {out / 'robustness.png'}")


@app.command()
@takes(Reading)
def fit(
    sources: Annotated[
        list[str], typer.Argument(metavar="FRAMES", help="frames to fit on, never those to be searched")
    ],
    out: Annotated[Path, typer.Option(help="descriptor file to write, .safetensors")],
    model: Annotated[str, typer.Option(help="descriptor to reduce")] = "crossband",
    dim: Annotated[int, typer.Option(min=2, help="dim of the result")] = 256,
    whiten: Annotated[float, typer.Option(min=0, max=1, help="0 keeps the variances, 1 equalizes them")] = 0.5,
    split: Annotated[str | None, typer.Option(help="fit on this split only")] = None,
    *,
    reading: Reading,
) -> None:
    """Reduce a descriptor to a few dims: principal axes, whitened, fitted without labels.

    The file can be used wherever a model's name can.

    Example: crossband fit llvip epfl --model efficientnet_lite0@blocks.4:avg8 --out small.safetensors
    """
    from ..datasets import open_frames
    from ..files import check_output
    from ..retrieval import fit_descriptor

    check_output(out, (".safetensors",))
    sets = [with_units(open_frames(source), reading.units).with_rig(reading.rig) for source in sources]
    sets = [frames.split(split) for frames in sets] if split else sets
    fitted = fit_descriptor(
        sets,
        model,
        dim,
        whiten=whiten,
        store=reading.store or out.parent / "store",
        options=reading.options(sets),
    )
    images = sum(int(frames.table[band.value].notna().sum()) for frames in sets for band in frames.bands)
    print(f"{fitted.save(out)}: {dim} dims, fitted on {images} images")
