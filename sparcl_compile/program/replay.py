"""The replay methods: the batches of a step that come from the buffer, and their weights in the loss."""

from collections.abc import Mapping

from sparcl_compile.interface.schedule import Replay, ReplayStep
from sparcl_compile.settings.options import CompileOptions

REPLAY_STEPS: Mapping[str, tuple[ReplayStep, ...]] = {
    "none": (),
    "er": (ReplayStep(draw=1, ce=1.0, distill=0.0),),
    "der++": (ReplayStep(draw=0, ce=0.0, distill=0.1), ReplayStep(draw=1, ce=0.5, distill=0.0)),
}
"""Micro-steps on replayed samples."""


def replay_for(options: CompileOptions) -> Replay:
    """The replay settings as the manifest holds them."""
    return Replay(
        method=options.replay,
        steps=REPLAY_STEPS[options.replay],
        merged=options.replay_batches == "merged",
        from_task=1,
    )
