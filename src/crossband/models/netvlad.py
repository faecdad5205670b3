"""NetVLAD and Patch-NetVLAD: VGG16 up to conv5_3, residuals to 64 centers, and re-ranking by patches.

Arandjelovic et al., "NetVLAD", CVPR 2016, in the layout of its PyTorch port ``Nanne/pytorch-NetVlad`` (keys
``encoder.N``, ``pool.conv``, ``pool.centroids``; with VLAD v2 also ``pool.conv.bias``). Hausler et al.,
"Patch-NetVLAD", CVPR 2021, ``QVPR/Patch-NetVLAD`` (MIT), adds ``WPCA.0``: whitening to 4,096 dims. Both
layouts were read in their repositories' code; the checkpoints themselves were not at hand. Re-ranking follows
that paper's section 3: patches of 2, 5 and 8 positions, mutual nearest neighbors, and their spatial
consistency, by RANSAC or by the quick score of its equation (8).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
import torchvision
from torch import nn

from ..errors import CrossbandError, MissingExtraError
from ..nn.aggregation import NetVLAD
from ..nn.encoder import Encoder
from ..nn.reranker import Reranker
from ..weights import WeightsSource
from ._registry import StateDict, register_model

__all__ = [
    "PatchFeatures",
    "PatchNetVLAD",
    "PatchReranker",
    "build_netvlad",
    "build_patch_netvlad",
    "rename_netvlad",
]

_CHANNELS, _CLUSTERS = 512, 64
_STRIDE = 16  # pixels per position of conv5_3


class PatchNetVLAD(nn.Module):
    """VGG16, NetVLAD and, with ``components``, whitening.

    Example:
        >>> with torch.device("meta"):
        ...     PatchNetVLAD(4096)(torch.zeros(1, 3, 64, 64)).shape
        torch.Size([1, 4096])
    """

    def __init__(self, components: int | None = None) -> None:
        super().__init__()
        self.encoder = torchvision.models.vgg16(weights=None).features[:-2]
        self.pool = NetVLAD(_CHANNELS, _CLUSTERS)
        self.whiten = nn.Linear(self.pool.full_dim, components) if components else nn.Identity()
        self.out = nn.Identity()  # the layer's name

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return unit-length descriptors ``(B, D)`` of images ``(B, 3, h, w)``."""
        return self.out(F.normalize(self.whiten(self.pool(self.encoder(images))), dim=1))

    def patches(self, images: torch.Tensor, size: int, stride: int = 1) -> PatchFeatures:
        """Return unit-length descriptors of square patches of the map.

        Args:
            images: ``(1, 3, h, w)``.
            size: positions of the map along a side; ``stride`` positions from one patch to the next.

        Raises:
            CrossbandError: the map is smaller than a patch.
        """
        maps = self.encoder(images)
        if size > min(maps.shape[-2:]):
            raise CrossbandError(
                f"a patch of {size} positions does not fit a map of {maps.shape[-1]}x{maps.shape[-2]}; "
                "choose smaller patches or larger images"
            )
        residuals = self._local(maps)
        means = F.avg_pool2d(residuals, size, stride)  # as the authors' integral image
        height, width = means.shape[-2:]
        parts = means[0].reshape(self.pool.clusters, -1, height * width)
        vectors = F.normalize(F.normalize(parts, dim=1).flatten(0, 1), dim=0).T
        rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
        places = torch.stack([columns, rows], -1).reshape(-1, 2) * stride
        return PatchFeatures(F.normalize(self.whiten(vectors), dim=1), places.numpy(), size, stride)

    def _local(self, maps: torch.Tensor) -> torch.Tensor:
        """The weighted residual to each center at each position, ``(B, K * C, h, w)``."""
        features = F.normalize(maps, dim=1).flatten(2)
        share = (self.pool.weights @ features + self.pool.bias[:, None]).softmax(1)
        residuals = share[:, :, None] * (features[:, None] - self.pool.centers[None, :, :, None])
        return residuals.flatten(1, 2).unflatten(2, maps.shape[-2:])


@dataclass(frozen=True)
class PatchFeatures:
    """The patches of one image.

    Attributes:
        vectors: ``(n, D)``, unit length.
        places: int ``(n, 2)``: column and row of each patch's corner on the map.
        size: positions along a side; ``stride`` from one patch to the next.
    """

    vectors: torch.Tensor
    places: np.ndarray
    size: int
    stride: int


def patch_score(query: PatchFeatures, item: PatchFeatures, method: str = "ransac") -> float:
    """Score how well two images' patches agree in place; more is better, 0 without a mutual match.

    Args:
        query: patches of one image.
        item: patches of the other, of the same size.
        method: ``ransac``: inliers of a homography, a share of the patches; ``spatial``: the quick score.

    Raises:
        CrossbandError: patches of two sizes, or an unknown method.
    """
    if query.size != item.size or method not in ("ransac", "spatial"):
        raise CrossbandError("patches of one size are compared by ransac or spatial")
    near = query.vectors @ item.vectors.T
    forth, back = near.argmax(1), near.argmax(0)
    mutual = (back[forth] == torch.arange(len(forth), device=forth.device)).nonzero().flatten()
    ours, theirs = query.places[mutual.cpu().numpy()], item.places[forth[mutual].cpu().numpy()]
    if not len(mutual):
        return 0.0
    if method == "spatial":
        shift = theirs - ours
        off = np.abs(shift - shift.mean(0))
        return float(((query.places.max(0) - off) ** 2).sum() / len(query.vectors))
    if len(mutual) < 4:
        return 0.0
    return _inliers(theirs, ours, _STRIDE * query.stride * 1.5) / len(query.vectors)


