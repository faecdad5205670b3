"""The packaged networks as they can be run on a processor: eager, in bfloat16, by ONNX Runtime and in int8.

``python -m benchmarks.deployed FLIGHTS STREETS`` times all forms in turn on one thread, by the processor's
clock, and two of them on two threads, by the wall's (with nothing else on the machine); it measures the dense
networks in float32 and in int8 on what their recipes test below those folders, and writes the table into
docs/models.md. int8 is ONNX Runtime's static quantization, weights by channel, calibrated on 32 images of what
chose the network.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from crossband import create_model
from crossband.checkpoints import read_metadata
from crossband.data.items import part_frames
from crossband.data.labeled import LabeledFrames
from crossband.data.scenes import Scenes, thermal_input
from crossband.export import onnx_session, write_onnx
from crossband.io.boxes import read_boxes
from crossband.metrics.detection import score_detections
from crossband.models.packaged import packaged_path
from crossband.reid.search import load_reid
from crossband.segmentation.evaluation import confusion_of
from crossband.segmentation.predict import load_segmenter
from crossband.training import read_recipe
from crossband.training.task import find_task
from crossband.uav.evaluation import best_probes, object_crops, score_crops
from crossband.uav.ground_classes import LABELS, label_table
from crossband.uav.networks import load_translator, read_detector, read_labeler
from crossband.uav.object_descriptor import read_object_network
from crossband.uav.tasks.labeling import confusion, mean_iou
from crossband.uav.tasks.objects import Describer

from ._harness import ROOT, in_turn, machine, write_section
from .model_figures import _detections

_CALIBRATED = 32


@dataclass(frozen=True)
class Deployed:
    """A packaged network to be run in several forms.

    Attributes:
        name: of the package.
        network: whose ``forward`` is replaced for measuring.
        images: what it reads, for timing.
        calibration: such images of what chose the network; none where int8 is not measured.
        measure: its figure, percent, with the network's present ``forward``.
        figure: what that is.
    """

    name: str
    network: nn.Module
    images: torch.Tensor
    calibration: list[torch.Tensor]
    measure: Callable[[], float] | None = None
    figure: str = ""


def segment(data: Path) -> Deployed:
    path = _path("segmentation")
    recipe: Any = read_recipe(read_metadata(path)["recipe"])
    model = load_segmenter(path)

    def frames(part: Any) -> LabeledFrames:
        return LabeledFrames(part_frames(part, data), recipe.data.bands, model.preprocess, model.classes)

    task: Any = find_task("segmentation").build(recipe, data)
    chosen, tested = frames(recipe.data.val), frames(next(iter(recipe.data.test.values())))
    some = np.linspace(0, len(chosen) - 1, _CALIBRATED).astype(int).tolist()
    inputs = [chosen.standardized(chosen.frame(row)[0][None]) for row in some]

    def measure() -> float:
        return float(task.score(tested, confusion_of(model.network, tested, batch_size=1))["miou"])

    return Deployed("crossband-segment", model.network, inputs[0], inputs, measure, "mIoU")


def label(data: Path) -> Deployed:
    path = _path("labeling")
    recipe: Any = read_recipe(read_metadata(path)["recipe"])
    network, table = read_labeler(path).network, label_table(recipe.classes)
    chosen = Scenes(part_frames(recipe.data.val, data))
    tested = Scenes(part_frames(next(iter(recipe.data.test.values())), data))

    def image(scenes: Scenes, row: int) -> torch.Tensor:
        return thermal_input(scenes.pixels(row, "tir"), "centikelvin")[None]

    def measure() -> float:
        total = np.zeros((len(LABELS), len(LABELS)), np.int64)
        for row in range(len(tested)):
            found = network.label(image(tested, row))[0].numpy().astype(np.uint8)
            total += confusion(table[tested.pixels(row, "semantic")], found, len(LABELS))
        return 100 * float(np.nanmean(mean_iou(total)))

    inputs = [image(chosen, row) for row in np.linspace(0, len(chosen) - 1, _CALIBRATED).astype(int).tolist()]
    return Deployed("crossband-label", network, inputs[0], inputs, measure, "mIoU")


def detect(data: Path) -> Deployed:
    path = _path("detection")
    recipe: Any = read_recipe(read_metadata(path)["recipe"])
    detector = read_detector(path)
    tested = Scenes(part_frames(next(iter(recipe.data.test.values())), data))
    chosen = Scenes(part_frames(recipe.data.val, data))
    rows = [row for row in range(len(chosen)) if chosen.pixels(row, "tir").shape[:2] == (512, 640)]
    rows = [rows[i] for i in np.linspace(0, len(rows) - 1, _CALIBRATED).astype(int)]
    inputs = [detector.image(chosen.pixels(row, "tir"), "counts")[None] for row in rows]
    classes = read_boxes(tested.frames).classes

    def measure() -> float:
        return score_detections(_detections(detector, tested, recipe, classes), tested.boxes, classes).map50

    return Deployed("crossband-detect", detector.network, inputs[0], inputs, measure, "mAP at IoU 0.5")


def objects(data: Path) -> Deployed:
    path = _path("objects")
    recipe: Any = read_recipe(read_metadata(path)["recipe"])
    network, model = read_object_network(path)
    tested = Scenes(part_frames(next(iter(recipe.data.test.values())), data), 1000)
    chosen = Scenes(part_frames(recipe.data.val, data))
    seen = best_probes(chosen)[:_CALIBRATED]
    halves = (object_crops(chosen, seen, band, model.size, model.margin) for band in ("rgb", "tir"))
    inputs = list(torch.cat(list(halves))[:, None])

    def measure() -> float:
        return score_crops(tested, Describer(network, model)).nauc

    return Deployed("crossband-objects", network, inputs[0], inputs, measure, "nAUC")


class _AtOneHour(nn.Module):
    """The translator at one temperature of the air."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.network(images, torch.tensor([290.0]))


