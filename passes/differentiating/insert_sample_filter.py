"""Sample id to keep weight, and the counters that decide which samples go."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx_ir as ir

from sparcl_compile.interface.names import Role
from sparcl_compile.passes.core.contract import Pass
from sparcl_compile.passes.core.facts import DIFFERENTIATED, LOSS
from sparcl_compile.passes.core.phases import Phase
from sparcl_compile.passes.core.roles import set_role
from sparcl_compile.passes.core.values import BOOL, FLOAT, INT64, constant, feed, value_named

SCORES: Mapping[str, tuple[str, ...]] = {
    "misclassified": ("sample_score", "sample_seen"),
    "forgetting": ("sample_score", "sample_seen", "sample_correct", "sample_learned"),
}
"""The counters of each score; all are int64 [S]."""


@dataclasses.dataclass(frozen=True)
class InsertSampleFilter(Pass):
    """Weigh the cross-entropy by a keep flag per sample and count what the removal needs (DDR).

    1. Feed ``sample_id`` [N] is the sample's index in the task, -1 for a replay sample, which is always kept and
       never counted. ``ce_weight`` is multiplied by ``sample_keep[sample_id]``: the order graph already leaves removed
       samples out, so this says what the filter means and guards against a driver that forgets.
    2. Counters are updated by ScatterElements with addition: ids of -1 add zero and need no branch.
    3. Score ``misclassified`` (SparCL section 3.3) counts errors; ``forgetting`` (the authors' code) counts changes
       from correct to wrong and remembers what was ever learned.
    4. Counting reads the masked logits and stands beside the loss, so nothing of it is differentiated.
    5. A graph that has the input ``sample_id`` is left alone.

    Options:
        score: ``misclassified`` or ``forgetting``.
    """

    phase = Phase.DIFFERENTIATING
    needs = (LOSS,)
    before = (DIFFERENTIATED,)

    score: str = "misclassified"

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Insert the filter. The graph must hold the loss of ``attach_loss``."""
        graph = model.graph
        if any(value.name == "sample_id" for value in graph.inputs):
            return ir.passes.PassResult(model, False)
        index, counted = self._weigh(graph)
        add = self.inserter(graph).op
        for name, delta in self._deltas(graph, index, counted).items():
            state = _state(graph, name, INT64)
            parts = (state, index, delta)
            after = add(
                "ScatterElements", *parts, name=f"{name}.next", shape=["S"], dtype=INT64, axis=0, reduction="add"
            )
            graph.outputs.append(after)
        graph.sort()
        return ir.passes.PassResult(model, True)

    def _weigh(self, graph: ir.Graph) -> tuple[ir.Value, ir.Value]:
        ce_weight = value_named(graph, "ce_weight")
        reader = next(iter(ce_weight.uses())).node
        sample_id = feed(graph, "sample_id", ["N"], INT64)
        zero = constant(graph, "filter.zero", np.array(0, np.int64))
        one = constant(graph, "filter.keep_replay", np.array(1, np.float32))
        index = self._each(graph, "Max", sample_id, zero, name="index", dtype=INT64)
        is_replay = self._each(graph, "Less", sample_id, zero, name="is_replay", dtype=BOOL)
        is_current = self._each(graph, "Not", is_replay, name="is_current", dtype=BOOL)
        counted = self._each(graph, "Cast", is_current, name="counted", dtype=INT64, to=int(ir.DataType.INT64))
        kept = self._each(graph, "Gather", _state(graph, "sample_keep", FLOAT), index, name="kept", dtype=FLOAT)
        flag = self._each(graph, "Where", is_replay, one, kept, name="keep", dtype=FLOAT)
        weight = self._each(graph, "Mul", ce_weight, flag, name="ce_weight", dtype=FLOAT)
        reader.replace_input_with(list(reader.inputs).index(ce_weight), weight)
        return index, counted

    def _deltas(self, graph: ir.Graph, index: ir.Value, counted: ir.Value) -> dict[str, ir.Value]:
        logits = value_named(graph, "loss.masked_logits")
        one = constant(graph, "filter.one", np.array(1, np.int64))
        best = self._each(graph, "ArgMax", logits, name="prediction", dtype=INT64, axis=1, keepdims=0)
        equal = self._each(graph, "Equal", best, value_named(graph, "labels"), name="equal", dtype=BOOL)
        hit = self._each(graph, "Cast", equal, name="hit", dtype=INT64, to=int(ir.DataType.INT64))
        miss = self._each(graph, "Sub", one, hit, name="miss", dtype=INT64)
        raw = {"sample_score": miss} if self.score == "misclassified" else self._transitions(graph, index, hit, miss)
        deltas = {
            name: self._each(graph, "Mul", v, counted, name=f"{name}_delta", dtype=INT64) for name, v in raw.items()
        }
        return {name: {**deltas, "sample_seen": counted}[name] for name in SCORES[self.score]}

    def _transitions(self, graph: ir.Graph, index: ir.Value, hit: ir.Value, miss: ir.Value) -> dict[str, ir.Value]:
        one = constant(graph, "filter.one", np.array(1, np.int64))
        last = self._each(
            graph, "Gather", _state(graph, "sample_correct", INT64), index, name="last_correct", dtype=INT64
        )
        learned = self._each(
            graph, "Gather", _state(graph, "sample_learned", INT64), index, name="was_learned", dtype=INT64
        )
        not_learned = self._each(graph, "Sub", one, learned, name="not_learned", dtype=INT64)
        return {
            "sample_score": self._each(graph, "Mul", last, miss, name="forgotten", dtype=INT64),
            "sample_correct": self._each(graph, "Sub", hit, last, name="correct_change", dtype=INT64),
            "sample_learned": self._each(graph, "Mul", hit, not_learned, name="first_learned", dtype=INT64),
        }

    def _each(
        self, graph: ir.Graph, op_type: str, *inputs: ir.Value, name: str, dtype: ir.TensorType, **attributes: Any
    ) -> ir.Value:
        add = self.inserter(graph).op
        return add(op_type, *inputs, name=f"filter.{name}", shape=["N"], dtype=dtype, **attributes)


def _state(graph: ir.Graph, name: str, dtype: ir.TensorType) -> ir.Value:
    return set_role(feed(graph, name, ["S"], dtype), Role.SAMPLE)
