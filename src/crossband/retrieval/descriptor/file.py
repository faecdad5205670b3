"""Descriptors in files: those that were fitted, trained networks, and the trained ones of the package."""

from __future__ import annotations

import fnmatch
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load_file

from ... import __version__
from ...bands import BANDS, Band, Normalization, parse_band
from ...checkpoints import FORMAT as CHECKPOINT_FORMAT
from ...checkpoints import file_metadata, write_tensors
from ...data.preprocess import Preprocess
from ...devices import choose_device
from ...errors import CrossbandError, DamagedFileError, MissingWeightsError
from ...models import ModelInfo, create_encoder, find_model, list_models
from ...models.packaged import card_of
from ...models.pair_descriptor import load_pair_descriptor
from ...models.place_recognizer import load_place_encoder
from ...nn import Encoder, Pooling
from ...nn.encoder import reached_parameters
from .descriptor import DEFAULT_OPTIONS, Descriptor, Options
from .spec import PACKED, PRESETS, DescriptorSpec

__all__ = [
    "descriptor_metadata",
    "list_packed",
    "list_presets",
    "load_file_descriptor",
    "load_packed",
    "read_descriptor",
    "write_descriptor",
]

_FORMAT = "crossband-descriptor-1"
_TRAINED = "trained"  # the encoder of a descriptor that a checkpoint makes
_SIDES = (16, 8192)  # pixels


def load_file_descriptor(path: Path, options: Options) -> Descriptor:
    """Load the descriptor of a file: one that was fitted, or a trained network.

    Raises:
        CrossbandError: neither, or it is damaged.
    """
    read = _of_checkpoint if _metadata(path).get("format") == CHECKPOINT_FORMAT else read_descriptor
    return read(path, options)


def load_packed(name: str, options: Options) -> Descriptor:
    """Load a trained descriptor of the package by its name."""
    return replace(_of_checkpoint(PACKED[name], options), name=name, checkpoint=name)


def write_descriptor(descriptor: Descriptor, path: str | Path) -> Path:
    """Write a descriptor; see :meth:`Descriptor.save`."""
    metadata = {
        "format": _FORMAT,
        "crossband": __version__,
        "name": descriptor.name,
        "encoder": descriptor.encoder_name,
        "weights": descriptor.weights_digest,
        "layer": descriptor.layer,
        "pooling": str(descriptor.pooling),
        "center": descriptor.center,
        "preprocess": descriptor.preprocess.describe(),
        "checkpoint": descriptor.checkpoint,
    }
    arrays = {f"mean.{band.value}": mean for band, mean in (descriptor.means or {}).items()}
    if descriptor.axes is not None:
        arrays["axes"] = descriptor.axes
    tensors = {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in arrays.items()}
    return write_tensors(path, tensors, metadata)


def read_descriptor(path: Path, options: Options) -> Descriptor:
    """Read the descriptor of a file, under the name it had when it was written.

    Raises:
        CrossbandError: no descriptor file, or fitted with other weights than those that are here.
    """
    metadata = descriptor_metadata(path)
    axes, means = _read_tensors(path)
    encoder, digest = _encoder_of(path, metadata, options.weights)
    if digest != metadata["weights"]:
        raise MissingWeightsError(
            f"{path} was fitted with other weights of {metadata['encoder']} "
            f"({metadata['weights'][:8]}, here {digest[:8]}); give those as the weights",
            parameter="weights",
        )
    return Descriptor(
        name=metadata["name"],
        encoder_name=metadata["encoder"],
        encoder=encoder.to(device := choose_device(options.device)),
        weights_digest=digest,
        layer=encoder.check_layer(metadata["layer"]),
        pooling=Pooling.parse(metadata["pooling"]),
        center=metadata["center"],
        preprocess=_read_preprocess(path, metadata["preprocess"]),
        axes=axes,
        means=means or None,
        device=device,
        checkpoint=metadata.get("checkpoint"),
    )


def descriptor_metadata(path: Path) -> dict[str, Any]:
    """Read the metadata of a descriptor file, checked; no tensor is read.

    Raises:
        CrossbandError: missing, damaged, or no descriptor file.
    """
    metadata = _metadata(path)
    if metadata.get("format") != _FORMAT:
        raise DamagedFileError(f"{path} is no descriptor file of crossband; crossband fit writes one")
    for name in ("name", "encoder", "weights", "layer", "pooling"):
        if not isinstance(metadata.get(name), str):
            raise _no_descriptor(path, f"its {name} is no text")
    if not isinstance(metadata.get("center"), bool):
        raise _no_descriptor(path, "its center is neither true nor false")
    _read_preprocess(path, metadata.get("preprocess"))
    return metadata


