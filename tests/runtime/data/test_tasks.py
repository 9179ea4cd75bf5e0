"""Classes dealt out to tasks, and data that do or do not fit a model."""

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from sparcl_compile.interface.errors import DataError, FieldError
from sparcl_compile.interface.manifest import Layout, Model
from sparcl_compile.runtime.data.dataset import Dataset, build
from sparcl_compile.runtime.data.fitting import check_augment
from sparcl_compile.runtime.data.tasks import LEARNED, Task, check_fits, check_tasks, split_classes
from tests.reference.hashing import class_order


def made(classes: int, shape: tuple[int, int, int] = (1, 1, 1), samples: int = 2) -> Dataset:
    """Samples whose first value is their index, classes in turn."""
    y = np.arange(classes * samples) % classes
    x = np.zeros((len(y), *shape), np.float32)
    x[:, 0, 0, 0] = np.arange(len(y))
    return build("npz:some.npz", (x, y), (x[::-1], y[::-1]))


@given(classes=st.integers(1, 12), data=st.data(), seed=st.none() | st.integers(0, 2**32 - 1))
def test_tasks_partition_classes_and_samples(classes: int, data: st.DataObject, seed: int | None) -> None:
    count = data.draw(st.integers(1, classes))
    dataset = made(classes)
    order = None if seed is None else class_order(classes, seed)
    check_tasks(dataset, count)
    tasks = split_classes(dataset, count, order)
    sizes = [len(task.classes) for task in tasks]
    assert len(tasks) == count
    assert sizes == sorted(sizes, reverse=True)
    assert max(sizes) - min(sizes) <= 1
    assert [label for task in tasks for label in task.classes] == (order or list(range(classes)))
    for task in tasks:
        assert set(task.y_train) == set(task.y_test) == set(task.classes)
        np.testing.assert_array_equal(task.x_train[:, 0, 0, 0] % classes, task.y_train)
        np.testing.assert_array_equal(task.x_test[:, 0, 0, 0] % classes, task.y_test)
    assert sorted(float(x) for task in tasks for x in task.x_train[:, 0, 0, 0]) == list(range(2 * classes))


def test_samples_keep_their_order() -> None:
    first = split_classes(made(4, samples=3), 2)[0]
    np.testing.assert_array_equal(first.x_train[:, 0, 0, 0], [0, 1, 4, 5, 8, 9])
    np.testing.assert_array_equal(first.x_test[:, 0, 0, 0], [9, 8, 5, 4, 1, 0])


def test_earlier_tasks_get_the_odd_classes() -> None:
    assert [task.classes for task in split_classes(made(8), 3)] == [(0, 1, 2), (3, 4, 5), (6, 7)]


@pytest.mark.parametrize("tasks", [(4, 3, 1), (1, 1, 1, 5), (8,)])
def test_tasks_of_given_numbers_of_classes(tasks: tuple[int, ...]) -> None:
    dataset = made(8)
    check_tasks(dataset, tasks)
    found = split_classes(dataset, tasks)
    assert tuple(len(task.classes) for task in found) == tasks
    assert [label for task in found for label in task.classes] == list(range(8))


@pytest.mark.parametrize(("tasks", "given", "total"), [((4, 3), "4,3", 7), ((9,), "9", 9), ((4, 3, 2), "4,3,2", 9)])
def test_numbers_that_are_not_those_of_the_data_are_refused(tasks: tuple[int, ...], given: str, total: int) -> None:
    told = rf"^`tasks` {given}: npz:some\.npz has 8 classes, these are {total}; give numbers that add up to 8"
    with pytest.raises(FieldError, match=told):
        check_tasks(made(8), tasks)


@pytest.mark.parametrize("tasks", [-1, 0, 4, 100])
def test_a_number_of_tasks_that_does_not_fit_is_refused(tasks: int) -> None:
    with pytest.raises(FieldError, match=rf"^`tasks` {tasks}: npz:some\.npz has 3 classes; give a number from 1 to 3"):
        check_tasks(made(3), tasks)


