"""The registry of segmentation networks: a name becomes a network for some classes and bands.

Every network reads one tensor ``(B, C, H, W)``: the channels of its bands one after another, three for ``rgb``
and one for ``nir`` and ``tir``. It gives logits ``(B, classes, H, W)``. A network of two streams reads the last
band in its second stream and all others in its first; alone, ``tir`` is read by what would be the second.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from ..bands import Band, parse_band
from ..errors import CrossbandError, unknown_name
from ..nn.encoder import count_parameters
from ..nn.resnet import resnet_pieces
from ..nn.stages import StageEncoder, cut_stages, stage_layers, widen_input
from ..registry import Registry
from ._registry import ModelInfo, create_encoder

__all__ = [
    "Segmenter",
    "band_channels",
    "create_pieces",
    "create_segmenter",
    "create_stages",
    "create_two_bodies",
    "list_segmenters",
    "register_segmenter",
    "segmenter_names",
    "streams",
    "three_channels",
]

Builder = Callable[..., tuple[nn.Module, str]]


@dataclass(frozen=True)
class Segmenter:
    """A registered network.

    Attributes:
        name: what recipes and the command line call it.
        build: classes, bands, ``pretrained`` and options -> the network and the identity of its weights.
        source: the paper.
        license: of the code here.
        params: parameters for nine classes and RGB + thermal; counted where ``None``, which takes a second.
    """

    name: str
    build: Builder
    source: str
    license: str = "Apache-2.0"
    params: int | None = None

    @property
    def options(self) -> list[str]:
        """The names of the options that the network takes."""
        return [p.name for p in inspect.signature(self.build).parameters.values() if p.kind is p.KEYWORD_ONLY]


SEGMENTERS: Registry[Segmenter] = Registry("segmentation network", "crossband.models")


def register_segmenter(
    name: str, *, source: str, license: str = "Apache-2.0", params: int | None = None
) -> Callable[[Builder], Builder]:
    """Register the decorated function as the builder of a segmentation network; see :class:`Segmenter`.

    It takes ``classes``, ``bands`` and ``pretrained`` by position, and its options by keyword only.
    """
    return SEGMENTERS.register(name, lambda build: Segmenter(name, build, source, license, params))


def find_segmenter(name: str) -> Segmenter:
    """Return the entry of a network.

    Raises:
        CrossbandError: nobody knows it.
    """
    return SEGMENTERS.get(name)


def create_segmenter(
    name: str,
    classes: int = 9,
    bands: Iterable[Band | str] = ("rgb", "tir"),
    *,
    pretrained: bool = False,
    options: Mapping[str, Any] | None = None,
) -> nn.Module:
    """Build a segmentation network in evaluation mode; its ``digest`` identifies its encoders' weights.

    Args:
        name: see :func:`list_segmenters`.
        classes: how many it tells apart.
        bands: what it reads, in this order.
        pretrained: whether its encoders start from their ImageNet weights.
        options: of the network.

    Raises:
        CrossbandError: an unknown name, band or option, or bands that this network cannot read.

    Example:
        >>> network = create_segmenter("mfnet", classes=9)
        >>> network(torch.zeros(1, 4, 32, 64)).shape
        torch.Size([1, 9, 32, 64])
    """
    entry = find_segmenter(name)
    given = dict(options or {})
    for option in given:
        if option not in entry.options:
            raise unknown_name(f"option of {name}", option, entry.options or ["none"])
    chosen = tuple(parse_band(band) for band in bands)
    if not chosen or len(set(chosen)) < len(chosen):
        raise CrossbandError(f"a network needs one or more bands, each once, not {list(map(str, bands))}")
    if classes < 2:
        raise CrossbandError(f"segmentation needs at least two classes, not {classes}")
    network, digest = entry.build(classes, chosen, pretrained, **given)
    network.digest = digest  # type: ignore[assignment]
    return network.eval()


def segmenter_names() -> list[str]:
    """Return the names of every registered network; nothing is built."""
    return SEGMENTERS.names()


def list_segmenters(pattern: str = "*") -> list[ModelInfo]:
    """List the segmentation networks that match a pattern, with their parameters.

    Parameters are for nine classes and RGB + thermal; a network that states its own is not built.
    """
    found = []
    for entry in SEGMENTERS.list(pattern):
        params = count_segmenter(entry.name) if entry.params is None else entry.params
        found.append(
            ModelInfo(entry.name, "segmentation", params / 1e6, 9, entry.license, entry.source, "absent")
        )
    return found


def count_segmenter(name: str) -> int:
    """Count a network's parameters for nine classes and RGB + thermal on the meta device."""
    with torch.device("meta"):
        network = create_segmenter(name)
    return count_parameters(network)


