"""What the target ``ort`` leaves as it is, and what is said in other operators for it as well."""

from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from sparcl_compile.interface.errors import UnsupportedOpsError
from sparcl_compile.interface.names import Role
from sparcl_compile.passes.core.roles import role_of
from sparcl_compile.passes.gradients.table import RULES
from sparcl_compile.passes.importing.rewrites import BY_TARGET, REWRITES, RULED
from tests.passes.importing.test_differentiable import REWRITTEN, rewritten_model, w
from tests.support.gradient_check import by_rules, imported, worst_gradient

TOLERANCE = 1e-3
Arrays = dict[str, Any]
KEPT: dict[str, tuple[int, str, Arrays]] = {
    **{name: case for name, case in REWRITTEN.items() if name.split(".")[0] in RULED},
    **{
        op_type: (18, f"y = {op_type}(h)", {})
        for op_type in ("Celu", "Elu", "HardSigmoid", "HardSwish", "Mish", "Selu", "Softplus", "Softsign")
    },
    "PRelu": (18, "y = PRelu(h, w)", {"w": np.abs(w(2, 1, 1))}),
    "Split": (13, "a, y = Split<axis = 1>(h)", {}),
}
POOLS = {
    "AveragePool": "y = AveragePool<kernel_shape = [3, 2], strides = [2, 1], pads = [1, 0, 0, 1]>(h)",
    "AveragePool.auto": 'y = AveragePool<kernel_shape = [3, 3], strides = [2, 2], auto_pad = "SAME_UPPER">(h)',
    "AveragePool.include": "y = AveragePool<kernel_shape = [3, 3], pads = [1, 1, 1, 1], count_include_pad = 1>(h)",
}
CEILED = "y = AveragePool<kernel_shape = [4, 4], strides = [4, 4], ceil_mode = 1>(h)"


def types(model: ir.Model) -> set[str]:
    return {node.op_type for node in model.graph}


@pytest.mark.parametrize("name", KEPT)
def test_operators_with_a_rule_stay_and_get_their_gradients(name: str) -> None:
    model = imported(rewritten_model(*KEPT[name]), target="ort")
    assert name.split(".")[0] in types(model)
    worst, parameter = worst_gradient(model, by=by_rules)
    assert worst < TOLERANCE, parameter


@pytest.mark.parametrize("name", [name for name in REWRITTEN if name.split(".")[0] not in RULED])
def test_the_others_are_said_in_operators_that_have_one(name: str) -> None:
    worst, parameter = worst_gradient(imported(rewritten_model(*REWRITTEN[name]), target="ort"), by=by_rules)
    assert worst < TOLERANCE, parameter


@pytest.mark.parametrize("name", POOLS)
def test_average_pools_stay_with_their_padding_written_out(name: str) -> None:
    model = imported(rewritten_model(13, POOLS[name], {}), target="ort")
    (pool,) = (node for node in model.graph if node.op_type == "AveragePool")
    assert "auto_pad" not in pool.attributes
    worst, parameter = worst_gradient(model, by=by_rules)
    assert worst < TOLERANCE, parameter


def test_average_pools_that_versions_of_the_runtime_count_differently_are_written_out() -> None:
    model = imported(rewritten_model(13, CEILED, {}), target="ort")
    assert "AveragePool" not in types(model)
    worst, parameter = worst_gradient(model, by=by_rules)
    assert worst < TOLERANCE, parameter


UPWARDS = {
    "auto_pad": 'y = ConvTranspose<strides = [2, 3], auto_pad = "SAME_UPPER">(h, w)',
    "lower": 'y = ConvTranspose<strides = [2, 2], auto_pad = "SAME_LOWER">(h, w)',
    "output_shape": "y = ConvTranspose<strides = [2, 2], output_shape = [12, 11]>(h, w)",
    "valid": 'y = ConvTranspose<strides = [2, 1], auto_pad = "VALID">(h, w)',
}


@pytest.mark.parametrize("name", UPWARDS)
def test_transposed_convolutions_get_their_padding_written_out(name: str) -> None:
    model = imported(rewritten_model(13, UPWARDS[name], {"w": w(2, 3, 4, 3)}), target="ort")
    (node,) = (node for node in model.graph if node.op_type == "ConvTranspose")
    assert not {"auto_pad", "output_shape"} & set(node.attributes)
    worst, parameter = worst_gradient(model, by=by_rules)
    assert worst < TOLERANCE, parameter


def test_what_stays_has_a_rule_and_a_way_out_for_the_other_target() -> None:
    assert not {("", op_type) for op_type in RULED} - RULES.keys()
    assert not RULED - REWRITES.keys()
    assert BY_TARGET["ort-training"] is REWRITES
    assert not RULED & BY_TARGET["ort"].keys()


def test_the_slope_of_a_prelu_is_a_parameter_for_both_targets() -> None:
    for target in ("ort", "ort-training"):
        model = imported(rewritten_model(*KEPT["PRelu"]), target=target)
        assert role_of(model.graph.initializers["w"]) is Role.PARAMETER


def test_both_targets_answer_alike() -> None:
    x = np.random.default_rng(0).normal(size=(3, 2, 6, 6)).astype(np.float32)
    for name in ("Mish", "ReduceMax", "DepthToSpace", "Celu"):
        given = rewritten_model(*KEPT[name])
        answers = [
            onnx.reference.ReferenceEvaluator(ir.to_proto(imported(given, target=target)))
            for target in ("ort", "ort-training")
        ]
        first, second = (one.run(None, {"x": x})[0] for one in answers)
        np.testing.assert_allclose(first, second, rtol=1e-4, atol=1e-5)


def test_an_operator_without_a_rule_is_refused_by_both_targets() -> None:
    for target in ("ort", "ort-training"):
        with pytest.raises(UnsupportedOpsError, match=r"Det \(.*\); replace them in the model.*docs/gradients.md"):
            imported(rewritten_model(13, "d = Det(h) y = Unsqueeze(d, c)", {"c": np.array([1])}), target=target)