def _metadata(path: Path) -> dict[str, Any]:
    return file_metadata(path, "descriptor file", "crossband fit")


def list_packed(pattern: str = "*") -> list[ModelInfo]:
    """List the trained descriptors of the package whose names match a pattern, for ``crossband models``.

    Example:
        >>> [(info.name, info.dim, info.weights) for info in list_packed()]
        [('crossband512', 512, 'here')]
    """
    found = []
    for name in sorted(fnmatch.filter(PACKED, pattern)):
        metadata, card = _metadata(PACKED[name]), card_of(PACKED[name])
        with safe_open(PACKED[name], framework="numpy") as file:
            shapes = {key: file.get_slice(key).get_shape() for key in file.keys()}  # noqa: SIM118
        buffers = ("means", "running_mean", "running_var", "num_batches_tracked")
        params = sum(math.prod(shape) for key, shape in shapes.items() if not key.endswith(buffers))
        height, width = metadata["recipe"]["data"]["size"]
        found.append(
            ModelInfo(
                name,
                "retrieval across bands",
                params / 1e6,
                shapes["axes"][1],
                "Apache-2.0",
                f"this package: {card.reached}" if card else "this package",
                "here",
                (height, width),
            )
        )
    return found


def list_presets(pattern: str = "*") -> list[ModelInfo]:
    """List the names that stand for an encoder's descriptor and match a pattern, for ``crossband models``.

    Their parameters are those that the vector depends on.

    Example:
        >>> [(info.name, round(info.params_m, 2), info.dim) for info in list_presets()]
        [('crossband', 0.7, 5488)]
    """
    found = []
    for name in sorted(fnmatch.filter(PRESETS, pattern)):
        spec = DescriptorSpec.parse(name)
        (listed,) = list_models(spec.encoder)
        with torch.device("meta"):
            encoder = find_model(spec.encoder).build().eval()
            params = sum(one.numel() for one in reached_parameters(encoder, Options().size, spec.layer))
            with torch.inference_mode():
                maps = encoder(torch.zeros(1, 3, *Options().size), spec.layer)
        found.append(
            replace(
                listed,
                name=name,
                task="retrieval across bands, the default",
                params_m=params / 1e6,
                dim=spec.pooling(maps).shape[1],
                source=f"{PRESETS[name]}; {listed.source}",
                size=Options().size,
            )
        )
    return found


def _of_checkpoint(path: Path, options: Options) -> Descriptor:
    """The descriptor of a trained network, which reads images as it was trained to."""
    metadata = _metadata(path)
    trained = _trained(path, metadata)
    return Descriptor(
        name=str(path),
        encoder_name=_TRAINED,
        encoder=trained.encoder.to(device := choose_device(options.device)),
        weights_digest=trained.digest,
        layer=trained.layer,
        pooling=trained.pooling,
        center=trained.axes is not None,
        preprocess=_trained_preprocess(path, metadata, options),
        axes=trained.axes,
        means=trained.means,
        device=device,
        checkpoint=str(path.resolve()),
    )


@dataclass(frozen=True)
class _Trained:
    """What a checkpoint holds; without axes its network makes the whole vector, and nothing is centered."""

    encoder: Encoder
    digest: str
    layer: str
    pooling: Pooling
    axes: np.ndarray | None = None
    means: Mapping[Band, np.ndarray] | None = None


def _trained(path: Path, metadata: Mapping[str, Any]) -> _Trained:
    recipe = metadata.get("recipe")
    if not isinstance(recipe, Mapping) or recipe.get("task") != "pairs":
        encoder, digest = load_place_encoder(path, metadata)
        return _Trained(encoder, digest, encoder.check_layer(None), Pooling.parse("flat"))
    network, bands, digest = load_pair_descriptor(path, metadata)
    means = dict(zip(bands, network.means.numpy(), strict=True))
    axes = np.ascontiguousarray(network.axes.numpy(), np.float32)
    return _Trained(network.encoder, digest, network.layer, network.pooling, axes, means)


