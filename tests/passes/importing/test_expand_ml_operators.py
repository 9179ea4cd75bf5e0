"""Scaler, Normalizer and LinearClassifier as skl2onnx writes them: they answer the same, and learn."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper, numpy_helper

from sparcl_compile.compiling.load import load_model
from sparcl_compile.interface.errors import ModelError
from sparcl_compile.passes.importing import verify
from sparcl_compile.passes.importing.expand_ml_operators import ExpandMlOperators
from sparcl_compile.passes.importing.import_forward import ImportForward
from sparcl_compile.passes.importing.remarks import remarks_of
from tests.support.cli import call, check_refused, done, read_json

ML = "ai.onnx.ml"
FEATURES = 4
RNG = np.random.default_rng(3)


def ml(op_type: str, inputs: list[str], outputs: list[str], **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(op_type, inputs, outputs, op_type, domain=ML, **attributes)


def file_of(
    nodes: list[onnx.NodeProto],
    outputs: dict[str, int],
    weights: list[onnx.TensorProto] | None = None,
    kind: int = TensorProto.FLOAT,
) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes,
        "ONNX(Pipeline)",
        [helper.make_tensor_value_info("X", kind, [None, FEATURES])],
        [
            helper.make_tensor_value_info(name, elements, [None] if name == "label" else [None, None])
            for name, elements in outputs.items()
        ],
        weights or [],
    )
    imports = [helper.make_opsetid("", 17), helper.make_opsetid(ML, 1)]
    return helper.make_model(graph, opset_imports=imports, ir_version=8)


def linear(rows: int, labels: int, transform: str, inputs: str = "X", **more: Any) -> onnx.NodeProto:
    numbers = {"coefficients": RNG.normal(size=rows * FEATURES).tolist(), "intercepts": RNG.normal(size=rows).tolist()}
    kinds = {} if "classlabels_strings" in more else {"classlabels_ints": list(range(labels))}
    given = {**numbers, **kinds, "post_transform": transform, **more}
    return ml("LinearClassifier", [inputs], ["label", "scores"], **given)


def logistic(rows: int, labels: int, transform: str, norm: str = "L1", **more: Any) -> onnx.ModelProto:
    """What skl2onnx makes of LogisticRegression behind a StandardScaler: the label, and probabilities by Normalizer."""
    scaler = ml("Scaler", ["X"], ["scaled"], offset=[0.5, 1.0, -1.0, 0.0], scale=[2.0, 0.5, 1.0, 3.0])
    nodes = [scaler, linear(rows, labels, transform, "scaled", **more), ml("Normalizer", ["scores"], ["p"], norm=norm)]
    return file_of(nodes, {"label": TensorProto.INT64, "p": TensorProto.FLOAT})


def perceptron(*before: onnx.NodeProto, kind: int = TensorProto.FLOAT, classes: int = 3) -> onnx.ModelProto:
    """What skl2onnx makes of MLPClassifier behind a preprocessing: label by ArrayFeatureExtractor, probabilities."""
    arrays = {"w1": (FEATURES, 16), "b1": (1, 16), "w2": (16, classes), "b2": (1, classes)}
    weights = [numpy_helper.from_array(RNG.normal(size=s).astype(np.float32), name) for name, s in arrays.items()]
    names = numpy_helper.from_array(np.arange(classes), "classes")
    last = before[-1].output[0] if before else "X"
    nodes = [
        *before,
        helper.make_node("Cast", [last], ["features"], to=TensorProto.FLOAT),
        helper.make_node("MatMul", ["features", "w1"], ["h"]),
        helper.make_node("Add", ["h", "b1"], ["hb"]),
        helper.make_node("Relu", ["hb"], ["r"]),
        helper.make_node("MatMul", ["r", "w2"], ["z"]),
        helper.make_node("Add", ["z", "b2"], ["zb"]),
        helper.make_node("Softmax", ["zb"], ["probabilities"]),
        helper.make_node("ArgMax", ["probabilities"], ["best"], axis=1),
        ml("ArrayFeatureExtractor", ["classes", "best"], ["found"]),
        helper.make_node("Reshape", ["found", "one"], ["label"]),
    ]
    one = numpy_helper.from_array(np.asarray([-1]), "one")
    outputs = {"label": TensorProto.INT64, "probabilities": TensorProto.FLOAT}
    return file_of(nodes, outputs, [*weights, names, one], kind)


def imported(proto: onnx.ModelProto, path: Path) -> ir.Model:
    onnx.save(proto, path)
    model = load_model(path)
    assert ExpandMlOperators()(model).modified
    assert not ExpandMlOperators()(model).modified
    ImportForward()(model)
    return model


def answers(proto: onnx.ModelProto, model: ir.Model, output: str) -> tuple[np.ndarray, np.ndarray]:
    x = verify.random_input((6, FEATURES), seed=2)
    x[0] = [0.5, 1.0, -1.0, 0.0]  # a row of zeros behind the scaler
    return verify.run(proto, x, output), verify.run(ir.to_proto(model), x, "logits")


@pytest.mark.parametrize("norm", ["L1", "L2", "MAX"])
def test_preprocessing_is_standard_nodes_and_trains_nothing(norm: str, tmp_path: Path) -> None:
    scaler = ml("Scaler", ["X"], ["scaled"], offset=[0.5, 1.0, -1.0, 0.0], scale=[2.0, 0.5, 1.0, 3.0])
    proto = perceptron(scaler, ml("Normalizer", ["scaled"], ["n"], norm=norm))
    model = imported(proto, tmp_path / "m.onnx")
    wanted, logits = answers(proto, model, "probabilities")
    np.testing.assert_allclose(verify.softmax(logits), wanted, rtol=1e-4, atol=1e-6)
    parameters = sorted(str(v.name) for v in model.graph.initializers.values() if "sparcl.role" in v.metadata_props)
    assert parameters == ["b1", "b2", "w1", "w2"]


@pytest.mark.parametrize(
    ("transform", "activation"), [("SOFTMAX", verify.softmax), ("LOGISTIC", verify.shared_sigmoid)]
)
def test_a_linear_classifier_of_several_classes(transform: str, activation: Any, tmp_path: Path) -> None:
    proto = logistic(3, 3, transform)
    wanted, logits = answers(proto, imported(proto, tmp_path / "m.onnx"), "p")
    np.testing.assert_allclose(activation(logits), wanted, rtol=1e-4, atol=1e-6)


def test_scores_without_an_activation_stay(tmp_path: Path) -> None:
    proto = file_of([linear(3, 3, "NONE")], {"label": TensorProto.INT64, "scores": TensorProto.FLOAT})
    wanted, logits = answers(proto, imported(proto, tmp_path / "m.onnx"), "scores")
    np.testing.assert_allclose(logits, wanted, rtol=1e-4, atol=1e-6)


def test_two_classes_of_one_row_without_an_activation(tmp_path: Path) -> None:
    proto = file_of([linear(1, 2, "NONE")], {"label": TensorProto.INT64, "scores": TensorProto.FLOAT})
    wanted, logits = answers(proto, imported(proto, tmp_path / "m.onnx"), "scores")
    assert logits.shape == (6, 2)
    np.testing.assert_allclose(logits, wanted, rtol=1e-4, atol=1e-6)


def test_two_classes_of_one_row_are_one_sigmoid(tmp_path: Path) -> None:
    """By ONNX's definition: ONNX Runtime 1.19.2 leaves the sigmoid of one row out."""
    node = linear(1, 2, "LOGISTIC")
    weight, bias = (
        np.asarray(a.floats, np.float32) for a in node.attribute if a.name in ("coefficients", "intercepts")
    )
    proto = file_of([node], {"label": TensorProto.INT64, "scores": TensorProto.FLOAT})
    model = imported(proto, tmp_path / "m.onnx")
    x = verify.random_input((6, FEATURES), seed=2)
    logits = verify.run(ir.to_proto(model), x, "logits")
    np.testing.assert_allclose(logits, np.stack([np.zeros(6), x @ weight + bias], axis=1), rtol=1e-4, atol=1e-6)
    assert "one logit z for two classes" in " ".join(remarks_of(model))


