"""Training on the kept weights alone against training with masks, from the same state, with mask updates between."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sparcl_compile.interface.names import index_name, rows_name
from sparcl_compile.passes.schemes.compressed import decompress
from sparcl_compile.runtime.session import kernel_library as kernels
from sparcl_compile.settings.options import CompileOptions
from tests.support.form import STEPS, UPDATES, Form, batches, write_small

pytestmark = pytest.mark.skipif(
    kernels.library() is None, reason=f"the sparse kernels were not built: {kernels.reason()}"
)

TIES = 2
SUFFIXES = (".gradient_mask", ".momentum", ".exp_avg", ".exp_avg_sq")


@dataclasses.dataclass(frozen=True)
class Places:
    """Positions of a compressed weight's values in its full shape."""

    shape: tuple[int, ...]
    transposed: bool
    index: np.ndarray
    rows: np.ndarray

    def full(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The values in the full shape, and the mask."""
        found = decompress(values, self.index, self.rows, self.shape[::-1] if self.transposed else self.shape)
        return (found[0].T, found[1].T) if self.transposed else found

    def stored(self, full: np.ndarray) -> np.ndarray:
        """The inverse of ``full``: the values in their places."""
        flat = np.ascontiguousarray(full.T if self.transposed else full).reshape(-1)[self.index]
        flat[self.rows[-1] :] = 0
        return flat


def places(form: Form, weight: str) -> Places | None:
    """None for a weight that is not compressed."""
    if index_name(weight) not in form.engine.state:
        return None
    layer = next(layer for layer in form.manifest.weights if layer.weight == weight)
    index, rows = (np.array(form.engine.array(made(weight))) for made in (index_name, rows_name))
    return Places(layer.shape, layer.stored == "transposed", index, rows)


def full(form: Form, name: str) -> np.ndarray:
    """A state tensor in the full shape of its weight."""
    array, weight = np.array(form.engine.array(name)), name
    for suffix in SUFFIXES:
        weight = weight.removesuffix(suffix)
    found = places(form, weight)
    return found.full(array)[0] if found else array


def check_same(masked: Form, compressed: Form, tolerance: float = 1e-4) -> None:
    """Weights and the rest of the learned state to the tolerance; what is kept, exactly."""
    for role in ("parameter", "optimizer", "running_stat"):
        for name in masked.engine.names(role):
            wanted = masked.engine.array(name)
            found = full(compressed, name).reshape(wanted.shape)  # counts of steps have the axes of the stored weight
            np.testing.assert_allclose(found, wanted, rtol=0, atol=tolerance, err_msg=name)
    for name in masked.engine.names("mask"):
        weight = name.removesuffix(".mask")
        stored = places(compressed, weight)
        mask = stored.full(compressed.engine.array(weight))[1] if stored else compressed.engine.array(name)
        np.testing.assert_array_equal(mask, masked.engine.array(name), err_msg=name)


def settle_ties(masked: Form, compressed: Form) -> None:
    """The same gradient masks: two gradients that are equal but for rounding may be chosen either way, and few are."""
    for name in masked.engine.names("gradient_mask"):
        wanted, found = masked.engine.array(name), full(compressed, name)
        assert np.count_nonzero(wanted) == np.count_nonzero(found)
        assert np.count_nonzero(wanted != found) <= 2 * TIES
        weight = name.removesuffix(".gradient_mask")
        if found_places := places(compressed, weight):
            compressed.engine.set_array(name, found_places.stored(wanted))


@pytest.mark.parametrize(
    ("model", "changed", "rate"),
    [
        ("resnet", {}, 0.003),
        ("resnet", {"optimizer": "adamw", "weight_decay": 0.01}, 0.0003),
        ("resnet", {"scheme": "block4x1", "momentum": 0.9}, 0.003),
        ("resnet", {"scheme": "block4x1", "gradient_sparsity": 0.0, "momentum": 0.9}, 0.003),
        ("transformer", {"scheme": "block4x1", "gradient_sparsity": 0.0}, 0.01),
        ("resnet", {"scheme": "pattern"}, 0.003),
        ("mlp", {"momentum": 0.9, "weight_decay": 1e-3}, 0.01),
        ("pooled", {"momentum": 0.9}, 0.003),
        ("depthwise", {"scheme": "kernel"}, 0.003),
        # Not AdamW: the bias of an attention's keys has no gradient but rounding, which AdamW scales to a full step.
        ("transformer", {"distribution": "erk", "momentum": 0.9}, 0.003),
        ("transformer", {"scheme": "4:16"}, 0.01),
        ("resnet", {"growth": "gradient", "momentum": 0.9}, 0.003),
        ("resnet", {"growth": "gradient", "scheme": "block4x1", "gradient_sparsity": 0.0}, 0.003),
        ("mlp", {"growth": "gradient", "momentum": 0.9}, 0.01),
        ("transformer", {"growth": "gradient", "distribution": "erk"}, 0.003),
        ("transformer", {"growth": "gradient", "scheme": "4:16", "gradient_sparsity": 0.0}, 0.01),
    ],
)
def test_compressed_training_equals_masked_training(
    model: str, changed: dict[str, Any], rate: float, tmp_path: Path
) -> None:
    sample = write_small(model, tmp_path / "model.onnx", seed=0)
    options = {"sparsity": 0.75, "gradient_sparsity": 0.8, **changed}
    masked, compressed = (
        Form(
            tmp_path / "model.onnx",
            tmp_path / f"{form}.sparcl",
            CompileOptions(**options, compress=form == "compressed", select_kernels=False),
        )
        for form in ("masked", "compressed")
    )
    assert compressed.engine.names("index")
    assert not masked.engine.names("index")
    check_same(masked, compressed, 0.0)
    seen = set()
    for step in range(STEPS):
        current, replay = batches(step, sample)
        for form in (masked, compressed):
            form.choose(current, replay)
        settle_ties(masked, compressed)
        logits = [form.move(current, replay, rate) for form in (masked, compressed)]
        np.testing.assert_allclose(logits[1], logits[0], atol=1e-3)
        if step in UPDATES:
            for form in (masked, compressed):
                form.measure(current, replay)
                form.update_masks(UPDATES[step])
        check_same(masked, compressed)
        seen.add(b"".join(masked.engine.array(name).tobytes() for name in masked.engine.names("mask")))
    # N:M has no room for an expansion, so that what ends one changes nothing either.
    assert len(seen) == len(UPDATES) + 1 - (2 if ":" in options.get("scheme", "") else 0)
    x = batches(99, sample)[0].x
    found = [form.engine.run("eval", {"x": x})["logits"].numpy().copy() for form in (masked, compressed)]
    np.testing.assert_allclose(found[1], found[0], atol=1e-3)
