"""A learned graph whose state is constant."""

import dataclasses
from collections.abc import Mapping

import numpy as np
import onnx_ir as ir
from onnx_ir.passes.common import RemoveUnusedNodesPass
from onnxscript.optimizer import fold_constants_ir

from sparcl_compile.passes.core.contract import CONSTANTS, Pass
from sparcl_compile.passes.core.edit import is_float_constant
from sparcl_compile.passes.core.facts import CONSTANT, LOSS, MARKED
from sparcl_compile.passes.core.phases import Phase
from sparcl_compile.passes.core.roles import TRAINABLE, role_of

FEED = "x"
UNLIMITED = 2**62


@dataclasses.dataclass(frozen=True)
class FreezeState(Pass):
    """Turn the state inputs of an evaluation graph into constants, and compute what depends on constants alone.

    1. A graph input that is state becomes an initializer with the learned value.
    2. Whatever is computed from constants alone is computed now: the product of a weight and its mask, the rows and
       columns that a channel's flag blanks. A multiplication by zeros costs as much as any other.
       Random operators stay (onnxscript's rule).
    3. What was computed from one parameter takes that parameter's name and role, when nothing else reads it.
    4. Initializers that nothing reads go, masks above all.
    5. The model notes the names of the floats that are computed from no state. All others may learn again where the
       exported file is compiled; without the note a scalar among them would be taken for a constant.

    Options:
        state: the learned tensors by name; must hold every state input of the graph, may hold more.
    """

    phase = Phase.EXPORTING
    needs = (MARKED,)
    before = (LOSS,)
    gives = (CONSTANT,)

    state: Mapping[str, np.ndarray]

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Fold; raises KeyError when an input other than ``x`` has no value."""
        graph = model.graph
        inputs = state_inputs(graph)
        for value in inputs:
            name = str(value.name)
            value.const_value = ir.tensor(np.asarray(self.state[name], order="C"), name=name)
            graph.inputs.remove(value)
            graph.register_initializer(value)
        made_of, constants = _sources(graph), _constants(graph, {str(value.name) for value in inputs})
        folded = fold_constants_ir(model, output_size_limit=UNLIMITED, should_fold=lambda _: True).modified
        unused = RemoveUnusedNodesPass()(model).modified
        for name, parameter in made_of.items():
            _rename(graph, name, parameter)
        if inputs:
            floats = (name for name, value in graph.initializers.items() if is_float_constant(value))
            model.metadata_props[CONSTANTS] = "\n".join(sorted(constants.intersection(floats)))
        return ir.passes.PassResult(model, bool(inputs) or folded or unused)


def state_inputs(graph: ir.Graph) -> list[ir.Value]:
    """The inputs of an evaluation graph that are fed from state: all but the samples (docs/interfaces.md)."""
    return [value for value in graph.inputs if value.name != FEED]


def _sources(graph: ir.Graph) -> dict[str, ir.Value]:
    """By name of a value computed from constants alone the one parameter that it was computed from."""
    found: dict[str, set[ir.Value]] = {}
    for node in graph:
        given = [value for value in node.inputs if value is not None]
        if not given or any(not value.is_initializer() and value.name not in found for value in given):
            continue
        parameters = {value for value in given if role_of(value) in TRAINABLE}
        parameters.update(*(found.get(str(value.name), ()) for value in given))
        found.update({str(out.name): parameters for out in node.outputs})
    return {name: next(iter(values)) for name, values in found.items() if len(values) == 1}


def _constants(graph: ir.Graph, state: set[str]) -> set[str]:
    """The names of initializers that are no state and have no role, and of what is computed from them alone."""
    found = {name for name, value in graph.initializers.items() if name not in state and role_of(value) is None}
    for node in graph:
        given = {str(value.name) for value in node.inputs if value is not None}
        if given and given <= found:
            found.update(str(out.name) for out in node.outputs)
    return found


def _rename(graph: ir.Graph, name: str, parameter: ir.Value) -> None:
    folded = graph.initializers.get(name)
    if folded is None or str(parameter.name) in graph.initializers:
        return
    folded.metadata_props.update(parameter.metadata_props)
    folded.name = parameter.name
    if folded.const_value is not None:
        folded.const_value.name = parameter.name
