"""From a name to a network: every kind of model that crossband knows, by one function."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from torch import nn

from .bands import Band, parse_band
from .checkpoints import read_metadata
from .devices import choose_device
from .errors import CrossbandError, UnknownNameError, unknown_name
from .models import ModelInfo, create_encoder, create_segmenter, find_model, list_segmenters
from .models import list_models as list_encoders
from .models._segmentation import band_channels, segmenter_names
from .retrieval.descriptor import (
    PACKED,
    PRESETS,
    Descriptor,
    Options,
    descriptor_metadata,
    list_packed,
)
from .retrieval.descriptor.network import DescriptorNetwork
from .weights import file_digest

__all__ = ["create_model", "input_channels", "is_encoder", "list_models"]


def create_model(
    name: str | Path,
    *,
    weights: str | Path | None = None,
    pretrained: bool | None = None,
    classes: int = 9,
    bands: Iterable[Band | str] = ("rgb", "tir"),
    options: Mapping[str, Any] | None = None,
    size: tuple[int, int] = (320, 320),
    device: str = "cpu",
) -> nn.Module:
    """Create the network of any name that the command line knows, in evaluation mode.

    ==========================================  ==========================================================
    ``resnet18``, ``timm/NAME``                  an :class:`~crossband.nn.Encoder`: image to feature map
    ``crossband``, ``crossband512``,             a descriptor: image to vector
    ``hog@cells:avg4``, a descriptor file
    ``rsfnet50_18``                              a segmentation network: bands to logits of classes
    a checkpoint                                 the network it holds, of whatever task
    ==========================================  ==========================================================

    Args:
        name: see the table, and :func:`list_models`.
        weights: a file or folder to look for weights in first.
        pretrained: whether it starts from published weights; by default encoders and descriptors do, and
            segmentation networks do not (their own are checkpoints; ``True`` loads those of their encoders).
        classes: of a segmentation network.
        bands: of a segmentation network's input, in this order; the first is what a descriptor's images are of.
        options: of a segmentation network.
        size: (height, width) of a descriptor's images; a trained one has its own.
        device: ``cpu``, ``cuda`` or ``auto``.

    Returns:
        the network; its ``digest`` is the SHA-256 of its weights' file, ``""`` without one.

    Raises:
        UnknownNameError: nobody knows the name.
        MissingWeightsError: the weights are not on this machine.

    Example:
        >>> import torch
        >>> create_model("squeezenet1_1", pretrained=False)(torch.zeros(1, 3, 64, 64)).shape
        torch.Size([1, 512, 3, 3])
        >>> create_model("mfnet", classes=5)(torch.zeros(1, 4, 32, 64)).shape
        torch.Size([1, 5, 32, 64])
    """
    text, place = str(name), choose_device(device)
    if text in segmenter_names():
        chosen = tuple(parse_band(band) for band in bands)
        found = create_segmenter(text, classes, chosen, pretrained=bool(pretrained), options=options)
        found.segments = chosen  # type: ignore[assignment]
        return found.to(place)
    if options:
        raise CrossbandError(f"{text} is no segmentation network and takes no options", parameter="options")
    if _is_checkpoint(Path(text)):
        return _of_checkpoint(Path(text), next(iter(bands)), weights, place)
    if is_encoder(text):
        return create_encoder(text, weights, pretrained is not False).to(place)
    if pretrained is False:
        raise CrossbandError(f"a descriptor such as {text} is its weights; leave pretrained out")
    reading = Options(size=size, weights=weights, device=place)
    return DescriptorNetwork(Descriptor.load(text, reading), next(iter(bands))).eval()


def list_models(pattern: str = "*") -> list[ModelInfo]:
    """List descriptors of this package, encoders and segmentation networks whose names match a pattern.

    Any model of timm works too, as ``timm/NAME``.

    Example:
        >>> [info.name for info in list_models("crossband*")]
        ['crossband512']
    """
    return [*list_packed(pattern), *list_encoders(pattern), *list_segmenters(pattern)]


def input_channels(network: nn.Module) -> int:
    """Return the channels that a network of :func:`create_model` reads."""
    bands = getattr(network, "segments", None)
    return 3 if bands is None else sum(band_channels(bands))


def is_encoder(name: str) -> bool:
    """Tell whether a name is an encoder's alone: no layer, no pooling, no preset.

    Raises:
        UnknownNameError: nobody knows it.
    """
    if name in PRESETS or name in PACKED or "@" in name or ":" in name or Path(name).is_file():
        return False
    try:
        find_model(name)
    except UnknownNameError:
        if name.startswith("timm/"):
            raise
        known = [*PRESETS, *PACKED, *segmenter_names(), *(info.name for info in list_encoders())]
        raise unknown_name("model", name, known) from None
    return True


def _is_checkpoint(path: Path) -> bool:
    """Whether a path means a checkpoint of ``crossband train``; a fitted descriptor's file is none."""
    return _task_of(path) is not None


def _task_of(path: Path) -> str | None:
    """The task of a checkpoint, ``None`` for anything else."""
    if path.suffix != ".safetensors":
        return None
    try:
        return str(read_metadata(path)["recipe"]["task"])
    except (CrossbandError, KeyError, TypeError):
        descriptor_metadata(path)  # which says what is wrong with a file that is neither
        return None


def _of_checkpoint(path: Path, band: Band | str, weights: str | Path | None, device: str) -> nn.Module:
    """The network of a checkpoint, by its task."""
    task = _task_of(path)
    network: nn.Module
    if task == "segmentation":
        from .segmentation import load_segmenter

        loaded = load_segmenter(path, device)
        network = loaded.network
        network.segments = loaded.bands  # type: ignore[assignment]
    elif task == "reidentification":
        from .reid.search import load_reid

        network = load_reid(path).network.to(device)
    elif task in ("places", "pairs"):
        network = DescriptorNetwork(Descriptor.load(str(path), Options(weights=weights, device=device)), band)
    else:
        network = _of_flight(path, task, device)
    network.digest = file_digest(path)  # type: ignore[assignment]
    return network.eval()


_OTHERS = ("segmentation", "reidentification", "places", "pairs", "translation", "objects")


def _of_flight(path: Path, task: str | None, device: str) -> nn.Module:
    from .uav import networks

    if task == "translation":
        return networks.load_translator(path, device)[0]
    if task == "objects":
        from .uav.object_descriptor import read_object_network

        return read_object_network(path, device)[0]
    read: dict[str, Any] = {
        "labeling": networks.read_labeler,
        "localization": networks.read_locator,
        "detection": networks.read_detector,
    }
    if task not in read:
        raise unknown_name("task", str(task), [*_OTHERS, *read])
    return read[task](path, device).network
