"""Runs a stand-alone graph in ONNX Runtime and in onnx.reference, and an independent hash for what they should give."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime as ort
from numpy.typing import NDArray
from onnx.reference import ReferenceEvaluator

from sparcl_compile.passes.core.contract import PRODUCER
from sparcl_compile.passes.core.roles import role_of

Array = NDArray[Any]
WORD = 2**32
STREAMS = {"order": 1, "grow": 2, "reservoir": 3, "replay": 4, "augment": 5, "classes": 6, "init": 7}


def session(model: ir.Model) -> ort.InferenceSession:
    """A graph in ONNX Runtime alone."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    return ort.InferenceSession(ir.to_proto(model).SerializeToString(), options, providers=["CPUExecutionProvider"])


class Graph:
    """A checked graph; a call runs both implementations, demands equal results and returns them by name.

    Sums of floats are equal but for their order: ``rtol`` allows float64 results such a relative difference. All others
    are equal to the bit. ``roles`` has the inputs that are state.
    """

    def __init__(self, model: ir.Model, rtol: float = 0.0) -> None:
        self._rtol = rtol
        self.proto = ir.to_proto(model)
        self.roles = {str(value.name): role for value in model.graph.inputs if (role := role_of(value))}
        onnx.checker.check_model(self.proto, full_check=True)
        self._session = session(model)
        self._reference = ReferenceEvaluator(self.proto)
        self.outputs = [value.name for value in self._session.get_outputs()]
        self.inputs = [value.name for value in self._session.get_inputs()]

    def __call__(self, feeds: Mapping[str, Any]) -> dict[str, Array]:
        arrays = {name: np.asarray(value) for name, value in feeds.items()}
        found = dict(zip(self.outputs, self._session.run(self.outputs, arrays), strict=True))
        second = dict(zip(self.outputs, self._reference.run(self.outputs, arrays), strict=True))
        for name in self.outputs:
            assert found[name].dtype == np.asarray(second[name]).dtype, name
            if self._rtol and found[name].dtype == np.float64:
                np.testing.assert_allclose(found[name], second[name], rtol=self._rtol, err_msg=name)
            else:
                np.testing.assert_array_equal(found[name], second[name], err_msg=name)
        return found

    def signature(self) -> tuple[dict[str, str], dict[str, str]]:
        """Inputs and outputs as text, for example ``{"key": "int64[3]"}``."""
        graph = self.proto.graph
        return {v.name: _text(v) for v in graph.input}, {v.name: _text(v) for v in graph.output}

    def check_form(self) -> None:
        """Check the form that every graph of an artifact has."""
        assert self.proto.ir_version == 10
        own = {(function.domain, 1) for function in self.proto.functions}
        assert [(o.domain, o.version) for o in self.proto.opset_import] == [("", 18), *own]
        assert all([(o.domain, o.version) for o in f.opset_import] == [("", 18)] for f in self.proto.functions)
        assert self.proto.producer_name == PRODUCER
        names = [node.name for node in self.proto.graph.node]
        assert all(names)
        assert len(set(names)) == len(names)


def _text(value: onnx.ValueInfoProto) -> str:
    tensor = value.type.tensor_type
    dtype = onnx.TensorProto.DataType.Name(tensor.elem_type).lower()
    return f"{dtype}[{','.join(d.dim_param or str(d.dim_value) for d in tensor.shape.dim)}]"


def murmur3(data: bytes, seed: int) -> int:
    """MurmurHash3_x86_32 of any bytes, in Python integers."""
    h, tail = seed, len(data) - len(data) % 4
    blocks = [data[i : i + 4] for i in range(0, tail, 4)] + ([data[tail:]] if tail < len(data) else [])
    for block in blocks:
        k = int.from_bytes(block, "little") * 0xCC9E2D51 % WORD
        k = (k << 15 | k >> 17) % WORD
        h ^= k * 0x1B873593 % WORD
        if len(block) == 4:
            h = (((h << 13 | h >> 19) % WORD) * 5 + 0xE6546B64) % WORD
    h ^= len(data)
    h = (h ^ h >> 16) * 0x85EBCA6B % WORD
    h = (h ^ h >> 13) * 0xC2B2AE35 % WORD
    return h ^ h >> 16


def word(value: int) -> bytes:
    """The four little-endian bytes of an integer, modulo 2**32."""
    return (value % WORD).to_bytes(4, "little")


def element(name: str, key: Array, index: int) -> int:
    """Element ``index`` of a stream under the key (seed, a, b)."""
    h = 0
    for w in (int(key[0]), STREAMS[name], int(key[1]), int(key[2])):
        h = murmur3(word(w), h)
    return murmur3(word(index), h)


def key(seed: int, a: int = 0, b: int = 0) -> Array:
    """The feed ``key``."""
    return np.array([seed, a, b], np.int64)
