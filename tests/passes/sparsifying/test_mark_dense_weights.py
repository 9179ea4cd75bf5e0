"""Weights that stay dense, with the reason."""

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import numpy_helper

from sparcl_compile.interface.errors import FieldError
from sparcl_compile.passes.core.marks import DENSE_KEY
from sparcl_compile.passes.importing.import_forward import ImportForward
from sparcl_compile.passes.sparsifying.freeze_parameters import FreezeParameters
from sparcl_compile.passes.sparsifying.mark_dense_weights import MarkDenseWeights, remarks
from tests.support.gradient_check import dense_reasons, imported
from tests.support.zoo import CLASSES, ZOO, Net


def test_weights_that_stay_dense_say_why() -> None:
    assert dense_reasons(imported(ZOO["resnet"]())) == {
        "stem.weight": "stem",
        "block.conv1.weight": None,
        "block.conv2.weight": None,
        "block.shortcut.weight": "shortcut",
        "fc.weight": "classifier",
    }
    assert dense_reasons(imported(ZOO["mobilenet"]())) == {
        "stem.weight": "stem",
        "expand.weight": None,
        "depthwise.weight": "depthwise",
        "project.weight": None,
        "fc.weight": "classifier",
    }
    assert dense_reasons(imported(ZOO["mlp"]())) == {"fc1.weight": None, "fc2.weight": "classifier"}


def test_a_shortcut_beside_a_padded_convolution_stays_dense() -> None:
    """Temporal networks pad on one side, in a node of its own, so the two convolutions read different values."""
    net = Net(["batch", 3, 8])
    x = net.op("Conv", net.weight("stem.weight", 4, 3, 1))
    net.op("Pad", net.ints("pads", 0, 0, 2, 0, 0, 0))
    causal = net.op("Conv", net.weight("causal.weight", 6, 4, 3))
    net.op("Conv", net.weight("shortcut.weight", 6, 4, 1), source=x)
    net.op("Add", causal)
    assert dense_reasons(imported(net.head(6))) == {
        "stem.weight": "stem",
        "causal.weight": None,
        "shortcut.weight": "shortcut",
        "fc.weight": "classifier",
    }


def test_when_only_stem_and_classifier_exist_the_stem_is_pruned() -> None:
    assert dense_reasons(imported(ZOO["preprocessing"]())) == {"stem.weight": None, "fc.weight": "classifier"}


def test_a_single_layer_is_pruned_itself() -> None:
    net = Net(["batch", 6])
    net.op("Gemm", net.weight("only", 6, CLASSES))
    assert dense_reasons(imported(net.model())) == {"only": None}


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("p = Mul (r, w)", ["no mask on w (96 of 108"]),
        ("p = MatMul (r, w)", []),
    ],
)
def test_a_large_weight_that_no_layer_reads_is_spoken_of(body: str, said: list[str]) -> None:
    """As the transformations of capsules, where they are multiplied and summed by hand."""
    text = f"""<ir_version: 10, opset_import: ["" : 18]>
    g (float[N,24] x, float[2,3,4,4] w, float[4,3] head) => (float[N,3] logits)
      <int64[5] split = {{-1, 2, 3, 1, 4}}, int64[1] last = {{4}}, int64[2] parts = {{1, 2}}> {{
      q = Relu (x)
      r = Reshape (q, split)
      {body}
      s = ReduceSum <keepdims = 0> (p, last)
      m = ReduceMean <keepdims = 0> (s, parts)
      logits = MatMul (m, head)
    }}"""
    if not said:
        text = text.replace("3, 1, 4}", "3, 4, 1}").replace("p = MatMul (r, w)", "p = MatMul (w, r)")
    proto = onnx.parser.parse_model(text)
    for name, shape in {"w": (2, 3, 4, 4), "head": (4, 3)}.items():
        proto.graph.initializer.append(numpy_helper.from_array(np.ones(shape, np.float32), name))
    assert [line[: len("no mask on w (96 of 108")] for line in remarks(imported(proto, target="ort"))] == said


def test_globs_keep_weights_dense() -> None:
    assert dense_reasons(imported(ZOO["resnet"](), dense=("block.*1*",)))["block.conv1.weight"] == "user"
    with pytest.raises(
        FieldError,
        match=r"^mark_dense_weights: `dense` blok\.conv1\* matches no weight; near names: block\.conv1\.weight",
    ):
        imported(ZOO["resnet"](), dense=("blok.conv1*",))


@pytest.mark.parametrize("name", ["mlp", "resnet", "mobilenet"])
def test_a_second_run_changes_nothing(name: str) -> None:
    model = imported(ZOO[name]())
    before = ir.to_proto(model)
    assert not MarkDenseWeights()(model).modified
    assert ir.to_proto(model) == before


def test_frozen_weights_keep_their_reason() -> None:
    model = ir.from_proto(ZOO["mlp"]())
    ImportForward()(model)
    FreezeParameters(freeze=("fc1*",))(model)
    assert MarkDenseWeights()(model).modified
    assert model.graph.initializers["fc1.weight"].metadata_props[DENSE_KEY] == "frozen"
    assert dense_reasons(model) == {"fc2.weight": "classifier"}
