"""One loss for every replay method: weighted cross-entropy plus weighted distillation."""

import dataclasses

import numpy as np
import onnx_ir as ir

from sparcl_compile.interface.errors import ModelError
from sparcl_compile.interface.ranges import check_choice
from sparcl_compile.passes.core.contract import Pass
from sparcl_compile.passes.core.facts import DIFFERENTIATED, HELD, LOSS
from sparcl_compile.passes.core.phases import Phase
from sparcl_compile.passes.core.values import INT64, constant, feed
from sparcl_compile.passes.differentiating.distances import DISTANCES, Pair


@dataclasses.dataclass(frozen=True)
class AttachLoss(Pass):
    """Append the loss to a forward graph with output ``logits`` [N, C].

    ``L = sum_i ce_weight_i * CE(logits_i + class_mask_i, labels_i)
    + sum_i distill_weight_i * mean_c (logits_ic - distill_target_ic)^2`` (docs/algorithm.md; DER++,
    Buzzega et al., NeurIPS 2020, eq. 6). Fine-tuning, ER and DER++ are settings of the weights, other methods have
    another distance to the target in place of the squared one.

    1. The cross-entropy is LogSoftmax and a one-hot product in standard ops, not SoftmaxCrossEntropyLoss: it must
       be per sample and weighted, and every target must differentiate it.
    2. ``class_mask`` is added to the logits (0 takes part, -1e9 does not, a logarithm of how often a class is shown
       makes the loss a balanced one): a finite number, so that its product with the one-hot zero stays 0.
    3. The outputs become ``loss``, ``logits`` and whatever followed the logits (running statistics).
    4. A graph that already has the output ``loss`` is left alone.

    Options:
        distance: of the logits from their target: a name in ``passes/differentiating/distances.py``.
    """

    phase = Phase.DIFFERENTIATING
    needs = (HELD,)
    before = (DIFFERENTIATED,)
    gives = (LOSS,)

    distance: str = "logits"

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Attach the loss. Raises FieldError for an unknown distance."""
        check_choice("distance", self.distance, DISTANCES)
        graph = model.graph
        if graph.outputs[0].name == "loss":
            return ir.passes.PassResult(model, False)
        logits = graph.outputs[0]
        cross_entropy = self._cross_entropy(graph, logits)
        distillation = self._distillation(graph, logits)
        loss = self.inserter(graph).op("Add", cross_entropy, distillation, name="loss", shape=[])
        graph.outputs.insert(0, loss)
        return ir.passes.PassResult(model, True)

    def _cross_entropy(self, graph: ir.Graph, logits: ir.Value) -> ir.Value:
        classes = class_count(logits)
        labels = feed(graph, "labels", ["N"], INT64)
        class_mask = feed(graph, "class_mask", ["N", classes])
        weight = feed(graph, "ce_weight", ["N"])
        depth = constant(graph, "loss.depth", np.array(classes, np.int64))
        off_on = constant(graph, "loss.off_on", np.array([0, 1], np.float32))
        axis = constant(graph, "loss.class_axis", np.array([1], np.int64))
        add = self.inserter(graph).op
        masked = add("Add", logits, class_mask, name="loss.masked_logits", shape=["N", classes])
        log_p = add("LogSoftmax", masked, name="loss.log_softmax", shape=["N", classes], axis=1)
        one_hot = add("OneHot", labels, depth, off_on, name="loss.one_hot", shape=["N", classes], axis=-1)
        picked = add("Mul", log_p, one_hot, name="loss.picked", shape=["N", classes])
        likelihood = add("ReduceSum", picked, axis, name="loss.log_likelihood", shape=["N"], keepdims=0)
        each = add("Neg", likelihood, name="loss.cross_entropy", shape=["N"])
        weighted = add("Mul", each, weight, name="loss.weighted_cross_entropy", shape=["N"])
        return add("ReduceSum", weighted, name="loss.cross_entropy_sum", shape=[], keepdims=0)

    def _distillation(self, graph: ir.Graph, logits: ir.Value) -> ir.Value:
        classes = class_count(logits)
        target = feed(graph, "distill_target", ["N", classes])
        weight = feed(graph, "distill_weight", ["N"])
        add = self.inserter(graph).op
        each = DISTANCES[self.distance](Pair(self.inserter(graph), logits, target, classes))
        weighted = add("Mul", each, weight, name="loss.weighted_distillation", shape=["N"])
        return add("ReduceSum", weighted, name="loss.distillation_sum", shape=[], keepdims=0)


def class_count(logits: ir.Value) -> int:
    """C of a value of shape [N, C]; raises ModelError for any other shape."""
    if logits.shape is None or len(logits.shape) != 2 or not isinstance(logits.shape[1], int):
        raise ModelError(
            f"the first output {logits.name} has shape {logits.shape} and must be [N, classes]; "
            "make the class scores the first output"
        )
    return logits.shape[1]
