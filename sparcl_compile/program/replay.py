"""The replay methods: the batches of a step that come from the buffer, and their weights in the loss."""

from collections.abc import Mapping

from sparcl_compile.settings.options import CompileOptions

REPLAY_STEPS: Mapping[str, tuple[dict[str, object], ...]] = {
    "none": (),
    "er": ({"draw": 1, "ce": 1.0, "distill": 0.0},),
    "der++": ({"draw": 0, "ce": 0.0, "distill": 0.1}, {"draw": 1, "ce": 0.5, "distill": 0.0}),
}
"""Micro-steps on replayed samples: draw number, weight of the mean cross-entropy and of the mean distillation."""


def replay_for(options: CompileOptions) -> dict[str, object]:
    """The replay settings as the manifest holds them."""
    return {
        "method": options.replay,
        "steps": list(REPLAY_STEPS[options.replay]),
        "merged": options.replay_batches == "merged",
        "from_task": 1,
    }
