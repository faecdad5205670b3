"""A descriptor: image to one vector, and everything that decides what that vector is.

:mod:`.spec` has the grammar of its text. Principal axes are fitted, not named:
:func:`crossband.retrieval.fit_descriptor` gives a descriptor file that can stand wherever a name can. So can a
checkpoint of the task ``places``, whose network makes the whole vector and reads images as it was trained to,
and one of the task ``pairs``, whose axes were learned across bands; :mod:`.file` reads them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from ...bands import BANDS, Band, Normalization
from ...data.preprocess import Placement, Preprocess, Statistics, Warp
from ...devices import choose_device
from ...errors import CrossbandError
from ...frames import Frames
from ...models import create_encoder
from ...nn import Encoder, Pooling
from ..descriptor_cache import StoredRows
from .spec import DEFAULT_DESCRIPTOR, PACKED, DescriptorSpec, names_encoder

__all__ = ["DEFAULT_OPTIONS", "Descriptor", "Finish", "FinishedRows", "Options", "distinct", "unit_length"]

_PREPROCESSING = 2  # raise it when the same image and options give another tensor than before


@dataclass(frozen=True)
class Options:
    """What a user may change about how any descriptor reads images.

    Attributes:
        size: (height, width) in pixels that images are resized to.
        weights: a file or folder to look for weights in first.
        normalization: a normalization's name, a band; the others keep their defaults.
        statistics: mean and standard deviation, a band; the others keep the encoder's.
        device: ``cpu``, ``cuda`` or ``auto``.
        rig: how a band's images are turned and cut to the view of the others.
    """

    size: tuple[int, int] = (320, 320)
    weights: str | Path | None = None
    normalization: Mapping[str, str] | None = None
    statistics: Mapping[Band, Statistics] | None = None
    device: str = "auto"
    rig: Mapping[Band, Placement] | None = None

    def preprocess(self, statistics: Statistics) -> Preprocess:
        """Tell how images are read, for an encoder whose weights expect some statistics."""
        given, measured = self.normalization or {}, self.statistics or {}
        default = Preprocess()
        return Preprocess(
            size=self.size,
            statistics={band: measured.get(band, statistics) for band in BANDS},
            normalization={
                band: Normalization.parse(given[band]) if band in given else default.normalization[band]
                for band in BANDS
            },
            rig=self.rig or {},
        )


DEFAULT_OPTIONS: Options = Options()


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
                    f"no mean of the band {band.value} is known (there is {have}), so it cannot be centered; "
                    f"make the gallery from frames that have it, or give such images to calibrate by",
                    parameter="calibrate",
                )
            if len(self.means[band]) != vectors.shape[1]:
                raise CrossbandError(
                    f"the mean of the band {band.value} has {len(self.means[band])} numbers and a vector "
                    f"{vectors.shape[1]}; the file it came from is damaged or of another model"
                )
            vectors = vectors - self.means[band]
        if self.axes is not None and len(self.axes) != vectors.shape[1]:
            raise CrossbandError(
                f"the axes are of {len(self.axes)} numbers and a vector of {vectors.shape[1]}; "
                "the file they came from is damaged or of another model"
            )
        return unit_length(vectors if self.axes is None else vectors @ self.axes)


class FinishedRows:
    """Rows of one band, finished as they are read."""

    def __init__(self, pooled: StoredRows, finish: Finish, band: Band) -> None:
        self._pooled, self._finish, self._band = pooled, finish, band

    @property
    def shape(self) -> tuple[int, int]:
        """(n, k)."""
        axes = self._finish.axes
        return self._pooled.shape[0], self._pooled.shape[1] if axes is None else axes.shape[1]

    def rows(self, start: int, stop: int) -> np.ndarray:
        """Finished rows, float32."""
        return self._finish(self._pooled.rows(start, stop), self._band)

    def take(self, index: np.ndarray) -> np.ndarray:
        """Finished rows at some positions, float32."""
        return self._finish(self._pooled.take(index), self._band)

    def subset(self, index: np.ndarray) -> FinishedRows:
        """Some of the rows, still to be read."""
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
        from .file import load_file_descriptor, load_packed

        if name in PACKED:
            return load_packed(name, options)
        if name.endswith(".safetensors") or (Path(name).is_file() and not names_encoder(name)):
            return replace(load_file_descriptor(Path(name), options), name=name)
        spec = DescriptorSpec.parse(name)
        encoder = create_encoder(spec.encoder, options.weights)
        return cls(
            name=name,
            encoder_name=spec.encoder,
            encoder=encoder.to(device := choose_device(options.device)),
            weights_digest=encoder.digest,
            layer=encoder.check_layer(spec.layer),
            pooling=spec.pooling,
            center=spec.center,
            preprocess=options.preprocess(encoder.statistics),
            device=device,
        )

    @classmethod
    def of(cls, model: str | Path | Descriptor, options: Options = DEFAULT_OPTIONS) -> Descriptor:
        """Return a descriptor as it is, and load one that is given by name."""
        return model if isinstance(model, Descriptor) else cls.load(str(model), options)

    @property
    def fingerprint(self) -> str:
        """Identifies what makes the pooled vector: weights, layer, pooling and preprocessing."""
        return _digest(self._pooled_metadata())

    @property
    def identity(self) -> str:
        """Identifies the final vector, axes included; band means are a gallery's own."""
        metadata: dict = {**self._pooled_metadata(), "center": self.center}
        if self.axes is not None:
            metadata["axes"] = hashlib.sha256(np.ascontiguousarray(self.axes).tobytes()).hexdigest()
        return _digest(metadata)

    def with_warp(self, warp: Warp | None) -> Descriptor:
        """Return the same descriptor, of images that are first misaligned by ``warp``."""
        return replace(self, preprocess=replace(self.preprocess, warp=warp))

    def for_frames(self, frames: Frames) -> Descriptor:
        """Return the same descriptor, of images as some frames say: by their rig, turned, cut to a view.

        Raises:
            CrossbandError: it reads images by another rig already.
        """
        places = Placement.of_text(frames.one("turn"), frames.one("view"))
        if places:
            return replace(self, preprocess=self.preprocess.with_places(places)).for_frames(
                Frames(frames.table.drop(columns=["turn", "view"], errors="ignore"), frames.root)
            )
        rig, own = frames.rig, self.preprocess.transform
        if rig is None or rig == own:
            return self
        if own is not None:
            raise CrossbandError(
                f"{self.name} reads images by another rig than that of these frames", parameter="rig"
            )
        return replace(self, preprocess=self.preprocess.with_rig(rig))

    def pooled(self, images: torch.Tensor) -> torch.Tensor:
        """Pooled vectors ``(B, d)``, float32, of preprocessed images ``(B, 3, h, w)``."""
        layout = torch.channels_last if self.encoder.convolves else torch.contiguous_format
        images = images.to(self.device).contiguous(memory_format=layout)
        with torch.inference_mode():
            return self.pooling(self.encoder(images, self.layer)).cpu()

    def finish(self, means: Mapping[Band, np.ndarray] | None) -> Finish:
        """Make what finishes this descriptor's vectors with the means of the sets at hand."""
        if not self.center:
            return Finish(None, self.axes)
        return Finish({**(self.means or {}), **(means or {})}, self.axes)

    def save(self, path: str | Path) -> Path:
        """Write it as a safetensors file; the encoder's weights stay where they are, named by their hash.

        Raises:
            CrossbandError: the file cannot be written.
        """
        from .file import write_descriptor

        return write_descriptor(self, path)

    def _pooled_metadata(self) -> dict[str, object]:
        return {
            "encoder": self.encoder_name,
            "weights": self.weights_digest,
            "layer": self.layer,
            "pooling": str(self.pooling),
            "preprocess": self.preprocess.describe(),
            "preprocessing": _PREPROCESSING,
        }


def distinct(models: str | Path | Descriptor | Sequence[str | Descriptor]) -> list[str | Descriptor]:
    """Return one model or several as a list in which no name stands twice.

    Example:
        >>> distinct("hog"), distinct(["hog", "crossband", "hog"])
        (['hog'], ['hog', 'crossband'])
    """
    given = [models] if isinstance(models, str | Path | Descriptor) else list(models)
    named = {one.name if isinstance(one, Descriptor) else str(one): one for one in given}
    return [one if isinstance(one, Descriptor) else name for name, one in named.items()]


def unit_length(vectors: np.ndarray) -> np.ndarray:
    """Scale rows to unit Euclidean length, float32; zero rows stay zero."""
    norms = np.sqrt(np.einsum("nd,nd->n", vectors, vectors, dtype=np.float64))[:, None]
    return (vectors / np.maximum(norms, 1e-12)).astype(np.float32)


def _digest(metadata: Mapping[str, object]) -> str:
    return hashlib.sha256(json.dumps(metadata, sort_keys=True).encode()).hexdigest()[:32]
