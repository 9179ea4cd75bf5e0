"""SR-STE's graph against NumPy and its step against PyTorch's autograd."""

import numpy as np
import pytest
import torch

from sparcl_compile.graphs import choose_masks
from sparcl_compile.graphs.masks import MaskedLayer
from sparcl_compile.passes.schemes.cuts import cut_for
from tests.reference import schemes as reference
from tests.reference.masks import top
from tests.support import harness

SHAPE, AXES = (6, 4, 3, 3), "oikk"


def chosen(weight: harness.Array, scheme: str) -> harness.Array:
    """The N largest of each group, by NumPy."""
    groups, size = reference.groups_of(scheme, weight.shape, AXES), np.abs(weight.reshape(-1))
    kept = np.zeros(weight.size, dtype=bool)
    for members, many in zip(groups.members, reference.room(groups), strict=True):
        inside = members[members >= 0]
        kept[inside] = top(size[inside], np.ones(len(inside), dtype=bool), many)
    return kept.reshape(weight.shape)


def call(weight: harness.Array, rate: float, scheme: str = "2:4", decay: float = 2e-4) -> dict[str, harness.Array]:
    graph = harness.Graph(choose_masks.build([MaskedLayer("w", SHAPE, cut_for(scheme, SHAPE, AXES))], decay))
    graph.check_form()
    mask = np.ones(SHAPE, np.float32)
    return graph({"w": weight, "w.mask": mask, "learning_rate": np.array(rate, np.float32)})


@pytest.mark.parametrize("scheme", ["2:4", "1:3", "3:5"])
@pytest.mark.parametrize("ties", [False, True])
def test_the_largest_of_each_group_are_kept_and_nothing_else_changes(scheme: str, ties: bool) -> None:
    rng = np.random.default_rng(3)
    weight = (rng.integers(-2, 3, SHAPE) if ties else rng.normal(size=SHAPE)).astype(np.float32)
    found = call(weight, 0.0, scheme)
    np.testing.assert_array_equal(found["w.mask.next"] > 0, chosen(weight, scheme))
    np.testing.assert_array_equal(found["w.next"], weight)


def test_a_step_is_that_of_the_regularised_straight_through_estimator() -> None:
    """Zhou et al., equation 9, by PyTorch: the gradient at the masked weight, and the decay of what is pruned."""
    torch.manual_seed(0)
    weight = torch.randn(SHAPE)
    mask = torch.from_numpy(chosen(weight.numpy(), "2:4").astype(np.float32))
    masked = (weight * mask).requires_grad_()
    x, target = torch.randn(8, 4, 5, 5), torch.randn(8, 6, 3, 3)
    torch.nn.functional.mse_loss(torch.nn.functional.conv2d(x, masked), target).backward()
    assert masked.grad is not None
    wanted = weight - 0.5 * (masked.grad + 0.3 * (1 - mask) * weight)
    found = call(weight.numpy(), 0.5, decay=0.3)
    np.testing.assert_array_equal(found["w.mask.next"], mask.numpy())
    np.testing.assert_allclose(found["w.next"] - 0.5 * masked.grad.numpy(), wanted.numpy(), rtol=0, atol=1e-6)
