"""``data scan`` and ``data check``."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import CrossbandError
from ._app import data_app
from ._arguments import (
    FramesArgument,
    JsonOption,
    RigOption,
    RootOption,
    TurnOption,
    UnitsOption,
    ViewOption,
    WeightsOption,
    with_units,
)
from ._printing import print_json

if TYPE_CHECKING:
    from ..frames import Frames


@data_app.command("scan")
def data_scan(
    root: Annotated[Path | None, typer.Argument(help="a folder: a known dataset, or your own images")] = None,
    out: Annotated[Path | None, typer.Option(help="the manifest to write, .parquet or .csv")] = None,
    kind: Annotated[str | None, typer.Option(help="name of the dataset, if it is not recognized")] = None,
    rgb: Annotated[Path | None, typer.Option(help="the folder of RGB images")] = None,
    nir: Annotated[Path | None, typer.Option(help="the folder of near-infrared images")] = None,
    tir: Annotated[Path | None, typer.Option(help="the folder of thermal images")] = None,
    rgb_suffix: Annotated[str | None, typer.Option(help="suffix of RGB image stems, as in _rgb")] = None,
    nir_suffix: Annotated[str | None, typer.Option(help="suffix of near-infrared image stems")] = None,
    tir_suffix: Annotated[str | None, typer.Option(help="suffix of thermal image stems")] = None,
    every: Annotated[int, typer.Option(min=1, max=10**9, help="keep every n-th frame of a sequence")] = 1,
    tolerance: Annotated[
        float, typer.Option(help="seconds between a frame's images, where frames are paired by time")
    ] = 0.05,
    units: UnitsOption = None,
    rig: RigOption = None,
    view: ViewOption = None,
    turn: TurnOption = None,
    log: Annotated[
        Path | None, typer.Option(help="positions by time to join: .gpx, or .csv with time, lat, lon, ...")
    ] = None,
    log_tolerance: Annotated[float, typer.Option(help="seconds that an entry of the log may be away")] = 1.0,
    log_offset: Annotated[
        float, typer.Option(help="seconds to add to the frames' times to get the log's; -7200, say")
    ] = 0.0,
) -> None:
    """Turn a folder into a manifest: one row per frame, one image path per band.

    Example: crossband data scan recordings --out recordings/frames.parquet

    Example: crossband data scan flight --log flight.gpx --view rgb=0.27,0.27,0.46,0.46 --turn tir=180
    """
    from ..data.preprocess import Placement, split_labels
    from ..datasets import account_lines, join_log, no_images, read_log, scan
    from ..files import check_output
    from ..progress import note

    given = {"rgb": rgb_suffix, "nir": nir_suffix, "tir": tir_suffix}
    suffixes = {band: suffix for band, suffix in given.items() if suffix}
    target = out or (None if root is None else root / "frames.parquet")
    if target is not None:
        if not (root is None or root.is_dir()):
            raise CrossbandError(f"no folder {root}")
        check_output(target, (".parquet", ".csv"))
    of_bands, _ = split_labels(turn or (), view or ())
    places = Placement.parse(*of_bands)
    if log is not None:
        read_log(log)  # refused before the folder is read
    frames = scan(
        root, kind=kind, rgb=rgb, nir=nir, tir=tir, suffixes=suffixes or None, every=every, tolerance=tolerance
    )
    frames = with_units(frames, units).with_rig(rig)
    for band in places:
        frames.paths(band)  # refused where there is no such band
    said = {"view": " ".join(view or ()), "turn": " ".join(turn or ())}
    frames = frames.assign(**{name: text for name, text in said.items() if text})
    if log is not None:
        frames = join_log(frames, log, log_tolerance, log_offset)
    path = frames.write(out or frames.root / "frames.parquet")
    counts = ", ".join(f"{int(frames.table[band.value].notna().sum())} {band.value}" for band in frames.bands)
    print(f"{path}: {len(frames)} frames, {counts}")
    for line in account_lines(no_images(frames)):
        note(f"no images, which runs leave out: {line}")
    suggest_places(frames)


def suggest_places(frames: Frames) -> list[str]:
    """Say on standard error where a band seems turned, or sees less than the other, and what to give then."""
    from importlib.util import find_spec

    from ..progress import note

    if find_spec("cv2") is None:
        return []
    from ..matching.placement import suggest_placement

    try:
        told = [str(one) for one in suggest_placement(frames)]
    except CrossbandError:  # without weights nothing is said
        return []
    for line in told:
        note(line)
    return told


@data_app.command("extract")
def data_extract(
    sources: Annotated[
        list[Path],
        typer.Argument(metavar="FILE", help="TIFFs of several pages, FLIR .seq or .csq, or videos"),
    ],
    out: Annotated[Path, typer.Option(help="the folder to write")],
    every: Annotated[int, typer.Option(min=1, max=10**9, help="keep each n-th image")] = 1,
    seconds: Annotated[
        float | None, typer.Option(help="videos: keep an image each so many seconds, by the videos' own clocks")
    ] = None,
) -> None:
    """Take a file of several images apart, an image a file, in its own depth.

    Several files, the videos of two cameras say, each get a folder of their own, with names that pair.

    Example: crossband data extract flight.seq --out recordings/thermal

    Example: crossband data extract visible.mp4 thermal.mp4 --seconds 0.5 --out recordings
    """
    from ..datasets.extract import extract, extract_pairs

    if len(sources) == 1:
        print(f"{out}: {len(extract(sources[0], out, every, seconds))} images")
        return
    for folder, count in extract_pairs(sources, out, every, seconds).items():
        print(f"{folder}: {count} images")


@data_app.command("check")
def data_check(
    source: FramesArgument,
    pairs: Annotated[
        int,
        typer.Option(min=0, help="first frames whose bands are matched: other scenes, swaps, delays; 0: none"),
    ] = 400,
    root: RootOption = None,
    rig: RigOption = None,
    weights: WeightsOption = None,
    as_json: JsonOption = False,
) -> None:
    """List every fault: images missing, damaged, constant or there twice, and pairs that are none.

    The bands of a frame are matched: pairs that show other scenes, swapped pairs, and a stream that comes late
    by some frames. The exit status is 2 when there is a fault.

    Example: crossband data check recordings/frames.parquet
    """
    from ..datasets import open_frames
    from ..datasets.check import check_frames
    from ..matching.check import check_pairs

    frames = open_frames(source, root).with_rig(rig)
    audit = check_frames(frames)
    audit.remarks.extend(suggest_places(frames))
    compared = check_pairs(frames, pairs, weights) if pairs else []
    more = [fault for one in compared for fault in one.faults]
    audit = replace(audit, faults=[*audit.faults, *more])
    table = audit.to_pandas()
    if as_json:
        found = {"frames": audit.n_frames, "images": audit.n_images, "faults": table.to_dict("records")}
        print_json({**found, "remarks": audit.remarks, "pairs": [one.to_json() for one in compared]})
    else:
        for fault in audit.faults:
            print(f"{fault.path}: {fault.kind}: {fault.reason}")
        for line in audit.remarks:
            print(f"remark: {line}")
        for one in compared:
            print(f"{one.frames} pairs of {one.first} and {one.second} matched, {len(one.faults)} faults")
        print(f"{audit.n_images} images of {audit.n_frames} frames, {len(audit.faults)} faults")
    if audit.faults:
        lost = sum(fault.kind == "unreadable" for fault in audit.faults)
        runs = "runs use them as they are" if not lost else f"runs leave {lost} out, which cannot be read"
        raise CrossbandError(f"{len(audit.faults)} faults in {source}; fix those files ({runs})")
