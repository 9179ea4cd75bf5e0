"""Dense layers on the sparse kernels against ONNX Runtime's, from the same state."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sparcl_compile.runtime.session import kernel_library as kernels
from sparcl_compile.settings.options import CompileOptions
from tests.support.form import STEPS, Form, batches, write_small

pytestmark = pytest.mark.skipif(kernels.library() is None, reason=kernels.reason())

DENSE = {"sparsity": 0.0, "gradient_sparsity": 0.0}


@pytest.mark.parametrize(
    ("model", "changed"),
    [("resnet", {}), ("resnet", {"update": "last:1"}), ("resnet", {"update": "norm"}), ("depthwise", {})],
)
def test_the_same_training(model: str, changed: dict[str, Any], tmp_path: Path) -> None:
    sample = write_small(model, tmp_path / "model.onnx", seed=0)
    plain, sparse = (
        Form(
            tmp_path / "model.onnx",
            tmp_path / f"{compress}.sparcl",
            CompileOptions(**DENSE, **changed, compress=compress),
        )
        for compress in (False, True)
    )
    assert sparse.manifest.kernels
    assert not plain.manifest.kernels
    for step in range(STEPS):
        current, replay = batches(step, sample)
        logits = [form.step(current, replay, 0.003) for form in (plain, sparse)]
        np.testing.assert_allclose(logits[1], logits[0], atol=1e-3)
    for role in ("parameter", "running_stat"):
        for name in plain.engine.names(role):
            found, wanted = (form.engine.array(name) for form in (sparse, plain))
            np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-4, err_msg=name)
    x = batches(99, sample)[0].x
    found, wanted = (form.engine.run("eval", {"x": x})["logits"].numpy().copy() for form in (sparse, plain))
    np.testing.assert_allclose(found, wanted, atol=1e-3)
