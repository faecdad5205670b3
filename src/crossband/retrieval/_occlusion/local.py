"""Many images that differ from one in a small window: only what the window changes is computed.

A convolution far from a change gives what it gave before. So the maps of the whole image are computed once, at
several layers, and for each changed image only a crop around what changed passes from one such layer to the
next; what came out changed is pasted into the map of the whole image, and the next crop is taken from there. A
layer can serve if all that follows depends on its map alone, which autograd's graph tells; how far a window
reaches at each is measured, not derived: a window of NaN is sent through, and what comes out NaN depends on it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from ...errors import CrossbandError
from ...nn.encoder import Encoder
from ...nn.quick import quick_copy

__all__ = ["LocalPasses"]

_STRIDES = (1, 2, 4, 8, 16, 32)
_ALIGN = max(_STRIDES)  # sides are multiples of this, so that strides fall in a crop as in the whole image
_MOST_LOST = 16  # pixels that a map may lack at its end, where convolutions do not pad

Span = tuple[int, int]


@dataclass(frozen=True)
class _Level:
    """A layer between whose map and the next level's crops are passed; the image itself is the first.

    Attributes:
        layer: its name; empty for the image.
        stride: pixels per cell.
        lost: how many rows and columns the map has less than the image's side over the stride.
        base: the map of the whole image, ``(C, h, w)``.
        changed: for either axis, by the pixel at which a window starts: from which cell on and before which one
            it changes the map.
        needed: for either axis, in the same way: from which pixel on and before which one a crop must reach for
            those cells to be right.
    """

    layer: str
    stride: int
    lost: Span
    base: torch.Tensor
    changed: tuple[dict[int, Span], ...]
    needed: tuple[dict[int, Span], ...]


@dataclass
class _Batch:
    """Where the crops of one batch lie on their way: windows, and starts in pixels, (row, column) each."""

    corners: Sequence[Span]
    starts: list[Span]


class LocalPasses:
    """Maps of images that are ``image`` but for a window, as ``encoder(images, layer)`` gives them.

    Networks without local layers (transformers), or of a size that is no multiple of 32, are passed whole;
    ``levels`` is empty then. Used as a context, it may serve several threads.

    Args:
        encoder: in evaluation mode.
        layer: where it is cut.
        image: standardized, ``(3, H, W)``.
        window: (height, width) of every change, in pixels.
        corners: the top left corners (row, column) at which windows may lie.

    Example:
        >>> body = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3, 2, 1), torch.nn.Conv2d(4, 4, 3, 1, 1)).eval()
        >>> encoder, image = Encoder(body, "1"), torch.rand(3, 128, 128)
        >>> changed = image.clone(); changed[:, 40:56, 64:80] = 0
        >>> with LocalPasses(encoder, "1", image, (16, 16), [(40, 64)]) as passes:
        ...     maps = passes(torch.zeros(1, 3, 1, 1), [(40, 64)])
        >>> torch.allclose(maps, encoder(changed[None], "1"), atol=1e-6), len(passes.levels)
        (True, 2)
    """

    def __init__(
        self, encoder: Encoder, layer: str, image: torch.Tensor, window: Span, corners: Sequence[Span]
    ) -> None:
        self.layer, self.window = layer, window
        self.image = image[None].contiguous(memory_format=torch.channels_last)[0]
        self.side: Span = (int(image.shape[-2]), int(image.shape[-1]))
        self._now = threading.local()
        self._handles: list[torch.utils.hooks.RemovableHandle] = []
        self.encoder = quick_copy(encoder, layer, image[None])
        self.levels: list[_Level] = []
        if not any(side % _ALIGN for side in self.side):
            shapes = self._local_waists(encoder)
            with torch.inference_mode():
                self.whole = self._image_level(corners)
                self.levels = self._plan(encoder, shapes, corners)
                if self.levels and not self._holds(corners):
                    self.levels = []

    def __enter__(self) -> LocalPasses:
        for number, level in enumerate(self.levels):
            module = self.encoder.body.get_submodule(level.layer)
            self._handles.append(module.register_forward_hook(self._hook(number)))
        return self

    def __exit__(self, *_: object) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles = []

    @torch.inference_mode()
    def __call__(self, contents: torch.Tensor, corners: Sequence[Span]) -> torch.Tensor:
        """The maps of changed images, whose windows hold ``contents`` ``(B, 3, h, w)``, or what broadcasts to
        it, and have their top left corners (row, column) at ``corners``."""
        contents = contents.expand(len(corners), -1, *self.window)
        if not self.levels:
            return self.encoder(self._changed(contents, corners), self.layer)
        self._now.batch = batch = _Batch(corners, [(0, 0)] * len(corners))
        crops = self._next(self.whole, self.levels[0], contents, batch, list(corners))
        try:
            return self.encoder(crops, self.layer)
        finally:
            self._now.batch = None

    def batches(self, corners: Sequence[Span], most: int) -> list[list[int]]:
        """Group the positions of ``corners``, at most ``most`` together, so that their passes are cheap.

        Crops of a batch are of one size, the largest that one of them needs.
        """

        def size(position: int) -> tuple[int, ...]:
            spans = (level.needed[axis][corners[position][axis]] for level in last for axis in (0, 1))
            return tuple(stop - start for start, stop in spans)

        last = self.levels[:-3:-1]
        order = sorted(range(len(corners)), key=size)
        return [order[start : start + most] for start in range(0, len(order), most)]

    def _changed(self, contents: torch.Tensor, corners: Sequence[Span]) -> torch.Tensor:
        images = self.image.repeat(len(corners), 1, 1, 1)
        for one, content, (y, x) in zip(images, contents, corners, strict=True):
            one[:, y : y + self.window[0], x : x + self.window[1]] = content
        return images.contiguous(memory_format=torch.channels_last)

    def _hook(self, number: int) -> Callable[[object, object, torch.Tensor], torch.Tensor | None]:
        level = self.levels[number]
        following = self.levels[number + 1] if number + 1 < len(self.levels) else None

        def paste(module: object, inputs: object, output: torch.Tensor) -> torch.Tensor | None:
            batch: _Batch | None = getattr(self._now, "batch", None)
            if batch is None:
                return None
            origins = [(y // level.stride, x // level.stride) for y, x in batch.starts]
            return self._next(level, following, output, batch, origins)

        return paste

    def _next(
        self, level: _Level, following: _Level | None, parts: torch.Tensor, batch: _Batch, origins: list[Span]
    ) -> torch.Tensor:
        """Crops of a level's map for the following one, or the whole map behind the last, with the changed
        cells pasted in. ``parts`` ``(B, C, ...)`` have their first cell at ``origins``."""
        _, rows, columns = level.base.shape
        if following is None:
            shape: Span = (rows, columns)
            begins: list[Span] = [(0, 0)] * len(origins)
        else:
            sizes = self._place(batch, following)
            shape = (sizes[0] // level.stride - level.lost[0], sizes[1] // level.stride - level.lost[1])
            begins = [(y // level.stride, x // level.stride) for y, x in batch.starts]
        changed = [(level.changed[0][y], level.changed[1][x]) for y, x in batch.corners]
        if parts.shape[2:] == shape and begins == origins:
            whole = [((y, y + shape[0]), (x, x + shape[1])) for y, x in begins]
            if changed == whole:  # nothing of the image is left
                return parts
        out = torch.empty(
            (len(origins), len(level.base), *shape),
            dtype=parts.dtype,
            device=parts.device,
            memory_format=torch.channels_last,
        )
        for one, part, ((y0, y1), (x0, x1)), (top, left), (y, x) in zip(
            out, parts, changed, origins, begins, strict=True
        ):
            if (y1 - y0, x1 - x0) != shape:
                one.copy_(level.base[:, y : y + shape[0], x : x + shape[1]])
            one[:, y0 - y : y1 - y, x0 - x : x1 - x] = part[:, y0 - top : y1 - top, x0 - left : x1 - left]
        return out

    def _place(self, batch: _Batch, level: _Level) -> Span:
        """Put the crops that a level needs where its windows are; gives their size in pixels."""
        spans = [(level.needed[0][y], level.needed[1][x]) for y, x in batch.corners]
        sizes = [max(span[axis][1] - span[axis][0] for span in spans) for axis in (0, 1)]
        batch.starts = [
            (min(rows[0], self.side[0] - sizes[0]), min(columns[0], self.side[1] - sizes[1]))
            for rows, columns in spans
        ]
        return sizes[0], sizes[1]

    def _local_waists(self, encoder: Encoder) -> dict[str, torch.Size]:
        """The shapes ``(C, h, w)`` of the waists that may be levels, in order, up to the first that may not."""
        known = set(self.encoder.layers())  # the quick copy has lost some
        found: dict[str, torch.Size] = {}
        for name, shape in _waists(encoder, self.layer, self.image).items():
            if not self._stride(shape):
                break
            if name in known:
                found[name] = shape
        return found

    def _stride(self, shape: torch.Size) -> int:
        """How many pixels a cell of a map ``(C, h, w)`` spans; 0 where it is no map of the image."""
        for stride in _STRIDES:
            lost = [side // stride - cells for side, cells in zip(self.side, shape[1:], strict=True)]
            if min(lost) >= 0 and max(lost) * stride <= _MOST_LOST:
                return stride
        return 0

    def _image_level(self, corners: Sequence[Span]) -> _Level:
        spans = [
            {start: (start, start + self.window[axis]) for start in _starts(corners, axis)} for axis in (0, 1)
        ]
        return _Level("", 1, (0, 0), self.image, (spans[0], spans[1]), (spans[0], spans[1]))

    def _plan(self, encoder: Encoder, shapes: dict[str, torch.Size], corners: Sequence[Span]) -> list[_Level]:
        """The levels: one for each distance that a window reaches, as long as it leaves something as it was."""
        period = max(map(self._stride, shapes.values()), default=1)
        residues = sorted({start % period for corner in corners for start in corner})
        probes = {residue: self._probe(encoder, list(shapes), residue, period) for residue in residues}
        kept: dict[str, _Reach] = {}
        for name, shape in shapes.items():
            if not all(name in probe for probe in probes.values()):
                break
            stride = self._stride(shape)
            lost = (self.side[0] // stride - shape[1], self.side[1] // stride - shape[2])
            reach = _Reach(stride, period, lost, {residue: probe[name] for residue, probe in probes.items()})
            last = next(reversed(kept), None)
            if last is None or reach != kept[last]:
                kept[name] = reach
            elif shape[0] <= shapes[last][0]:  # the fewest values; the latest of equals
                del kept[last]
                kept[name] = reach
        bases = self._bases(list(kept))
        before = _Reach(
            1, period, (0, 0), {r: ((r, r + self.window[0]), (r, r + self.window[1])) for r in residues}
        )
        levels = []
        for name, reach in kept.items():
            spans = [
                {start: reach.spans(before, start, axis, self.side[axis]) for start in _starts(corners, axis)}
                for axis in (0, 1)
            ]
            changed, needed = (
                tuple({start: found[which] for start, found in axis.items()} for axis in spans)
                for which in (0, 1)
            )
            levels.append(_Level(name, reach.stride, reach.lost, bases[name], changed, needed))
            before = reach
        return levels

    def _probe(
        self, encoder: Encoder, names: list[str], residue: int, period: int
    ) -> dict[str, tuple[Span, Span]]:
        """For each layer that is local, and each axis: the first cell that a window of NaN in the last corner
        changes, less where its period starts, and the one behind the last that a window in the first corner
        changes; of windows that start at ``residue`` of a period."""
        near = (residue, residue)
        room = [side - window - residue for side, window in zip(self.side, self.window, strict=True)]
        if min(room) < 0:
            return {}
        far = (room[0] // period * period + residue, room[1] // period * period + residue)
        probe = self.image.clone()
        for top, left in (near, far):
            probe[:, top : top + self.window[0], left : left + self.window[1]] = float("nan")
        found: dict[str, tuple[Span, Span]] = {}

        def look(name: str, output: torch.Tensor) -> None:
            stride = self._stride(output.shape[1:])
            spans = []
            for axis in (0, 1):
                # on the lines through one window's corner the other's cells do not lie, if both are local
                lines = [min(at[1 - axis] // stride, output.shape[3 - axis] - 1) for at in (near, far)]
                here, there = (output[0].select(2 - axis, line).isnan().any(0) for line in lines)
                if here[-1] or there[0] or not here.any() or not there.any():
                    return
                first = int(there.nonzero()[0]) - (far[axis] - residue) // stride
                spans.append((first, int(here.nonzero()[-1]) + 1))
            found[name] = spans[0], spans[1]

        _look(encoder, self.layer, probe, names, look)
        return found

    def _bases(self, names: list[str]) -> dict[str, torch.Tensor]:
        found: dict[str, torch.Tensor] = {}

        def keep(name: str, output: torch.Tensor) -> None:
            found[name] = output[0].clone()  # what follows may write into it

        _look(self.encoder, self.layer, self.image, names, keep)
        return found

    def _holds(self, corners: Sequence[Span]) -> bool:
        """Whether the plan gives what whole passes give, tried at three corners."""
        tried = [corners[0], corners[len(corners) // 2], corners[-1]]
        contents = self.image.mean((1, 2)).reshape(1, -1, 1, 1)
        changed = self._changed(contents.expand(3, -1, *self.window), tried)
        whole = torch.cat([self.encoder(one[None], self.layer) for one in changed])
        try:
            with self:
                pasted = self(contents, tried)
        except (CrossbandError, RuntimeError):  # a crop's map is not of the size that was expected
            return False
        return torch.allclose(whole, pasted, atol=1e-5 * max(float(whole.abs().max()), 1e-6))


@dataclass(frozen=True)
class _Reach:
    """How far a window changes a map.

    Attributes:
        stride: pixels per cell.
        period: pixels after which strides fall alike.
        lost: as a level's.
        cells: by the residue of a window's start in its period, for each axis: the first cell changed and the
            one behind the last, counted from the cell at which the period starts.
    """

    stride: int
    period: int
    lost: Span
    cells: dict[int, tuple[Span, Span]]

    def spans(self, before: _Reach, start: int, axis: int, side: int) -> tuple[Span, Span]:
        """The cells that a window from ``start`` on changes, and the pixels of the crop of the level
        ``before`` from which they come out right."""
        residue = start % self.period
        origin = (start - residue) // self.stride
        first, last = self.cells[residue][axis]
        low, high = max(origin + first, 0), min(origin + last, side // self.stride - self.lost[axis])
        rim = self._rim(before, axis)
        stop = (high + max(rim[1], self.lost[axis])) * self.stride
        return (low, high), (max(low - rim[0], 0) * self.stride, min(stop, side))

    def _rim(self, before: _Reach, axis: int) -> Span:
        """How many cells of a crop's map are wrong at its start and end, as they do not see what lies beyond:
        as far as a change beyond would reach."""
        ratio = self.stride // before.stride
        start, end = 0, 0
        for residue, spans in self.cells.items():
            (first, last), (then, until) = spans[axis], before.cells[residue][axis]
            # a crop starts at a multiple of the ratio; where the change before does not, one cell more
            start = max(start, last + bool(until % ratio) - -(-until // ratio))
            end = max(end, -(-(then + before.lost[axis]) // ratio) - first)
        return start, end


def _starts(corners: Sequence[Span], axis: int) -> list[int]:
    return sorted({corner[axis] for corner in corners})


def _look(
    encoder: Encoder,
    layer: str,
    image: torch.Tensor,
    names: Sequence[str],
    see: Callable[[str, torch.Tensor], None],
) -> None:
    """Show the maps of some layers, in the order they are computed."""
    handles = [
        encoder.body.get_submodule(name).register_forward_hook(lambda m, i, o, name=name: see(name, o))
        for name in names
    ]
    try:
        encoder(image[None].contiguous(memory_format=torch.channels_last), layer)
    finally:
        for handle in handles:
            handle.remove()


def _waists(encoder: Encoder, layer: str, image: torch.Tensor) -> dict[str, torch.Size]:
    """The layers on whose map all that follows depends, in the order they finish, and the maps' shapes.

    Those are the nodes of autograd's graph that lie on every path from the image to the end. Of layers that
    hand on one map the last is named; one that runs twice is none.
    """
    made: dict[str, list[tuple[Any, torch.Size]]] = {}

    def keep(name: str) -> Callable[[object, object, object], None]:
        def hook(module: object, inputs: object, output: object) -> None:
            seen = made.setdefault(name, [])
            if isinstance(output, torch.Tensor) and output.ndim == 4:
                seen.append((output.grad_fn, output.shape[1:]))
            else:
                seen.append((None, torch.Size()))

        return hook

    handles = [m.register_forward_hook(keep(n)) for n, m in encoder.body.named_modules() if n]
    learning = [p for p in encoder.parameters() if p.requires_grad]
    try:
        for parameter in learning:
            parameter.requires_grad_(False)
        with torch.inference_mode(False), torch.enable_grad():
            start = image[None].clone(memory_format=torch.channels_last).requires_grad_()
            ended = encoder(start, layer)
    finally:
        for handle in handles:
            handle.remove()
        for parameter in learning:
            parameter.requires_grad_()
    if ended.grad_fn is None:
        return {}
    on_all = _on_every_path(ended.grad_fn)
    last = {seen[0][0]: (name, seen[0][1]) for name, seen in made.items() if len(seen) == 1}
    return dict(last[node] for node in last if node in on_all)


def _on_every_path(end: Any) -> set[Any]:
    """The nodes of a graph of ``next_functions`` that every path from ``end`` to a leaf passes."""
    order: list[Any] = []  # a node after all that it depends on
    state: dict[Any, bool] = {}
    stack = [end]
    while stack:
        node = stack[-1]
        if node not in state:
            state[node] = False
            stack.extend(one for one, _ in node.next_functions if one is not None and one not in state)
        else:
            stack.pop()
            if not state[node]:
                state[node] = True
                order.append(node)
    behind: dict[Any, int] = {}
    for node in order:
        following = [one for one, _ in node.next_functions if one is not None]
        behind[node] = sum(behind[one] for one in following) if following else 1
    before = dict.fromkeys(order, 0)
    before[end] = 1
    for node in reversed(order):
        for one, _ in node.next_functions:
            if one is not None:
                before[one] += before[node]
    return {node for node in order if before[node] * behind[node] == behind[end]}
