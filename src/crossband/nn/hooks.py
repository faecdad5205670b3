"""Watch what passes through a network's modules."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn

__all__ = ["watching"]


@contextmanager
def watching(
    modules: Iterable[nn.Module], seen: Callable[[nn.Module, tuple[Any, ...], Any], None]
) -> Iterator[None]:
    """Call ``seen(module, inputs, output)`` after every pass of the modules, while the context lasts."""
    handles = [module.register_forward_hook(seen) for module in modules]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
