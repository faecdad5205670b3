"""An encoder: a network that is run up to one of its layers."""

from __future__ import annotations

import functools
import math
import threading
from collections.abc import Sequence

import torch
from torch import nn

from ..data.preprocess import IMAGENET, Statistics
from ..errors import CrossbandError, unknown_name

__all__ = ["Encoder", "count_parameters", "reached_parameters"]


class Encoder(nn.Module):
    """Image to feature map: a network, run up to one of its layers and no further.

    Args:
        body: the network; whole, so that a published checkpoint loads strictly.
        default_layer: the name of the last layer before the classifier.
        classifier: the names of its parts that make up the classifier, which an encoder does not need.
        statistics: what the weights expect their input to be standardized by.
        channels_last: whether the network's maps are ``(B, H, W, C)``.
        local_layers: the layers whose maps make good local features; none where nobody has measured.

    Attributes:
        digest: SHA-256 of the weights file that was loaded, ``""`` without one.

    Example:
        >>> encoder = Encoder(nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Flatten()), "1")
        >>> encoder(torch.zeros(2, 3, 8, 8)).shape, encoder.layers()
        (torch.Size([2, 8, 6, 6]), ['0', '1', '2'])
    """

    def __init__(
        self,
        body: nn.Module,
        default_layer: str,
        classifier: tuple[str, ...] = (),
        statistics: Statistics = IMAGENET,
        channels_last: bool = False,
        local_layers: tuple[str, ...] = (),
    ) -> None:
        super().__init__()
        self.body = body
        self.default_layer = default_layer
        self.classifier = classifier
        self.statistics = statistics
        self.channels_last = channels_last
        self.local_layers = local_layers
        self.digest = ""

    @functools.cached_property
    def convolves(self) -> bool:
        """Tell whether it has convolutions in two dimensions, which read images channels last best."""
        return any(isinstance(module, nn.Conv2d) for module in self.body.modules())

    def layers(self) -> list[str]:
        """Return the names of every layer the encoder can be cut at, in the order of definition."""
        return [name for name, _ in self.body.named_modules() if name]

    def check_layer(self, layer: str | None) -> str:
        """Return the layer's name; the default layer's for ``None``.

        Raises:
            CrossbandError: there is no such layer; the nearest are named.
        """
        if layer is None:
            return self.default_layer
        try:
            found = self.body.get_submodule(layer)  # quicker than a list of all names, at each pass
        except AttributeError:
            found = self.body
        if found is self.body:
            raise unknown_name("layer", layer, self.layers())
        return layer

    def forward(self, images: torch.Tensor, layer: str | None = None) -> torch.Tensor:
        """Return feature maps ``(B, C, H, W)`` of ``images`` ``(B, 3, h, w)``, float32 and standardized.

        Raises:
            CrossbandError: no such layer, its output is no feature map, or the network does not take images
                of this size.
        """
        (maps,) = self.maps(images, (self.check_layer(layer),))
        return maps

    def maps(self, images: torch.Tensor, layers: Sequence[str]) -> list[torch.Tensor]:
        """Return the maps ``(B, C, H, W)`` of several layers, from one pass that ends at the last one.

        Args:
            images: ``(B, 3, h, w)``, float32 and standardized.
            layers: their names.

        Raises:
            CrossbandError: as :meth:`forward`.

        Example:
            >>> encoder = Encoder(nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Flatten()), "1")
            >>> [len(m[0]) for m in encoder.maps(torch.zeros(1, 3, 8, 8), ["1", "0"])]
            [8, 8]
        """
        found: dict[str, torch.Tensor] = {}
        thread, wanted = threading.get_ident(), set(layers)  # other threads may pass through the same network

        def keep(layer: str, output: object) -> None:
            if threading.get_ident() != thread:
                return
            maps = as_map(output, layer)
            found[layer] = maps.movedim(-1, 1) if self.channels_last and _is_map(output) else maps
            if len(found) == len(wanted):
                raise _Reached

        handles = [
            self.body.get_submodule(self.check_layer(layer)).register_forward_hook(
                lambda module, inputs, output, layer=layer: keep(layer, output)
            )
            for layer in wanted
        ]
        try:
            self.body(images)
        except _Reached:
            return [found[layer] for layer in layers]
        except (AssertionError, RuntimeError) as error:
            height, width = images.shape[-2:]
            reason = " ".join(str(error).split())[:120].rstrip(".")
            raise CrossbandError(
                f"the encoder cannot read images of {width}x{height} ({reason}); choose another size",
                parameter="size",
            ) from error
        finally:
            for handle in handles:
                handle.remove()
        lacking = next(layer for layer in layers if layer not in found)
        raise CrossbandError(f"layer {lacking!r} is never reached; choose another with @LAYER")

    def used_parameters(self, layer: str | None = None) -> int:
        """Return the number of parameters that a pass up to a layer uses."""
        layer = self.check_layer(layer)
        seen: set[nn.Module] = set()
        handles = [
            module.register_forward_pre_hook(lambda module, _: seen.add(module))
            for module in self.body.modules()
        ]
        device = next((p.device for p in self.body.parameters()), torch.device("cpu"))
        try:
            with torch.inference_mode():
                self(torch.zeros(1, 3, 64, 64, device=device), layer)
        finally:
            for handle in handles:
                handle.remove()
        own = {id(p): p.numel() for module in seen for p in module.parameters(recurse=False)}
        return sum(own.values())


