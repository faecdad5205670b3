"""The trained networks of the pipeline, from the checkpoints of a folder.

==========================  =========================================================================
``translation.safetensors``  color to thermal, task ``translation``
``labeling.safetensors``    classes of the ground, task ``labeling``
``localization.safetensors`` the distance of tiles, task ``localization``
``detection.safetensors``    objects, task ``detection``
``calibration.json``         ``beta`` of equation (1) and the ``threshold`` beyond which an object is not there
==========================  =========================================================================

``crossband reproduce thermal-reid``, in the mode train, fills such a folder; checkpoints of other runs may be
put there too.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import nn

from ..bands import Units
from ..checkpoints import complete_metadata, load_network, read_metadata
from ..data.scenes import thermal_input
from ..devices import choose_device
from ..errors import CrossbandError, DamagedFileError, MissingWeightsError
from ..models.center_detector import CenterDetector
from ..models.encoder_labeler import EncoderLabeler
from ..models.geo_gan import GeoGAN
from ..models.packaged import packaged_path
from ..models.thermal_gan import Translator
from ..models.tile_distance import TileDistance
from ..models.yolo_semantic import YoloSemantic
from ..progress import note
from ..weights import file_digest
from .ground_classes import GROUND

__all__ = [
    "Calibration",
    "Detector",
    "Labeler",
    "Locator",
    "Networks",
    "load_checkpoint",
    "load_translator",
    "read_detector",
    "read_labeler",
    "read_locator",
]

N = TypeVar("N", bound=nn.Module)


@dataclass(frozen=True)
class Labeler:
    """A labeling network with the band it reads, its zoom, and its digest."""

    network: GeoGAN | EncoderLabeler
    band: str
    zoom: float
    digest: str


@dataclass(frozen=True)
class Locator:
    """A tile distance with its tiles, stride, search radius, prior weight, and digest."""

    network: TileDistance
    tile: float
    stride: float
    radius: float
    prior: float
    digest: str


@dataclass(frozen=True)
class Detector:
    """A detector: network, class names, enlargement, identity, and the thermal units it learned from.

    The units are empty where its checkpoint does not say; images are enlarged for it so much, and frames of a
    known height until a pixel shows at most ``finest`` meters of ground.
    """

    network: YoloSemantic | CenterDetector
    classes: list[str]
    zoom: float
    digest: str
    units: tuple[str, ...] = ()
    finest: float | None = None

    @property
    def reads_map(self) -> bool:
        """Whether it reads the map's labeling beside the image."""
        return self.network.semantics > 0

    def image(self, pixels: np.ndarray, units: Units | str) -> torch.Tensor:
        """Return what it reads of a thermal image ``(H, W)``, before it is enlarged: ``(1, H, W)``.

        One that has never seen kelvin takes them as counts, by their range.
        """
        known = not self.units or str(Units(units)) in self.units
        return thermal_input(pixels, units if known else Units.COUNTS)


@dataclass(frozen=True)
class Calibration:
    """What was calibrated on val.

    Attributes:
        beta: of equation (1).
        threshold: distance beyond which an object is not there.
    """

    beta: float
    threshold: float

    @classmethod
    def read(cls, path: Path) -> Calibration:
        """Read ``calibration.json``.

        Raises:
            CrossbandError: it is missing or says something else.
        """
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            return cls(float(content["beta"]), float(content["threshold"]))
        except OSError as error:
            raise MissingWeightsError(
                f"no calibration at {path} ({error.strerror}); crossband reproduce thermal-reid trains one"
            ) from None
        except (ValueError, KeyError, TypeError):
            raise DamagedFileError(
                f'{path} is no calibration: {{"beta": 0.5, "threshold": 0.3}} is expected'
            ) from None


def load_translator(path: str | Path, device: str = "cpu") -> tuple[Translator, str]:
    """Load a translation network in evaluation mode, and return its digest.

    Raises:
        CrossbandError: no checkpoint, or one of another task.
    """
    from .tasks.translation import TranslationModel, build_translator

    def build(metadata: dict[str, Any]) -> Translator:
        return build_translator(TranslationModel(**metadata["recipe"]["model"]), pretrained=False)

    return load_checkpoint(Path(path), "translation", build, device)


