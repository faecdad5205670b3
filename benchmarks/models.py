"""Pack a trained network with its figures, and write its card into docs/models.md.

``python -m benchmarks.models pack NAME CHECKPOINT DATA --images N --hours H`` writes the checkpoint in float16
as ``src/crossband/models/NAME.safetensors``, measured as such on the test part of its recipe below DATA, with
its card inside and in docs/models.md. ``python -m benchmarks.models card NAME DATA`` measures a packaged one.
``python -m benchmarks.models mean RUN OUT`` writes the mean of a run's best weights and its last ones.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from crossband.models.packaged import FOLDER, Card, card_of, pack

from . import model_figures
from ._harness import ROOT, machine, write_section

_PAGE = ROOT / "docs" / "models.md"


@dataclass(frozen=True)
class Kind:
    """What is known of a packaged network before it is measured."""

    task: str
    does: str
    data: str
    attribution: str
    limits: str
    measure: Callable[[Path, Path], tuple[dict[str, float], str]]
    speed: Callable[[Path], str]


KINDS = {
    "crossband-detect": Kind(
        task="detection",
        does="persons, cars, bicycles, dogs, other vehicles in thermal images from the air",
        data="HIT-UAV's train part but for seven of its 56 sequences, which choose (1,825 images), and flights "
        "over 40 of crossband's own simulated cities: 960 frames of 640x512 and 960 of 320x256",
        attribution="HIT-UAV: Suo et al., Scientific Data 2023, "
        "https://github.com/suojiashun/HIT-UAV-Infrared-Thermal-Dataset, CC BY 4.0; "
        "encoder: EfficientNet-Lite0, ImageNet, Apache-2.0",
        limits="One camera (640x512, white is hot), 60 to 130 m, one region; other cameras, and cold objects "
        "on warm ground, are not tested. HIT-UAV's val part has frames of the videos that its train part has "
        "frames of. Other vehicles are rare there (102 boxes in train, 12 in val).",
        measure=model_figures.detection,
        speed=model_figures.detection_speed,
    ),
    "crossband-label": Kind(
        task="labeling",
        does="road, pavement, grass, building, tree, object in thermal images from the air",
        data="1,440 frames of flights over 24 of crossband's own simulated cities, 40 to 120 m, day and night, "
        "four seasons",
        attribution="Encoder: EfficientNet-Lite0, ImageNet, Apache-2.0",
        limits="Learned from simulated cities alone, and thermal images alone; real flights are not tested.",
        measure=model_figures.labeling,
        speed=model_figures.labeling_speed,
    ),
    "crossband-objects": Kind(
        task="objects",
        does="the same object in a color photograph and in a thermal frame, both from the air",
        data="the objects of flights over 40 of crossband's own simulated cities (2,400 frames), by day and "
        "night, and of photographs of the same ground at another hour",
        attribution="Encoder: EfficientNet-Lite0, ImageNet, Apache-2.0",
        limits="Learned from simulated cities alone. It sees what is around an object too: of one that has "
        "moved it knows less.",
        measure=model_figures.objects,
        speed=model_figures.objects_speed,
    ),
    "crossband-translate": Kind(
        task="translation",
        does="what a thermal camera would see of a color photograph from the air, in kelvin",
        data="flights by day over sixteen of crossband's own simulated cities, and photographs of the same "
        "ground",
        attribution="Encoder: EfficientNet-Lite0, ImageNet, Apache-2.0",
        limits="Learned from simulated cities by day alone. Of cars and persons it knows no more than the "
        "ambient temperature says: which engine has run is not to be seen in color. The real world's "
        "materials are not the simulator's: take it for a likely picture, not for a measurement.",
        measure=model_figures.translation,
        speed=model_figures.translation_speed,
    ),
    "crossband-segment": Kind(
        task="segmentation",
        does="MFNet's classes in street scenes, RGB and thermal or either alone",
        data="6,000 frames of twenty-eight of crossband's own simulated cities, sixteen of them full of people "
        "and bicycles: by day and night, in rain and fog",
        attribution="Encoder: EfficientNet-Lite0, ImageNet, Apache-2.0",
        limits="Learned from simulated streets alone: on real pictures it is a start, no product.",
        measure=model_figures.segmentation,
        speed=model_figures.segmentation_speed,
    ),
    "crossband-vehicles": Kind(
        task="reidentification",
        does="the same vehicle across cameras, hours and bands, from RGB, NIR and TIR or any of them",
        data="14,400 frames of 1,440 vehicles in five of crossband's own simulated cities, more than half of "
        "them of ten makes of each type and with individual extras, eight cameras each, day and night, rain "
        "and fog",
        attribution="Encoder: SqueezeNet 1.1, ImageNet, Apache-2.0 (ONNX model zoo)",
        limits="Learned from simulated vehicles alone, each in the middle of its frame; "
        "real cameras are not tested.",
        measure=model_figures.reidentification,
        speed=model_figures.reidentification_speed,
    ),
}


def pack_run(
    name: str, checkpoint: Path, data: Path, images: int, hours: float, hardware: str | None = None
) -> Path:
    """Pack a checkpoint under a name of :data:`KINDS`, measure it as it is packed, and write its card.

    ``hardware`` is what it learned on; this machine without.
    """
    kind = KINDS[name]
    card = Card(
        name,
        kind.task,
        kind.does,
        kind.data,
        "Apache-2.0",
        kind.attribution,
        datetime.now(UTC).date().isoformat(),
        images,
        hours,
        hardware or machine().split(", ")[2],
        limits=kind.limits,
    )
    with tempfile.TemporaryDirectory() as folder:
        packed = pack(checkpoint, card, folder)
        figures, text = kind.measure(packed, data)
    path = pack(checkpoint, replace(card, figures=figures))
    write_section(_PAGE, name, _card_text(path, text))
    return path


def mean_of_run(run: Path, out: Path) -> Path:
    """Write a checkpoint with the mean of a finished run's best weights and its last (averaged) ones."""
    best = run / "best.safetensors"
    last = torch.load(run / "state.pt", weights_only=True)["average"]
    mean = {}
    for name, value in load_file(best).items():  # counts of batches are no weights, and not averaged
        mean[name] = value.lerp(last[name].to(value), 0.5) if value.is_floating_point() else value
    with safe_open(best, "pt") as file:
        save_file(mean, out, metadata=file.metadata())
    return out


