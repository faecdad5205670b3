"""A descriptor: image to one vector, and everything that decides what that vector is.

Written as text, it is ``ENCODER[@LAYER][:POOLING[+center]]``, as in ``squeezenet1_1``,
``mobilenet_v2@features.13`` or ``efficientnet_lite0@blocks.4:avg5s3+center``: a pooling
(:class:`crossband.nn.Pooling`), and ``center`` when each band's own mean is taken away, which removes the
shift between bands. Principal axes are fitted, not named: :func:`crossband.retrieval.fit_descriptor` gives a
descriptor file that can stand wherever a name can. So can a checkpoint of the task ``places``, whose network
makes the whole vector and reads images as it was trained to, and one of the task ``pairs``, whose axes were
learned across bands.
"""

from __future__ import annotations

import fnmatch
import hashlib
import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load_file, save_file

from ... import __version__
from ...bands import BANDS, Band, Normalization, parse_band
from ...data.preprocess import Preprocess, Statistics, Warp
from ...errors import CrossbandError
from ...models import ModelInfo, create_model, find_model
from ...models.pair_descriptor import load_pair_descriptor
from ...models.place_recognizer import load_place_encoder
from ...nn import Encoder, Pooling
from ..descriptor_cache import StoredRows

__all__ = [
    "DEFAULT_DESCRIPTOR",
    "DEFAULT_OPTIONS",
    "PACKED",
    "PRESETS",
    "Descriptor",
    "Finish",
    "FinishedRows",
    "Options",
    "list_packed",
]

# Chosen on docs/decisions.md's table: aligned and misaligned recall, both ways.
DEFAULT_DESCRIPTOR = "crossband"
PRESETS = {"crossband": "efficientnet_lite0@blocks.4:avg5s3+center"}
PACKED = {"crossband512": Path(__file__).parents[2] / "models" / "crossband512.safetensors"}
"""Trained descriptors that come with the package: name -> checkpoint; docs/retrieval.md has their figures."""
_FORMAT = "crossband-descriptor-1"
_CHECKPOINT = "crossband-checkpoint-1"
_TRAINED = "trained"  # the encoder of a descriptor that a checkpoint makes
_PREPROCESSING = 1  # raise it when the same image and options give another tensor than before
_SIDES = (16, 8192)  # pixels


@dataclass(frozen=True)
class Options:
    """The user's options for how any descriptor reads images.

    Attributes:
        size: (height, width) in pixels that images are resized to.
        weights: a file or folder to look for weights in first.
        normalization: a normalization's name, a band; the others keep their defaults.
        statistics: mean and standard deviation, a band; the others keep the encoder's.
        device: ``cpu``, ``cuda`` or ``auto``.
    """

    size: tuple[int, int] = (320, 320)
    weights: str | Path | None = None
    normalization: Mapping[str, str] | None = None
    statistics: Mapping[Band, Statistics] | None = None
    device: str = "auto"

    def preprocess(self, statistics: Statistics) -> Preprocess:
        """Make the preprocessing for an encoder whose weights expect some statistics."""
        given, measured = self.normalization or {}, self.statistics or {}
        default = Preprocess()
        return Preprocess(
            size=self.size,
            statistics={band: measured.get(band, statistics) for band in BANDS},
            normalization={
                band: Normalization.parse(given[band]) if band in given else default.normalization[band]
                for band in BANDS
            },
        )


DEFAULT_OPTIONS = Options()


@dataclass(frozen=True)
class Finish:
    """From a pooled vector to the final one; the identity when nothing is centered or projected.

    With centering or axes: the vector is scaled to unit length, its band's mean is taken away, it is
    projected on the axes, and scaled to unit length again.

    Attributes:
        means: float32 ``(d,)`` a band, or ``None`` when nothing is centered.
        axes: float32 ``(d, k)``, already divided by what whitens, or ``None``.
    """

    means: Mapping[Band, np.ndarray] | None = None
    axes: np.ndarray | None = None

    def __call__(self, vectors: np.ndarray, band: Band) -> np.ndarray:
        """Finish float32 vectors ``(n, d)`` of one band; ``(n, k)`` comes out.

        Raises:
            CrossbandError: the band has no mean.
        """
        if self.means is None and self.axes is None:
            return vectors
        vectors = unit_length(vectors)
        if self.means is not None:
            if band not in self.means:
                have = ", ".join(sorted(self.means)) or "none"
                raise CrossbandError(
                    f"the band {band.value} cannot be centered, its mean is unknown (known: {have}); "
                    f"make the gallery from frames that have it, or give such images with --calibrate FOLDER"
                )
            if len(self.means[band]) != vectors.shape[1]:
                raise CrossbandError(
                    f"dimension mismatch: the mean of {band.value} has {len(self.means[band])} dims, "
                    f"the vectors have {vectors.shape[1]}; the file it came from is damaged or of another model"
                )
            vectors = vectors - self.means[band]
        if self.axes is not None and len(self.axes) != vectors.shape[1]:
            raise CrossbandError(
                f"dimension mismatch: the axes expect {len(self.axes)} dims, "
                f"the vectors have {vectors.shape[1]}; "
                "the file they came from is damaged or of another model"
            )
        return unit_length(vectors if self.axes is None else vectors @ self.axes)


