"""``benchmark``, ``explain``, ``robustness`` and ``fit``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ._app import app
from ._arguments import (
    BandsQuery,
    DeviceOption,
    FramesArgument,
    JsonOption,
    MemoryOption,
    ModelsOption,
    NormalizeOption,
    ProtocolOption,
    RootOption,
    SizeOption,
    StandardizeOption,
    StoreOption,
    UnitsOption,
    WeightsOption,
    WorkersOption,
    model_names,
    read_options,
    with_units,
)
from ._printing import print_json, print_table


@app.command()
def benchmark(
    source: FramesArgument,
    models: ModelsOption = "crossband",
    query: BandsQuery = "all",
    gallery: BandsQuery = "all",
    out: Annotated[Path, typer.Option(help="folder for results.json, results.csv and report.html")] = Path(
        "crossband-out"
    ),
    protocol: ProtocolOption = "exact",
    misaligned: Annotated[bool, typer.Option(help="also measure with one band misaligned")] = True,
    own_means: Annotated[
        bool,
        typer.Option(
            "--own-means/--model-means", help="center by the band means of the frames or of the model"
        ),
    ] = True,
    rerank: Annotated[
        int | None,
        typer.Option(min=1, help="re-rank the first K items, by models that can (patch_netvlad, ...)"),
    ] = None,
    size: SizeOption = "320x320",
    normalize: NormalizeOption = None,
    set_statistics: StandardizeOption = False,
    units: UnitsOption = None,
    weights: WeightsOption = None,
    device: DeviceOption = "auto",
    store: StoreOption = None,
    max_memory: MemoryOption = "2G",
    workers: WorkersOption = None,
    root: RootOption = None,
    as_json: JsonOption = False,
) -> None:
    """Measure which model finds the right image in the other band, in every direction.

    One embedding pass per model serves all directions.

    Example: crossband benchmark recordings --models crossband,hog --query rgb --gallery tir --out results
    """
    from ..datasets import open_frames
    from ..files import make_folder
    from ..papers.rgbt_retrieval import published_retrieval
    from ..retrieval import benchmark as run
    from ..retrieval.report import write_report
    from ..retrieval.search import parse_memory

    frames = with_units(open_frames(source, root), units)
    options = read_options(size, normalize, weights, device, frames if set_statistics else None)
    make_folder(out)
    result = run(
        frames,
        model_names(models),
        query,
        gallery,
        store=store or out / "store",
        protocol=protocol,
        misaligned=misaligned,
        own_means=own_means,
        rerank=rerank,
        options=options,
        max_memory=parse_memory(max_memory),
        workers=workers,
    )
    result.write(out)
    report = write_report(result, frames, out, published=published_retrieval)
    if as_json:
        print_json(result.to_json())
    else:
        print_table(result.to_display())
        print(f"report: {report}")


@app.command()
def explain(
    source: FramesArgument,
    models: ModelsOption = "crossband",
    query: Annotated[str, typer.Option(help="a band")] = "rgb",
    gallery: Annotated[str, typer.Option(help="another band")] = "tir",
    out: Annotated[Path, typer.Option(help="folder for explanation.json, results.json and report.html")] = Path(
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
    protocol: ProtocolOption = "exact",
    size: SizeOption = "320x320",
    normalize: NormalizeOption = None,
    set_statistics: StandardizeOption = False,
    units: UnitsOption = None,
    weights: WeightsOption = None,
    device: DeviceOption = "auto",
    store: StoreOption = None,
    max_memory: MemoryOption = "2G",
    workers: WorkersOption = None,
    root: RootOption = None,
) -> None:
    """Explain why a model finds what it finds: similarity maps, distances and projections in report.html.

    Example: crossband explain recordings --models crossband,hog --out results
    """
    from ..datasets import open_frames
    from ..files import make_folder
    from ..papers.rgbt_retrieval import published_retrieval
    from ..retrieval import explain as run
    from ..retrieval.report import write_report
    from ..retrieval.search import parse_memory
    from ..retrieval.similarity_map import Masks

    frames = with_units(open_frames(source, root), units)
    options = read_options(size, normalize, weights, device, frames if set_statistics else None)
    make_folder(out)
    found = run(
        frames,
        model_names(models),
        query,
        gallery,
        store=store or out / "store",
        queries=frame,
        protocol=protocol,
        projections=[name for name in projections.split(",") if name],
        masks=Masks(window, stride) if window else None,
        options=options,
        max_memory=parse_memory(max_memory),
        workers=workers,
    )
    found.write(out)
    report = write_report(found.result, frames, out, found, published_retrieval)
    print_table(found.result.to_display())
    print(f"report: {report}")


@app.command()
def robustness(
    source: FramesArgument,
    models: ModelsOption = "crossband",
    query: BandsQuery = "all",
    gallery: BandsQuery = "all",
    out: Annotated[Path, typer.Option(help="folder for robustness.csv and robustness.png")] = Path(
        "crossband-out"
    ),
    protocol: ProtocolOption = "exact",
    size: SizeOption = "320x320",
    normalize: NormalizeOption = None,
    set_statistics: StandardizeOption = False,
    units: UnitsOption = None,
    weights: WeightsOption = None,
    device: DeviceOption = "auto",
    store: StoreOption = None,
    max_memory: MemoryOption = "2G",
    workers: WorkersOption = None,
    root: RootOption = None,
    as_json: JsonOption = False,
) -> None:
    """Measure recall as one band is shifted, scaled or turned against the other.

    Example: crossband robustness recordings --models crossband,hog --out results
    """
    from ..datasets import open_frames
    from ..files import make_folder
    from ..retrieval import robustness as run
    from ..retrieval.search import parse_memory

    frames = with_units(open_frames(source, root), units)
    options = read_options(size, normalize, weights, device, frames if set_statistics else None)
    make_folder(out)
    curve = run(
        frames,
        model_names(models),
        query,
        gallery,
        store=store or out / "store",
        protocol=protocol,
        options=options,
        max_memory=parse_memory(max_memory),
        workers=workers,
    )
    curve.write(out)
    if as_json:
        print_json(curve.points.to_dict("records"))
    else:
        print_table(curve.points)
        print(f"curves: {out / 'robustness.png'}")


@app.command()
def fit(
    sources: Annotated[
        list[str], typer.Argument(metavar="FRAMES...", help="frames to fit on, never those to be searched")
    ],
    out: Annotated[Path, typer.Option(help="descriptor file to write, .safetensors")],
    model: Annotated[str, typer.Option(help="descriptor to reduce")] = "crossband",
    dim: Annotated[int, typer.Option(min=2, help="dim of the result")] = 256,
    whiten: Annotated[float, typer.Option(min=0, max=1, help="0 keeps the variances, 1 equalizes them")] = 0.5,
    split: Annotated[str | None, typer.Option(help="fit on this split only")] = None,
    size: SizeOption = "320x320",
    normalize: NormalizeOption = None,
    set_statistics: StandardizeOption = False,
    units: UnitsOption = None,
    weights: WeightsOption = None,
    device: DeviceOption = "auto",
    store: StoreOption = None,
) -> None:
    """Reduce a descriptor to a few dims: principal axes, whitened, fitted without labels.

    The file can be used wherever a model's name can.

    Example: crossband fit llvip epfl --model efficientnet_lite0@blocks.4:avg8 --out small.safetensors
    """
    from ..datasets import open_frames
    from ..retrieval import Descriptor, fit_descriptor

    sets = [with_units(open_frames(source), units) for source in sources]
    sets = [frames.split(split) for frames in sets] if split else sets
    options = read_options(size, normalize, weights, device, sets if set_statistics else None)
    descriptor = Descriptor.load(model, options)
    fitted = fit_descriptor(sets, descriptor, dim, store=store or out.parent / "store", whiten=whiten)
    images = sum(int(frames.table[band.value].notna().sum()) for frames in sets for band in frames.bands)
    print(f"{fitted.save(out)}: {dim} dims, fitted on {images} images")