def _inliers(source: np.ndarray, target: np.ndarray, limit: float) -> int:
    """How many places ``(n, 2)`` one homography takes to their partners, within ``limit`` pixels."""
    cv2 = _opencv()
    points = [np.asarray(places * _STRIDE, np.float32) for places in (source, target)]
    _, inlier = cv2.findHomography(points[0], points[1], cv2.RANSAC, limit)
    return 0 if inlier is None else int(inlier.sum())


def _opencv() -> Any:
    try:
        import cv2
    except ImportError:
        raise MissingExtraError("RANSAC needs OpenCV; pip install 'crossband[vision]'") from None
    return cv2


class PatchReranker(Reranker):
    """Re-ranking by Patch-NetVLAD: patches of several sizes, compared size by size.

    A local feature is the patch's size, its column and its row, and its vector.

    Args:
        encoder: of the registered model.
        sizes: of the patches, with the ``weights`` of each; the authors' by default.
        method: of :func:`patch_score`.
    """

    def __init__(
        self,
        encoder: Encoder,
        sizes: Sequence[int] = (2, 5, 8),
        weights: Sequence[float] = (0.45, 0.15, 0.4),
        method: str = "ransac",
    ) -> None:
        super().__init__()
        assert isinstance(encoder.body, PatchNetVLAD)
        self.network, self.sizes, self.weights, self.method = encoder.body, sizes, weights, method
        if method == "ransac":
            _opencv()  # said before hours of describing, not after
        whiten = encoder.body.whiten
        dim = whiten.out_features if isinstance(whiten, nn.Linear) else encoder.body.pool.full_dim
        self.channels = 3 + int(dim)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return local features ``(B, n, channels)`` of images ``(B, 3, h, w)``; see :class:`Reranker`."""
        return torch.stack([self._of(image[None]) for image in images])

    def scores(self, query: torch.Tensor, candidates: Iterable[torch.Tensor]) -> np.ndarray:
        """Return the weighted sum over the sizes of scores that are put on one scale over the candidates."""
        mine = self._patches(query)
        found = [
            [patch_score(q, c, self.method) for q, c in zip(mine, self._patches(candidate), strict=True)]
            for candidate in candidates
        ]
        if not found:
            return np.empty(0)
        scores = np.array(found)
        spread = scores.std(0)
        normed = (scores - scores.mean(0)) / np.where(spread > 0, spread, 1)
        return normed @ np.asarray(self.weights)

    def _of(self, image: torch.Tensor) -> torch.Tensor:
        parts = []
        for size in self.sizes:
            found = self.network.patches(image, size)
            places = torch.from_numpy(found.places).to(found.vectors)
            parts.append(torch.cat([torch.full_like(places[:, :1], size), places, found.vectors], 1))
        return torch.cat(parts)

    def _patches(self, features: torch.Tensor) -> list[PatchFeatures]:
        found = []
        for size in self.sizes:
            mine = features[features[:, 0] == size]
            found.append(PatchFeatures(mine[:, 3:], mine[:, 1:3].cpu().numpy().astype(int), size, 1))
        return found


def rename_netvlad(state: StateDict, encoder: Encoder) -> StateDict:
    """Rename ``pool.conv`` and ``pool.centroids`` to this NetVLAD's keys.

    A v1 layer has no bias, which is zero.
    """
    renamed = {}
    for key, value in state.items():
        key = (
            key.removeprefix("module.").replace("encoder.module.", "encoder.").replace("pool.module.", "pool.")
        )
        if key == "pool.conv.weight":
            renamed["pool.weights"] = value.flatten(1)
        elif key == "pool.conv.bias":
            renamed["pool.bias"] = value
        elif key == "pool.centroids":
            renamed["pool.centers"] = value
        elif key.startswith("WPCA.0."):
            renamed[key.replace("WPCA.0.", "whiten.")] = value.flatten(1) if value.ndim == 4 else value
        else:
            renamed[key] = value
    if "pool.weights" in renamed:
        renamed.setdefault("pool.bias", renamed["pool.weights"].new_zeros(len(renamed["pool.weights"])))
    if isinstance(encoder.body.whiten, nn.Identity):  # Patch-NetVLAD's file serves NetVLAD too
        renamed = {key: value for key, value in renamed.items() if not key.startswith("whiten.")}
    return OrderedDict(renamed)


@register_model(
    "netvlad",
    params=14_780_288,
    dim=32768,
    task="place recognition (Pittsburgh 30k)",
    license="none stated (code of the port)",
    source="https://github.com/Nanne/pytorch-NetVlad",
    weights=WeightsSource("netvlad"),
    rename=rename_netvlad,
    default_steps="flat",
    size=(480, 640),
)
def build_netvlad() -> Encoder:
    """Build VGG16 and NetVLAD, 32,768 dims."""
    return Encoder(PatchNetVLAD(), "out")


@register_model(
    "patch_netvlad",
    params=149_002_112,
    dim=4096,
    task="place recognition (Mapillary)",
    license="MIT",
    source="https://github.com/QVPR/Patch-NetVLAD, mapillary_WPCA4096.pth.tar",
    weights=WeightsSource("mapillary_WPCA4096"),
    rename=rename_netvlad,
    default_steps="flat",
    size=(480, 640),
    reranker=PatchReranker,
)
def build_patch_netvlad() -> Encoder:
    """Build VGG16, NetVLAD and whitening, 4,096 dims: the first stage of Patch-NetVLAD."""
    return Encoder(PatchNetVLAD(4096), "out")