class FinishedRows:
    """Rows of one band, finished as they are read."""

    def __init__(self, pooled: StoredRows, finish: Finish, band: Band) -> None:
        self._pooled, self._finish, self._band = pooled, finish, band

    @property
    def shape(self) -> tuple[int, int]:
        """(number of rows, dim)."""
        axes = self._finish.axes
        return self._pooled.shape[0], self._pooled.shape[1] if axes is None else axes.shape[1]

    def rows(self, start: int, stop: int) -> np.ndarray:
        """Return finished rows, float32."""
        return self._finish(self._pooled.rows(start, stop), self._band)

    def take(self, index: np.ndarray) -> np.ndarray:
        """Return finished rows at some positions, float32."""
        return self._finish(self._pooled.take(index), self._band)

    def subset(self, index: np.ndarray) -> FinishedRows:
        """Return some of the rows, still to be read."""
        return FinishedRows(self._pooled.subset(index), self._finish, self._band)


@dataclass(frozen=True)
class Descriptor:
    """How an image becomes a vector.

    Attributes:
        name: as the user wrote it.
        encoder_name: the registered encoder.
        encoder: the network, in evaluation mode.
        weights_digest: SHA-256 of its weights file.
        layer: where it is cut.
        pooling: map to vector.
        center: whether each band's mean is taken away.
        preprocess: image to tensor.
        axes: principal axes ``(d, k)`` that were fitted, or ``None``.
        means: means that came with a fitted descriptor, for bands whose own are not known.
        device: where the encoder runs.
        checkpoint: the file of a trained network that makes the whole vector, or ``None``.
    """

    name: str
    encoder_name: str
    encoder: Encoder
    weights_digest: str
    layer: str
    pooling: Pooling
    center: bool
    preprocess: Preprocess
    axes: np.ndarray | None = None
    means: Mapping[Band, np.ndarray] | None = None
    device: str = "cpu"
    checkpoint: str | None = None

    @classmethod
    def load(cls, name: str = DEFAULT_DESCRIPTOR, options: Options = DEFAULT_OPTIONS) -> Descriptor:
        """Load the descriptor of a name, a text or a fitted file.

        Raises:
            CrossbandError: an unknown encoder, layer or step, or weights that are missing.
        """
        if name in PACKED:
            return replace(_of_checkpoint(PACKED[name], options), name=name, checkpoint=name)
        if name.endswith(".safetensors") or (Path(name).is_file() and not _names_model(name)):
            read = _of_checkpoint if _metadata(Path(name)).get("format") == _CHECKPOINT else read_descriptor
            return replace(read(Path(name), options), name=name)
        return _build(name, PRESETS.get(name, name), options)

    @property
    def fingerprint(self) -> str:
        """Return the digest of weights, layer, pooling and preprocessing: what makes the pooled vector."""
        return _digest(self._pooled_metadata())

    @property
    def identity(self) -> str:
        """Return the digest of the final vector, axes included; band means are a gallery's own."""
        metadata: dict = {**self._pooled_metadata(), "center": self.center}
        if self.axes is not None:
            metadata["axes"] = hashlib.sha256(np.ascontiguousarray(self.axes).tobytes()).hexdigest()
        return _digest(metadata)

    def with_warp(self, warp: Warp | None) -> Descriptor:
        """Return the same descriptor for images that are first misaligned by ``warp``."""
        return replace(self, preprocess=replace(self.preprocess, warp=warp))

    def pooled(self, images: torch.Tensor) -> torch.Tensor:
        """Return pooled vectors ``(B, d)``, float32, of preprocessed images ``(B, 3, h, w)``."""
        images = images.to(self.device).contiguous(memory_format=torch.channels_last)
        with torch.inference_mode():
            return self.pooling(self.encoder(images, self.layer)).cpu()

    def finish(self, means: Mapping[Band, np.ndarray] | None) -> Finish:
        """Return what finishes this descriptor's vectors with the means of the sets at hand."""
        if not self.center:
            return Finish(None, self.axes)
        return Finish({**(self.means or {}), **(means or {})}, self.axes)

    def save(self, path: str | Path) -> Path:
        """Save it as a safetensors file; the encoder's weights are referred to by their hash.

        Raises:
            CrossbandError: the file cannot be written.
        """
        metadata = {
            "format": _FORMAT,
            "crossband": __version__,
            "name": self.name,
            "encoder": self.encoder_name,
            "weights": self.weights_digest,
            "layer": self.layer,
            "pooling": str(self.pooling),
            "center": self.center,
            "preprocess": self.preprocess.describe(),
            "checkpoint": self.checkpoint,
        }
        tensors = {f"mean.{band.value}": mean for band, mean in (self.means or {}).items()}
        if self.axes is not None:
            tensors["axes"] = np.ascontiguousarray(self.axes)
        path = Path(path)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
            save_file(tensors, partial, metadata={"crossband": json.dumps(metadata)})
            partial.replace(path)
        except (OSError, SafetensorError) as error:
            raise CrossbandError(f"cannot write {path} ({error}); choose another --out") from None
        return path

    def _pooled_metadata(self) -> dict[str, object]:
        return {
            "encoder": self.encoder_name,
            "weights": self.weights_digest,
            "layer": self.layer,
            "pooling": str(self.pooling),
            "preprocess": self.preprocess.describe(),
            "preprocessing": _PREPROCESSING,
        }