def test_two_opposite_rows_are_one_sigmoid(tmp_path: Path) -> None:
    """As skl2onnx writes LogisticRegression of two classes."""
    row, bias = RNG.normal(size=FEATURES), 0.3
    numbers = {"coefficients": [*-row, *row], "intercepts": [-bias, bias]}
    proto = logistic(2, 2, "LOGISTIC", **numbers)
    wanted, logits = answers(proto, imported(proto, tmp_path / "m.onnx"), "p")
    assert not np.any(logits[:, 0])
    np.testing.assert_allclose(verify.softmax(logits), wanted, rtol=1e-4, atol=1e-6)


def test_labels_may_be_texts(tmp_path: Path) -> None:
    node = linear(3, 3, "SOFTMAX", classlabels_strings=["cat", "dog", "eel"])
    proto = file_of([node], {"label": TensorProto.STRING, "scores": TensorProto.FLOAT})
    wanted, logits = answers(proto, imported(proto, tmp_path / "m.onnx"), "scores")
    np.testing.assert_allclose(verify.softmax(logits), wanted, rtol=1e-4, atol=1e-6)


def test_text_in_text_out() -> None:
    model = ir.from_onnx_text("""
        <ir_version: 8, opset_import: ["" : 17, "ai.onnx.ml" : 1]>
        g (float[N,2] x) => (float[N,2] y) { [s] y = ai.onnx.ml.Scaler <offset = [1.0, 2.0], scale = [0.5, 4.0]> (x) }
    """)
    assert ExpandMlOperators()(model).modified
    assert [(node.op_type, [v.name for v in node.inputs], node.outputs[0].name) for node in model.graph] == [
        ("Sub", ["x", "s.offset"], "s.sub"),
        ("Mul", ["s.sub", "s.scale"], "y"),
    ]
    assert not ExpandMlOperators()(model).modified


