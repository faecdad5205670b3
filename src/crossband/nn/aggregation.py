"""From a feature map to one descriptor, with parameters that are learned: GeM, NetVLAD and MixVPR.

All take maps ``(B, C, H, W)`` and give unit-length descriptors ``(B, D)``, float32 whatever the precision
around them (a power and a softmax over a map lose too much in half precision).
"""

from __future__ import annotations

import contextlib
import math
import warnings
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from ..errors import CrossbandError
from ..registry import Registry

__all__ = [
    "AGGREGATORS",
    "Aggregator",
    "GeM",
    "MixVPR",
    "NetVLAD",
    "create_aggregator",
    "kmeans",
    "register_aggregator",
]

AGGREGATORS: Registry[Callable[..., Aggregator]] = Registry("aggregator", "crossband.nn")


def register_aggregator(name: str) -> Callable[[type[Aggregator]], type[Aggregator]]:
    """Register the decorated class under a name for recipes; its first argument is the number of channels."""
    return AGGREGATORS.register(name, lambda kind: kind)


class Aggregator(nn.Module):
    """The base class of all aggregators.

    Attributes:
        dim: D, the length of a descriptor.
        wants_samples: whether :meth:`initialize` should be called before training.
    """

    dim: int
    wants_samples = False

    def initialize(self, features: torch.Tensor, seed: int = 0) -> None:
        """Set parameters from local features ``(n, C)``, float32, that were sampled from training images."""


def create_aggregator(name: str, channels: int, **options: object) -> Aggregator:
    """Create the aggregator called ``name`` for maps of ``channels`` channels.

    Raises:
        CrossbandError: an unknown name or option.

    Example:
        >>> create_aggregator("gem", 512).dim
        512
    """
    kind = AGGREGATORS.get(name)
    try:
        return kind(channels, **options)
    except TypeError as error:
        raise CrossbandError(f"aggregator {name} does not take these options: {error}") from None


@register_aggregator("gem")
class GeM(Aggregator):
    """Generalized mean ``(mean x^p)^(1/p)`` over the map, p learned; D = C.

    Alijani and Rahtu, 2021, equation (2); Radenovic, Tolias and Chum, TPAMI 2019. p = 1 is the mean (SPoC),
    p to infinity the maximum (MAC, equation 1). Values below ``eps`` count as ``eps``.

    Args:
        channels: C.
        p: where p starts, above 0.
        per_channel: one p per channel, as equation (2) writes it, or one for all, as is usual.
        eps: the least value.
        normalize: whether descriptors are scaled to unit length.

    Example:
        >>> GeM(2, p=1.0, normalize=False)(torch.tensor([[[[1.0, 3.0]], [[2.0, 4.0]]]])).tolist()
        [[2.0, 3.0]]
    """

    def __init__(
        self,
        channels: int,
        p: float = 3.0,
        per_channel: bool = False,
        eps: float = 1e-6,
        normalize: bool = True,
    ) -> None:
        super().__init__()
        if not p > 0:
            raise CrossbandError(f"GeM's p must be above 0, not {p}")
        self.dim, self.eps, self.normalize = channels, eps, normalize
        self.p = nn.Parameter(torch.full((channels if per_channel else 1,), float(p)))

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        """Return descriptors ``(B, C)`` of maps ``(B, C, H, W)``."""
        with _full_precision(maps):
            values = maps if maps.dtype == torch.float64 else maps.float()
            values = values.clamp(min=self.eps).flatten(2)
            # relative to the maximum, so that no power overflows however large p becomes
            top = values.amax(2, keepdim=True)
            p = self.p[:, None]
            pooled = top[..., 0] * (values / top).pow(p).mean(2).pow(1 / self.p)
            return F.normalize(pooled, dim=1) if self.normalize else pooled


