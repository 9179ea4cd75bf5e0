"""How far the masks of a run have moved."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from sparcl_compile.interface.artifact import Artifact
from sparcl_compile.interface.specs import WeightSpec
from sparcl_compile.runtime import checkpoint as checkpoints
from sparcl_compile.runtime.session.tensors import stored

CHANNEL = "channel"


def churn(artifact: Artifact, run: Path) -> dict[str, float]:
    """The share of the weights kept at the end of a run that its first masks did not keep, by masked weight.

    Channels are left out: a weight that stays with its channel has not moved.

    Args:
        artifact: the compiled model, with the first masks.
        run: the folder of the run's state.

    Raises:
        CheckpointError: there is no such run.
    """
    weights = [weight for weight in artifact.manifest.weights if weight.scheme != CHANNEL]
    if not weights:
        return {}
    first = dict(stored(artifact.folder / artifact.manifest.state_file))
    return moved(weights, first, checkpoints.read_run(run, artifact).arrays)


def moved(
    weights: Sequence[WeightSpec], first: Mapping[str, np.ndarray], last: Mapping[str, np.ndarray]
) -> dict[str, float]:
    """The share of the kept weights that came since, by weight; 0 where no weight is kept."""
    kept = {weight.weight: (kept_of(weight, first), kept_of(weight, last)) for weight in weights}
    return {name: float(np.mean(~before[after])) if after.any() else 0.0 for name, (before, after) in kept.items()}


def kept_of(weight: WeightSpec, state: Mapping[str, np.ndarray]) -> np.ndarray:
    """The flags of the kept weights, bool [n], in the order in which they are stored.

    A mask that is not in the state begins with all weights.
    """
    flags = np.ones(weight.size, bool)
    if weight.mask is not None:
        return state[weight.mask].reshape(-1) > 0 if weight.mask in state else flags
    flags[:] = False
    live = int(state[str(weight.rows)][-1])
    flags[state[str(weight.index)][:live]] = True
    return flags