@pytest.mark.parametrize(
    "node",
    [
        linear(3, 3, "PROBIT"),
        linear(3, 3, "SOFTMAX", coefficients=[1.0] * 7),
        ml("SVMClassifier", ["X"], ["label", "scores"]),
        ml("TreeEnsembleClassifier", ["X"], ["label", "scores"]),
    ],
)
def test_what_has_no_layers_is_left_and_then_refused_by_name(node: onnx.NodeProto) -> None:
    model = ir.from_proto(file_of([node], {"scores": TensorProto.FLOAT}))
    assert not ExpandMlOperators()(model).modified
    with pytest.raises(ModelError, match=rf"ai\.onnx\.ml: {node.op_type} \({node.op_type}\); .*train an MLPClassifier"):
        ImportForward()(model)


def test_a_perceptron_learns_and_a_forest_is_refused(tmp_path: Path) -> None:
    scaler = ml("Scaler", ["X"], ["scaled"], offset=[3.0, 3.0, 3.0, 3.0], scale=[0.5, 0.5, 0.5, 0.5])
    onnx.save(perceptron(scaler, classes=4), tmp_path / "m.onnx")
    done("compile", tmp_path / "m.onnx", "--sparsity", "0.5")
    y = np.arange(200) % 4
    x = (3 + 2 * np.eye(4)[y] + RNG.normal(scale=0.2, size=(200, 4))).astype(np.float32)
    np.savez(tmp_path / "data.npz", x=x, y=y)
    source, result = f"npz:{tmp_path / 'data.npz'}", tmp_path / "r.json"
    done("run", tmp_path / "m.sparcl", "--data", source, "--tasks", "2", "--epochs", "20", "--json", result)
    assert read_json(result)["class_il"] >= 85
    done("export", tmp_path / "m.sparcl")
    forest = file_of([ml("TreeEnsembleClassifier", ["X"], ["label", "scores"])], {"scores": TensorProto.FLOAT})
    onnx.save(forest, tmp_path / "forest.onnx")
    check_refused(call("compile", tmp_path / "forest.onnx"), "TreeEnsembleClassifier", "train an MLPClassifier")


def test_a_linear_classifier_learns(tmp_path: Path) -> None:
    onnx.save(logistic(4, 4, "SOFTMAX"), tmp_path / "m.onnx")
    done("compile", tmp_path / "m.onnx", "--sparsity", "0.5")
    y = np.arange(200) % 4
    x = (2 * np.eye(4)[y] + RNG.normal(scale=0.2, size=(200, 4))).astype(np.float32)
    np.savez(tmp_path / "data.npz", x=x, y=y)
    source, result = f"npz:{tmp_path / 'data.npz'}", tmp_path / "r.json"
    done("run", tmp_path / "m.sparcl", "--data", source, "--tasks", "2", "--epochs", "20", "--json", result)
    assert read_json(result)["class_il"] >= 85
