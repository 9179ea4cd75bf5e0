"""Every pass says what it needs and what it gives: out of order it ends in one line, and what it gives is there."""

import functools
from pathlib import Path
from typing import Any

import onnx_ir as ir
import pytest

from sparcl_compile.interface.errors import PassOrderError, SparclError
from sparcl_compile.passes.core.contract import Pass
from sparcl_compile.passes.core.facts import FACTS, LOSS, Fact
from sparcl_compile.passes.core.phases import Phase
from sparcl_compile.passes.emitting.emit import Emit, eval_model, initial_state
from sparcl_compile.passes.exporting.freeze_state import FreezeState
from sparcl_compile.passes.registry import PHASES, pass_class
from sparcl_compile.runtime.session import kernel_library as kernels
from sparcl_compile.settings.options import CompileOptions
from sparcl_compile.targets import choice, inference, work
from sparcl_compile.targets.steps import Product, in_order
from tests.support.training_form import TARGETS
from tests.support.zoo import ZOO

needs_kernels = pytest.mark.skipif(kernels.library() is None, reason=kernels.reason())
OPTIONS = {
    "defaults": {},
    "plain": {"gradient_sparsity": 0.9},
    "none": {"method": "finetune", "momentum": 0.9, "gradient_sparsity": 0.9},
    "rows": {"gradient_scheme": "channel", "method": "finetune", "recompute": True},
    "channel": {"scheme": "channel", "sparsity": 0.5, "gradient_scheme": "channel"},
    "dense": {"sparsity": 0.0, "gradient_sparsity": 0.0},
    "bias": {"update": "bias", "gradient_sparsity": 0.9},
    "compress": {"compress": True, "select_kernels": False, "gradient_sparsity": 0.9},
    "halved": {"compress": True, "activations": "bf16"},
}
LISTS = [pytest.param(name, marks=needs_kernels if "compress" in given else ()) for name, given in OPTIONS.items()]


def compilation(options: str, folder: Path, target: str) -> list[tuple[Pass, ir.Model, ir.Model]]:
    """Each pass of a compilation and of the export behind it, with the graph before and after it."""
    model = ir.from_proto(ZOO["resnet"]())
    given = CompileOptions(**OPTIONS[options], target=target)  # type: ignore[arg-type]
    origin = work.Work(given, folder, kernels.library() if given.compress else None)
    found = []
    for step in in_order(choice.steps(given)):
        if isinstance(step, Product):
            origin.products[step] = model.clone()
            continue
        one, before = work.make(step, origin), model.clone()
        one(model)
        found.append((one, before, model.clone()))
    forward = origin.products[Product.MASKED]
    model, state = eval_model(forward), initial_state(forward)
    for one in (inference.make(step, state) for step in in_order(inference.STEPS) if not isinstance(step, Product)):
        before = model.clone()
        one(model)
        found.append((one, before, model.clone()))
    return found


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("options", LISTS)
def test_what_a_pass_gives_is_there_and_a_second_run_does_nothing(options: str, target: str, tmp_path: Path) -> None:
    for one, _, after in compilation(options, tmp_path, target):
        for fact in one.gives:
            assert fact.holds(after), (one.name, fact.has)
        assert not one(after).modified, one.name


@pytest.mark.parametrize("target", TARGETS)
def test_what_a_pass_gives_was_not_there_before(target: str, tmp_path: Path) -> None:
    brought = set()
    for one, before, _ in compilation("none", tmp_path, target):
        brought |= {(one.name, fact.has) for fact in one.gives if not fact.holds(before)}
    strangers = {"ort": "ort_training", "ort-training": "differentiating.differentiate"}[target]
    found = [pass_class(name) for name in PHASES]
    every = {(one.name, fact.has) for one in found if strangers not in one.__module__ for fact in one.gives}
    assert brought == every


OF_BUILDER = "replace_relu_gradients"
"""The pass behind the builder whose graph others refuse."""


def needs_builder(name: str) -> Any:
    """The mark of a case whose graph comes from the builder."""
    return pytest.mark.training_build if name == OF_BUILDER else ()


@pytest.mark.parametrize("fact", [pytest.param(f, marks=needs_builder(f.by)) for f in FACTS], ids=lambda fact: fact.has)
def test_the_pass_that_a_message_names_makes_the_fact_true(fact: Fact, tmp_path: Path) -> None:
    target = "ort-training" if fact.by == OF_BUILDER else "ort"
    runs = compilation("channel" if "channel" in fact.by else "none", tmp_path, target)
    before, after = next((before, after) for one, before, after in runs if one.name == fact.by.partition("{")[0])
    assert (fact.holds(before), fact.holds(after)) == (False, True)


def test_every_fact_is_used() -> None:
    used = {fact for name in PHASES for fact in (*pass_class(name).needs, *pass_class(name).before)}
    assert used == set(FACTS)


# Out of order