@register_aggregator("netvlad")
class NetVLAD(Aggregator):
    """Residuals to learned centers, softly assigned; D = C * clusters.

    Alijani and Rahtu, 2021, equations (3) and (4); Arandjelovic et al., TPAMI 2018. Equation (4) prints the
    residual to ``c_k'``, the index that the softmax sums over; as in equation (3) it is to ``c_k``. Local
    features are scaled to unit length; the residuals of each cluster likewise (intra-normalization), and
    then the whole.

    Args:
        channels: C.
        clusters: K.
        alpha: how sharp the assignment is at the start; from the sampled features where ``None``.
        normalize_input: whether local features are scaled to unit length first.
        whiten: how many whitened principal components are kept once :meth:`fit_whitening` has been called,
            after training; until then, and with 0, all of D.
        narrow: channels that a 1x1 convolution with BatchNorm leaves first, as in SGM (Xiao et al., IROS 2023);
            D is ``narrow * clusters`` then. 0 leaves the map as it is.

    Example:
        >>> NetVLAD(512, 64).dim
        32768
    """

    wants_samples = True

    def __init__(
        self,
        channels: int,
        clusters: int = 64,
        alpha: float | None = None,
        normalize_input: bool = True,
        whiten: int = 0,
        narrow: int = 0,
    ) -> None:
        super().__init__()
        if clusters < 1:
            raise CrossbandError(f"NetVLAD needs at least one cluster, not {clusters}")
        if narrow < 0:
            raise CrossbandError(f"NetVLAD's narrow is a number of channels, or 0, not {narrow}")
        self.narrow: nn.Module | None = None
        if narrow:
            self.narrow = nn.Sequential(nn.Conv2d(channels, narrow, 1, bias=False), nn.BatchNorm2d(narrow))
            channels = narrow
        self.clusters, self.alpha, self.normalize_input = clusters, alpha, normalize_input
        self.full_dim = channels * clusters
        if not 0 <= whiten <= self.full_dim:
            raise CrossbandError(f"NetVLAD of {self.full_dim} dims cannot keep {whiten} of them")
        self.whiten = whiten
        self.register_buffer("whiten_mean", None)
        self.register_buffer("whiten_axes", None)
        self.centers = nn.Parameter(F.normalize(torch.randn(clusters, channels), dim=1))
        self.weights = nn.Parameter(2 * (alpha or 10.0) * self.centers.detach().clone())
        self.bias = nn.Parameter(torch.zeros(clusters))

    @property
    def whitening(self) -> tuple[torch.Tensor, torch.Tensor] | None:
        """Mean and axes ``(D, whiten)``, once they are known; then they are part of the state that is saved."""
        mean, axes = self._buffers["whiten_mean"], self._buffers["whiten_axes"]
        return None if mean is None or axes is None else (mean, axes)

    def expect_whitening(self) -> None:
        """Make room for the axes of a state that is loaded next."""
        self.whiten_mean = self.centers.new_zeros(self.full_dim)
        self.whiten_axes = self.centers.new_zeros(self.full_dim, self.whiten)

    def _load_from_state_dict(self, state: dict[str, torch.Tensor], prefix: str, *args: object) -> None:
        if self.whiten and f"{prefix}whiten_axes" in state and self.whitening is None:
            self.expect_whitening()
        super()._load_from_state_dict(state, prefix, *args)

    @property
    def dim(self) -> int:  # type: ignore[override]
        """Length of a descriptor: all, or the principal components once they are known."""
        return self.full_dim if self.whitening is None else self.whiten

    def initialize(self, features: torch.Tensor, seed: int = 0) -> None:
        """Set the centers by k-means on local features ``(n, C)``.

        The assignment of equation (4) then is VLAD's, softened so that the nearest center outweighs the next a
        hundred times on average, as in the authors' code, where ``alpha`` is not given.

        Raises:
            CrossbandError: fewer features than clusters.
        """
        if self.narrow is not None:
            with torch.no_grad():
                features = self.narrow(features.float()[:, :, None, None]).flatten(1)
        if self.normalize_input:
            features = F.normalize(features.float(), dim=1)
        centers = kmeans(features, self.clusters, seed)
        alpha = self.alpha
        if alpha is None:
            nearest = torch.cdist(features, centers).square().topk(min(2, self.clusters), largest=False).values
            gap = (nearest[:, -1] - nearest[:, 0]).mean().item()
            alpha = math.log(100) / max(gap, 1e-6)
        with torch.no_grad():
            self.centers.copy_(centers)
            self.weights.copy_(2 * alpha * centers)
            self.bias.copy_(-alpha * centers.square().sum(1))

    def residuals(self, maps: torch.Tensor) -> torch.Tensor:
        """Compute equation (4) alone, ``(B, K, C)``, before any normalization of its result."""
        features = (maps if self.narrow is None else self.narrow(maps)).flatten(2)
        if self.normalize_input:
            features = F.normalize(features, dim=1)
        weights, bias, centers = (part.to(features) for part in (self.weights, self.bias, self.centers))
        share = (weights @ features + bias[:, None]).softmax(1)
        return share @ features.transpose(1, 2) - share.sum(2)[..., None] * centers

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        """Return descriptors ``(B, D)`` of maps ``(B, C, H, W)``."""
        with _full_precision(maps):
            values = maps if maps.dtype == torch.float64 else maps.float()
            vectors = F.normalize(F.normalize(self.residuals(values), dim=2).flatten(1), dim=1)
            if self.whitening is None:
                return vectors
            mean, axes = (part.to(vectors) for part in self.whitening)
            return F.normalize((vectors - mean) @ axes, dim=1)

    def fit_whitening(self, vectors: torch.Tensor) -> None:
        """Set the whitening from full descriptors ``(n, C * K)``, n above ``whiten``.

        Raises:
            CrossbandError: no whitening was asked for, or too few descriptors.
        """
        if not self.whiten or len(vectors) <= self.whiten:
            raise CrossbandError(
                f"whitening to {self.whiten} dims needs more descriptors; {len(vectors)} were given"
            )
        mean = vectors.mean(0)
        _, singular, axes = torch.linalg.svd(vectors - mean, full_matrices=False)
        scale = (singular[: self.whiten] / math.sqrt(len(vectors) - 1)).clamp(min=1e-6)
        device = self.centers.device
        self.whiten_mean = mean.to(device).contiguous()
        self.whiten_axes = (axes[: self.whiten].T / scale).to(device).contiguous()