def read_labeler(path: str | Path, device: str = "cpu") -> Labeler:
    """Read a labeling network; see :func:`load_translator`."""

    from .tasks.labeling import LabelingModel, build_labeler

    def build(metadata: dict[str, Any]) -> GeoGAN | EncoderLabeler:
        return build_labeler(LabelingModel(**metadata["recipe"]["model"]), pretrained=False)

    network, digest = load_checkpoint(Path(path), "labeling", build, device)
    metadata = read_metadata(path)
    with complete_metadata(path):
        model = metadata["recipe"]["model"]
        return Labeler(network, model["band"], model["zoom"], digest)


def read_locator(path: str | Path, device: str = "cpu") -> Locator:
    """Read a tile distance; see :func:`load_translator`."""
    network, digest = load_checkpoint(
        Path(path),
        "localization",
        lambda metadata: TileDistance(len(GROUND), **metadata["recipe"]["model"]),
        device,
    )
    metadata = read_metadata(path)
    with complete_metadata(path):
        search = metadata["recipe"]["search"]
        return Locator(
            network, search["tile"], search["stride"], search["radius"], search.get("prior", 0.0), digest
        )


def read_detector(path: str | Path, device: str = "cpu") -> Detector:
    """Read a detector; see :func:`load_translator`."""

    from .tasks.detection import DetectionModel, build_detector

    def build(metadata: dict[str, Any]) -> YoloSemantic | CenterDetector:
        model = DetectionModel(**metadata["recipe"]["model"])
        return build_detector(model, len(metadata["classes"]), metadata["priors"], pretrained=False)

    network, digest = load_checkpoint(Path(path), "detection", build, device)
    metadata = read_metadata(path)
    with complete_metadata(path):
        units, model = tuple(metadata.get("units", ())), metadata["recipe"]["model"]
        return Detector(network, metadata["classes"], model["zoom"], digest, units, model.get("finest"))


def load_checkpoint(path: Path, task: str, build: Callable[[dict[str, Any]], N], device: str) -> tuple[N, str]:
    """Load the network of a checkpoint of a task, in evaluation mode, and return its digest too.

    Raises:
        CrossbandError: no checkpoint, one of another task, or one that does not say how it is built.
    """
    metadata = read_metadata(path)
    found = metadata.get("recipe", {}).get("task")
    if found != task:
        raise CrossbandError(f"{path} is a checkpoint of the task {found}, not {task}")
    try:
        network = build(metadata)
    except (LookupError, TypeError, ValueError, ArithmeticError, AttributeError, RuntimeError) as error:
        raise DamagedFileError(
            f"{path} does not say how its network is built ({error}); train it again"
        ) from None
    load_network(path, network)
    return network.to(choose_device(device)).eval(), file_digest(path)


@dataclass(frozen=True)
class Networks:
    """The networks of a folder, each loaded when it is needed.

    Attributes:
        folder: see the module's table; what it lacks, or all without one, is a packaged network.
        device: ``cpu``, ``cuda`` or ``auto``.
    """

    folder: Path | None
    device: str = "cpu"

    @cached_property
    def translator(self) -> tuple[Translator, str]:
        """Color to thermal."""
        return load_translator(self._path("translation"), self.device)

    @cached_property
    def labeler(self) -> Labeler:
        """Classes of the ground."""
        return read_labeler(self._path("labeling"), self.device)

    @cached_property
    def locator(self) -> Locator:
        """The distance of tiles."""
        return read_locator(self._path("localization"), self.device)

    @cached_property
    def detector(self) -> Detector:
        """Objects."""
        return read_detector(self._path("detection"), self.device)

    @cached_property
    def calibration(self) -> Calibration:
        """Beta and threshold."""
        if self.folder is None:
            raise CrossbandError(
                "no calibration comes with this package; give a folder of networks", parameter="models"
            )
        return Calibration.read(self.folder / "calibration.json")

    def load(self, *names: str) -> None:
        """Load networks, by the names of these attributes, or all: what is missing is missed before any work.

        Raises:
            CrossbandError: one is missing or wrong.
        """
        for name in names or ("calibration", "translator", "labeler", "locator", "detector"):
            getattr(self, name)

    def _path(self, name: str) -> Path:
        path = (self.folder or Path()) / f"{name}.safetensors"
        if self.folder is None or not path.is_file():
            if (packaged := packaged_path(name)) is not None:
                if self.folder is not None and not self.folder.is_dir():
                    raise CrossbandError(f"no folder of networks {self.folder}", parameter="models")
                if self.folder is not None:
                    note(f"{self.folder} has no {name}.safetensors: the packaged network takes its place")
                return packaged
            raise CrossbandError(
                f"no network {path}; crossband reproduce thermal-reid trains it, in the folder models "
                "where it writes",
                parameter="models",
            )
        return path
