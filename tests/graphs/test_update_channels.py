from collections.abc import Mapping

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparcl_compile.graphs import update_channels
from sparcl_compile.passes.analysis.channels.plan import index_name, live_name
from tests.reference import channels as reference
from tests.support import harness
from tests.support.channel_example import FAN_IN, ROLES, SHAPES, SIZES, STATES, WEIGHTS, compact, plan, tensors

ALPHA, BETA = 0.5, 1.0
CAPACITIES = {"full": SIZES, "folded": {"a": 3, "b": 3, "c": 4, "heads": 2}, "partly": {**SIZES, "a": 4, "heads": 2}}
TENSORS = tensors()

Arrays = dict[str, np.ndarray]
Flags = dict[str, np.ndarray]


@pytest.fixture(scope="module")
def graphs() -> dict[str, harness.Graph]:
    made = {}
    for form, capacity in CAPACITIES.items():
        chosen = {space: np.arange(count) for space, count in capacity.items()}
        model = update_channels.build(plan(chosen, chosen), ROLES, STATES, FAN_IN, ALPHA, BETA, gradient_masks=True)
        made[form] = harness.Graph(model)
    return made


def full_state(seed: int, kept: Flags, ties: bool) -> Arrays:
    """Full tensors as training leaves them: 0 where a unit is not kept; gradients are masked as well."""
    rng = np.random.default_rng(seed)
    made: Arrays = {}
    for name, shape in SHAPES.items():
        mask = reference.everywhere(TENSORS[name], shape, kept)
        names = [name, *STATES.get(name, ()), *((f"{name}.g1", f"{name}.g2") if name in WEIGHTS else ())]
        for one in names:
            values = rng.integers(-2, 3, shape) if ties else rng.normal(size=shape)
            made[one] = values.astype(np.float32) * mask
    return made


def feeds_of(state: Arrays, kept: Flags, chosen: Arrays) -> Arrays:
    feeds = {}
    for name in SHAPES:
        for one in (
            n for n in state if n == name or n.removeprefix(f"{name}.") in ("g1", "g2", "exp_avg", "exp_avg_sq")
        ):
            if one == name or one in STATES.get(name, ()) or one in (f"{name}.g1", f"{name}.g2"):
                feeds[one] = compact(name, state[one], chosen)
    for space in SIZES:
        feeds[index_name(space)] = chosen[space]
        feeds[live_name(space)] = kept[space][chosen[space]].astype(np.float32)
    return feeds


def draw(seed: int, counts: Mapping[str, int], capacity: Mapping[str, int]) -> tuple[Flags, Arrays]:
    """Random kept units, and random chosen ones that hold them."""
    rng = np.random.default_rng(seed)
    kept, chosen = {}, {}
    for space, size in SIZES.items():
        order = rng.permutation(size)
        kept[space] = np.isin(np.arange(size), order[: min(counts[space], capacity[space])])
        chosen[space] = np.sort(order[: capacity[space]])
    return kept, chosen


def call(
    graph: harness.Graph,
    feeds: Arrays,
    remove_to: Mapping[str, int],
    grow_to: Mapping[str, int],
    seed: int,
    update: int,
) -> Arrays:
    counts = {"remove_to": [remove_to[s] for s in SIZES], "grow_to": [grow_to[s] for s in SIZES]}
    return graph(
        {**feeds, **{n: np.array(c, np.int64) for n, c in counts.items()}, "key": harness.key(seed, update, 7)}
    )


COUNTS = st.fixed_dictionaries({space: st.integers(-1, size + 1) for space, size in SIZES.items()})


@given(
    form=st.sampled_from(sorted(CAPACITIES)),
    seed=st.integers(0, 2**20),
    update=st.integers(0, 2**33),
    ties=st.booleans(),
    before=COUNTS,
    remove_to=COUNTS,
    grow_to=COUNTS,
)
def test_equals_the_second_implementation(
    graphs: dict[str, harness.Graph],
    form: str,
    seed: int,
    update: int,
    ties: bool,
    before: dict[str, int],
    remove_to: dict[str, int],
    grow_to: dict[str, int],
) -> None:
    capacity = CAPACITIES[form]
    kept, chosen = draw(seed, {s: max(n, 0) for s, n in before.items()}, capacity)
    state = full_state(seed, kept, ties)
    found = call(graphs[form], feeds_of(state, kept, chosen), remove_to, grow_to, seed, update)
    score = reference.scores(TENSORS, state, ALPHA, BETA, SIZES)
    stays, after = {}, {}
    for number, space in enumerate(SIZES):
        wanted = min(grow_to[space], capacity[space])
        stays[space], after[space] = reference.choose(
            kept[space], score[space], remove_to[space], wanted, seed, update, number
        )
        new = found[f"{index_name(space)}.next"]
        kept_now = np.flatnonzero(after[space])
        others = np.flatnonzero(~after[space])[: capacity[space] - len(kept_now)]
        np.testing.assert_array_equal(new, np.sort([*kept_now, *others]))
        np.testing.assert_array_equal(found[f"{live_name(space)}.next"], after[space][new])
    places = {space: found[f"{index_name(space)}.next"] for space in SIZES}
    for name in SHAPES:
        wanted_value = reference.next_value(TENSORS[name], state[name], stays, after, seed, update)
        np.testing.assert_array_equal(found[f"{name}.next"], compact(name, wanted_value, places), err_msg=name)
        carried = reference.everywhere(TENSORS[name], SHAPES[name], stays)
        for one in STATES.get(name, ()):
            np.testing.assert_array_equal(found[f"{one}.next"], compact(name, state[one] * carried, places))
        if name in WEIGHTS:
            mask = compact(name, reference.everywhere(TENSORS[name], SHAPES[name], after), places)
            np.testing.assert_array_equal(found[f"{name}.mask.next"], mask)
            np.testing.assert_array_equal(found[f"{name}.gradient_mask.next"], mask)


