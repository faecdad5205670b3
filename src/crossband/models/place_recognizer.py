"""A place recognizer: any encoder up to a layer, and an aggregator behind it, trained together.

Alijani and Rahtu, "Supervised Fine-tuning Evaluation for Long-term Visual Place Recognition", 2021, figure 1:
VGG16 or ResNet-50 with GeM or NetVLAD. Here the encoder is any of the registry.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..errors import CrossbandError
from ..nn.aggregation import Aggregator, NetVLAD, create_aggregator
from ..nn.batchnorm import freeze_batchnorm
from ..nn.encoder import Encoder, reached_parameters
from ..weights import file_digest, load_state_dict
from ._registry import create_encoder

__all__ = ["PlaceRecognizer", "create_place_recognizer", "load_place_encoder"]


class PlaceRecognizer(nn.Module):
    """Image to one unit-length descriptor.

    Args:
        encoder: image to map.
        layer: where the encoder is cut.
        aggregator: map to descriptor.
        freeze_batchnorm: keep the running statistics of BatchNorm while training, as fine-tuning with small
            batches needs.

    Example:
        >>> model, _ = create_place_recognizer("squeezenet1_1", pretrained=False)
        >>> model(torch.zeros(2, 3, 64, 64)).shape
        torch.Size([2, 512])
    """

    def __init__(
        self, encoder: Encoder, layer: str, aggregator: Aggregator, freeze_batchnorm: bool = True
    ) -> None:
        super().__init__()
        # twice as fast a step on a CPU, and what tensor cores want
        self.encoder = encoder.to(memory_format=torch.channels_last)
        self.layer, self.aggregator = layer, aggregator
        self.freeze_batchnorm = freeze_batchnorm

    @property
    def dim(self) -> int:
        """Length of a descriptor."""
        return self.aggregator.dim

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return descriptors ``(B, dim)``, float32, of standardized images ``(B, 3, h, w)``."""
        return self.aggregator(self.encoder(images.contiguous(memory_format=torch.channels_last), self.layer))

    def train(self, mode: bool = True) -> PlaceRecognizer:
        """Switch to training mode; BatchNorm stays in evaluation where its statistics are frozen."""
        super().train(mode)
        if mode and self.freeze_batchnorm:
            freeze_batchnorm(self)
        return self

    def local_features(self, images: torch.Tensor, each: int, generator: torch.Generator) -> torch.Tensor:
        """Sample ``each`` positions of each image's map, float32 ``(B * each, C)``."""
        with torch.inference_mode():
            maps = self.encoder(images, self.layer).float().flatten(2)
        chosen = torch.randint(maps.shape[2], (len(maps), 1, each), generator=generator).to(maps.device)
        picked = maps.gather(2, chosen.expand(-1, maps.shape[1], -1))
        return picked.transpose(1, 2).flatten(0, 1).clone()

    def set_trainable(self, size: tuple[int, int], train_from: str | None = None) -> int:
        """Let gradients reach what the descriptor depends on, and nothing behind the cut.

        Args:
            size: (height, width) of an image the encoder can read.
            train_from: the first layer of the encoder that is trained, in the order of definition; all where
                ``None``.

        Returns:
            the number of parameters that will be trained.

        Raises:
            CrossbandError: no such layer, or it lies behind the cut.
        """
        self.requires_grad_(True)
        self.eval()
        reached = reached_parameters(self.encoder, size, self.layer, train_from)
        for parameter in self.encoder.parameters():
            parameter.requires_grad_(parameter in reached)
        return sum(p.numel() for p in self.parameters() if p.requires_grad)


def create_place_recognizer(
    encoder: str = "efficientnet_lite0",
    aggregator: str = "gem",
    *,
    layer: str | None = None,
    options: Mapping[str, object] | None = None,
    weights: str | Path | None = None,
    pretrained: bool = True,
    freeze_batchnorm: bool = True,
) -> tuple[PlaceRecognizer, str]:
    """Create a place recognizer and the identity of its encoder's weights.

    Args:
        encoder: see :func:`crossband.list_models`; ``timm/NAME`` for any model of timm.
        aggregator: ``gem``, ``netvlad`` or ``mixvpr``.
        layer: where the encoder is cut; its last map where ``None``.
        options: of the aggregator.
        weights: a file or folder to look for the encoder's weights in first.
        pretrained: ``False`` leaves random weights.
        freeze_batchnorm: see :class:`PlaceRecognizer`.

    Raises:
        CrossbandError: an unknown name or option, or weights that are missing.
    """
    body = create_encoder(encoder, weights, pretrained)
    digest = body.digest
    cut = body.check_layer(layer)
    with torch.inference_mode():
        channels = body(torch.zeros(1, 3, 224, 224), cut).shape[1]
    head = create_aggregator(aggregator, channels, **(options or {}))
    return PlaceRecognizer(body, cut, head, freeze_batchnorm).eval(), digest


def load_place_encoder(path: Path, metadata: Mapping[str, Any]) -> tuple[Encoder, str]:
    """Load a trained place recognizer as an encoder whose map is the descriptor, ``(B, dim, 1, 1)``.

    Args:
        path: the checkpoint.
        metadata: what it says of itself; its network is compared with the file before memory is taken.

    Returns:
        the encoder, whose inner layers start with ``network.encoder.body``, and the SHA-256 of the file.

    Raises:
        CrossbandError: a checkpoint of another task, or a damaged one.
    """
    recipe = metadata.get("recipe")
    task = recipe.get("task") if isinstance(recipe, Mapping) else None
    model = recipe.get("model", {}) if isinstance(recipe, Mapping) else None
    if task != "places" or not isinstance(model, Mapping):
        raise CrossbandError(
            f"{path} is a checkpoint of the task {task!r}; only the task places describes images"
        )
    options = {
        "encoder": model.get("encoder", "efficientnet_lite0"),
        "aggregator": model.get("aggregator", "gem"),
        "layer": model.get("layer"),
        "options": model.get("options", {}),
    }
    state = load_state_dict(path)
    try:
        with torch.device("meta"):
            needed, _ = create_place_recognizer(**options, pretrained=False)
            head = needed.aggregator
            if isinstance(head, NetVLAD) and head.whiten:
                if "aggregator.whiten_axes" not in state:
                    raise CrossbandError(
                        "it lacks the whitening its recipe asks for; the same crossband train once more adds it"
                    )
                head.expect_whitening()
        shapes = {name: value.shape for name, value in needed.state_dict().items()}
        if shapes != {name: value.shape for name, value in state.items()}:
            raise CrossbandError("its tensors do not match its recipe")
        network, _ = create_place_recognizer(**options, pretrained=False)
        network.load_state_dict(state, strict=True)
    except (RuntimeError, TypeError, ValueError, AttributeError, CrossbandError) as error:
        reason = " ".join(str(error).split())[:120]
        raise CrossbandError(f"{path} is not a places checkpoint: {reason}") from None
    body = nn.Sequential(OrderedDict(network=network.eval().requires_grad_(False)))
    return Encoder(body, "network", statistics=network.encoder.statistics), file_digest(path)