def unit_length(vectors: np.ndarray) -> np.ndarray:
    """Scale rows to unit Euclidean length, float32; zero rows stay zero."""
    norms = np.sqrt(np.einsum("nd,nd->n", vectors, vectors, dtype=np.float64))[:, None]
    return (vectors / np.maximum(norms, 1e-12)).astype(np.float32)


def _digest(metadata: Mapping[str, object]) -> str:
    return hashlib.sha256(json.dumps(metadata, sort_keys=True).encode()).hexdigest()[:32]


def _names_model(name: str) -> bool:
    """Whether the name is a model's, so that a file of the same name beside it does not matter."""
    try:
        find_model(PRESETS.get(name, name).partition(":")[0].partition("@")[0])
    except CrossbandError:
        return False
    return True


def _build(name: str, text: str, options: Options) -> Descriptor:
    head, _, steps = text.partition(":")
    encoder_name, _, layer = head.partition("@")
    entry = find_model(encoder_name, also=[*PRESETS, *PACKED])
    pooling, center = _steps(steps or entry.default_steps)
    encoder, digest = create_model(encoder_name, options.weights)
    return Descriptor(
        name=name,
        encoder_name=encoder_name,
        encoder=encoder.to(device := _device(options.device)),
        weights_digest=digest,
        layer=encoder.check_layer(layer or None),
        pooling=pooling,
        center=center,
        preprocess=options.preprocess(encoder.statistics),
        device=device,
    )


def _steps(text: str) -> tuple[Pooling, bool]:
    steps = [step for step in text.split("+") if step]
    poolings = [step for step in steps if step != "center"]
    if len(poolings) != 1:
        raise CrossbandError(f"a descriptor takes one pooling; {text!r} has {len(poolings)}")
    return Pooling.parse(poolings[0]), "center" in steps


def descriptor_metadata(path: Path) -> dict[str, Any]:
    """Read and check a descriptor file's metadata; no tensor is read.

    Raises:
        CrossbandError: missing, damaged, or no descriptor file.
    """
    metadata = _metadata(path)
    if metadata.get("format") != _FORMAT:
        raise CrossbandError(f"{path} is not a descriptor file of crossband; crossband fit writes one")
    for name in ("name", "encoder", "weights", "layer", "pooling"):
        if not isinstance(metadata.get(name), str):
            raise _no_descriptor(path, f"its {name} is not text")
    if not isinstance(metadata.get("center"), bool):
        raise _no_descriptor(path, "its field center is neither true nor false")
    _read_preprocess(path, metadata.get("preprocess"))
    return metadata


def _metadata(path: Path) -> dict[str, Any]:
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = json.loads((file.metadata() or {}).get("crossband", "{}"))
    except FileNotFoundError:
        raise CrossbandError(f"no descriptor file at {path}; crossband fit writes one") from None
    except (SafetensorError, OSError, ValueError, RecursionError) as error:
        raise _no_descriptor(path, str(error)) from None
    return metadata if isinstance(metadata, dict) else {}


def _of_checkpoint(path: Path, options: Options) -> Descriptor:
    """The descriptor of a trained network, which reads images as it was trained to."""
    metadata = _metadata(path)
    trained = _trained(path, metadata)
    return Descriptor(
        name=str(path),
        encoder_name=_TRAINED,
        encoder=trained.encoder.to(device := _device(options.device)),
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


def list_packed(pattern: str = "*") -> list[ModelInfo]:
    """List the packaged trained descriptors whose names match a pattern.

    Example:
        >>> [(info.name, info.dim, info.weights) for info in list_packed()]
        [('crossband512', 512, 'here')]
    """
    found = []
    for name in sorted(fnmatch.filter(PACKED, pattern)):
        metadata = _metadata(PACKED[name])
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
                "this package",
                "here",
                (height, width),
            )
        )
    return found