def translate(_: Path) -> Deployed:
    network = _AtOneHour(load_translator(_path("translation"))[0])
    return Deployed("crossband-translate", network.eval(), torch.rand(1, 3, 256, 320), [])


class _Features(nn.Module):
    """The vectors of frames in all bands."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        features: torch.Tensor = self.network(images).features
        return features


def vehicles(_: Path) -> Deployed:
    model = load_reid(_path("reidentification"))
    images = torch.rand(1, 3, 3, *model.preprocess.size)
    return Deployed("crossband-vehicles", _Features(model.network).eval(), images, [])


class _Vectors(nn.Module):
    """The vectors of color images."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        vectors: torch.Tensor = self.network(images, "rgb")
        return vectors


def descriptor(_: Path) -> Deployed:
    network = _Vectors(create_model("crossband512")).eval()
    return Deployed("crossband512", network, torch.rand(1, 3, 320, 320), [])


def _path(task: str) -> Path:
    path = packaged_path(task)
    assert path is not None
    return path


class _Reader:
    """The calibration's images, as ONNX Runtime asks for them."""

    def __init__(self, images: list[torch.Tensor]) -> None:
        self._left: Iterator[torch.Tensor] = iter(images)

    def get_next(self) -> dict[str, np.ndarray] | None:
        """The next image, or nothing."""
        image = next(self._left, None)
        return None if image is None else {"images": image.numpy()}


def quantized(path: Path, images: list[torch.Tensor], out: Path) -> Path:
    """Write an ONNX file in int8."""
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static

    quantize_static(
        str(path),
        str(out),
        _Reader(images),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
    )
    return out


def _by(session: Any) -> Callable[[torch.Tensor], Any]:
    """A forward pass by a session, image by image."""

    def forward(images: torch.Tensor) -> Any:
        found = [
            torch.cat([torch.from_numpy(one) for one in parts])
            for parts in zip(
                *(session.run(None, {"images": image[None].contiguous().numpy()}) for image in images),
                strict=True,
            )
        ]
        return found[0] if len(found) == 1 else tuple(found)

    return forward


def row(one: Deployed, folder: Path) -> str:
    """Time and measure the forms of a network: a line of the table."""
    plain = write_onnx(one.network, one.images, folder / f"{one.name}.onnx")
    sessions = {"ONNX": onnx_session(plain, 1)}
    if one.calibration:
        sessions["int8"] = onnx_session(quantized(plain, one.calibration, folder / f"{one.name}-int8.onnx"), 1)
    images = one.images
    if images.ndim == 4:
        images = images.contiguous(memory_format=torch.channels_last)

    def in_bfloat16() -> None:
        with torch.autocast("cpu", torch.bfloat16):
            one.network(images)

    forms: dict[str, Callable[[], object]] = {"eager": lambda: one.network(images), "bfloat16": in_bfloat16}
    for name, session in sessions.items():
        forms[name] = lambda session=session: session.run(None, {"images": one.images.numpy()})
    times = in_turn(forms, 7, 2, time.process_time)
    two = onnx_session(plain, 2)
    pair = {"eager": forms["eager"], "ONNX": lambda: two.run(None, {"images": one.images.numpy()})}
    torch.set_num_threads(2)
    both = in_turn(pair, 7, 2)
    torch.set_num_threads(1)
    cells = [
        f"{1 / times[name].median:.1f}" if name in times else ""
        for name in ("eager", "bfloat16", "ONNX", "int8")
    ]
    cells += [f"{1 / both[name].median:.1f}" for name in pair]
    size = " x ".join(str(side) for side in one.images.shape[1:])
    kept = ["", "", ""]
    if one.measure is not None:
        own = one.network.forward
        os.environ["CROSSBAND_PACE"] = "float32"
        before = one.measure()
        with torch.autocast("cpu", torch.bfloat16):
            narrow = one.measure()
        one.network.forward = _by(sessions["int8"])
        kept = [f"{one.figure} {before:.1f}", f"{narrow:.1f}", f"{one.measure():.1f}"]
        one.network.forward = own
    return f"| `{one.name}` | {size} | {' | '.join(cells)} | {' | '.join(kept)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("flights", type=Path)
    parser.add_argument("streets", type=Path)
    given = parser.parse_args()
    flights, streets = given.flights, given.streets
    torch.set_num_threads(1)
    lines = [
        "| network | input | eager | bfloat16 | ONNX | ONNX int8 | eager, two threads | ONNX, two threads "
        "| in float32 | in bfloat16 | in int8 |",
        "|---|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    with tempfile.TemporaryDirectory() as folder:
        for make, data in (
            (segment, streets),
            (label, flights),
            (detect, flights),
            (objects, flights),
            (translate, flights),
            (vehicles, flights),
            (descriptor, flights),
        ):
            one = make(data)
            with torch.inference_mode():
                lines.append(row(one, Path(folder)))
            print(lines[-1], flush=True)
    lines += ["", f"Inputs a second; on one thread by the processor's clock, on two by the wall's. {machine()}"]
    write_section(ROOT / "docs" / "models.md", "deployed", "\n".join(lines))


if __name__ == "__main__":
    main()
