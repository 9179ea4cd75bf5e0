"""More threads than cores: the same bits, whatever the order in which the system lets them run.

Nothing here hangs on the clock; `make sanitize` runs every op under the thread sanitizer besides.
"""

import threading

import numpy as np
import pytest

from tests.runtime.kernels.sparse import BLOCK, Array, Case, blocked_weight, one_op, random_weight, session
from tests.runtime.kernels.test_blocks import INPUTS, OPS, compute, feeds

THREADS = 8
CASES = [
    Case(1, 40, 40, 16, 16),
    Case(8, 24, 50, 20, 20, strides=(2, 2)),
    Case(32, 48, 33, 12, 12),
    Case(17, 9, 8, 30, 7),
]


@pytest.mark.parametrize("op", OPS)
@pytest.mark.parametrize("block", [1, BLOCK])
@pytest.mark.parametrize("case", CASES)
def test_eight_threads_change_no_bit(op: str, block: int, case: Case) -> None:
    found = feeds(case, random_weight(case) if block == 1 else blocked_weight(case))
    alone = compute(op, case, found, threads=1, block=block)
    for _ in range(3):
        assert np.array_equal(compute(op, case, found, threads=THREADS, block=block), alone)


def test_sessions_that_run_at_once_share_no_scratch() -> None:
    """Four callers of sessions of eight threads each, whose scratch memory comes from the same slots."""
    case = CASES[2]
    found = feeds(case, random_weight(case))
    given = {name: found[name] for name in INPUTS["SparseConv"]}
    model = one_op("SparseConv", list(given), ["out"], channels=case.channels, **case.attributes)
    alone = session(model, 1).run(None, given)[0]
    results: list[Array] = []

    def call() -> None:
        own = session(model, THREADS)
        results.extend(own.run(None, given)[0] for _ in range(5))

    callers = [threading.Thread(target=call) for _ in range(4)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert len(results) == 20
    assert all(np.array_equal(one, alone) for one in results)
