"""``segment``, ``segment-robustness``, ``profile`` and ``export``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ._app import app
from ._arguments import (
    DeviceOption,
    FramesArgument,
    JsonOption,
    RigOption,
    RootOption,
    UnitsOption,
    Working,
    key_values,
    listed,
    named_path,
    read_size,
    takes,
)
from ._printing import print_json, print_table


@app.command("segment")
@takes(Working)
def segment_(
    images: Annotated[
        list[str],
        typer.Argument(metavar="SOURCE", help="images, folders of them or of pairs, manifests, or a video"),
    ],
    checkpoint: Annotated[
        Path | None, typer.Option(help="of the task segmentation; the packaged network without")
    ] = None,
    out: Annotated[
        Path, typer.Option(help="folder for label maps, overlays and tables; started again, it goes on")
    ] = Path("segmented"),
    band: Annotated[
        str | None,
        typer.Option(help="of SOURCE, where it is not of pairs; without, what has no colors is tir"),
    ] = None,
    tir: Annotated[
        Path | None, typer.Option(help="thermal image, a folder with the same stems, or the thermal video")
    ] = None,
    nir: Annotated[Path | None, typer.Option(help="near-infrared image, likewise")] = None,
    count: Annotated[bool, typer.Option("--count", help="how many of what; of a sequence, each once")] = False,
    without: Annotated[
        list[str] | None, typer.Option(help="also segment without this band; may be repeated")
    ] = None,
    compare: Annotated[
        str | None, typer.Option(metavar="[NAME=]FILE,...", help="further checkpoints, drawn side by side")
    ] = None,
    units: UnitsOption = None,
    rig: RigOption = None,
    device: Annotated[str, typer.Option(help="cpu, cuda or auto")] = "cpu",
    *,
    working: Working,
    as_json: JsonOption = False,
) -> None:
    """Segment images: a PNG of classes, a colored overlay, and the share of each class.

    Also as CSV and COCO; of a video, the labels over all its frames.

    Example: crossband segment photo.png --tir thermal.png

    Example: crossband segment visible.mp4 --tir thermal.mp4 --count

    Example: crossband segment thermal.mp4 --band tir --out found

    Example: crossband segment photo.png --tir thermal.png --checkpoint best.safetensors --without tir
    """
    import pandas as pd

    from ..segmentation import segment

    named = {}
    for given in listed(compare) if compare else ():
        name, file = named_path(given)
        path = Path(file)
        own = path.parent.name if path.stem == "best" else path.stem
        named[own if name == file else name] = file
    found = segment(
        images,
        checkpoint,
        out,
        band=band,
        tir=tir,
        nir=nir,
        units=units,
        without=without or (),
        compare=named,
        device=device,
        rig=rig,
        engine=working.open(),
    )
    if as_json:
        print_json(dict(found.counts) if count else [one.to_dict() for one in found])
        return
    if count and not found.counts:
        print("the network has no classes that are counted: car, person, bike")
    elif count:
        print_table(pd.DataFrame([found.counts]))
        print(f"{len(found)} frames: {out}")
        return
    rows = []
    for one in found:
        rows.append({"frame": one.frame, **{name: share for name, share in one.shares.items() if share}})
        for band, shares in one.without.items():
            rows.append(
                {"frame": f"  without {band}", **{name: share for name, share in shares.items() if share}}
            )
    print_table(pd.DataFrame(rows))
    print(f"overlays and label maps{' and comparisons' if named else ''}: {out}")


@app.command("segment-robustness")
def segment_robustness_(
    source: FramesArgument,
    checkpoint: Annotated[list[str], typer.Option(help="[NAME=]FILE; may be repeated")],
    out: Annotated[Path, typer.Option(help="folder for the curves")] = Path("crossband-out"),
    split: Annotated[str | None, typer.Option(help="of the frames")] = None,
    protocol: Annotated[str, typer.Option(help="present, rtfnet or objects")] = "present",
    device: Annotated[str, typer.Option(help="cpu, cuda or auto")] = "cpu",
    root: RootOption = None,
    rig: RigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Measure mIoU as RGB darkens, thermal fades, bands are misaligned, and fog thickens.

    Example: crossband segment-robustness city/driving_3 --checkpoint both=out/both/best.safetensors
    """
    from ..datasets import open_frames
    from ..files import make_folder
    from ..segmentation import segmentation_robustness

    frames = open_frames(source, root).with_rig(rig)
    make_folder(out)
    named = dict(map(named_path, checkpoint))
    curve = segmentation_robustness(
        frames.split(split) if split else frames, named, protocol=protocol, device=device
    )
    folder = curve.report(out)
    if as_json:
        print_json(curve.points.to_dict("records"))
    else:
        print_table(curve.points[curve.points["condition"] == "all"])
        print(f"curves: {folder / 'segmentation_robustness.png'}")


