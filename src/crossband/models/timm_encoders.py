"""Every model of timm as an encoder, by the name ``timm/NAME`` (Wightman, "PyTorch Image Models").

In a folder of weights, ``timm--NAME.safetensors`` is looked for first, then ``NAME.safetensors``: torchvision
has a ``resnet18`` too. A network whose last feature stage gives more than one map (HRNet) is run as timm's
own ``features_only`` runs it, and read at its last map.
"""

from __future__ import annotations

import contextlib
import difflib
import functools
from typing import Any

import timm
import torch
from torch import nn

from ..data.preprocess import Statistics
from ..errors import CrossbandError
from ..nn.encoder import Encoder
from ..nn.stages import StageEncoder
from ..weights import WeightsSource
from ._registry import ModelEntry, StateDict

__all__ = ["build_timm", "timm_entry"]

_FEATURE_PREFIXES = ("features.", "features.model.")


def timm_entry(name: str) -> ModelEntry:
    """The registry entry of ``timm/NAME`` or ``timm/NAME.TAG``.

    Raises:
        CrossbandError: timm has no such model, or no such weights of it.
    """
    bare = name.removeprefix("timm/")
    if not timm.is_model(bare.split(".")[0]):
        close = difflib.get_close_matches(bare, timm.list_models(), n=3)
        hint = f"did you mean {', '.join(close)}?" if close else "timm.list_models() in Python lists them"
        raise CrossbandError(f"timm has no model {bare!r}; {hint}")
    config = _published(bare)
    hub = (config.hf_hub_id, "model.safetensors") if config is not None and config.hf_hub_id else None
    return ModelEntry(
        name=name,
        build=functools.partial(build_timm, bare),
        task="classification (timm)",
        license=(config.license if config is not None else None) or "see timm",
        source=f"timm {bare}",
        weights=WeightsSource(bare, hub=hub, first=f"timm--{bare}"),
        known_files={},
        rename=functools.partial(rename_features, bare),
        default_steps="normflat",
    )


def _published(name: str) -> Any:
    """What timm knows of the weights ``NAME`` or ``NAME.TAG``, or ``None``."""
    try:
        return timm.get_pretrained_cfg(name)
    except RuntimeError:  # what timm raises at a tag
        architecture, _, tag = name.partition(".")
        tags = timm.list_pretrained(architecture)
        raise CrossbandError(
            f"timm has no weights {tag!r} of {architecture}; there are {', '.join(tags) or 'none'}"
        ) from None


def build_timm(name: str) -> Encoder:
    """The network of timm called ``name``, without weights; cut by default at its last feature stage."""
    body = timm.create_model(name, pretrained=False)
    info = getattr(body, "feature_info", None)
    if not info:
        raise CrossbandError(f"timm/{name} names no feature maps (timm's features_only); choose another model")
    config = body.pretrained_cfg
    statistics = Statistics(tuple(config["mean"]), tuple(config["std"]))
    known = info[-1]["module"] in dict(body.named_modules())
    if not known or _gives_several_maps(name, info[-1]["module"]):
        with contextlib.suppress(Exception):  # timm has no features of it: another layer may be asked for
            return Encoder(_LastMap(name), "last", statistics=statistics)
    if not known:
        raise CrossbandError(f"timm/{name} has no layer {info[-1]['module']}; choose another model")
    classifier = config.get("classifier") or ()
    return Encoder(
        body,
        info[-1]["module"],
        classifier=(classifier,) if isinstance(classifier, str) else tuple(classifier),
        statistics=statistics,
        channels_last=getattr(body, "output_fmt", "NCHW") == "NHWC",
    )


class _LastMap(nn.Module):
    """timm's features of a network, of which the last map goes on."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.features = timm.create_model(name, pretrained=False, features_only=True)
        self.last = nn.Identity()

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """The last map ``(B, C, H, W)``."""
        return self.last(self.features(images)[-1])


@functools.cache
def _gives_several_maps(name: str, layer: str) -> bool:
    """Whether a layer's output is a list, tried on a network without memory behind it."""
    with torch.device("meta"), torch.inference_mode():
        body = timm.create_model(name, pretrained=False).eval()
        found: list[object] = []
        body.get_submodule(layer).register_forward_hook(lambda *given: found.append(given[-1]))
        with contextlib.suppress(Exception):  # where it cannot be tried, the layer is read as it stands
            body(torch.zeros(1, *body.pretrained_cfg["input_size"]))
    return any(isinstance(output, list | tuple) for output in found)


def rename_features(name: str, state: StateDict, encoder: Encoder) -> StateDict:
    """The whole network's keys as those of its features, for a network that is run in that way.

    Raises:
        CrossbandError: these are not the keys of the whole network.
    """
    if not isinstance(encoder.body, _LastMap):
        return state
    with torch.device("meta"):
        whole = timm.create_model(name, pretrained=False).state_dict()
    if state.keys() != whole.keys():
        raise CrossbandError(f"other tensors than those of timm's {name}")
    own = encoder.body.state_dict()  # timm wraps some networks once more, as "model"
    renamed = ((f"{prefix}{key}", tensor) for key, tensor in state.items() for prefix in _FEATURE_PREFIXES)
    return {key: tensor for key, tensor in renamed if key in own}


class TimmStages(StageEncoder):
    """The maps of a network of timm at strides 4, 8, 16 and 32.

    Args:
        body: the network.
        name: as in ``timm/NAME``, for the error.

    Attributes:
        channels: of each map.

    Raises:
        CrossbandError: it has no such maps, or timm does not say where they are.
    """

    def __init__(self, body: Any, name: str) -> None:
        super().__init__()
        info = list(getattr(body, "feature_info", ()))
        chosen = [
            max((i for i, part in enumerate(info) if part["reduction"] == stride), default=-1)
            for stride in (4, 8, 16, 32)
        ]
        if -1 in chosen or not hasattr(body, "forward_intermediates"):
            raise CrossbandError(
                f"{name} has no feature maps at strides 4, 8, 16 and 32; choose another encoder"
            )
        self.body: Any = body
        self._chosen = chosen
        self.channels = tuple(info[i]["num_chs"] for i in chosen)

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        """Four maps of images ``(B, 3, H, W)``."""
        return self.body.forward_intermediates(images, indices=self._chosen, intermediates_only=True)
