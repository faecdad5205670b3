"""Queries that arrive together go through the network together."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field

import numpy as np
import torch

from ..bands import Band
from ..errors import CrossbandError
from ..io import Image
from ..retrieval import Gallery

__all__ = ["Describer"]

_TOGETHER = 16


@dataclass(frozen=True)
class _Waiting:
    gallery: Gallery
    band: Band
    tensor: torch.Tensor
    done: Future[np.ndarray] = field(default_factory=Future)


class Describer:
    """One thread that describes images of any gallery.

    A batch is what waits when the thread is free, so that no query waits for others to come.

    Args:
        batched: is told the size of each batch.
    """

    def __init__(self, batched: Callable[[int], None] = lambda _: None) -> None:
        self._waiting: queue.SimpleQueue[_Waiting | None] = queue.SimpleQueue()
        self._batched = batched
        self._thread = threading.Thread(target=self._run, name="describer", daemon=True)
        self._thread.start()

    def describe(self, gallery: Gallery, image: Image, band: Band) -> np.ndarray:
        """Return what :meth:`crossband.retrieval.Gallery.describe` returns.

        Raises:
            CrossbandError: as that.
        """
        if not self._thread.is_alive():
            raise CrossbandError("the server is closing; ask again when it has started")
        one = _Waiting(gallery, band, gallery.descriptor.preprocess(image, band))
        self._waiting.put(one)
        return one.done.result()

    def close(self) -> None:
        """End the thread."""
        self._waiting.put(None)

    def _run(self) -> None:
        while (first := self._waiting.get()) is not None:
            together = [first]
            while len(together) < _TOGETHER:
                try:
                    other = self._waiting.get_nowait()
                except queue.Empty:
                    break
                if other is None:
                    return
                together.append(other)
            groups: dict[tuple[int, Band], list[_Waiting]] = {}
            for one in together:
                groups.setdefault((id(one.gallery), one.band), []).append(one)
            for group in groups.values():
                self._describe(group)

    def _describe(self, group: list[_Waiting]) -> None:
        self._batched(len(group))
        try:
            vectors = group[0].gallery.described(torch.stack([one.tensor for one in group]), group[0].band)
        except Exception as error:  # whoever waits raises it
            for one in group:
                one.done.set_exception(error)
            return
        for one, vector in zip(group, vectors, strict=True):
            one.done.set_result(vector)
