"""The hand-made training step is one: it goes down the slope of its loss."""

import numpy as np
import pytest

from tests.runtime.kernels.arm64.training_step import OUTPUTS, PARAMETERS, feeds, training_step
from tests.runtime.kernels.sparse import Array, session


@pytest.mark.parametrize("name", PARAMETERS)
def test_the_update_is_the_slope_of_the_loss(name: str) -> None:
    step, found = session(training_step()), feeds(16, 0.3, 0)
    found["mid_mask"][:] = 1
    results = dict(zip(OUTPUTS, step.run(None, found), strict=True))
    gradient = (found[name] - results[f"next_{name}"]) / found["rate"]
    length = np.linalg.norm(gradient)

    def loss(distance: float) -> float:
        moved = found[name] + distance * gradient / length
        return float(step.run(["loss"], {**found, name: moved.astype(np.float32)})[0])

    # Float32 losses, and rectifiers that switch on the way.
    assert (loss(0.01) - loss(-0.01)) / 0.02 == pytest.approx(length, rel=0.03)


def test_the_step_learns_its_batch_but_for_what_is_masked() -> None:
    step, found = session(training_step()), feeds(16, 0.3, 0)
    still, first, losses = found["mid_mask"] == 0, found["mid_values"], []
    for _ in range(40):
        results: dict[str, Array] = dict(zip(OUTPUTS, step.run(None, found), strict=True))
        losses.append(float(results.pop("loss")))
        found |= {name.removeprefix("next_"): value for name, value in results.items()}
    assert losses[-1] < losses[0] / 4
    assert np.array_equal(found["mid_values"] == first, still)
