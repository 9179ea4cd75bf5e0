"""Any ONNX classifier becomes the one forward graph that every later pass works on."""

import dataclasses

import onnx_ir as ir
from onnx_ir.passes.common import (
    IdentityEliminationPass,
    InlinePass,
    RemoveInitializersFromInputsPass,
    RemoveUnusedNodesPass,
    ShapeInferencePass,
)

from sparcl_compile.interface.errors import FieldError, ModelError
from sparcl_compile.interface.options import TARGET
from sparcl_compile.interface.ranges import check_choice, check_classes
from sparcl_compile.passes.core.contract import Pass
from sparcl_compile.passes.core.facts import HELD, LOSS, MARKED
from sparcl_compile.passes.core.layers import weighted_layers
from sparcl_compile.passes.core.marks import OUTPUT_KEY
from sparcl_compile.passes.core.phases import Phase
from sparcl_compile.passes.core.roles import role_of
from sparcl_compile.passes.core.worlds import Worlds, write_shapes
from sparcl_compile.passes.importing import (
    checks,
    constants,
    differentiable,
    doubts,
    folded,
    heads,
    opset,
    original,
    outputs,
    own_scale,
    parameter_names,
    remarks,
    rewrites,
    roles,
    sequences,
    training,
    verify,
)
from sparcl_compile.passes.importing import naming as names
from sparcl_compile.passes.importing.batch import BatchTracer, batch_of, mend


