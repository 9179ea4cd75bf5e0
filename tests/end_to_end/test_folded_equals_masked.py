"""Training on the kept channels alone against training with masks, from the same state, with mask updates between."""

from pathlib import Path

import numpy as np
import pytest

from tests.support.folded_pair import check_same, pair
from tests.support.form import STEPS, UPDATES, batches, exchange, write_small

OPTIMIZERS = {
    "sgd": {},
    "momentum": {"momentum": 0.9, "weight_decay": 1e-3},
    "adamw": {"optimizer": "adamw", "weight_decay": 0.01},
    "rows": {"gradient_scheme": "channel", "momentum": 0.9},
    "frozen": {"update": "last:2", "gradient_scheme": "channel"},
}
RATES = {"sgd": 0.003, "momentum": 0.003, "adamw": 0.0003, "rows": 0.003, "frozen": 0.003}


@pytest.mark.parametrize(
    ("model", "optimizer"),
    [
        ("resnet", "sgd"),
        ("resnet", "adamw"),
        ("mlp", "momentum"),
        ("depthwise", "sgd"),
        ("transformer", "adamw"),
        ("resnet", "rows"),
        ("resnet", "frozen"),
        ("mlp", "rows"),
    ],
)
def test_folded_training_equals_masked_training(model: str, optimizer: str, tmp_path: Path) -> None:
    sample = write_small(model, tmp_path / "model.onnx", seed=0)
    forms = pair(tmp_path / "model.onnx", tmp_path, **OPTIMIZERS[optimizer])
    assert any(space.capacity < space.size for space in forms.folded.spaces)
    seen = set()
    check_same(forms, 0.0)
    for step in range(STEPS):
        current, replay = batches(step, sample)
        logits = [form.step(current, replay, RATES[optimizer]) for form in forms.forms]
        np.testing.assert_allclose(logits[1], logits[0], atol=1e-3)
        if step in UPDATES:
            for form in forms.forms:
                form.measure(current, replay)
                form.update_masks(UPDATES[step])
        check_same(forms)
        seen.add(str(forms.folded.kept_units()))
    # The expansion that is undone may leave the set from before it.
    assert len(seen) >= len(UPDATES) - 1
    x = batches(99, sample)[0].x
    found = [form.engine.run("eval", {"x": x})["logits"].numpy().copy() for form in forms.forms]
    np.testing.assert_allclose(found[1], found[0], atol=1e-3)


def test_growing_leaves_the_function_as_it_was(tmp_path: Path) -> None:
    sample = write_small("resnet", tmp_path / "model.onnx", seed=1)
    x = batches(1, sample)[0].x
    for form in pair(tmp_path / "model.onnx", tmp_path).forms:
        form.update_masks(exchange("shrunk", "shrunk"))
        before, units = form.engine.run("eval", {"x": x})["logits"].numpy().copy(), form.kept_units()
        form.update_masks(exchange("size", "grown"))
        after = form.engine.run("eval", {"x": x})["logits"].numpy().copy()
        assert all(len(form.kept_units()[space]) > len(found) for space, found in units.items() if len(found) > 1)
        np.testing.assert_allclose(after, before, rtol=1e-5, atol=1e-6)


def test_a_grown_unit_learns(tmp_path: Path) -> None:
    """Its outgoing weights start at 0 and move in the first step; only then the function changes."""
    sample = write_small("mlp", tmp_path / "model.onnx", seed=2)
    form = pair(tmp_path / "model.onnx", tmp_path, gradient_sparsity=0.0).folded
    form.update_masks(exchange("shrunk", "shrunk"))
    old = form.kept_units()
    form.update_masks(exchange("size", "grown"))
    space = form.spaces[0]
    new = sorted(set(form.kept_units()[space.name]) - set(old[space.name]))
    incoming, outgoing = space.members
    assert new
    assert form.full(incoming)[new].all()
    assert not form.full(outgoing)[:, new].any()
    form.step(*batches(0, sample), 0.05)
    assert form.full(outgoing)[:, new].any()