@pytest.mark.parametrize(
    ("shape", "taken", "layout"),
    [
        ((3, 5, 4), (3, 5, 4), "NCHW"),
        ((3, 5, 4), [3, 5, 4], "NCHW"),
        ((3, 5, 4), (5, 4, 3), "NHWC"),
        ((3, 5, 4), (60,), "flat"),
        ((3, 3, 3), (3, 3, 3), "NCHW"),
        ((7, 1, 1), (7,), "flat"),
        ((7, 1, 1), (7, 1, 1), "NCHW"),
        ((1, 8, 8), (8, 8, 1), "NHWC"),
        ((3, 5, 4), (3, None, None), "NCHW"),
        ((3, 9, 1), (3, 9), "NCT"),
        ((3, 9, 1), (9, 3), "NTC"),
        ((3, 9, 1), (None, 3), "NTC"),
        ((3, 10, 4), (3, 2, 5, 4), "NCDHW"),
        ((3, 10, 4), (3, None, 5, 4), "NCDHW"),
        ((3, 10, 4), (2, 5, 4, 3), "NDHWC"),
    ],
)
def test_layouts_are_found(shape: tuple[int, int, int], taken: tuple[int, ...], layout: str) -> None:
    assert check_fits(made(2, shape), taken, 2) == layout


@pytest.mark.parametrize(
    ("taken", "message"),
    [
        (
            (3, 32, 32),
            r"takes 3x32x32, npz:some\.npz gives 1x8x6: give data of 3x32x32, or compile a model that takes 1x8x6",
        ),
        ((1, 6, 8), "takes 1x6x8, .* gives 1x8x6: the axes agree but for their order, so transpose the data to 1x6x8"),
        ((2, 24), "takes 2x24, .* gives 1x8x6: the sizes agree, so reshape the data to 2x24"),
        ((6, 8), "takes 6x8, .* so transpose the data to 6x8"),
        ((3, None, None), "takes 3xanyxany, .* give data of 3xanyxany"),
        ((47,), "takes 47, .* gives 1x8x6"),
        ((8, 6), "takes 8x6, .* reshape the data"),
        ((), "gives 1x8x6"),
    ],
)
def test_other_shapes_are_refused(taken: tuple[int, ...], message: str) -> None:
    with pytest.raises(DataError, match=message):
        check_fits(made(2, (1, 8, 6)), taken, 2)


def test_a_head_may_be_larger_than_the_data() -> None:
    assert check_fits(made(3), (1,), 10) == "flat"


def test_a_smaller_head_is_refused() -> None:
    with pytest.raises(DataError, match=r"has 3 classes, the model's head 2; .*sparcl-compile --classes 3"):
        check_fits(made(3), (1,), 2)


@pytest.mark.parametrize(
    ("layout", "own", "other"),
    [
        ("NCHW", "crop_flip", "jitter_shift_scale"),
        ("flat", "crop_flip", "jitter_shift_scale"),
        ("NCT", "jitter_shift_scale", "crop_flip"),
        ("NTC", "jitter_shift_scale", "crop_flip"),
    ],
)
def test_an_augmentation_suits_the_samples(layout: Layout, own: str, other: str) -> None:
    model = Model("m", "m.onnx", "0" * 64, (3, 20), layout, 2, "logits", 10)
    for wanted in ("auto", "none", own):
        check_augment(wanted, model)
    with pytest.raises(FieldError, match=f"`augment` {other}: does not suit .* {layout}; give auto, none or {own}"):
        check_augment(other, model)
    with pytest.raises(FieldError, match=f"`augment` blur: give auto, none or {own}"):
        check_augment("blur", model)


def test_tasks_with_all_that_was_seen() -> None:
    """The training samples of earlier tasks come first, each task's in its own order; what is tested stays."""
    samples = {label: (np.full((2, 1, 1, 1), label), np.full(2, label)) for label in (3, 1, 2)}
    tasks = [Task((label,), *both, *both) for label, both in samples.items()]
    seen = LEARNED["seen"](tasks)
    assert len(seen) == 3
    for number, task in enumerate(seen):
        wanted = [3, 3, 1, 1, 2, 2][: 2 * number + 2]
        assert task.y_train.tolist() == task.x_train[:, 0, 0, 0].tolist() == wanted
        assert task.classes == (3, 1, 2)[: number + 1]
        assert task.y_test.tolist() == task.x_test[:, 0, 0, 0].tolist() == tasks[number].y_test.tolist()
    assert [task.classes for task in seen[1:]] == [(3, 1), (3, 1, 2)]
    assert LEARNED["task"](tasks) is tasks
