"""A descriptor of image pairs across bands: an encoder up to a layer, a pooling, and learned axes behind it.

The vector is finished as every centered descriptor of :mod:`crossband.retrieval.descriptor` is: unit length,
minus the mean of its band, times the axes, unit length. Here the mean is of the images at hand, as it is of a
set when the descriptor is used.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from ..bands import Band, parse_band
from ..errors import CrossbandError
from ..nn.batchnorm import freeze_batchnorm
from ..nn.encoder import Encoder, reached_parameters
from ..nn.pooling import Pooling
from ..weights import file_digest, load_state_dict
from ._registry import create_encoder

__all__ = ["PairDescriptor", "create_pair_descriptor", "load_pair_descriptor", "trim"]


class PairDescriptor(nn.Module):
    """Images of one band to pooled vectors, and pooled vectors to descriptors.

    Args:
        encoder: image to map; what lies behind ``layer`` is taken out of it.
        layer: where it is cut.
        pooling: map to vector.
        size: (height, width) of an image.
        dim: length of a descriptor.
        bands: how many bands it was trained on.

    Attributes:
        axes: ``(D, dim)``.
        means: of each band's pooled vectors at unit length over the training images, ``(bands, D)``; for one
            image without a set.

    Example:
        >>> model, _ = create_pair_descriptor("squeezenet1_1", "features.5", "avg2", (64, 64), 16, 2, False)
        >>> model(torch.rand(4, 3, 64, 64)).shape
        torch.Size([4, 16])
    """

    axes: nn.Parameter
    means: torch.Tensor

    def __init__(
        self, encoder: Encoder, layer: str, pooling: Pooling, size: tuple[int, int], dim: int, bands: int
    ) -> None:
        super().__init__()
        trimmed, shape = trim(encoder.eval(), layer, size)
        self.encoder = trimmed.to(memory_format=torch.channels_last)
        self.layer, self.pooling, self.size = layer, pooling, size
        width = pooling(torch.zeros(shape, device="meta")).shape[1]
        if not 0 < dim <= width:
            raise CrossbandError(f"{dim} dims cannot be made of the {width} that {pooling} gives")
        self.axes = nn.Parameter(torch.eye(width, dim))
        self.register_buffer("means", torch.zeros(bands, width))

    @property
    def dim(self) -> int:
        """Length of a descriptor."""
        return self.axes.shape[1]

    def pooled(self, images: torch.Tensor) -> torch.Tensor:
        """Return pooled vectors ``(B, D)``, float32, of standardized images ``(B, 3, h, w)``."""
        maps = self.encoder(images.contiguous(memory_format=torch.channels_last), self.layer)
        return self.pooling(maps)

    def finish(self, pooled: torch.Tensor, mean: torch.Tensor | None = None) -> torch.Tensor:
        """Return descriptors ``(B, dim)`` of pooled vectors of one band.

        Args:
            pooled: ``(B, D)``.
            mean: of the band's vectors at unit length, ``(D,)``; of these where ``None``.
        """
        vectors = F.normalize(pooled, dim=1)
        return F.normalize((vectors - (vectors.mean(0) if mean is None else mean)) @ self.axes, dim=1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return descriptors ``(B, dim)`` of images ``(B, 3, h, w)`` of one band, centered by their mean."""
        return self.finish(self.pooled(images))

    def train(self, mode: bool = True) -> PairDescriptor:
        """Switch to training mode; BatchNorm keeps its statistics, which small batches would spoil."""
        super().train(mode)
        if mode:
            freeze_batchnorm(self)
        return self

    def set_trainable(self, train_from: str | None) -> int:
        """Let gradients reach the axes, and the encoder from a layer on; none of the encoder for ``None``.

        Returns:
            the number of parameters that will be trained.

        Raises:
            CrossbandError: no such layer, or it lies behind the cut.
        """
        self.requires_grad_(True)
        reached = reached_parameters(self.encoder, self.size, self.layer, train_from) if train_from else set()
        for parameter in self.encoder.parameters():
            parameter.requires_grad_(parameter in reached)
        return sum(p.numel() for p in self.parameters() if p.requires_grad)


def trim(encoder: Encoder, layer: str, size: tuple[int, int]) -> tuple[Encoder, torch.Size]:
    """Trim the encoder of the modules that a pass up to ``layer`` never enters.

    Identities stand in for them. The pass is one without memory behind it. Where a module reads another's
    weights without entering it, as attention does, nothing is taken out.

    Args:
        encoder: in evaluation mode; it is changed.
        layer: where it is cut.
        size: (height, width) of an image it can read.

    Returns:
        the encoder, and the shape of its map of one image.

    Example:
        >>> from crossband.models import create_encoder
        >>> encoder = create_encoder("squeezenet1_1", pretrained=False)
        >>> whole = sum(p.numel() for p in encoder.parameters())
        >>> trimmed, shape = trim(encoder, "features.5", (64, 64))
        >>> sum(p.numel() for p in trimmed.parameters()) < whole / 5, shape
        (True, torch.Size([1, 128, 7, 7]))
    """
    twin = copy.deepcopy(encoder).to("meta")
    image = torch.zeros(1, 3, *size, device="meta")
    entered: set[nn.Module] = set()
    handles = [
        module.register_forward_pre_hook(lambda module, _: entered.add(module))
        for module in twin.body.modules()
    ]
    try:
        with torch.inference_mode():
            shape = twin(image, layer).shape
    finally:
        for handle in handles:
            handle.remove()
    never = [
        (path, name)
        for path, module in twin.body.named_modules()
        for name, child in module.named_children()
        if not entered & set(child.modules()) and child.state_dict()
    ]
    _take_out(twin, never)
    try:
        with torch.inference_mode():
            twin(image, layer)
    except AttributeError:
        return encoder, shape
    _take_out(encoder, never)
    return encoder, shape


