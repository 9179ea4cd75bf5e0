"""The plan agrees with the passes and the manifest."""

import math
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from sparcl_compile.compiling import pipeline
from sparcl_compile.compiling.state_specs import state_specs, weight_specs
from sparcl_compile.interface.names import Role
from sparcl_compile.passes.analysis.channels.plan import plan_of
from sparcl_compile.passes.analysis.rows import kept_rows
from sparcl_compile.passes.core.roles import values_with_role
from sparcl_compile.plan.compiled import Compiled
from sparcl_compile.runtime.session import kernel_library as kernels
from sparcl_compile.settings.options import CompileOptions
from tests.reference.scaling import rate_factor
from tests.support.zoo import ZOO

FORMS: dict[str, dict[str, Any]] = {
    "defaults": {},
    "unstructured": {"gradient_sparsity": 0.9},
    "erk": {"distribution": "erk", "gradient_sparsity": 0.9},
    "blocks": {"scheme": "block4x1", "gradient_sparsity": 0.9},
    "folded": {"scheme": "channel", "sparsity": 0.5},
    "not folded": {"scheme": "channel", "sparsity": 0.5, "fold": False},
    "rows": {"gradient_scheme": "channel"},
    "folded rows": {"scheme": "channel", "sparsity": 0.5, "gradient_scheme": "channel", "gradient_sparsity": 0.5},
    "gradients": {"sparsity": 0.0},
    "compressed": {"compress": True, "select_kernels": False, "gradient_sparsity": 0.9},
}


@pytest.fixture(scope="module", params=FORMS)
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Compiled:
    options = CompileOptions(**FORMS[request.param])
    if options.compress and kernels.library() is None:
        pytest.skip(kernels.reason())
    return compiled(tmp_path_factory.mktemp("plan"), options)


def compiled(folder: Path, options: CompileOptions) -> Compiled:
    model = ir.from_proto(onnx.shape_inference.infer_shapes(ZOO["resnet"]()))
    return pipeline.run(model, options, folder, lambda *_: None)


def stored(made: Compiled, name: str) -> np.ndarray:
    value = made.forward.graph.initializers[name].const_value
    assert value is not None
    return np.asarray(value.numpy())


def test_the_first_masks_keep_what_the_plan_says(made: Compiled) -> None:
    assert made.plan.layers
    for layer in made.plan.layers:
        assert np.count_nonzero(stored(made, layer.weight)) == layer.base
    base = made.plan.schedule.levels["base"]
    if made.plan.channels is None:
        assert base == tuple(layer.groups.base for layer in made.plan.layers)
    else:
        assert base == tuple(made.plan.channels.counts.values())


def test_the_manifest_has_the_factors_of_the_learning_rates(made: Compiled) -> None:
    specs = weight_specs(made, state_specs(made))
    assert any(spec.rate > 1.0 for spec in specs) == made.plan.masks
    for spec in specs:
        if made.plan.masks and made.plan.channels is None and spec.mask:
            assert spec.rate == pytest.approx(rate_factor(stored(made, spec.mask) > 0))


def test_tensors_have_the_places_that_the_plan_gives_them(made: Compiled) -> None:
    plan = made.plan
    for layer in plan.layers:
        shape = stored(made, layer.weight).shape
        if plan.channels is not None:
            assert shape == plan.channels.stored_shape(layer.weight)
        elif f"{layer.weight}.index" in made.forward.graph.initializers:
            assert shape == (plan.places[layer.weight],)
        else:
            assert shape == layer.shape


def test_channels_are_as_the_graph_holds_them(made: Compiled) -> None:
    graph = plan_of(made.forward)
    assert (graph is None) == (made.plan.channels is None)
    if graph is None or made.plan.channels is None:
        return
    assert made.plan.channels.folded == graph.folded
    assert made.plan.capacity == {space.name: graph.capacity(space.name) for space in graph.channels.spaces}
    for name, array in graph.state().items():
        np.testing.assert_array_equal(made.plan.channels.state()[name], array)


def test_rows_are_those_that_the_training_graph_computes(made: Compiled) -> None:
    inputs = {value.name: value for value in values_with_role(made.training, Role.GRADIENT_ROWS)}
    assert {f"{weight}.gradient_rows" for weight in made.cut_gradients} == set(inputs)
    for weight in made.cut_gradients:
        assert [made.plan.rows[weight].kept] == list(inputs[f"{weight}.gradient_rows"].shape)
    assert set(made.plan.rows) in (set(), {layer.weight for layer in made.plan.layers})


@pytest.mark.parametrize(("scheme", "fold"), [("unstructured", True), ("channel", True), ("channel", False)])
@pytest.mark.parametrize("sparsity", [0.1, 0.5, 0.8])
def test_updated_channels_and_the_weights_in_them(sparsity: float, fold: bool, scheme: str, tmp_path: Path) -> None:
    """Counted in the first weights: those of channel masks lie in some channels and are as many in each of these."""
    options = {"scheme": scheme, "gradient_scheme": "channel", "fold": fold}
    made = compiled(tmp_path, CompileOptions(sparsity=0.5, gradient_sparsity=sparsity, **options))
    for layer in made.plan.layers:
        rows, weight = made.plan.rows[layer.weight], stored(made, layer.weight)
        assert rows.axis == 0
        wanted = max(1, math.floor((1.0 - sparsity) * layer.shape[0] + 0.5))
        assert rows.kept == min(wanted, len(weight))
        kept = np.count_nonzero(weight.reshape(len(weight), -1), axis=1)
        some = kept[kept > 0] if scheme == "channel" else kept
        mean = Fraction(int(some.sum()), len(some)) * min(rows.kept, len(some))
        assert layer.gradient_keep == math.floor(mean + Fraction(1, 2))


@pytest.mark.parametrize(("channels", "sparsity", "kept"), [(10, 0.25, 8), (10, 0.9, 1), (3, 0.99, 1), (1, 0.5, 1)])
def test_a_channel_is_updated_at_any_sparsity(channels: int, sparsity: float, kept: int) -> None:
    assert kept_rows(channels, sparsity) == kept


def test_nothing_sparse_leaves_nothing_to_plan(tmp_path: Path) -> None:
    plan = compiled(tmp_path, CompileOptions(sparsity=0.0, gradient_sparsity=0.0)).plan
    assert (plan.layers, plan.channels, plan.rows, plan.places, plan.capacity) == ((), None, {}, {}, {})
    assert not plan.masks
    assert not plan.gradient_masks
    assert plan.schedule.mask_updates == ()