@dataclasses.dataclass(frozen=True)
class ImportForward(Pass):
    """Normalise a classifier for training; docs/interfaces.md says what holds afterwards.

    0. Put a model that was exported for training into inference form: that is what step 6 compares with.
    1. Refuse what cannot be imported: several inputs, control flow, quantised or non-float32 weights, custom operators.
    2. Convert to opset 18 and IR 10; sort; inline local functions; drop Dropout (randomness never comes from a
       platform's generator); pieces of a list that SplitToSequence makes become slices.
    3. Follow the graph at two batch sizes: constants become initializers, the batch becomes symbolic "N", an If becomes
       the branch that it takes.
    4. Keep the one [N, C] output, without its Softmax, LogSoftmax or Sigmoid, as ``logits``; call the input ``x``.
       The one logit z of a Sigmoid becomes the two logits 0 and z.
    5. Note whether the model scales its samples itself: behind a factor below a 16th, or a shift above 16, it was made
       for values as they are, and these are fed. Give initializers their roles: what the file calls a buffer or a
       constant does not train. Rewrite operators on the training path that have no gradient.
    6. Compare on random inputs with the model as it was given, before any pass, the rewritten operators included: a
       model that answers differently is refused.
    7. Replace the head (``classes``) and start afresh (``init="fresh"``) if asked.
    8. BatchNormalization goes into training form; its next running statistics become outputs.

    A model whose initializers have roles has been imported: the second run does nothing.

    Options:
        classes: number of classes; None keeps the model's.
        init: ``keep`` the file's weights or draw ``fresh`` ones.
        seed: for fresh weights and a replaced head.
        logits: name of the value with the class scores; None for the output below most layers.
        target: whose gradients the operators must have, ``ort`` or ``ort-training``.
    """

    phase = Phase.IMPORTING
    before = (LOSS,)
    gives = (MARKED, HELD)

    classes: int | None = None
    init: str = "keep"
    seed: int = 0
    logits: str | None = None
    target: str = TARGET

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Import the model in place.

        Raises:
            ModelError: the model cannot be imported or answers differently after the import.
            UnsupportedOpsError: operators that cannot be imported or trained; all of them are named.
            FieldError: a field is out of range.
        """
        self._check_options()
        if any(role_of(value) is not None for value in model.graph.initializers.values()):
            return ir.passes.PassResult(model, False)
        names.name_nodes(model.graph)
        said = constants.said(model)
        opset.to_runtime_opset(model)
        training.to_inference_form(model)
        outputs.cut(model, self.logits)
        given = [str(value.name) for value in model.graph.outputs]
        given_model = original.take(model, model.graph.outputs)
        self._prepare(model)
        constants.mark(model.graph, said)
        remarks.note(model, *doubts.copied(model.graph))
        batch, advice = batch_of(checks.single_input(model), model.graph), mend(model.graph)
        worlds = BatchTracer(model.graph, batch).trace()
        head = outputs.choose_head(model.graph, worlds)
        self._check_width(head)
        heads.set_interface(model.graph, head, worlds)
        self._tidy(model, worlds)
        lost = folded.remarks(model)
        self._make_trainable(model)
        own_scale.note_own_scale(model)
        verify.check_same(given_model, model, batch=batch, output=head.output, activation=head.activation, mend=advice)
        model.metadata_props[OUTPUT_KEY] = head.output
        remarks.note(model, *remarks.of_head(head, given, self.classes), *lost)
        self._personalise(model, head)
        names.unique_names(model.graph)
        training.to_training_form(model.graph)
        return ir.passes.PassResult(model, True)

    def _check_options(self) -> None:
        check_choice("init", self.init, ("keep", "fresh"))
        check_choice("target", self.target, tuple(differentiable.GRADIENTS))
        check_classes(self.classes)

    def _check_width(self, head: outputs.Head) -> None:
        if head.width > 1 or head.binary or self.classes is not None:
            return
        problem = f"output {head.output} holds one score without a Sigmoid, and a classifier needs 2 classes"
        raise FieldError("classes", None, problem, "give 2 or more for a fresh head, or export the Sigmoid with it")

    def _prepare(self, model: ir.Model) -> None:
        """Step 1 and 2."""
        _inline(model)
        sort(model.graph)
        checks.check_opset(model)
        sequences.take_apart(model.graph)
        checks.check_nodes(model.graph, self.target)
        RemoveInitializersFromInputsPass()(model)
        checks.single_input(model)
        training.drop_dropout(model.graph)
        first = [node for node in model.graph if rewrites.comes_first(node)]
        if first:
            ShapeInferencePass()(model)
            rewrites.rewrite(model.graph, first, self.target)
        opset.to_opset_18(model)
        sort(model.graph)
        names.name_nodes(model.graph)

    def _tidy(self, model: ir.Model, worlds: Worlds) -> None:
        """Remove what nothing reads and write the shapes that step 3 found."""
        write_shapes(model.graph, worlds)  # first: the file's shapes of what has been repaired contradict each other
        IdentityEliminationPass()(model)
        RemoveUnusedNodesPass()(model)
        parameter_names.restore(model.graph)
        checks.check_float32(model)
        checks.check_vectors(model.graph)

    def _make_trainable(self, model: ir.Model) -> None:
        """Step 5."""
        graph = model.graph
        roles.assign_roles(graph)
        doubts.mark(graph)
        remarks.note(model, *doubts.left(graph))
        roles.give_axes(graph)
        if rewrites.rewrite(graph, differentiable.training_path(graph), self.target):
            RemoveUnusedNodesPass()(model)
            write_shapes(graph, BatchTracer(graph, 1).trace())
        if not training.parameter_count(model) or not list(weighted_layers(graph)):
            raise ModelError("the model has no trainable weights (no Conv, Gemm or MatMul with a weight of its own)")
        differentiable.check_differentiable(graph, self.target)

    def _personalise(self, model: ir.Model, head: outputs.Head) -> None:
        """Step 7."""
        graph = model.graph
        if head.binary and self.classes not in (None, 2):
            heads.one_logit(graph)
        old = int(graph.outputs[0].shape[1])  # type: ignore[index, arg-type]
        if self.classes is not None and self.classes != old:
            heads.replace_head(graph, old, self.classes, self.seed)
            RemoveUnusedNodesPass()(model)
            write_shapes(graph, BatchTracer(graph, 1).trace())
        if self.init == "fresh":
            training.initialise(model, self.seed)


def _inline(model: ir.Model) -> None:
    """Put the model's own functions in the place of their calls; raises ModelError where they call each other."""
    try:
        InlinePass()(model)
    except ir.passes.PreconditionError as error:
        raise ModelError(f"functions of the model call each other ({error}): export the model again") from error


def sort(graph: ir.Graph) -> None:
    """Topological order; raises ModelError for a cycle."""
    try:
        graph.sort()
    except ValueError as error:
        raise ModelError("the graph has a cycle: export the model again") from error
