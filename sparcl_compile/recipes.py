"""The two published ways of running SparCL, and the counts and events that follow from them for one model."""

import dataclasses
import math
from collections.abc import Mapping, Sequence

import onnx_ir as ir

from sparcl_compile.graphs.filter_samples import Score
from sparcl_compile.options import CompileOptions
from sparcl_compile.passes.base import AXES_KEY, dims, masked_layers
from sparcl_compile.passes.density import count, densities
from sparcl_compile.passes.schemes.cuts import Cut, Levels, cut_for


@dataclasses.dataclass(frozen=True)
class Recipe:
    """One recipe's numbers (docs/algorithm.md gives the source of each).

    Attributes:
        alpha: weight of the current task's gradient in CWI and CGI.
        beta: weight of the replay gradient.
        merge_gradients: measure one gradient over current and replay batches instead of two.
        single_head: mask other tasks' classes while measuring the current batch.
        expand: share of all weights grown at the start of a later task (p_inter).
        churn: share of all weights removed and grown again at an update (p_intra).
        shrink_by_churn: whether the update that ends the expansion also exchanges ``churn`` weights.
        score: what the sample filter counts.
    """

    alpha: float
    beta: float
    merge_gradients: bool
    single_head: bool
    expand: float
    churn: float
    shrink_by_churn: bool
    score: Score


RECIPES: Mapping[str, Recipe] = {
    "paper": Recipe(0.5, 1.0, False, True, 0.01, 0.005, False, "misclassified"),
    "reference-code": Recipe(0.5, 0.0, True, False, 0.01, 0.01, True, "forgetting"),
}

UPDATES = tuple(i / 10 for i in range(1, 10))
REMOVALS = (0.1, 0.2, 0.3, 0.4)
GRADIENT_REFRESH_STEPS = 30
NEVER_LEARNED_SCORE = 50


@dataclasses.dataclass(frozen=True)
class Layer:
    """One masked weight: its counts of kept elements at each level of the schedule, and of kept groups.

    The counts of elements are means where groups differ in size (docs/algorithm.md, Schemes).
    """

    weight: str
    shape: tuple[int, ...]
    scheme: str
    axes: str
    density: float
    base: int
    shrunk: int
    grown: int
    gradient_keep: int
    groups: Levels

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def places(self) -> int:
        """The most weights that the schedule ever keeps."""
        return max(1, self.cut.most(max(self.groups.base, self.groups.grown)))

    @property
    def cut(self) -> Cut:
        """The weight under its scheme."""
        return cut_for(self.scheme, self.shape, self.axes)


def layers_for(
    shapes: Mapping[str, Sequence[int]], options: CompileOptions, axes: Mapping[str, str] | None = None
) -> tuple[Layer, ...]:
    """The kept counts of every masked weight, in layer order; ``axes`` may be missing for the unstructured scheme."""
    recipe = RECIPES[options.recipe]
    share = densities(shapes, options.sparsity, options.distribution)
    letters = axes or dict.fromkeys(shapes, "")
    return tuple(
        _layer(name, tuple(shape), letters[name], share[name], recipe, options) for name, shape in shapes.items()
    )


def weight_layers(model: ir.Model, options: CompileOptions) -> tuple[Layer, ...]:
    """The layers of a masked graph whose weights have their full shapes."""
    weights = {str(w.name): w for w in masked_layers(model)}
    axes = {name: weight.metadata_props.get(AXES_KEY, "") for name, weight in weights.items()}
    return layers_for({name: dims(weight) for name, weight in weights.items()}, options, axes)


def churn_and_expand(density: float, recipe: Recipe) -> tuple[float, float]:
    """The shares of all weights that an exchange removes and an expansion adds at this density."""
    # A share of all weights can exceed what is kept at extreme sparsity, or what is free in a nearly dense layer.
    return min(recipe.churn, density / 2), min(recipe.expand, density / 2, 1.0 - density)


def _layer(
    name: str, shape: tuple[int, ...], axes: str, density: float, recipe: Recipe, options: CompileOptions
) -> Layer:
    churn, expand = churn_and_expand(density, recipe)
    relative = density / (1.0 - options.sparsity)
    cut = cut_for(options.scheme, shape, axes)
    levels = cut.levels(density, churn, expand)
    return Layer(
        weight=name,
        shape=shape,
        scheme=cut.scheme,
        axes=axes,
        density=density,
        base=cut.elements(levels.base),
        shrunk=cut.elements(levels.shrunk),
        grown=cut.elements(levels.grown),
        gradient_keep=count(min(1.0, (1.0 - options.gradient_sparsity) * relative), math.prod(shape)),
        groups=levels,
    )


def schedule_for(layers: Sequence[Layer], options: CompileOptions) -> dict[str, object]:
    """The schedule as the manifest holds it: fractions of a task, and counts a layer for each level."""
    recipe = RECIPES[options.recipe]
    first = [{"at": 0.0, "tasks": "later", "remove_to": "size", "grow_to": "grown"}]
    exchange = {"remove_to": "shrunk", "grow_to": "base"}
    if recipe.shrink_by_churn:
        second = [{"at": UPDATES[0], "tasks": "all", **exchange}]
    else:
        second = [
            {"at": UPDATES[0], "tasks": "first", **exchange},
            {"at": UPDATES[0], "tasks": "later", "remove_to": "base", "grow_to": "base"},
        ]
    rest = [{"at": at, "tasks": "all", **exchange} for at in UPDATES[1:]]
    stages = len(REMOVALS)
    removals = [{"at": at, "removed": options.data_removal * (i + 1) / stages} for i, at in enumerate(REMOVALS)]
    return {
        "levels": {
            "size": [layer.groups.size for layer in layers],
            "base": [layer.groups.base for layer in layers],
            "shrunk": [layer.groups.shrunk for layer in layers],
            "grown": [layer.groups.grown for layer in layers],
        },
        "mask_updates": [*first, *second, *rest] if layers and options.sparsity > 0.0 else [],
        "removals": removals if options.data_removal > 0.0 else [],
        "gradient_keep": [layer.gradient_keep for layer in layers],
        "gradient_refresh_steps": GRADIENT_REFRESH_STEPS if layers and options.gradient_sparsity > 0.0 else 0,
    }


REPLAY_STEPS: Mapping[str, tuple[dict[str, object], ...]] = {
    "none": (),
    "er": ({"draw": 1, "ce": 1.0, "distill": 0.0},),
    "der++": ({"draw": 0, "ce": 0.0, "distill": 0.1}, {"draw": 1, "ce": 0.5, "distill": 0.0}),
}
"""Micro-steps on replayed samples: draw number, weight of the mean cross-entropy and of the mean distillation."""


def replay_for(options: CompileOptions) -> dict[str, object]:
    """The replay settings as the manifest holds them."""
    return {
        "method": options.replay,
        "steps": list(REPLAY_STEPS[options.replay]),
        "merged": options.replay_batches == "merged",
        "from_task": 1,
    }