def _trained_preprocess(path: Path, metadata: Mapping[str, Any], options: Options) -> Preprocess:
    """As it was trained to read images, but for what the user says of his own."""
    own = _read_preprocess(path, metadata.get("preprocess"))
    if options.size not in (own.size, DEFAULT_OPTIONS.size):
        raise CrossbandError(
            f"{path.stem} was trained on images of {own.size[1]}x{own.size[0]} and takes no other size; omit "
            "--size, or choose a descriptor that is not trained, such as crossband"
        )
    given = {band: Normalization.parse(text) for band, text in _by_band(options.normalization).items()}
    return replace(
        own,
        normalization={**own.normalization, **given},
        statistics={**own.statistics, **(options.statistics or {})},
    )


def _by_band(given: Mapping[str, str] | None) -> dict[Band, str]:
    return {parse_band(name): text for name, text in (given or {}).items()}


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


def _encoder_of(path: Path, metadata: Mapping[str, Any], weights: str | Path | None) -> tuple[Encoder, str]:
    if metadata["encoder"] != _TRAINED:
        return create_model(metadata["encoder"], weights)
    named = str(metadata.get("checkpoint"))
    given = weights is not None and Path(weights).is_file()  # a folder holds the weights of other models
    checkpoint = Path(str(weights)) if given else PACKED.get(named, Path(named))
    if not checkpoint.is_file():
        raise CrossbandError(f"{path} needs the trained network {checkpoint}; give it with --weights")
    trained = _trained(checkpoint, _metadata(checkpoint))
    return trained.encoder, trained.digest


def read_descriptor(path: Path, options: Options) -> Descriptor:
    """Read the descriptor of a file, under the name it had when it was written.

    Raises:
        CrossbandError: no descriptor file, or fitted with other weights than those that are here.
    """
    metadata = descriptor_metadata(path)
    axes, means = _read_tensors(path)
    encoder, digest = _encoder_of(path, metadata, options.weights)
    if digest != metadata["weights"]:
        raise CrossbandError(
            f"{path} was fitted with other weights of {metadata['encoder']} "
            f"({metadata['weights'][:8]}, here {digest[:8]}); give those with --weights"
        )
    return Descriptor(
        name=metadata["name"],
        encoder_name=metadata["encoder"],
        encoder=encoder.to(device := _device(options.device)),
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


def _no_descriptor(path: Path, reason: str) -> CrossbandError:
    return CrossbandError(f"{path} is not a descriptor file: {' '.join(reason.split())[:80]}")


def _read_preprocess(path: Path, metadata: object) -> Preprocess:
    """How images are read, from what a file says of it; a size that no image has is refused before anything
    is made of it."""
    if not isinstance(metadata, dict):
        raise _no_descriptor(path, "it lacks the preprocessing")
    size = metadata.get("size")
    low, high = _SIDES
    if not (
        isinstance(size, list) and len(size) == 2 and all(type(n) is int and low <= n <= high for n in size)
    ):
        raise _no_descriptor(path, f"its image size is not two sides from {low} to {high} pixels")
    try:
        preprocess = Preprocess.from_description(metadata)
    except (KeyError, ValueError, TypeError, AttributeError, CrossbandError) as error:
        raise _no_descriptor(path, f"it lacks the preprocessing ({error})") from None
    for band in BANDS:
        if band not in preprocess.statistics or band not in preprocess.normalization:
            raise _no_descriptor(path, f"it lacks the preprocessing of {band.value}")
        mean, std = preprocess.statistics[band].mean, preprocess.statistics[band].std
        if not (_finite(mean, 3) and _finite(std, 3) and min(std) > 0):
            raise _no_descriptor(path, f"its statistics of {band.value} are not three values each")
    warp = preprocess.warp
    if warp is not None and not (_finite((warp.shift, warp.scale, warp.rotate), 3) and warp.scale > 0):
        raise _no_descriptor(path, "its warp is not three values")
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
            raise _no_descriptor(path, f"the {name} are not finite float32 dims in {dims} dimension(s)")
    if len({len(array) for array in (axes, *means.values()) if array is not None}) > 1:
        raise _no_descriptor(path, "its axes and means differ in length")
    return axes, means


def _device(name: str) -> str:
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if name != "cpu" and not torch.cuda.is_available():
        raise CrossbandError(f"device {name!r} is not available; use --device cpu")
    return name
