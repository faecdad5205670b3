"""The loss of a conditional GAN as one scalar for one optimizer.

Isola et al., CVPR 2017: generator and discriminator play ``min_G max_D``, with binary cross-entropy (their
equation 1; the non-saturating form of section 3.3).

Two players, one step. The usual loop has two optimizers and alternates. Here both losses are added, each with
the other player held still: the generator's gradient flows through the discriminator but not into its
parameters, and the discriminator sees the generated image as a constant. So every parameter gets exactly the
gradient of its own loss, and one Adam over all of them takes the step that two would take at once. It is why
the
trainer needs no second optimizer: the discriminator is part of the criterion, which is saved with a run's state
and not kept in its checkpoint.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

__all__ = ["adversarial_loss"]


def adversarial_loss(
    discriminator: nn.Module, condition: torch.Tensor, generated: torch.Tensor, real: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Compute the generator's and the discriminator's loss, two scalars to be added and minimized.

    The discriminator's is halved, as in the paper, so that it does not run ahead.

    Args:
        discriminator: ``(N, C + D, H, W)`` to logits of any shape; without running statistics.
        condition: what was translated, ``(N, C, H, W)``.
        generated: what the generator made of it, ``(N, D, H, W)``.
        real: what it should be, ``(N, D, H, W)``.

    Example:
        >>> judge = nn.Conv2d(2, 1, 1)
        >>> made = torch.zeros(1, 1, 2, 2, requires_grad=True)
        >>> fool, judged = adversarial_loss(judge, torch.zeros(1, 1, 2, 2), made, torch.ones(1, 1, 2, 2))
        >>> fool.backward()
        >>> judge.weight.grad is None, made.grad is not None
        (True, True)
    """
    still = {name: value.detach() for name, value in discriminator.named_parameters()}
    seen = torch.func.functional_call(discriminator, still, (torch.cat([condition, generated], 1),))
    fool = F.binary_cross_entropy_with_logits(seen, torch.ones_like(seen))
    pairs = torch.cat([torch.cat([condition, real], 1), torch.cat([condition, generated.detach()], 1)])
    says_real, says_made = discriminator(pairs).chunk(2)
    judged = F.binary_cross_entropy_with_logits(says_real, torch.ones_like(says_real))
    judged = judged + F.binary_cross_entropy_with_logits(says_made, torch.zeros_like(says_made))
    return fool, judged / 2
