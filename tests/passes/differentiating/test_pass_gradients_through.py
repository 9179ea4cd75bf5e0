import numpy as np

from sparcl_compile.passes.differentiating.pass_gradients_through import PassGradientsThrough
from tests.passes.differentiating.ort_training.test_differentiate_by_builder import gradients, training_feeds
from tests.passes.differentiating.test_insert_gradient_masks import differentiated
from tests.support.numbers import check_same
from tests.support.small_model import changed_lines, run_twice


def test_the_product_with_the_mask_goes() -> None:
    _, model = differentiated()
    changes = changed_lines(run_twice(PassGradientsThrough(), model), model)
    products = [line for line in changes if line[0] in "+-" and '"conv.weight.mask")' in line]
    assert len(products) == 1
    assert products[0].startswith("-")
    assert 'Mul ("conv.weight.masked_grad", "conv.weight.mask")' in products[0]


def test_pruned_weights_get_a_gradient_and_the_others_keep_theirs() -> None:
    forward, model = differentiated()
    feeds = training_feeds(model, forward)
    masked = gradients(model, feeds)
    PassGradientsThrough()(model)
    whole = gradients(model, feeds)
    mask = feeds["conv.weight.mask"]
    assert not masked["conv.weight"][mask == 0].any()
    live = masked["conv.weight"].any(axis=(1, 2, 3))
    assert whole["conv.weight"][live][mask[live] == 0].all()
    assert np.count_nonzero(mask[live] == 0) == 5
    check_same(whole["conv.weight"] * mask, masked["conv.weight"])
    check_same(whole["head.weight"], masked["head.weight"])
