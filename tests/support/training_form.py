"""A small graph with its backward pass, for either target, and its gradients after one step."""

import numpy as np
import onnx_ir as ir
import onnxruntime as ort
import pytest

from sparcl_compile.interface.names import accumulator_name
from sparcl_compile.interface.options import TARGET
from sparcl_compile.passes.analysis.liveness.buffers import Plan, plan
from sparcl_compile.passes.analysis.liveness.executor import executor_of
from sparcl_compile.passes.differentiating.attach_loss import AttachLoss
from sparcl_compile.passes.differentiating.differentiate import Differentiate
from sparcl_compile.passes.differentiating.insert_sample_filter import InsertSampleFilter
from sparcl_compile.passes.differentiating.ort_training.differentiate_by_builder import DifferentiateByBuilder
from sparcl_compile.passes.differentiating.save_batch_statistics import SaveBatchStatistics
from sparcl_compile.passes.sparsifying.insert_weight_masks import InsertWeightMasks
from sparcl_compile.runtime.session.engine import device_copy
from sparcl_compile.targets.choice import EXECUTORS
from tests.support.small_model import forward_model

BATCH = 5
PASSES = {"ort": (SaveBatchStatistics, Differentiate), "ort-training": (DifferentiateByBuilder,)}
TARGETS = ("ort", pytest.param("ort-training", marks=pytest.mark.training_build))
"""Both targets, as parameters of a test."""


def planned(model: ir.Model, batch: int, target: str) -> Plan:
    """The peak of a graph of a target on the build that it is for."""
    return plan(model, batch, executor_of(EXECUTORS[target]))


def with_loss() -> ir.Model:
    """The small forward model, masked, with the loss."""
    model = forward_model()
    for one in (InsertWeightMasks(sparsity=0.5), AttachLoss(), InsertSampleFilter()):
        one(model)
    return model


def differentiated(target: str = TARGET) -> tuple[ir.Model, ir.Model]:
    """The model with the loss, and behind it with its backward pass."""
    forward = with_loss()
    model = forward.clone()
    for one in PASSES[target]:
        one()(model)
    return forward, model


def training_feeds(model: ir.Model, forward: ir.Model) -> dict[str, np.ndarray]:
    """Every input of a differentiated graph: state from the forward graph, random data, zeroed accumulators."""
    rng = np.random.default_rng(2)
    given = {
        "x": rng.normal(size=(BATCH, 1, 4, 4)).astype(np.float32),
        "labels": np.array([0, 1, 2, 0, 1]),
        "class_mask": np.zeros((BATCH, 3), np.float32),
        "ce_weight": np.full(BATCH, 1 / BATCH, np.float32),
        "distill_target": rng.normal(size=(BATCH, 3)).astype(np.float32),
        "distill_weight": np.full(BATCH, 0.1 / BATCH, np.float32),
        "sample_id": np.arange(BATCH),
        "sample_keep": np.ones(BATCH, np.float32),
        "sample_score": np.zeros(BATCH, np.int64),
        "sample_seen": np.zeros(BATCH, np.int64),
        "lazy_reset_grad": np.array([True]),
    }
    data = {n: v.const_value.numpy() for n, v in forward.graph.initializers.items() if v.const_value is not None}
    shapes = {str(v.name): [int(d) for d in v.shape or () if isinstance(d, int)] for v in model.graph.inputs}
    zeros = {n: np.zeros(shape, np.float32) for n, shape in shapes.items() if n.endswith("accumulation.buffer")}
    return {name: {**data, **zeros, **given}[name] for name in shapes}


def gradients(model: ir.Model, feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The accumulators after one call, by parameter: outputs, or inputs that the graph has added to in place."""
    session = ort.InferenceSession(ir.to_proto(model).SerializeToString())
    values = {name: device_copy(array) for name, array in feeds.items()}
    names = [str(v.name) for v in model.graph.outputs]
    results = dict(zip(names, session.run_with_ort_values(names, values), strict=True))
    suffix = accumulator_name("")
    held = {name: results.get(f"{name}.next", value) for name, value in values.items() if name.endswith(suffix)}
    return {name.removesuffix(suffix): value.numpy() for name, value in held.items()}


def loss_of(model: ir.Model, feeds: dict[str, np.ndarray]) -> float:
    """The loss that a graph computes."""
    session = ort.InferenceSession(ir.to_proto(model).SerializeToString())
    return float(session.run(["loss"], feeds)[0])
