import dataclasses

import numpy as np
import pytest

from sparcl_compile.bench.churn import kept_of, moved
from sparcl_compile.interface.specs import WeightSpec
from tests.support.described import weight

WEIGHT = weight("w", (2, 3), base=2, updated=2)


def state(*kept: int) -> dict[str, np.ndarray]:
    mask = np.zeros(6, np.float32)
    mask[list(kept)] = 1
    return {"w.mask": mask.reshape(2, 3)}


@pytest.mark.parametrize(
    ("first", "last", "share"),
    [((0, 1), (0, 1), 0.0), ((0, 1), (1, 2), 0.5), ((0, 1), (3, 4, 5), 1.0), ((0,), (), 0.0)],
)
def test_the_share_that_came(first: tuple[int, ...], last: tuple[int, ...], share: float) -> None:
    assert moved([WEIGHT], state(*first), state(*last)) == {"w": share}


def test_a_mask_that_begins_whole_has_only_lost_weights() -> None:
    assert moved([WEIGHT], {}, state(3)) == {"w": 0.0}


def test_compressed_weights_have_their_live_places() -> None:
    compressed: WeightSpec = dataclasses.replace(WEIGHT, mask=None, index="w.index", rows="w.rows")
    arrays = {"w.index": np.array([1, 4, 0], np.int32), "w.rows": np.array([0, 1, 2], np.int32)}
    assert np.flatnonzero(kept_of(compressed, arrays)).tolist() == [1, 4]