def test_form(graphs: dict[str, harness.Graph]) -> None:
    for form, graph in graphs.items():
        graph.check_form()
        inputs, outputs = graph.signature()
        assert inputs["remove_to"] == inputs["grow_to"] == "int64[4]"
        assert inputs["channels.a.index"] == outputs["channels.a.index.next"] == f"int64[{CAPACITIES[form]['a']}]"
        assert inputs["channels.heads.live"] == f"float[{CAPACITIES[form]['heads']}]"
        state = {
            name for name in inputs if name not in ("key", "remove_to", "grow_to") and name[-3:] not in (".g1", ".g2")
        }
        masks = {f"{name}.{mask}" for name in WEIGHTS for mask in ("mask", "gradient_mask")}
        assert set(outputs) == {f"{name}.next" for name in state | masks}
    assert graphs["folded"].signature()[0]["qkv.weight"] == "float[4,12]"
    assert graphs["folded"].signature()[0]["join.weight"] == "float[4,9,1,1]"


@pytest.mark.parametrize("form", sorted(CAPACITIES))
def test_enough_room_and_nothing_to_grow_moves_nothing_but_padding(graphs: dict[str, harness.Graph], form: str) -> None:
    kept, chosen = draw(3, dict.fromkeys(SIZES, 2), CAPACITIES[form])
    state = full_state(3, kept, ties=False)
    found = call(graphs[form], feeds_of(state, kept, chosen), SIZES, dict.fromkeys(SIZES, 0), 1, 0)
    places = {space: found[f"{index_name(space)}.next"] for space in SIZES}
    for name in SHAPES:
        np.testing.assert_array_equal(found[f"{name}.next"], compact(name, state[name], places), err_msg=name)


@given(seed=st.integers(0, 2**20), remove_to=st.integers(1, 3), grow_to=st.integers(1, 3))
def test_counts_hold_and_the_least_important_go(
    graphs: dict[str, harness.Graph], seed: int, remove_to: int, grow_to: int
) -> None:
    kept, chosen = draw(seed, CAPACITIES["folded"], CAPACITIES["folded"])
    state = full_state(seed, kept, ties=False)
    feeds = feeds_of(state, kept, chosen)
    found = call(graphs["folded"], feeds, dict.fromkeys(SIZES, remove_to), dict.fromkeys(SIZES, grow_to), seed, 0)
    score = reference.scores(TENSORS, state, ALPHA, BETA, SIZES)
    for space in SIZES:
        capacity = CAPACITIES["folded"][space]
        live = found[f"{live_name(space)}.next"]
        stayed = min(capacity, remove_to)
        assert live.sum() == min(max(stayed, grow_to), capacity)
        if grow_to > stayed:
            continue
        units = found[f"{index_name(space)}.next"][live > 0]
        gone = np.setdiff1d(np.flatnonzero(kept[space]), units)
        assert not len(gone) or score[space][gone].max() <= score[space][units].min()


def test_growth_leaves_every_weight_of_the_old_units_and_adds_no_outgoing_one(
    graphs: dict[str, harness.Graph],
) -> None:
    kept, chosen = draw(5, {"a": 2, "b": 2, "c": 2, "heads": 1}, CAPACITIES["folded"])
    state = full_state(5, kept, ties=False)
    found = call(graphs["folded"], feeds_of(state, kept, chosen), SIZES, SIZES, 4, 2)
    places = {space: found[f"{index_name(space)}.next"] for space in SIZES}
    old = {space: kept[space][places[space]] for space in SIZES}
    assert all(found[f"{live_name(space)}.next"].all() for space in SIZES)
    expand = found["expand.weight.next"]
    assert expand[~old["b"]][:, old["a"]].all()
    assert not expand[:, ~old["a"]].any()
    assert not found["fc.weight.next"].reshape(3, -1, 4)[:, ~old["c"]].any()
    assert (np.abs(expand) < np.sqrt(6 / FAN_IN["expand.weight"]) + np.abs(state["expand.weight"]).max()).all()
    np.testing.assert_array_equal(found["stem.scale.next"][~old["a"]], 1)
    np.testing.assert_array_equal(found["stem.var.next"][~old["a"]], 1)
    assert not found["stem.shift.next"][~old["a"]].any()


def test_without_gradient_masks_nothing_writes_them() -> None:
    units = {space: np.arange(size) for space, size in SIZES.items()}
    graph = harness.Graph(update_channels.build(plan(units, units), ROLES, {}, FAN_IN, 0.5, 0.0, gradient_masks=False))
    assert not any("gradient_mask" in name or "exp_avg" in name for name in graph.inputs + graph.outputs)


def test_each_update_draws_other_weights(graphs: dict[str, harness.Graph]) -> None:
    kept, chosen = draw(6, dict.fromkeys(SIZES, 2), CAPACITIES["full"])
    feeds = feeds_of(full_state(6, kept, ties=False), kept, chosen)
    drawn = [call(graphs["full"], feeds, SIZES, SIZES, *key)["stem.weight.next"] for key in ((0, 0), (0, 1), (1, 0))]
    assert len({one.tobytes() for one in drawn}) == 3