def band_channels(bands: Iterable[Band]) -> list[int]:
    """Return the channels of each band: three for ``rgb``, one for the others.

    Example:
        >>> band_channels([Band.RGB, Band.TIR])
        [3, 1]
    """
    return [3 if band is Band.RGB else 1 for band in bands]


def streams(bands: tuple[Band, ...], network: str) -> tuple[int, int]:
    """Return the channels of the first and of the second stream of a network of two.

    Raises:
        CrossbandError: there is one band only.
    """
    if len(bands) < 2:
        raise CrossbandError(f"{network} fuses at least two bands; give two, as in data.bands=[rgb,tir]")
    channels = band_channels(bands)
    return sum(channels[:-1]), channels[-1]


def create_stages(name: str, channels: int = 3, pretrained: bool = False) -> tuple[StageEncoder, str]:
    """Create an encoder's four stages, reading ``channels`` channels, and the identity of its weights.

    Args:
        name: a registered encoder with known stages, or ``timm/NAME``.
        channels: a single one is repeated to three by whoever calls it.
        pretrained: whether to start from ImageNet weights.

    Raises:
        CrossbandError: an unknown encoder, one without four stages, or missing weights.
    """
    if name.startswith("timm/"):
        stages: StageEncoder
        stages, digest = _timm_stages(name, pretrained)
    else:
        stage_layers(name)  # says so before weights are looked for, where it has none
        encoder = create_encoder(name, pretrained=pretrained)
        digest = encoder.digest
        stages = cut_stages(name, encoder.body)
    if channels not in (1, 3):
        widen_input(stages, channels)
    return stages.requires_grad_(True), digest


def create_pieces(
    name: str, channels: int = 3, pretrained: bool = False
) -> tuple[nn.ModuleList, tuple[int, ...], str]:
    """Cut a ResNet of torchvision into five pieces, at strides 2 to 32.

    Args:
        name: of the ResNet.
        channels: of the images; a single one is repeated to three by whoever calls it.
        pretrained: whether to start from ImageNet weights.

    Returns:
        the pieces, the channels of each one's output, and the identity of the weights.

    Raises:
        CrossbandError: an unknown encoder, one that is no such ResNet, or missing weights.
    """
    encoder = create_encoder(name, pretrained=pretrained)
    parts = dict(encoder.body.named_children())
    if name.startswith("timm/") or not {"conv1", "bn1", "relu", "maxpool", "layer4"} <= set(parts):
        raise CrossbandError(f"this network is built on a ResNet, not on {name}; take resnet18 to resnet152")
    if channels not in (1, 3):
        widen_input(encoder.body, channels)
    pieces = resnet_pieces(encoder.body)
    widths = tuple(
        [m for m in piece.modules() if isinstance(m, nn.BatchNorm2d)][-1].num_features for piece in pieces
    )
    return pieces.requires_grad_(True), widths, encoder.digest


def create_two_bodies(
    name: str, split: tuple[int, int], pretrained: bool = False
) -> tuple[nn.Module, nn.Module, str]:
    """Create two encoders of a kind, each reading its share of the channels.

    A first convolution that reads other than three channels starts from the mean over colors.

    Args:
        name: a registered encoder.
        split: channels of the first and of the second.
        pretrained: whether to start from ImageNet weights.

    Returns:
        the two networks, to be trained, and the identity of the weights.

    Raises:
        CrossbandError: an unknown encoder, or missing weights.
    """
    first, second = (create_encoder(name, pretrained=pretrained) for _ in range(2))
    for encoder, channels in zip((first, second), split, strict=True):
        widen_input(encoder.body, channels)
    return first.body.requires_grad_(True), second.body.requires_grad_(True), first.digest


def three_channels(images: torch.Tensor) -> torch.Tensor:
    """Return images ``(B, C, H, W)``, a single channel repeated to three."""
    return images.expand(-1, 3, -1, -1) if images.shape[1] == 1 else images


def _timm_stages(name: str, pretrained: bool) -> tuple[StageEncoder, str]:
    from .timm_encoders import TimmStages

    encoder = create_encoder(name, pretrained=pretrained)

    digest = encoder.digest
    return TimmStages(encoder.body, name), digest
