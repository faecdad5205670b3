"""``align``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from ..errors import CrossbandError
from ._app import app
from ._arguments import JsonOption, RootOption, UnitsOption, WeightsOption
from ._printing import print_json


@app.command()
def align(
    first: Annotated[
        Path, typer.Argument(metavar="A", help="an image, or with --rig or --apply a folder of pairs")
    ],
    second: Annotated[Path | None, typer.Argument(metavar="B", help="another camera's image")] = None,
    bands: Annotated[str, typer.Option(help="the two bands, from and to")] = "rgb,tir",
    model: Annotated[str, typer.Option(help="auto, similarity, affine or homography")] = "auto",
    features: Annotated[
        str,
        typer.Option(help="encoder, or learned: aliked, disk, xfeat, loftr, aliked+lightglue, ..."),
    ] = "encoder",
    rig: Annotated[
        bool, typer.Option("--rig", help="one transform for two cameras, from all pairs of a folder")
    ] = False,
    use: Annotated[
        Path | None, typer.Option("--use", help="a rig.json to apply, instead of making one")
    ] = None,
    apply: Annotated[Path | None, typer.Option(help="a folder for aligned copies of a folder's pairs")] = None,
    out: Annotated[Path | None, typer.Option(help="where pictures, or rig.json, go")] = None,
    units: UnitsOption = None,
    weights: WeightsOption = None,
    root: RootOption = None,
    as_json: JsonOption = False,
) -> None:
    """Lay the image of one camera over another's: the transform, its error, and whether it is one scene.

    Example: crossband align photo.jpg thermal.png --out overlay
    """
    names = [name.strip() for name in bands.split(",")]
    if len(names) != 2:
        raise CrossbandError(f"--bands names two bands, as in rgb,tir, not {bands!r}")
    try:
        import cv2  # noqa: F401
    except ImportError:
        raise CrossbandError("align needs OpenCV; pip install 'crossband[vision]'") from None
    if rig or apply is not None:
        if second is not None:
            raise CrossbandError("--rig and --apply take one folder of pairs, not two images; leave B out")
        _align_folder(first, names, model, features, use, apply, out, weights, root, as_json)
        return
    if second is None:
        raise CrossbandError("align takes two images, or with --rig a folder of pairs; give B")
    from ..files import make_folder
    from ..matching.keypoints import create_aligner
    from ..reports.alignment import save_alignment

    if out is not None:
        make_folder(out)
    aligner = create_aligner(features, model, weights)
    one, other = (aligner.read(path, band, units) for path, band in zip((first, second), names, strict=True))
    found = aligner.align(one, other)
    if out is not None:
        save_alignment(one.gray, other.gray, found.matrix, found.matches, out)
    if as_json:
        print_json(found.to_json())
        return
    print(
        f"{found.model}, {found.inliers} inliers, same place {found.same_place:.2f}, "
        f"error {found.error_px:.1f} pixels"
    )
    for row in found.matrix:
        print("  ".join(f"{value:12.6f}" for value in row))
    if out is not None:
        print(f"pictures: {out}")


def _align_folder(
    source: Path,
    names: list[str],
    model: str,
    features: str,
    use: Path | None,
    apply: Path | None,
    out: Path | None,
    weights: Path | None,
    root: Path | None,
    as_json: bool,
) -> None:
    from ..datasets import open_frames
    from ..files import make_folder
    from ..matching.keypoints import create_aligner
    from ..matching.rig import Rig, fit_rig

    frames = open_frames(source, root)
    given = [name for name in names if name in {band.value for band in frames.bands}]
    first, second = given if len(given) == 2 else (None, None)
    folder = make_folder(out or Path())
    if apply is not None:
        make_folder(apply)
    fit = None
    if use is None:
        fit = fit_rig(frames, model, first, second, aligner=create_aligner(features, model, weights))
    found = fit.rig if fit is not None else Rig.read(use or "")
    if as_json:
        print_json(found.to_json())
    else:
        print(
            f"{found.model} from {len(found.pairs)} pairs, {len(found.left_out)} left out, "
            f"error {found.error_px:.2f} pixels, pairs disagree by {found.spread_px:.2f}"
            + ("" if found.one_transform else "; one transform does not fit (parallax, or the cameras moved)")
        )
        for name, reason in found.left_out.items():
            print(f"left out: {name}: {reason}", file=sys.stderr)
    if fit is not None:
        page = fit.report(folder)
        if not as_json:
            print(f"rig: {folder / 'rig.json'}, report: {page}")
    if apply is not None:
        found.apply(frames, apply)
        if not as_json:
            print(f"aligned copies: {apply}")
