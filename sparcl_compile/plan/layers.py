"""The counts of kept weights of every masked layer."""

import dataclasses
import math
from collections.abc import Mapping, Sequence

import onnx_ir as ir

from sparcl_compile.interface.schedule import Recipe
from sparcl_compile.passes.core.layers import masked_layers
from sparcl_compile.passes.core.marks import AXES_KEY
from sparcl_compile.passes.core.values import dims
from sparcl_compile.passes.schemes.cuts import Cut, Levels, cut_for
from sparcl_compile.passes.schemes.density import count, densities
from sparcl_compile.settings.options import CompileOptions
from sparcl_compile.settings.recipes import RECIPES


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