class _Reached(Exception):
    """Every map is there: what lies behind the last layer is not computed."""


def as_map(output: object, layer: str) -> torch.Tensor:
    """Return a layer's output as a map ``(B, C, H, W)``.

    Transformer tokens ``(B, N, C)`` become a square map without their leading extra tokens, a vector ``(B, C)``
    a map of one position.
    """
    if isinstance(output, torch.Tensor):
        if output.ndim == 4:
            return output
        if output.ndim == 2:
            return output[:, :, None, None]
        if output.ndim == 3:
            side = math.isqrt(output.shape[1])
            tokens = output[:, output.shape[1] - side * side :]
            return tokens.transpose(1, 2).reshape(len(output), -1, side, side)
    raise CrossbandError(f"layer {layer!r} gives no feature map; choose another with @LAYER")


def _is_map(output: object) -> bool:
    return isinstance(output, torch.Tensor) and output.ndim == 4


def count_parameters(module: nn.Module) -> int:
    """Return the number of parameters (not buffers)."""
    return sum(parameter.numel() for parameter in module.parameters())


def reached_parameters(
    encoder: Encoder, size: tuple[int, int], layer: str | None = None, train_from: str | None = None
) -> set[nn.Parameter]:
    """Return the parameters that a map depends on.

    Those of layers behind the cut, or beside it, are not among them.

    Args:
        encoder: whose parameters require gradients; it is put into evaluation.
        size: (height, width) of an image it can read.
        layer: where it is cut.
        train_from: the first layer, in the order of definition, whose parameters are wanted; all for ``None``.

    Raises:
        CrossbandError: no such layer, or ``train_from`` lies behind the cut.
    """
    encoder.eval()
    device = next(encoder.parameters()).device
    with torch.enable_grad():
        maps = encoder(torch.zeros(1, 3, *size, device=device), layer)
        used = torch.autograd.grad(maps.sum(), list(encoder.parameters()), allow_unused=True)
    reached = {p for p, g in zip(encoder.parameters(), used, strict=True) if g is not None}
    if train_from is None:
        return reached
    names = encoder.layers()
    modules = dict(encoder.body.named_modules())
    later = names[names.index(encoder.check_layer(train_from)) :]
    reached &= {p for name in later for p in modules[name].parameters(recurse=False)}
    if not reached:
        raise CrossbandError(
            f"layer {train_from!r} comes after {encoder.check_layer(layer)!r}; name an earlier one"
        )
    return reached
