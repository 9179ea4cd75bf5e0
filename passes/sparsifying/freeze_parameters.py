"""Parameters that do not train become constants of training."""

import dataclasses
import fnmatch

import onnx_ir as ir

from sparcl_compile.interface.errors import FieldError
from sparcl_compile.interface.manifest import Update
from sparcl_compile.interface.names import Role
from sparcl_compile.passes.analysis.stages import parameter_stages
from sparcl_compile.passes.core.contract import Pass
from sparcl_compile.passes.core.edit import int_attribute
from sparcl_compile.passes.core.facts import HELD, LOSS, MASKED
from sparcl_compile.passes.core.hints import near
from sparcl_compile.passes.core.marks import DENSE_KEY, STAGE_KEY
from sparcl_compile.passes.core.phases import Phase
from sparcl_compile.passes.core.roles import TRAINABLE, role_of, set_role, values_with_role
from sparcl_compile.passes.sparsifying.updates import trained

REASON = "frozen"
AFFINE = slice(1, 3)
"""Input slots of a BatchNormalization's scale and shift."""


@dataclasses.dataclass(frozen=True)
class FreezeParameters(Pass):
    """Give the role ``frozen`` to every parameter that is not to train.

    1. ``update`` says what trains: ``all``; ``last:K``, the last K stages (passes/analysis/stages.py); ``bias``, what
       is added along one axis; ``norm``, scales and shifts of normalisations. The classifier trains in all of them,
       since new classes come. Biases alone are TinyTL's update (Cai et al., NeurIPS 2020), the last layers are the
       simplest of tiny-training's (Lin et al., NeurIPS 2022): what is frozen needs no weight gradient, and below the
       lowest trained parameter there is no backward pass at all.
    2. ``freeze`` then freezes what its globs match, the classifier too.
    3. A frozen weight has the reason ``frozen`` to be dense: no mask, and later no gradient, no accumulator, no
       optimizer state.
    4. A BatchNormalization whose scale and shift are both frozen goes into inference form and its next statistics are
       no longer outputs. Frozen means frozen: statistics that still followed the tasks would change the layer's
       function although no parameter does, batch statistics would couple it to what else is in the batch, and neither
       could be a constant of the graph.
    5. Every parameter is marked with its stage when anything is frozen, for the report.
    6. Parameters that are frozen already stay so, which makes the pass idempotent.

    Options:
        freeze: globs of parameter names.
        update: ``all``, ``last:K``, ``bias`` or ``norm``.
    """

    phase = Phase.SPARSIFYING
    needs = (HELD,)
    before = (MASKED, LOSS)

    freeze: tuple[str, ...] = ()
    update: str = "all"

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Freeze. Raises FieldError when a glob matches nothing, K is too large or nothing is left to train."""
        parameters = {str(v.name): v for v in values_with_role(model, Role.PARAMETER)}
        stages = parameter_stages(model.graph)
        frozen = (parameters.keys() - trained(model, self.update)) | self._chosen(sorted(stages))
        if not parameters.keys() - frozen:
            raise self._nothing_left(len(stages))
        todo = [value for name, value in parameters.items() if name in frozen]
        if not todo:
            return ir.passes.PassResult(model, False)
        for name, stage in stages.items():
            model.graph.initializers[name].metadata_props[STAGE_KEY] = str(stage)
        for value in todo:
            set_role(value, Role.FROZEN).metadata_props[DENSE_KEY] = REASON
        _fix_statistics(model.graph)
        return ir.passes.PassResult(model, True)

    def _chosen(self, names: list[str]) -> set[str]:
        found: set[str] = set()
        for glob in self.freeze:
            matched = [name for name in names if fnmatch.fnmatchcase(name, glob)]
            if not matched:
                raise FieldError("freeze", glob, "matches no parameter", near(glob, names), joint=" ")
            found.update(matched)
        return found

    def _nothing_left(self, parameters: int) -> FieldError:
        given = [("freeze", glob) for glob in self.freeze]
        if self.update != "all" or not given:
            given.insert(0, ("update", self.update))
        (field, value), others = given[0], given[1:]
        rest = "".join(f"`{name}` {glob} " for name, glob in others)
        problem = f"{rest}freezes all {parameters} parameters: nothing is left to train"
        return FieldError(field, value, problem, joint=" ")


def _fix_statistics(graph: ir.Graph) -> None:
    """Put every BatchNormalization with frozen scale and shift into inference form."""
    for node in graph:
        if node.op_type != "BatchNormalization" or not int_attribute(node, "training_mode", 0):
            continue
        if any(value is None or role_of(value) is not Role.FROZEN for value in node.inputs[AFFINE]):
            continue
        for output in node.outputs[1:]:
            graph.outputs.remove(output)
        node.attributes.pop("training_mode")
        node.resize_outputs(1)


def update_summary(model: ir.Model) -> Update:
    """The part of a model that trains, for the manifest."""
    values = [value for role in TRAINABLE for value in values_with_role(model, role)]
    moving = [value for value in values if role_of(value) is Role.PARAMETER]
    total, some = (sum(v.const_value.size for v in group if v.const_value is not None) for group in (values, moving))
    if total == some:
        return Update(total, some, None, None)
    stages, active = ({int(v.metadata_props.get(STAGE_KEY, 0)) + 1 for v in group} for group in (values, moving))
    return Update(total, some, max(stages), tuple(sorted(active)))