def _take_out(encoder: Encoder, never: list[tuple[str, str]]) -> None:
    """Put identities in the places (path of the parent, name); those inside one that is out are gone.

    An encoder that loses one of its layers of local features names none any more: the rest was not measured.
    """
    out = tuple(f"{path}.{name}.".lstrip(".") for path, name in never)
    if any(f"{layer}.".startswith(out) for layer in encoder.local_layers):
        encoder.local_layers = ()
    for path, name in never:
        try:
            parent = encoder.body.get_submodule(path)
        except AttributeError:
            continue
        if name in dict(parent.named_children()):
            setattr(parent, name, nn.Identity())


def create_pair_descriptor(
    encoder: str,
    layer: str | None,
    pooling: str,
    size: tuple[int, int],
    dim: int,
    bands: int,
    pretrained: bool = True,
) -> tuple[PairDescriptor, str]:
    """Create a pair descriptor whose axes are not learned yet, and the identity of its encoder's weights.

    Args:
        encoder: see :func:`crossband.list_models`.
        layer: where it is cut; its last map where ``None``.
        pooling: see :class:`crossband.nn.Pooling`.
        size: (height, width) of an image.
        dim: length of a descriptor.
        bands: how many.
        pretrained: ``False`` leaves random weights.

    Raises:
        CrossbandError: an unknown name, or weights that are missing.
    """
    body = create_encoder(encoder, pretrained=pretrained)
    digest = body.digest
    cut = body.check_layer(layer)
    return PairDescriptor(body, cut, Pooling.parse(pooling), size, dim, bands).eval(), digest


def load_pair_descriptor(path: Path, metadata: Mapping[str, Any]) -> tuple[PairDescriptor, list[Band], str]:
    """Load a trained pair descriptor, its bands, and the SHA-256 of its file.

    Args:
        path: the checkpoint.
        metadata: what it says of itself; its network is compared with the file before memory is taken.

    Raises:
        CrossbandError: a checkpoint of another task, or a damaged one.
    """
    recipe = metadata.get("recipe")
    task = recipe.get("task") if isinstance(recipe, Mapping) else None
    if not isinstance(recipe, Mapping) or task != "pairs":
        raise CrossbandError(f"{path} is a checkpoint of the task {task!r}, not pairs")
    state = load_state_dict(path)
    try:
        options, bands = _options_of(metadata)
        with torch.device("meta"):
            needed, _ = create_pair_descriptor(**options, pretrained=False)
        if {n: v.shape for n, v in needed.state_dict().items()} != {n: v.shape for n, v in state.items()}:
            raise CrossbandError("its tensors do not match its recipe")
        if not all(bool(torch.isfinite(state[name]).all()) for name in ("axes", "means")):
            raise CrossbandError("its axes or means are not finite")
        network, _ = create_pair_descriptor(**options, pretrained=False)
        network.load_state_dict(state, strict=True)
    except (RuntimeError, TypeError, ValueError, LookupError, ArithmeticError, AttributeError) as error:
        raise _no_checkpoint(path, error) from None
    except CrossbandError as error:
        raise _no_checkpoint(path, error) from None
    return network.eval().requires_grad_(False), bands, file_digest(path)


def _options_of(metadata: Mapping[str, Any]) -> tuple[dict[str, Any], list[Band]]:
    """What :func:`create_pair_descriptor` needs, and the bands."""
    model, data = metadata["recipe"]["model"], metadata["recipe"]["data"]
    bands = [parse_band(name) for name in data["bands"]]
    height, width = (int(side) for side in data["size"])
    if not 16 <= min(height, width) <= max(height, width) <= 8192:
        raise CrossbandError("its image size is not valid")
    if [height, width] != metadata["preprocess"]["size"]:
        raise CrossbandError("its image sizes contradict each other")
    if len(set(bands)) != len(bands):
        raise CrossbandError("it names a band twice")
    options = {
        "encoder": model["encoder"],
        "layer": model["layer"],
        "pooling": model["pooling"],
        "size": (height, width),
        "dim": int(model["dim"]),
        "bands": len(bands),
    }
    return options, bands


def _no_checkpoint(path: Path, error: Exception) -> CrossbandError:
    return CrossbandError(f"{path} is not a pairs checkpoint: {' '.join(str(error).split())[:120]}")