@functools.cache
def states(target: str = "ort") -> dict[str, ir.Model]:
    """Graphs on the way through a compilation, by the pass that they come from; ``raw`` is the file's."""
    found = {"raw": ir.from_proto(ZOO["resnet"]())}
    model, options = found["raw"].clone(), CompileOptions(method="finetune", gradient_sparsity=0.9, target=target)
    origin = work.Work(options, Path())
    for step in in_order(choice.steps(options)):
        if isinstance(step, Product):
            origin.products[step] = model.clone()
        elif step is not Emit:
            work.make(step, origin).call(model)
            found[step.name] = model.clone()
    found["loss_alone"] = found["import_forward"].clone()
    pass_class("attach_loss")().call(found["loss_alone"])
    found["eval"] = eval_model(origin.products[Product.FORWARD])
    return found


NOT_MARKED = ("raw", "the graph has no marked parameters; run import_forward before it")
NOT_HELD = ("raw", "the graph holds no marked parameters; run import_forward before it")
STATE_IS_READ = ("eval", "the graph holds no marked parameters; run import_forward before it")
NOT_DIFFERENTIATED = ("attach_loss", "the graph has no backward pass; run differentiate before it")
TWICE = ("attach_optimizer", "the graph masks gradients twice; run prune_backward before it")
NOT_ACCUMULATING = ("attach_loss", "the graph stores no gradients; run differentiate before it")
NOT_NUMBERED = (
    "mark_dense_weights",
    "the graph has layers with neither a mask nor a reason against one; run insert_weight_masks before it",
)


def late(name: str, state: str, has: str, by: str) -> tuple[str, str]:
    """The state in which a pass comes too late, and what it says."""
    return state, f"the graph {has} already; run {name} before {by}"


def after_loss(name: str) -> tuple[str, str]:
    return late(name, "attach_loss", "has a loss", "attach_loss")


def after_moving(name: str) -> tuple[str, str]:
    return late(name, "update_in_backward", "moves its parameters", "update_in_backward")


def lowering(name: str) -> tuple[tuple[str, str], ...]:
    return NOT_HELD, STATE_IS_READ, NOT_NUMBERED, after_loss(name)


OUT_OF_ORDER = {
    "fix_input": (after_loss("fix_input"),),
    "expand_runtime_operators": (after_loss("expand_runtime_operators"),),
    "expand_ml_operators": (after_loss("expand_ml_operators"),),
    "import_forward": (after_loss("import_forward"),),
    "mark_dense_weights": (
        NOT_HELD,
        late("mark_dense_weights", "insert_weight_masks", "has masked layers", "insert_weight_masks"),
        late("mark_dense_weights", "loss_alone", "has a loss", "attach_loss"),
    ),
    "freeze_parameters": (
        NOT_HELD,
        late("freeze_parameters", "insert_weight_masks", "has masked layers", "insert_weight_masks"),
        late("freeze_parameters", "loss_alone", "has a loss", "attach_loss"),
    ),
    "raise_signal": (
        NOT_HELD,
        late("raise_signal", "insert_weight_masks", "has masked layers", "insert_weight_masks"),
        late("raise_signal", "loss_alone", "has a loss", "attach_loss"),
    ),
    "insert_weight_masks": (NOT_HELD, after_loss("insert_weight_masks")),
    "scale_by_density": (NOT_HELD, NOT_NUMBERED, after_loss("scale_by_density")),
    "limit_steps": (NOT_HELD, NOT_NUMBERED, after_loss("limit_steps")),
    "fold_channels": (
        ("insert_weight_masks", "the graph has no channel masks; run insert_weight_masks{scheme=channel} before it"),
        after_loss("fold_channels"),
    ),
    "select_kernels": lowering("select_kernels"),
    "compress_weights": lowering("compress_weights"),
    "run_dense_on_sparse_kernels": lowering("run_dense_on_sparse_kernels"),
    "fold_fixed_norms": (NOT_HELD, STATE_IS_READ, after_loss("fold_fixed_norms")),
    "lay_out_batch_last": (NOT_HELD, after_loss("lay_out_batch_last")),
    "attach_loss": (NOT_HELD, late("attach_loss", "differentiate", "has a backward pass", "differentiate")),
    "insert_sample_filter": (
        ("insert_weight_masks", "the graph has no loss; run attach_loss before it"),
        late("insert_sample_filter", "differentiate", "has a backward pass", "differentiate"),
    ),
    "save_batch_statistics": (
        NOT_HELD,
        late("save_batch_statistics", "differentiate", "has a backward pass", "differentiate"),
    ),
    "differentiate": (NOT_MARKED, ("insert_weight_masks", "the graph has no loss; run attach_loss before it")),
    "differentiate_by_builder": (
        NOT_MARKED,
        ("insert_weight_masks", "the graph has no loss; run attach_loss before it"),
    ),
    "pass_gradients_through": (
        NOT_NUMBERED,
        NOT_ACCUMULATING,
        after_moving("pass_gradients_through"),
    ),
    "insert_gradient_masks": (
        NOT_NUMBERED,
        NOT_ACCUMULATING,
        after_moving("insert_gradient_masks"),
    ),
    "attach_optimizer": (NOT_MARKED, after_moving("attach_optimizer")),
    "prune_backward": (NOT_DIFFERENTIATED,),
    "transpose_frozen_convolutions": (NOT_DIFFERENTIATED, TWICE),
    "keep_relu_masks": (
        NOT_DIFFERENTIATED,
        TWICE,
        late("keep_relu_masks", "replace_relu_gradients", "has replaced ReLU gradients", "replace_relu_gradients"),
    ),
    "replace_relu_gradients": (NOT_DIFFERENTIATED,),
    "pack_relu_masks": (NOT_DIFFERENTIATED, TWICE, after_moving("pack_relu_masks")),
    "add_inside_input_gradients": (NOT_DIFFERENTIATED, TWICE),
    "normalise_on_load": (NOT_DIFFERENTIATED, TWICE, after_moving("normalise_on_load")),
    "halve_activations": (NOT_DIFFERENTIATED, TWICE, after_moving("halve_activations")),
    "order_backward": (NOT_DIFFERENTIATED, after_moving("order_backward")),
    "recompute_activations": (NOT_DIFFERENTIATED,),
    "compute_gradient_rows": (
        NOT_DIFFERENTIATED,
        ("differentiate", "the graph has masked layers without a gradient mask; run insert_gradient_masks before it"),
        TWICE,
        after_moving("compute_gradient_rows"),
    ),
    "update_in_backward": (
        NOT_DIFFERENTIATED,
        ("differentiate", "the graph has no optimizer; run attach_optimizer before it"),
    ),
    "emit": (NOT_DIFFERENTIATED, ("differentiate", "the graph has no optimizer; run attach_optimizer before it")),
    "freeze_state": (NOT_MARKED, after_loss("freeze_state")),
    "restore_input": (
        ("eval", "the graph has weights that may change; run freeze_state before it"),
        after_loss("restore_input"),
    ),
    "remove_idle_channels": (
        NOT_HELD,
        STATE_IS_READ,
        ("insert_weight_masks", "the graph has weights that may change; run freeze_state before it"),
        after_loss("remove_idle_channels"),
    ),
    "fuse_normalisation": (
        ("eval", "the graph has weights that may change; run freeze_state before it"),
        after_loss("fuse_normalisation"),
    ),
}
"""By pass the graphs that it refuses, and the lines behind its name."""


