"""Many images that differ from one in a small window: only what the window changes is computed.

A convolution far from a change gives what it gave before. So the maps of the whole image are computed once, and
for each changed image only a crop around its window passes the early layers, which are the dear ones; its
middle is pasted into the maps of the whole image, and the pass goes on from there. How far a window reaches at
each layer is measured, not derived: a window of NaN is sent through, and what comes out NaN depends on it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from ..errors import CrossbandError
from .encoder import Encoder
from .quick import quick_copy

__all__ = ["LocalPasses"]

_ALIGN = 32  # crops start and end at multiples of this, so that strides fall as in the whole image
_WORTH = 0.75  # a crop with more than this share of the side saves nothing
_TRIES = 6  # layers of one stride that are tried


@dataclass(frozen=True)
class _Level:
    """A layer at which crops are pasted into the whole map.

    Attributes:
        layer: its name.
        stride: pixels a position.
        reach: how far, in pixels, a window changes the map beyond itself.
        margin: how much of a crop's rim is wrong, as it does not know what lies beyond.
        size: (height, width) of the crops that are computed up to it, in pixels.
        base: the map of the whole image.
        lost: how many rows and columns the whole map has less than the image's side over the stride.
    """

    layer: str
    stride: int
    reach: int
    margin: int
    size: tuple[int, int]
    base: torch.Tensor
    lost: tuple[int, int]


class LocalPasses:
    """Maps of images that are ``image`` but for a window, as ``encoder(images, layer)`` gives them.

    Networks without local layers (transformers), or of a size that is no multiple of 32, are passed whole;
    ``levels`` is empty then. Used as a context, it may serve several threads.

    Args:
        encoder: in evaluation mode.
        layer: where it is cut.
        image: standardised, ``(3, H, W)``.
        window: (height, width) of every change, in pixels.

    Example:
        >>> body = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3, 2, 1), torch.nn.Conv2d(4, 4, 3, 1, 1)).eval()
        >>> encoder, image = Encoder(body, "1"), torch.rand(3, 128, 128)
        >>> changed = image.clone(); changed[:, 40:56, 64:80] = 0
        >>> with LocalPasses(encoder, "1", image, (16, 16)) as passes:
        ...     maps = passes(changed[None], [(40, 64)])
        >>> torch.allclose(maps, encoder(changed[None], "1"), atol=1e-6), len(passes.levels)
        (True, 1)
    """

    def __init__(self, encoder: Encoder, layer: str, image: torch.Tensor, window: tuple[int, int]) -> None:
        self.encoder, self.layer, self.window = quick_copy(encoder, layer, image), layer, window
        self.side = (int(image.shape[-2]), int(image.shape[-1]))
        self._now = threading.local()
        self._handles: list[torch.utils.hooks.RemovableHandle] = []
        with torch.inference_mode():
            self.levels = self._plan(image[None]) if not any(s % _ALIGN for s in self.side) else []

    def __enter__(self) -> LocalPasses:
        modules = dict(self.encoder.body.named_modules())
        for number, level in enumerate(self.levels):
            hook = self._hook(number)
            self._handles.append(modules[level.layer].register_forward_hook(hook))
        return self

    def __exit__(self, *_: object) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles = []

    def __call__(self, images: torch.Tensor, corners: Sequence[tuple[int, int]]) -> torch.Tensor:
        """The maps of changed images ``(B, 3, H, W)``, whose windows have their top left corners
        (row, column) at ``corners``."""
        if not self.levels:
            return self.encoder(images, self.layer)
        boxes = [self._box(corner, self.levels[0]) for corner in corners]
        self._now.corners, self._now.boxes = corners, boxes
        crops = torch.stack(
            [
                image[:, y : y + self.levels[0].size[0], x : x + self.levels[0].size[1]]
                for image, (y, x) in zip(images, boxes, strict=True)
            ]
        )
        try:
            return self.encoder(crops.contiguous(memory_format=torch.channels_last), self.layer)
        finally:
            self._now.corners = self._now.boxes = None

    def _hook(self, number: int) -> Callable[[object, object, torch.Tensor], torch.Tensor | None]:
        level = self.levels[number]
        following = self.levels[number + 1] if number + 1 < len(self.levels) else None

        def paste(module: object, inputs: object, output: torch.Tensor) -> torch.Tensor | None:
            corners = getattr(self._now, "corners", None)
            if corners is None:
                return None
            boxes = self._now.boxes
            whole = [self._pasted(level, part, box) for part, box in zip(output, boxes, strict=True)]
            if following is None:
                return torch.stack(whole).contiguous(memory_format=torch.channels_last)
            self._now.boxes = [self._box(corner, following) for corner in corners]
            cells = [size // level.stride - lost for size, lost in zip(following.size, level.lost, strict=True)]
            cut = [
                part[:, y // level.stride :, x // level.stride :][:, : cells[0], : cells[1]]
                for part, (y, x) in zip(whole, self._now.boxes, strict=True)
            ]
            return torch.stack(cut).contiguous(memory_format=torch.channels_last)

        return paste

    def _box(self, corner: tuple[int, int], level: _Level) -> tuple[int, int]:
        """Where the crop of a window lies: aligned, inside the image."""
        starts = []
        for start, side, size in zip(corner, self.side, level.size, strict=True):
            first = (start - level.reach - level.margin) // _ALIGN * _ALIGN
            starts.append(min(max(first, 0), side - size))
        return starts[0], starts[1]

    def _pasted(self, level: _Level, part: torch.Tensor, box: tuple[int, int]) -> torch.Tensor:
        """The whole map with the trustworthy middle of a crop's map in it."""
        whole = level.base.clone()
        spans = []
        for axis in (0, 1):
            first, length = box[axis] // level.stride, part.shape[axis + 1]
            rim = -(-level.margin // level.stride)
            low = 0 if box[axis] == 0 else rim
            at_end = box[axis] + level.size[axis] == self.side[axis]
            high = min(length if at_end else level.size[axis] // level.stride - rim, length)
            spans.append((first + low, first + high, low, high))
        (y0, y1, a0, a1), (x0, x1, b0, b1) = spans
        whole[:, y0:y1, x0:x1] = part[:, a0:a1, b0:b1]
        return whole

    def _plan(self, image: torch.Tensor) -> list[_Level]:
        """The levels that pay, one a stride; none where something in them is not as assumed."""
        maps, order = self._maps(image)
        probe = image.clone()
        top, left = ((s - w) // 2 for s, w in zip(self.side, self.window, strict=True))
        probe[:, :, top : top + self.window[0], left : left + self.window[1]] = float("nan")
        spoilt, _ = self._maps(probe)
        levels: list[_Level] = []
        by_stride: dict[int, list[str]] = {}
        for name in order:
            stride = round(self.side[1] / maps[name].shape[-1])
            if stride in (2, 4, 8, 16):
                by_stride.setdefault(stride, []).append(name)
        reached, behind = 0, 0
        for stride, names in sorted(by_stride.items()):
            # the fewest channels, as they are pasted; the latest, as more lies before it
            ranked = sorted(names, key=lambda name: (maps[name].shape[1], -order.index(name)))
            for name in ranked[:_TRIES]:
                reach = _reach(spoilt[name], stride, (top, left), self.window)
                if reach is None or reach <= reached:
                    continue
                margin = reach - reached + behind + stride
                size = self._size(reach, margin)
                if size is None or not self._is_waist(name, image, maps):
                    continue
                base = maps[name][0]
                lost = (self.side[0] // stride - base.shape[1], self.side[1] // stride - base.shape[2])
                levels.append(_Level(name, stride, reach, margin, size, base, lost))
                reached, behind = reach, max(*lost, 0) * stride
                break
        return levels if levels and self._holds(levels, image) else []

    def _size(self, reach: int, margin: int) -> tuple[int, int] | None:
        found = []
        for side, window in zip(self.side, self.window, strict=True):
            size = -(-(window + 2 * (reach + margin)) // _ALIGN) * _ALIGN + _ALIGN
            if size > _WORTH * side:
                return None
            found.append(size)
        return found[0], found[1]

    def _maps(self, image: torch.Tensor) -> tuple[dict[str, torch.Tensor], list[str]]:
        """Every map on the way, and the layers in the order they finished, without those that run twice."""
        maps: dict[str, torch.Tensor] = {}
        order: list[str] = []
        again: set[str] = set()

        def keep(name: str) -> Callable[[object, object, object], None]:
            def hook(module: object, inputs: object, output: object) -> None:
                if name in order:
                    again.add(name)
                order.append(name)
                if isinstance(output, torch.Tensor) and output.ndim == 4:
                    maps[name] = output

            return hook

        handles = [m.register_forward_hook(keep(n)) for n, m in self.encoder.body.named_modules() if n]
        try:
            maps[""] = self.encoder(image, self.layer)
        finally:
            for handle in handles:
                handle.remove()
        fit = [name for name in order if name in maps and name not in again]
        return maps, fit

    def _is_waist(self, name: str, image: torch.Tensor, maps: dict[str, torch.Tensor]) -> bool:
        """Whether all that follows depends on this layer's map alone: given it, another image ends alike."""
        module = dict(self.encoder.body.named_modules())[name]
        handle = module.register_forward_hook(lambda *_: maps[name])
        try:
            ended = self.encoder(torch.zeros_like(image[:, :, :_ALIGN, :_ALIGN]), self.layer)
        except (CrossbandError, RuntimeError):  # a layer behind it was given maps of two sizes
            return False
        finally:
            handle.remove()
        return ended.shape == maps[""].shape and torch.allclose(ended, maps[""], atol=1e-5, rtol=1e-4)

    def _holds(self, levels: list[_Level], image: torch.Tensor) -> bool:
        """Whether the plan gives what whole passes give, tried at two corners and in the middle."""
        self.levels = levels
        ends = [(s - w) for s, w in zip(self.side, self.window, strict=True)]
        corners = [(0, ends[1]), (ends[0] // 2 + 1, ends[1] // 2 - 1), (ends[0], 0)]
        changed = image.repeat(len(corners), 1, 1, 1)
        for one, (y, x) in zip(changed, corners, strict=True):
            one[:, y : y + self.window[0], x : x + self.window[1]] = one.mean((1, 2), keepdim=True)
        whole = self.encoder(changed, self.layer)
        try:
            with self:
                pasted = self(changed, corners)
        except CrossbandError:
            return False
        return torch.allclose(whole, pasted, atol=1e-4 * max(float(whole.abs().max()), 1e-6))


def _reach(spoilt: torch.Tensor, stride: int, corner: tuple[int, int], window: tuple[int, int]) -> int | None:
    """How far beyond a window of NaN a map is NaN, in pixels; ``None`` where it reaches the rim."""
    touched = spoilt[0].isnan().any(0)
    if not touched.any():
        return None
    reach = 0
    for axis in (0, 1):
        cells = touched.any(1 - axis).nonzero().flatten()
        low, high = int(cells[0]), int(cells[-1])
        if low == 0 or high == touched.shape[axis] - 1:
            return None
        reach = max(reach, corner[axis] - low * stride, (high + 1) * stride - corner[axis] - window[axis])
    return reach
