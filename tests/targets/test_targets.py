"""A target lists the phases in their order, and in each the passes of its folder."""

import dataclasses
import itertools
from collections.abc import Iterator

import pytest

from sparcl_compile.passes import registry
from sparcl_compile.passes.core.phases import Phase, phase_named
from sparcl_compile.settings.options import CompileOptions
from sparcl_compile.targets import choice, inference, ort_training
from sparcl_compile.targets.steps import Product, Steps, in_order, only, pass_names
from tests.test_style import PASSES
from tests.test_walls import PHASES

CHOICES = {
    "scheme": ("unstructured", "channel"),
    "gradient_scheme": ("unstructured", "channel"),
    "compress": (False, True),
    "fold": (False, True),
    "select_kernels": (False, True),
    "sparsity": (0.0, 0.5),
    "method": ("finetune", "der++"),
}


def every_target() -> Iterator[Steps]:
    """The lists of all combinations of the options that choose passes, and the list of the export."""
    for values in itertools.product(*CHOICES.values()):
        given = dict(zip(CHOICES, values, strict=True))
        if not (given["compress"] and "channel" in given.values()):
            yield from (steps(CompileOptions(**given)) for steps in choice.TARGETS.values())
    ste = CompileOptions(mask_policy="sr-ste", scheme="2:4", sparsity=0.5, gradient_sparsity=0.0)
    yield from (steps(ste) for steps in choice.TARGETS.values())
    halved = CompileOptions(compress=True, activations="bf16")
    yield from (steps(halved) for steps in choice.TARGETS.values())
    yield inference.STEPS


def test_the_phases_are_the_folders_of_passes() -> None:
    assert tuple(map(str, Phase)) == PHASES
    assert [phase_named(name) for name in PHASES] == list(Phase)
    assert phase_named("core") is None


def test_every_phase_has_one_sentence() -> None:
    for phase in Phase:
        assert phase.value[0].isupper()
        assert phase.value.count(".") == 1
        assert phase.value.endswith(".")


def out_of_phase(steps: Steps) -> list[str]:
    """The phases and passes of a target that stand in a wrong place."""
    phases = list(Phase)
    late = [str(b) for a, b in itertools.pairwise(steps) if phases.index(a) >= phases.index(b)]
    strangers = [
        f"{step.name} in {phase}"
        for phase, some in steps.items()
        for step in some
        if not isinstance(step, Product) and step.phase is not phase
    ]
    return late + strangers


def test_a_forward_that_is_not_rounded_writes_what_it_normalises() -> None:
    """A gate that is computed again from a rounded input would not be the forward's."""
    for name in ("f32", "bf16", "bf16-backward"):
        names = pass_names(choice.steps(CompileOptions(compress=True, activations=name)))
        assert ("normalise_on_load" in names) == (name != "bf16-backward")
        assert ("halve_activations" in names) == (name != "f32")


def test_every_target_is_in_the_order_of_the_phases() -> None:
    for steps in every_target():
        assert not out_of_phase(steps)


def test_every_target_is_in_the_order_of_the_registry() -> None:
    order = list(registry.MODULES)
    for steps in every_target():
        places = [order.index(name) for name in pass_names(steps)]
        assert places == sorted(places)


def test_a_pass_in_a_wrong_phase_is_found() -> None:
    (freeze, *_) = inference.STEPS[Phase.EXPORTING]
    assert out_of_phase({Phase.EMITTING: (freeze,)}) == ["freeze_state in emitting"]
    assert out_of_phase({Phase.EXPORTING: (), Phase.EMITTING: ()}) == ["emitting"]


def test_every_pass_is_in_a_target_once() -> None:
    found = set()
    for steps in every_target():
        names = pass_names(steps)
        assert len(set(names)) == len(names)
        found.update(names)
    assert found == {path.rpartition("/")[2] for path in PASSES}


def test_the_list_of_a_plain_compilation() -> None:
    assert pass_names(ort_training.steps(CompileOptions())) == [
        "fix_input",
        "expand_runtime_operators",
        "expand_ml_operators",
        "import_forward",
        "mark_dense_weights",
        "freeze_parameters",
        "raise_signal",
        "insert_weight_masks",
        "scale_by_density",
        "limit_steps",
        "fold_fixed_norms",
        "attach_loss",
        "insert_sample_filter",
        "differentiate_by_builder",
        "insert_gradient_masks",
        "attach_optimizer",
        "prune_backward",
        "transpose_frozen_convolutions",
        "keep_relu_masks",
        "replace_relu_gradients",
        "order_backward",
        "recompute_activations",
        "emit",
    ]


def test_steps_of_sgd_have_a_limit_and_those_of_adamw_need_none() -> None:
    limited = [
        "limit_steps" in pass_names(choice.steps(CompileOptions(**options)))
        for options in ({}, {"momentum": 0.9}, {"step_limit": 0.0}, {"optimizer": "adamw"})
    ]
    assert limited == [True, True, False, False]


@pytest.mark.parametrize(
    ("options", "kept"),
    [
        ({}, True),
        ({"method": "finetune"}, True),
        ({"replay_batches": "merged"}, True),
        ({"gradient_scheme": "channel"}, True),
        ({"method": "finetune", "sparsity": 0.0, "gradient_sparsity": 0.0}, False),
    ],
)
def test_the_whole_training_graph_is_kept_where_a_run_measures(options: dict[str, object], kept: bool) -> None:
    steps = ort_training.steps(dataclasses.replace(CompileOptions(), **options))  # type: ignore[arg-type]
    products = [step for step in in_order(steps) if isinstance(step, Product)]
    assert products == [Product.MASKED, Product.FORWARD, *([Product.WHOLE] if kept else [])]


def test_what_is_not_wanted_is_left_out() -> None:
    (freeze, *_) = inference.STEPS[Phase.EXPORTING]
    assert only(True, freeze, Product.WHOLE) == (freeze, Product.WHOLE)
    assert only(False, freeze) == ()
