"""Masked layers that are faster with dense kernels stay masked."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence

import onnx_ir as ir

from sparcl_compile.interface.names import Role
from sparcl_compile.interface.report import Choice, Times
from sparcl_compile.passes.core.contract import Pass
from sparcl_compile.passes.core.facts import HELD, LOSS, NUMBERED
from sparcl_compile.passes.core.layers import masked_layers
from sparcl_compile.passes.core.marks import CHOICES_KEY, MASKED_KEY
from sparcl_compile.passes.core.phases import Phase
from sparcl_compile.passes.core.roles import values_with_role
from sparcl_compile.passes.lowering.choice.choose import Offer, faster_sparse, own_transposes
from sparcl_compile.passes.lowering.choice.costs import estimate
from sparcl_compile.passes.lowering.choice.work import Work, work_of
from sparcl_compile.passes.lowering.sparse.forms import kept_places, masked_product, only_reader, why_not
from sparcl_compile.passes.schemes.names import BLOCK4X1

SLOWER = "faster with dense kernels"
WHOLE = "keeps all of its weights"

Measure = Callable[[Work, int], Times]
"""Times a layer's forms for a batch."""


@dataclasses.dataclass(frozen=True)
class SelectKernels(Pass):
    """Choose between the dense and the sparse form of every masked layer that has both, on the masked forward graph.

    1. Sparse is what makes the training step of the whole graph faster: a layer's time in both forms (forward, input
       gradient, weight gradient, the walks over its weight) and the transposes between sparse layers, which compute
       batch last, and what stays batch first. Both together are a minimum cut (``selecting/choose.py``).
    2. The times come from a table of rates (``selecting/costs.py``), or are measured. Then the table's transposes are
       as much slower or faster as its times of layers were.
    3. A layer that keeps all of its weights stays masked: an index of everything saves nothing.
    4. A layer that stays masked has the reason in its weight's metadata, where ``compress_weights`` finds it.
    5. The graph carries the choices with their times (``choices_of``). One that has them is left alone.

    Options:
        places: K of each weight, as in ``CompressWeights``; None takes as many as each mask keeps.
        updated: of how many of them the gradient is computed; None for all.
        batch: samples of a training step. A hint: the graph takes any batch.
        measure: times a layer; None to take the table's word.
        scheme: of the masks; the kernels are faster for blocks of output channels.
    """

    phase = Phase.LOWERING
    needs = (HELD, NUMBERED)
    before = (LOSS,)

    places: Mapping[str, int] | None = None
    updated: Mapping[str, int] | None = None
    batch: int = 32
    measure: Measure | None = None
    scheme: str = "unstructured"

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Choose; the nodes stay as they are."""
        if CHOICES_KEY in model.graph.meta:
            return ir.passes.PassResult(model, False)
        layers = self._layers(model)
        estimated = {node: estimate(work, self.batch) for node, (_, work) in layers.items()}
        measured = {node: self.measure(work, self.batch) for node, (_, work) in layers.items()} if self.measure else {}
        times = measured or estimated
        speed = _seconds(times) / _seconds(estimated) if layers else 1.0
        offers = {node: Offer(work, times[node]) for node, (_, work) in layers.items() if work.places < work.weights}
        sparse = faster_sparse(model.graph, offers, self.batch, speed)
        choices = []
        for node, (weight, work) in layers.items():
            reason = "" if node in sparse else SLOWER if node in offers else WHOLE
            if reason:
                weight.metadata_props[MASKED_KEY] = reason
            moving = own_transposes(work, self.batch, speed)
            choices.append(Choice(str(weight.name), reason, estimated[node], measured.get(node), moving))
        model.graph.meta[CHOICES_KEY] = tuple(choices)
        return ir.passes.PassResult(model, bool(choices))

    def _layers(self, model: ir.Model) -> dict[ir.Node, tuple[ir.Value, Work]]:
        """The layers that have a sparse form, by their node."""
        trained, found = _trained(model), {}
        places = kept_places(model) if self.places is None else self.places
        updated = places if self.updated is None else self.updated
        for weight in masked_layers(model):
            name, product = str(weight.name), masked_product(model.graph, weight)
            reader = None if product is None else only_reader(product.outputs[0])
            if name not in places or product is None or reader is None or why_not(reader, product.outputs[0]):
                continue
            blocks, has_trained = self.scheme == BLOCK4X1, reader.inputs[0] in trained
            work = work_of(reader, weight, places[name], updated[name], has_trained, blocks)
            found[reader] = (weight, work)
        return found


def choices_of(model: ir.Model) -> Sequence[Choice]:
    """The choices that a graph carries, in layer order; a clone of the graph has them as well."""
    choices: Sequence[Choice] = model.graph.meta.get(CHOICES_KEY, ())
    return choices


def _seconds(times: Mapping[ir.Node, Times]) -> float:
    return sum(one.dense + one.sparse for one in times.values())


def _trained(model: ir.Model) -> set[ir.Value | None]:
    """The values that depend on a parameter that trains, of which gradients are computed."""
    trained: set[ir.Value | None] = set(values_with_role(model, Role.PARAMETER))
    for node in model.graph:
        if any(value in trained for value in node.inputs):
            trained.update(node.outputs)
    return trained