@app.command("profile")
def profile_(
    model: Annotated[str, typer.Argument(help="a segmentation network, an encoder, or a checkpoint")],
    options: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="of the network")
    ] = None,
    size: Annotated[str, typer.Option(help="WIDTHxHEIGHT of the input in pixels")] = "640x480",
    bands: Annotated[
        str, typer.Option(help="comma-separated bands that a segmentation network reads")
    ] = "rgb,tir",
    classes: Annotated[int, typer.Option(min=2, help="of a segmentation network")] = 9,
    form: Annotated[str, typer.Option(help="training, deployed or both")] = "both",
    batch: Annotated[int, typer.Option(min=1, help="batch size")] = 1,
    rounds: Annotated[int, typer.Option(min=0, help="timed passes; 0 to count only")] = 20,
    device: DeviceOption = "auto",
    dtype: Annotated[str, typer.Option(help="float32, float16 or bfloat16")] = "float32",
    threads: Annotated[int | None, typer.Option(min=1, help="of torch on a CPU")] = None,
    as_json: JsonOption = False,
) -> None:
    """Profile a network: parameters, MACs, thop's figure, latency and memory, as trained and as deployed.

    Example: crossband profile rsfnet50_18 --size 640x480 --rounds 5
    """
    import pandas as pd

    from ..profile import FORMS, profile

    found = profile(
        model,
        size=read_size(size),
        bands=listed(bands),
        classes=classes,
        options=key_values(options or ()),
        forms=FORMS if form == "both" else [form],
        batch_size=batch,
        rounds=rounds,
        device=device,
        dtype=dtype,
        threads=threads,
    )
    rows = [one.to_dict() for one in found]
    if as_json:
        print_json(rows[0] if len(rows) == 1 else rows)
        return
    for row in rows:
        latency = row.pop("latency_ms") or {}
        row |= {
            "p50_ms": latency.get("p50"),
            "p95_ms": latency.get("p95"),
            "input": "x".join(map(str, row["input"])),
        }
        row |= {key: f"{row[key]:.2f}" for key in ("params_m", "macs_g", "flops_g", "thop_g")}
    print_table(pd.DataFrame(rows))


@app.command("export")
def export_(
    model: Annotated[str, typer.Argument(help="a segmentation network, an encoder, or a checkpoint")],
    out: Annotated[Path, typer.Option(help="the .onnx file")],
    options: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="of the network")
    ] = None,
    size: Annotated[str | None, typer.Option(help="WIDTHxHEIGHT in pixels; a checkpoint has its own")] = None,
    bands: Annotated[
        str, typer.Option(help="comma-separated bands that a segmentation network reads")
    ] = "rgb,tir",
    classes: Annotated[int, typer.Option(min=2, help="of a segmentation network")] = 9,
    as_json: JsonOption = False,
) -> None:
    """Export a network's deployed form to ONNX and check that both give the same output.

    Example: crossband export out/both/best.safetensors --out model.onnx
    """
    from ..export import export

    sides = read_size(size) if size else None
    done = export(
        model, out, size=sides, bands=listed(bands), classes=classes, options=key_values(options or ())
    )
    if as_json:
        print_json(done.to_dict())
    else:
        print(
            f"{done.path}: {done.megabytes:.1f} MiB, input {'x'.join(map(str, done.input))}, "
            f"largest difference {done.largest_difference:.1e} of {done.largest_output:.1e}"
        )
