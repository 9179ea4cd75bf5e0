"""A made-up manifest and report, for the tests of the printed tables and of the engine."""

import dataclasses
from typing import Any

from sparcl_compile.interface.manifest import FORMAT, VERSION, Flops, Manifest, Model, Update
from sparcl_compile.interface.names import Role
from sparcl_compile.interface.options import TARGET, Options
from sparcl_compile.interface.program import Program
from sparcl_compile.interface.report import CompileReport, LayerBytes, Memory, PassTrace, Recomputation
from sparcl_compile.interface.specs import Dimension, DType, OptimizerSpec, StateSpec, WeightSpec

FLOPS = Flops(3e6, 1e6, 3e6, 1e6, 3e6, 0.25e6, 9e6, 2.25e6)
MEMORY = Memory(
    batch=32,
    peak_activation_bytes=3_000_000,
    at="",
    by_layer=(LayerBytes("a.w", 1_000_000), LayerBytes("", 2_000_000)),
    largest=(),
    feed_bytes=250_000,
    result_bytes=0,
    state_bytes={"parameter": 1_500_000, "gradient": 1_500_000, "sample": 20},
    unknown=(),
    recompute=Recomputation(enabled=False, peak_without=3_000_000, peak_with=2_000_000, at_most=False),
)


def trace(name: str, **changes: Any) -> PassTrace:
    """The log of a pass that did nothing, with changes."""
    ops = {"Conv": 2}
    plain = PassTrace(name, 0.0124, False, ops, ops, {}, {}, {}, 12345, {"parameter": 12345}, 1_500_000, 1_500_000)
    return dataclasses.replace(plain, **changes)


def weight(name: str, shape: tuple[int, ...], base: int, updated: int, **changes: Any) -> WeightSpec:
    """A masked weight of single elements, with changes."""
    plain = WeightSpec(
        weight=name,
        shape=shape,
        stored="masked",
        reason="",
        scheme="unstructured",
        axes="",
        density=0.25,
        base=base,
        shrunk=base,
        grown=base,
        updated=updated,
        rate=1.0,
        mask=f"{name}.mask",
        index=None,
        rows=None,
        gradient_mask=f"{name}.gradient_mask",
        gradient_rows=None,
        accumulator=f"{name}.sum",
        g1=f"{name}.g1",
        g2=f"{name}.g2",
    )
    return dataclasses.replace(plain, **changes)


def state(name: str, role: str, shape: tuple[Dimension, ...], init: str, dtype: DType = "float32") -> StateSpec:
    """A state tensor that is saved."""
    return StateSpec(name, Role(role), dtype, shape, init, True, None)


def manifest(**changes: Any) -> Manifest:
    """An empty manifest with changes."""
    nothing = Manifest(
        format=FORMAT,
        version=VERSION,
        target=TARGET,
        made_by={},
        model=Model("tiny", "tiny.onnx", "", (4,), "flat", 3, "scores", 12),
        options=Options(sparsity=0.5),
        program=Program({}, {}, {}, {}),
        optimizer=OptimizerSpec("sgd", 0.03, 0.03, 5),
        weights=(),
        dense=(),
        channels=None,
        update=Update(12_345, 12_345, None, None),
        flops=FLOPS,
        graphs={},
        state=(),
        state_file="state.safetensors",
        files={},
    )
    return dataclasses.replace(nothing, **changes)


def report(*passes: PassTrace) -> CompileReport:
    """The log of a compilation without a choice of kernels."""
    return CompileReport(passes, MEMORY, None)
