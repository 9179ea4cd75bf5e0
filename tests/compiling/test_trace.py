import collections
import json
import os
import pathlib
from collections.abc import Callable

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from sparcl_compile.compiling import trace
from sparcl_compile.interface.codec import from_plain, plain, to_json
from sparcl_compile.interface.errors import WriteError
from sparcl_compile.interface.names import Role
from sparcl_compile.interface.report import PassTrace
from sparcl_compile.passes.core.marks import PASS_KEY
from sparcl_compile.passes.core.roles import set_role

TEXT = """<ir_version: 10, opset_import: ["" : 18]>
g (float[N, 4] x) => (float[N, 3] y) {
    [product] y = MatMul(x, w)
}"""


def small_model() -> ir.Model:
    proto = onnx.parser.parse_model(TEXT)
    proto.graph.initializer.append(onnx.numpy_helper.from_array(np.full((4, 3), 2, np.float32), "w"))
    model = ir.from_proto(proto)
    set_role(model.graph.initializers["w"], Role.PARAMETER)
    return model


def insert_mask(model: ir.Model) -> None:
    graph = model.graph
    mask = ir.Value(name="w.mask", shape=ir.Shape([4, 3]), type=ir.TensorType(ir.DataType.FLOAT))
    mask.const_value = ir.tensor(np.ones((4, 3), np.float32), name="w.mask")
    graph.register_initializer(set_role(mask, Role.MASK))
    weight, product = graph.initializers["w"], graph.node("product")
    node = ir.node("Mul", [weight, mask], metadata_props={PASS_KEY: "insert_weight_masks"})
    node.outputs[0].name = "w.masked"
    graph.insert_before(product, node)
    product.replace_input_with(1, node.outputs[0])


def test_snapshot_counts_operators_state_and_cost() -> None:
    model = small_model()
    insert_mask(model)
    taken = trace.snapshot(model)
    assert taken.ops == collections.Counter(MatMul=1, Mul=1)
    assert taken.origins == collections.Counter(insert_weight_masks=1)
    assert taken.state == {"parameter": 12, "mask": 12}
    assert (taken.nodes, taken.macs) == (2, 12)


def test_snapshot_without_a_countable_cost() -> None:
    model = small_model()
    model.graph.inputs[0].shape = model.graph.outputs[0].shape = None
    assert trace.snapshot(model).macs is None


def test_compare_and_its_way_through_json() -> None:
    model = small_model()
    before = trace.snapshot(model)
    insert_mask(model)
    found = trace.compare("insert_weight_masks", 0.25, True, before, trace.snapshot(model))
    assert (found.nodes_added, found.nodes_removed) == ({"Mul": 1}, {})
    assert (found.ops_before, found.ops_after) == ({"MatMul": 1}, {"MatMul": 1, "Mul": 1})
    assert (found.parameters, found.macs_before, found.macs_after) == (12, 12, 12)
    assert from_plain(PassTrace, json.loads(to_json(found))) == found
    back = trace.compare("undo", 0.0, True, trace.snapshot(model), before)
    assert (back.nodes_added, back.nodes_removed, back.state) == ({}, {"Mul": 1}, {"parameter": 12})


def test_unknown_key_of_a_trace_is_refused() -> None:
    model = small_model()
    known = plain(trace.compare("a", 0.0, False, trace.snapshot(model), trace.snapshot(model)))
    with pytest.raises(ValueError, match=r"unknown field `colour` - at `\$`"):
        from_plain(PassTrace, {**known, "colour": "red"})


def test_text_can_be_parsed_and_shows_one_value_a_line() -> None:
    model = small_model()
    insert_mask(model)
    text = trace.graph_text(model)
    assert [node.op_type for node in onnx.parser.parse_model(text).graph.node] == ["Mul", "MatMul"]
    assert '\n    float[4,3] "w.mask"' in text
    assert text.endswith("}\n")
    assert max(len(line) for line in text.splitlines()) < 100


def test_dumps_are_numbered_and_whole(tmp_path: pathlib.Path) -> None:
    folder = tmp_path / "new" / "passes"
    written = trace.dump(small_model(), folder, 3, "attach_loss")
    text = trace.dump_text(small_model(), folder, 3, "attach_loss")
    assert sorted(os.listdir(folder)) == ["03_attach_loss.onnx", "03_attach_loss.txt"]
    again = onnx.load(written)
    np.testing.assert_array_equal(onnx.numpy_helper.to_array(again.graph.initializer[0]), np.full((4, 3), 2))
    assert text.read_text(encoding="utf-8") == trace.graph_text(small_model())


def test_dump_takes_external_weights_along(tmp_path: pathlib.Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.mkdir()
    ir.save(small_model(), source / "model.onnx", external_data="weights.bin", size_threshold_bytes=0)
    model = ir.load(source / "model.onnx")
    written = trace.dump(model, target, 1, "import_forward")
    assert isinstance(model.graph.initializers["w"].const_value, ir.ExternalTensor)
    (source / "weights.bin").unlink()
    assert onnx.load(written).graph.initializer[0].raw_data == np.full((4, 3), 2, np.float32).tobytes()


@pytest.mark.parametrize("write", [trace.dump, trace.dump_text])
def test_dump_to_an_impossible_place(write: Callable[..., object], tmp_path: pathlib.Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(WriteError, match="01_emit"):
        write(small_model(), tmp_path / "file", 1, "emit")
    assert os.listdir(tmp_path) == ["file"]


def test_the_text_of_a_graph_that_states_no_inner_types() -> None:
    model = ir.from_onnx_text(
        '<ir_version: 10, opset_import: ["" : 18]> g (float[N] x) => (float[N] y) { y = Relu (x) }'
    )
    text = trace.graph_text(model)
    assert text.splitlines()[-3:] == ["g (float[N] x) => (float[N] y) {", "   y = Relu (x)", "}"]
    onnx.parser.parse_model(text)
