"""Whole runs of the reference implementation: the invariants of docs/algorithm.md, and that it learns."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from models.small import digits_cnn
from tests.reference import schedule
from tests.reference.augment import normalise
from tests.reference.config import Config, Recipe
from tests.reference.gradient_masks import gradient_mask
from tests.reference.network import MaskedNetwork
from tests.reference.steps import class_mask, part
from tests.reference.trace import Trace
from tests.reference.train import Task, evaluate, run

MASKED = ("3.weight", "6.weight")
CONFIG = Config(
    MASKED, mean=(0.5,), std=(0.5,), gradient_sparsity=0.9, epochs=4, batch_size=16, buffer_size=40, lr=0.05
)


def toy_tasks(samples: int = 96, seed: int = 0) -> list[Task]:
    """Two tasks of two classes: one bright quadrant of an 8x8 image each, under noise."""
    random = np.random.default_rng(seed)
    tasks: list[Task] = []
    for first in (0, 2):
        labels = random.integers(first, first + 2, samples)
        x = random.integers(0, 120, (samples, 1, 8, 8)).astype(np.uint8)
        for image, label in zip(x, labels, strict=True):
            row, column = divmod(int(label), 2)
            image[0, 4 * row : 4 * row + 4, 4 * column : 4 * column + 4] += 100
        tasks.append((x, labels))
    return tasks


def toy_run(config: Config, samples: int = 96) -> Trace:
    torch.manual_seed(0)
    return run(digits_cnn(8, 4), toy_tasks(samples), config)


@pytest.fixture(scope="module", params=["paper", "reference-code"])
def trace(request: pytest.FixtureRequest) -> Trace:
    return toy_run(replace(CONFIG, recipe=request.param))


def test_toy_run_learns_and_does_not_forget() -> None:
    config = replace(CONFIG, epochs=12, sparsity=0.5, gradient_sparsity=0.5, lr=0.1)
    trace = toy_run(config)
    accuracy = evaluate(trace.network, toy_tasks(seed=1), config)
    assert min(accuracy.task_il) > 90
    assert np.mean(accuracy.class_il) > 80
    untrained = MaskedNetwork(digits_cnn(8, 4), MASKED)
    assert np.mean(evaluate(untrained, toy_tasks(seed=1), config).class_il) < 60


def test_densities_are_what_the_schedule_says(trace: Trace) -> None:
    assert len(trace.mask_updates) == 9 + 10
    for snapshot in trace.mask_updates:
        for mask in snapshot.masks.values():
            counts = schedule.layer_counts(mask.size, 0.8, 0.8, "paper")
            assert mask.sum() == (counts.base if snapshot.fraction > 0 else counts.grown)


def test_mask_updates_change_the_masks(trace: Trace) -> None:
    first, last = trace.mask_updates[0].masks, trace.mask_updates[-1].masks
    assert all((first[name] != last[name]).any() for name in MASKED)


def test_masked_weights_are_zero_and_gradient_masks_lie_inside(trace: Trace) -> None:
    for name in MASKED:
        assert not trace.state[name][~trace.masks[name]].any()
        assert not (trace.gradient_masks[name] & ~trace.masks[name]).any()


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_no_weight_outside_of_the_gradient_mask_moves(momentum: float) -> None:
    """Up to the first refresh after the start the gradient mask is fixed, so those weights stand still."""
    config = replace(CONFIG, momentum=momentum, gradient_sparsity=0.9, epochs=40, max_steps=8)
    trace = toy_run(config)
    assert len(trace.refreshes) == 1
    assert not trace.mask_updates
    torch.manual_seed(0)
    before = digits_cnn(8, 4).state_dict()
    for name in MASKED:
        mask, free = trace.masks[name], trace.gradient_masks[name]
        start = before[name].numpy() * mask
        moved = trace.state[name] != start
        assert not moved[~free].any()
        assert moved[free].all()
        assert free.sum() == schedule.rounded(0.1 * mask.size) < mask.sum()


@pytest.mark.parametrize("recipe", ["paper", "reference-code"])
def test_removed_samples_are_never_seen_again(recipe: Recipe) -> None:
    trace = toy_run(replace(CONFIG, recipe=recipe, epochs=20))
    for task, keep in enumerate(trace.sample_keep):
        assert 0 < (~keep).sum() <= schedule.rounded(0.3 * 96)
        seen = np.concatenate([ids for t, ids in trace.presented if t == task])
        assert not keep[seen].all()
    assert len(trace.removals) == 2 * 4
    for step, task, keep in trace.removals:
        assert all(keep[ids].all() for t, ids in trace.presented[step:] if t == task)


def test_tasks_of_two_epochs_spare_no_sample() -> None:
    trace = toy_run(replace(CONFIG, epochs=2))
    assert len(trace.removals) == 2 * 4
    assert all(keep.all() for keep in trace.sample_keep)


def test_events_come_at_the_first_step_that_reaches_their_fraction() -> None:
    trace = toy_run(replace(CONFIG, data_removal=0))
    first = [-(-24 * tenth // 10) for tenth in range(1, 10)]
    assert [s.step for s in trace.mask_updates] == [*first, 24, *(24 + step for step in first)]


def test_gradient_masks_are_chosen_every_30_steps_and_after_mask_updates() -> None:
    trace = toy_run(replace(CONFIG, data_removal=0, batch_size=2))
    changed = {s.step for s in trace.mask_updates if s.step < trace.steps}
    due = {task * 192 + step for task in (0, 1) for step in range(0, 192, 30)}
    assert [step for step, _ in trace.refreshes] == sorted(changed | due)


def test_no_gradient_mask_is_chosen_that_has_room_for_all_that_is_kept() -> None:
    trace = toy_run(replace(CONFIG, gradient_sparsity=0.8))
    assert not trace.refreshes
    for name, mask in trace.masks.items():
        assert np.array_equal(trace.gradient_masks[name], mask)


def test_each_step_draws_anew() -> None:
    trace = toy_run(replace(CONFIG, epochs=1, data_removal=0))
    drawn = {tuple(slots.tolist()) for step in trace.drawn for slots in step}
    assert len(drawn) == 6 * 2


@pytest.mark.parametrize(("recipe", "classes"), [("paper", [0, 1]), ("reference-code", None)])
def test_first_gradient_mask_is_by_the_loss_over_the_recipes_classes(recipe: Recipe, classes: list[int] | None) -> None:
    config = replace(CONFIG, recipe=recipe, gradient_sparsity=0.95, max_steps=1, epochs=40, loss_classes="all")
    trace = toy_run(config)
    torch.manual_seed(0)
    network = MaskedNetwork(digits_cnn(8, 4), MASKED)
    for name in MASKED:
        network.masks[name] = trace.masks[name].reshape(-1)
    (x, labels), (_, ids) = toy_tasks()[0], trace.presented[0]
    batch = normalise(x[ids], config.mean, config.std)
    measured = network.measure([part(batch, labels[ids], class_mask=class_mask(4, classes), ce=1.0)])
    for name in MASKED:
        expected = gradient_mask(
            np.abs(measured[name]), network.masks[name], schedule.rounded(0.05 * measured[name].size)
        )
        assert np.array_equal(trace.gradient_masks[name].reshape(-1), expected)


def test_no_sample_comes_twice_in_an_epoch() -> None:
    trace = toy_run(replace(CONFIG, epochs=1))
    for task in (0, 1):
        ids = np.concatenate([i for t, i in trace.presented if t == task])
        assert len(set(ids.tolist())) == len(ids)


def test_runs_repeat_exactly_and_seeds_differ() -> None:
    config = replace(CONFIG, epochs=1)
    one, two, other = (toy_run(c) for c in (config, config, replace(config, seed=1)))
    assert one.losses == two.losses
    assert all(np.array_equal(one.state[name], two.state[name]) for name in one.state)
    assert one.losses != other.losses


def test_replay_begins_with_the_second_task_and_fills_from_the_first() -> None:
    trace = toy_run(replace(CONFIG, epochs=1, data_removal=0))
    assert [len(parts) for parts in trace.micro_losses] == [1] * 6 + [3] * 6
    assert trace.buffer.seen == 2 * 96
    assert set(trace.buffer.labels.tolist()) == {0, 1, 2, 3}


@pytest.mark.parametrize(
    ("replay", "batches", "count"), [("er", "separate", 2), ("er", "merged", 1), ("finetune", "merged", 1)]
)
def test_micro_steps_of_the_replay_settings(replay: str, batches: str, count: int) -> None:
    config = replace(CONFIG, epochs=1, max_steps=8, replay=replay, replay_batches=batches)  # type: ignore[arg-type]
    trace = toy_run(config)
    assert [len(parts) for parts in trace.micro_losses[6:]] == [count] * 2
    assert trace.steps == 8


def test_dense_run_equals_plain_pytorch() -> None:
    """Without masks, removal and replay the loop is SGD with momentum and weight decay over the order."""
    dense = replace(CONFIG, sparsity=0, gradient_sparsity=0, data_removal=0, replay="finetune")
    config = replace(dense, epochs=2, momentum=0.9, weight_decay=1e-3)
    trace = toy_run(config)
    torch.manual_seed(0)
    model = digits_cnn(8, 4)
    sgd = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, weight_decay=1e-3)
    tasks = toy_tasks()
    for task, ids in trace.presented:
        x = torch.from_numpy((tasks[task][0][ids].astype(np.float32) / 255 - 0.5) / 0.5)
        sgd.zero_grad()
        torch.nn.functional.cross_entropy(model(x), torch.from_numpy(tasks[task][1][ids])).backward()  # type: ignore[no-untyped-call]
        sgd.step()
    for name, value in model.state_dict().items():
        np.testing.assert_allclose(trace.state[name], value.numpy(), rtol=1e-4, atol=1e-6)


def test_measuring_leaves_the_state_alone() -> None:
    torch.manual_seed(0)
    network = MaskedNetwork(digits_cnn(8, 4), MASKED)
    before = network.state()
    p = part(np.ones((4, 1, 8, 8), np.float32), np.arange(4), class_mask=class_mask(4, None), ce=1.0)
    assert any(g.any() for g in network.measure([p]).values())
    assert all(np.array_equal(before[name], value) for name, value in network.state().items())
    assert not any(g.any() for g in network.measure([]).values())


def test_measured_gradients_add_up() -> None:
    torch.manual_seed(0)
    network = MaskedNetwork(digits_cnn(8, 4), MASKED)
    every, x = class_mask(4, None), np.random.default_rng(0).random((8, 1, 8, 8), np.float32)
    parts = [part(x[i : i + 4], np.arange(4), class_mask=every, ce=1.0) for i in (0, 4)]
    both, first, second = (network.measure(p) for p in (parts, parts[:1], parts[1:]))
    for name in MASKED:
        np.testing.assert_allclose(both[name], first[name] + second[name], rtol=1e-4, atol=1e-7)


def test_touched_weights_and_momenta_start_at_zero() -> None:
    network = MaskedNetwork(digits_cnn(8, 4), MASKED)
    optimizer = torch.optim.SGD(network.module.parameters(), lr=0.1, momentum=0.9)
    network.accumulate([part(np.ones((4, 1, 8, 8), np.float32), np.arange(4), class_mask=class_mask(4, None), ce=1.0)])
    optimizer.step()
    weight = network.weights["3.weight"]
    mask, touched = (np.zeros(weight.numel(), dtype=bool) for _ in range(2))
    touched[5] = True
    network.set_mask("3.weight", mask, touched, optimizer)
    momentum = optimizer.state[weight]["momentum_buffer"].flatten()
    assert network.weight("3.weight")[5] == momentum[5] == 0
    assert network.weight("3.weight")[4] != 0
    assert momentum.count_nonzero() > 1


def test_other_tasks_classes_learn_nothing_from_a_task_only_loss() -> None:
    """The classifier's rows of the second task keep their fresh values through the first."""
    torch.manual_seed(0)
    fresh = digits_cnn(8, 4).state_dict()["11.weight"].numpy()
    for classes, stands in (("task", True), ("all", False)):
        config = replace(CONFIG, epochs=1, max_steps=4, loss_classes=classes)  # type: ignore[arg-type]
        trained = toy_run(config).state["11.weight"]
        assert np.array_equal(trained[2:], fresh[2:]) == stands
        assert not np.array_equal(trained[:2], fresh[:2])


def test_fewer_samples_than_a_batch_make_one_step() -> None:
    trace = toy_run(replace(CONFIG, epochs=2, data_removal=0, batch_size=64), samples=10)
    assert [len(ids) for _, ids in trace.presented] == [10] * 4
