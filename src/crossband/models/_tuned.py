"""An encoder of ImageNet in four stages, made ready to be fine-tuned fast; see :mod:`crossband.nn.tuning`."""

from __future__ import annotations

from ..nn.stages import Stages, cut_stages, stage_layers
from ..nn.tuning import fix_depthwise, fold_norms
from ._registry import create_encoder

__all__ = ["tuned_stages"]


def tuned_stages(encoder: str, pretrained: bool, frozen: int) -> tuple[Stages, str]:
    """Create an encoder's four stages without BatchNorm, and the identity of its weights.

    Args:
        encoder: a registered one with four stages.
        pretrained: whether it starts from its ImageNet weights.
        frozen: stages, from the first, that do not learn; the depthwise kernels of the others do not either.
    """
    stage_layers(encoder)  # says so before weights are looked for, where it has none
    made = create_encoder(encoder, pretrained=pretrained)
    stages = cut_stages(encoder, fix_depthwise(fold_norms(made.body.requires_grad_(True))))
    for stage in stages.stages[:frozen]:
        stage.requires_grad_(False)
    return stages, made.digest
