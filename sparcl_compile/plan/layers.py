"""The counts of kept weights of every masked layer."""

import dataclasses
import math
from collections.abc import Mapping, Sequence

import onnx_ir as ir

from sparcl_compile.passes.core.layers import masked_layers
from sparcl_compile.passes.core.marks import AXES_KEY
from sparcl_compile.passes.core.values import dims
from sparcl_compile.passes.schemes.cuts import Cut, Levels, cut_for
from sparcl_compile.passes.schemes.density import count, densities
from sparcl_compile.settings.options import CompileOptions
from sparcl_compile.settings.policies import TDM, Level, policy_of
from sparcl_compile.settings.recipes import Recipe, churn_and_expand


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
    def updated(self) -> int:
        """The number of the weights usually kept that a step moves, at most as many as are kept."""
        return min(self.gradient_keep, self.base)

    @property
    def places(self) -> int:
        """The most weights that the schedule ever keeps."""
        return max(1, self.cut.most(max(self.groups.base, self.groups.grown)))

    @property
    def cut(self) -> Cut:
        """The weight under its scheme."""
        return cut_for(self.scheme, self.shape, self.axes)


def weight_layers(model: ir.Model, options: CompileOptions, recipe: Recipe) -> tuple[Layer, ...]:
    """The layers of a masked graph whose weights have their full shapes."""
    weights = {str(w.name): w for w in masked_layers(model)}
    axes = {name: weight.metadata_props.get(AXES_KEY, "") for name, weight in weights.items()}
    return layers_for({name: dims(weight) for name, weight in weights.items()}, options, recipe, axes)


def group_levels(layers: Sequence[Layer]) -> dict[str, list[int]]:
    """The kept groups of each layer, by level."""
    levels = [dataclasses.asdict(layer.groups) for layer in layers]
    return {field.name: [level[field.name] for level in levels] for field in dataclasses.fields(Levels)}


def kept_at(layers: Sequence[Layer], level: Level) -> list[int]:
    """The kept groups of each layer at a level of a mask policy."""
    return [_kept_at(layer, level.share(layer.density)) for layer in layers]


def _kept_at(layer: Layer, share: float) -> int:
    less, more = max(0.0, layer.density - share), max(0.0, share - layer.density)
    levels = layer.cut.levels(layer.density, less, more)
    return levels.shrunk if less else levels.grown


def layers_for(
    shapes: Mapping[str, Sequence[int]], options: CompileOptions, recipe: Recipe, axes: Mapping[str, str] | None = None
) -> tuple[Layer, ...]:
    """The kept counts of every masked weight, in layer order; ``axes`` may be missing for the unstructured scheme."""
    share = densities(shapes, options.sparsity, options.distribution)
    letters = axes or dict.fromkeys(shapes, "")
    return tuple(
        _layer(name, tuple(shape), letters[name], share[name], recipe, options) for name, shape in shapes.items()
    )


def _layer(
    name: str, shape: tuple[int, ...], axes: str, density: float, recipe: Recipe, options: CompileOptions
) -> Layer:
    policy = policy_of(options)
    churn, expand = churn_and_expand(density, recipe) if policy.name == TDM else policy.swing(density)
    relative = density / options.density
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
        gradient_keep=count(min(1.0, options.gradient_density * relative), math.prod(shape)),
        groups=levels,
    )