def _trained_preprocess(path: Path, metadata: Mapping[str, Any], options: Options) -> Preprocess:
    """As it was trained to read images, but for what the user says of his own."""
    own = _read_preprocess(path, metadata.get("preprocess"))
    if options.size not in (own.size, DEFAULT_OPTIONS.size):
        raise CrossbandError(
            f"{path.stem} was trained on images of {own.size[1]}x{own.size[0]} and reads no others; leave "
            "the size out, or name a descriptor that is not trained, as crossband",
            parameter="size",
        )
    given = {band: Normalization.parse(text) for band, text in _by_band(options.normalization).items()}
    return replace(
        own,
        normalization={**own.normalization, **given},
        statistics={**own.statistics, **(options.statistics or {})},
    )


def _by_band(given: Mapping[str, str] | None) -> dict[Band, str]:
    return {parse_band(name): text for name, text in (given or {}).items()}


def _encoder_of(path: Path, metadata: Mapping[str, Any], weights: str | Path | None) -> tuple[Encoder, str]:
    if metadata["encoder"] != _TRAINED:
        encoder = create_encoder(metadata["encoder"], weights)
        return encoder, encoder.digest
    named = str(metadata.get("checkpoint"))
    given = weights is not None and Path(weights).is_file()  # a folder holds the weights of other models
    checkpoint = Path(str(weights)) if given else PACKED.get(named, Path(named))
    if not checkpoint.is_file():
        raise MissingWeightsError(
            f"{path} needs the trained network {checkpoint}; give it as the weights", parameter="weights"
        )
    trained = _trained(checkpoint, _metadata(checkpoint))
    return trained.encoder, trained.digest


def _read_preprocess(path: Path, metadata: object) -> Preprocess:
    """How images are read, from what a file says of it; a size that no image has is refused before anything
    is made of it."""
    if not isinstance(metadata, dict):
        raise _no_descriptor(path, "it does not say how images are read")
    size = metadata.get("size")
    low, high = _SIDES
    if not (
        isinstance(size, list) and len(size) == 2 and all(type(n) is int and low <= n <= high for n in size)
    ):
        raise _no_descriptor(path, f"its size is not two sides from {low} to {high} pixels")
    try:
        preprocess = Preprocess.from_description(metadata)
    except (KeyError, ValueError, TypeError, AttributeError, CrossbandError) as error:
        raise _no_descriptor(path, f"it does not say how images are read ({error})") from None
    for band in BANDS:
        if band not in preprocess.statistics or band not in preprocess.normalization:
            raise _no_descriptor(path, f"it does not say how {band.value} images are read")
        mean, std = preprocess.statistics[band].mean, preprocess.statistics[band].std
        if not (_finite(mean, 3) and _finite(std, 3) and min(std) > 0):
            raise _no_descriptor(path, f"its statistics of {band.value} are not three numbers each")
    warp = preprocess.warp
    if warp is not None and not (_finite((warp.shift, warp.scale, warp.rotate), 3) and warp.scale > 0):
        raise _no_descriptor(path, "its warp is not three numbers")
    return preprocess


def _finite(values: tuple[object, ...], n: int) -> bool:
    return len(values) == n and all(type(v) in (int, float) and abs(v) < 1e30 for v in values)  # type: ignore[arg-type]


def _read_tensors(path: Path) -> tuple[np.ndarray | None, dict[Band, np.ndarray]]:
    """Axes ``(d, k)`` and means ``(d,)`` of a descriptor file, checked."""
    try:
        tensors = load_file(path)
    except (SafetensorError, OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise _no_descriptor(path, str(error)) from None
    axes = tensors.get("axes")
    means = {band: tensors[f"mean.{band.value}"] for band in BANDS if f"mean.{band.value}" in tensors}
    for name, array, dims in [("axes", axes, 2), *((f"mean of {band}", m, 1) for band, m in means.items())]:
        if array is None:
            continue
        if array.dtype != np.float32 or array.ndim != dims or not array.size or not np.isfinite(array).all():
            raise _no_descriptor(path, f"the {name} are not finite float32 numbers in {dims} dimension(s)")
    if len({len(array) for array in (axes, *means.values()) if array is not None}) > 1:
        raise _no_descriptor(path, "its axes and means differ in length")
    return axes, means


def _no_descriptor(path: Path, reason: str) -> DamagedFileError:
    return DamagedFileError(f"{path} is no descriptor file: {' '.join(reason.split())[:80]}")
