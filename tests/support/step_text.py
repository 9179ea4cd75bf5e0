"""The text of what the steps of all programs have, for the golden tests of programs."""

import textwrap

from sparcl_compile.interface.program import Program
from tests.support.program_text import text

CURRENT = """
slice order at position, batch until length, as current.sample_id
gather current.sample_id as current
when augment:
  crop_flip(x=current.raw, key=[seed, step, 0]) -> x_ready as current.x
else:
  standardise(x=current.raw) -> x_ready as current.x
batch(current.*) -> current.*
"""
COUNTED = """
step += 1
count += 1
task_step += 1
done += 1
samples_seen += rows of current.labels
"""
STORED = "write_buffer(key=[seed, 0, 0], x=current.raw, labels=current.labels, logits=trained0.logits) -> stored.*"
FINITE = """
when finite:
else:
  fail 'the loss became {}' of loss
"""
OPTIMIZER = "optimizer(learning_rate=learning_rate, count=count, task_step=task_step)"


def block_of(*parts: str) -> str:
    """The text of several parts, one behind the other."""
    return "\n".join(part.strip("\n") for part in parts)


def drawn(number: int, draw: int, ce: float, distill: float) -> str:
    """A replay batch, as it stands below a condition."""
    return f"""
  replay_batch(key=[seed, step, {draw}], batch=batch, ce={ce}, distill={distill}) -> replay{number}.*, \
x as replay{number}.raw
  when augment:
    crop_flip(x=replay{number}.raw, key=[seed, step, {draw + 1}]) -> x_ready as replay{number}.x
  else:
    standardise(x=replay{number}.raw) -> x_ready as replay{number}.x
"""


def trained(*batches: str, indent: str = "  ") -> str:
    """The micro-steps on these batches."""
    rates = "learning_rate=learning_rate, count=count, task_step=task_step"
    runs = [
        f"{indent}train({batch}.*, lazy_reset_grad={int(not number)}, {rates}) -> trained{number}.*"
        for number, batch in enumerate(batches)
    ]
    losses = ", ".join(f"trained{number}.loss" for number in range(len(batches)))
    return "\n".join([*runs, f"{indent}check_loss(losses=[{losses}])"])


def check(made: Program, block: str, wanted: str) -> None:
    """Compare a block of a program with its text."""
    assert text(made.blocks[block]).splitlines() == textwrap.dedent(wanted).strip().splitlines()