def measure_again(name: str, data: Path) -> None:
    """Write the card of a packaged network anew."""
    path = FOLDER / f"{name}.safetensors"
    write_section(_PAGE, name, _card_text(path, KINDS[name].measure(path, data)[1]))


def _card_text(path: Path, text: str) -> str:
    card = card_of(path)
    assert card is not None
    recipe = f"recipes/models/{card.name.removeprefix('crossband-')}.yaml"
    lines = [
        f"{card.does[:1].upper()}{card.does[1:]}.",
        "",
        f"- **Learned from**: {card.data}.",
        f"- **Training**: `{recipe}`, one seed; {card.images:,} images seen in {card.hours:.1f} h of a shared "
        f"{card.hardware}, {card.date}.",
        f"- **License**: {card.license}. {card.attribution}.",
        f"- **Size**: {path.stat().st_size / 1e6:.1f} MB. {KINDS[card.name].speed(path)}",
        f"- **Where it fails**: {card.limits}",
        f"- **Digest**: `{card.digest[:16]}`",
        "",
        text,
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(dest="verb", required=True)
    packing = verbs.add_parser("pack")
    packing.add_argument("name", choices=KINDS)
    packing.add_argument("checkpoint", type=Path)
    packing.add_argument("data", type=Path)
    packing.add_argument("--images", type=int, required=True)
    packing.add_argument("--hours", type=float, required=True)
    packing.add_argument("--hardware", help="it learned on; this machine's without")
    again = verbs.add_parser("card")
    again.add_argument("name", choices=KINDS)
    again.add_argument("data", type=Path)
    meaning = verbs.add_parser("mean")
    meaning.add_argument("run", type=Path)
    meaning.add_argument("out", type=Path)
    given = parser.parse_args()
    if given.verb == "mean":
        print(mean_of_run(given.run, given.out))
    elif given.verb == "pack":
        print(pack_run(given.name, given.checkpoint, given.data, given.images, given.hours, given.hardware))
    else:
        measure_again(given.name, given.data)


if __name__ == "__main__":
    main()