def _full_precision(maps: torch.Tensor) -> contextlib.AbstractContextManager[object]:
    """No autocast inside; a network without memory behind it has none anyway."""
    return contextlib.nullcontext() if maps.is_meta else torch.autocast(maps.device.type, enabled=False)


class _Mixer(nn.Module):
    """One feature mixer: ``x + W2 relu(W1 norm(x))`` along the positions of each channel."""

    def __init__(self, positions: int, ratio: float) -> None:
        super().__init__()
        inner = max(1, int(positions * ratio))
        self.mix = nn.Sequential(
            nn.LayerNorm(positions), nn.Linear(positions, inner), nn.ReLU(), nn.Linear(inner, positions)
        )
        for layer in self.mix:
            if isinstance(layer, nn.Linear):
                nn.init.trunc_normal_(layer.weight, std=0.02)
                nn.init.zeros_(layer.bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.mix(x)


@register_aggregator("mixvpr")
class MixVPR(Aggregator):
    """Holistic mixing of whole channels; D = out_channels * out_rows.

    Ali-bey, Chaib-draa and Giguere, "MixVPR", WACV 2023, section 3: each flattened channel passes ``depth``
    mixers, then projections along channels and along positions. Its weights belong to one size of map; maps of
    another size are pooled to it first.

    Args:
        channels: C.
        size: (height, width) of the map that is mixed.
        depth: mixers in a row.
        ratio: width of a mixer's inner layer, relative to the positions.
        out_channels: channels after the projection.
        out_rows: dims kept of each channel.

    Example:
        >>> MixVPR(128, size=(10, 10), out_channels=64)(torch.rand(2, 128, 10, 10)).shape
        torch.Size([2, 256])
    """

    def __init__(
        self,
        channels: int,
        size: tuple[int, int] = (20, 20),
        depth: int = 4,
        ratio: float = 1.0,
        out_channels: int = 512,
        out_rows: int = 4,
    ) -> None:
        super().__init__()
        self.size = (int(size[0]), int(size[1]))
        positions = self.size[0] * self.size[1]
        self.dim = out_channels * out_rows
        self.mixers = nn.Sequential(*(_Mixer(positions, ratio) for _ in range(depth)))
        self.channels = nn.Linear(channels, out_channels)
        self.rows = nn.Linear(positions, out_rows)

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        """Return descriptors ``(B, D)`` of maps ``(B, C, H, W)``."""
        with _full_precision(maps):
            values = maps.to(self.rows.weight.dtype)
            if tuple(values.shape[-2:]) != self.size:
                values = F.adaptive_avg_pool2d(values, self.size)
            mixed = self.channels(self.mixers(values.flatten(2)).transpose(1, 2))
            found = self.rows(mixed.transpose(1, 2)).flatten(1)
            return F.normalize(found if found.dtype == torch.float64 else found.float(), dim=1)


def kmeans(features: torch.Tensor, clusters: int, seed: int = 0, rounds: int = 25) -> torch.Tensor:
    """Cluster by Lloyd's k-means with k-means++ seeding.

    Centers ``(clusters, C)`` of features ``(n, C)``, float32.

    An empty cluster keeps its center. The same seed gives the same centers.

    Raises:
        CrossbandError: fewer features than clusters.

    Example:
        >>> kmeans(torch.tensor([[0.0], [0.1], [9.0], [9.1]]), 2).sort(0).values.round(decimals=2).tolist()
        [[0.05000000074505806], [9.050000190734863]]
    """
    import scipy.cluster.vq  # here: networks that cluster nothing do not wait for it

    if len(features) < clusters:
        raise CrossbandError(f"{clusters} clusters need as many local features at least; {len(features)} given")
    with warnings.catch_warnings(), np.errstate(invalid="ignore"):  # empty clusters, equal features
        warnings.simplefilter("ignore", UserWarning)
        centers, _ = scipy.cluster.vq.kmeans2(
            features.double().cpu().numpy(), clusters, iter=rounds, minit="++", rng=np.random.default_rng(seed)
        )
    return torch.from_numpy(centers).to(features)