def made(name: str) -> Pass:
    """A pass of this name; the two that cannot be made of plain options get the least that they take."""
    special: dict[str, Pass] = {"emit": Emit(Path(), states()["raw"]), "freeze_state": FreezeState({})}
    return special[name] if name in special else pass_class(name)()


CASES = [
    pytest.param(name, state, line, marks=needs_builder(state)) for name in PHASES for state, line in OUT_OF_ORDER[name]
]


@pytest.mark.parametrize(("name", "state", "line"), CASES)
def test_out_of_order_a_pass_says_in_one_line_what_is_missing(name: str, state: str, line: str) -> None:
    model = states("ort-training" if state == OF_BUILDER else "ort")[state].clone()
    text = ir.to_onnx_text(model, exclude_initializers=True)
    with pytest.raises(PassOrderError) as caught:
        made(name)(model)
    assert str(caught.value) == f"{name}: {line}"
    assert ir.to_onnx_text(model, exclude_initializers=True) == text


@pytest.mark.parametrize("name", PHASES)
def test_every_need_of_a_pass_is_shown(name: str) -> None:
    one, lines = pass_class(name), [line for _, line in OUT_OF_ORDER[name]]
    for fact in one.needs:
        assert any(fact.lacks in line for line in lines), fact.lacks
    for fact in one.before:
        assert any(fact.has in line for line in lines), fact.has
    assert one.needs or one.before


def test_the_error_is_a_user_s_mistake_and_onnx_ir_s_precondition() -> None:
    model = states()["raw"].clone()
    with pytest.raises(SparclError):
        made("attach_loss")(model)
    with pytest.raises(ir.passes.PreconditionError):
        made("attach_loss")(model)
    with pytest.raises(ir.passes.PassError, match="'attach_loss' pass after the following passes"):
        ir.passes.Sequential(made("attach_loss"))(model)


class Forgetful(Pass):
    """Promises a loss and attaches none."""

    phase = Phase.DIFFERENTIATING
    gives = (LOSS,)

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        return ir.passes.PassResult(model, False)


def test_a_broken_promise_is_a_bug_of_the_pass() -> None:
    with pytest.raises(ir.passes.PostconditionError, match="the graph has no loss after forgetful"):
        Forgetful()(states()["mark_dense_weights"].clone())
    assert not issubclass(ir.passes.PostconditionError, SparclError)
