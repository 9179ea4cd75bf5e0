"""The target of ``sparcl-export``: a plain model for inference."""

from collections.abc import Mapping

import numpy as np

from sparcl_compile.passes.core.contract import Pass
from sparcl_compile.passes.core.phases import Phase
from sparcl_compile.passes.exporting.freeze_state import FreezeState
from sparcl_compile.passes.exporting.fuse_normalisation import FuseNormalisation
from sparcl_compile.passes.exporting.remove_idle_channels import RemoveIdleChannels
from sparcl_compile.targets.steps import Steps

STEPS: Steps = {Phase.EXPORTING: (FreezeState, RemoveIdleChannels, FuseNormalisation)}


def make(one: type[Pass], state: Mapping[str, np.ndarray]) -> Pass:
    """Make a pass of the target from the learned state."""
    return FreezeState(state) if one is FreezeState else one()
