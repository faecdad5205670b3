"""Every model of timm as an encoder, by the name ``timm/NAME`` (Wightman, "PyTorch Image Models")."""

from __future__ import annotations

import difflib
import functools

import timm

from ..errors import CrossbandError
from ..nn.encoder import Encoder
from ..preprocess import Statistics
from ..weights import WeightsSource
from ._registry import ModelEntry

__all__ = ["build_timm", "timm_entry"]


def timm_entry(name: str) -> ModelEntry:
    """The registry entry of ``timm/NAME`` or ``timm/NAME.TAG``.

    Raises:
        CrossbandError: timm has no such model.
    """
    bare = name.removeprefix("timm/")
    if not timm.is_model(bare.split(".")[0]):
        close = difflib.get_close_matches(bare, timm.list_models(), n=3)
        raise CrossbandError(f"timm has no model {bare!r}; the nearest are {', '.join(close) or 'none'}")
    config = timm.get_pretrained_cfg(bare)
    hub = (config.hf_hub_id, "model.safetensors") if config is not None and config.hf_hub_id else None
    return ModelEntry(
        name=name,
        build=functools.partial(build_timm, bare),
        task="classification (timm)",
        licence=(config.license if config is not None else None) or "see timm",
        source=f"timm {bare}",
        weights=WeightsSource(bare, hub=hub),
        known_files={},
        rename=None,
        default_steps="normflat",
    )


def build_timm(name: str) -> Encoder:
    """The network of timm called ``name``, without weights; cut by default at its last feature stage."""
    body = timm.create_model(name, pretrained=False)
    info = getattr(body, "feature_info", None)
    if not info:
        raise CrossbandError(f"timm/{name} names no feature maps (timm's features_only); choose another model")
    config = body.pretrained_cfg
    statistics = Statistics(tuple(config["mean"]), tuple(config["std"]))
    channels_last = getattr(body, "output_fmt", "NCHW") == "NHWC"
    return Encoder(body, info[-1]["module"], statistics=statistics, channels_last=channels_last)
