"""The target of ``sparcl-export``: a plain model for inference."""

from collections.abc import Mapping

import numpy as np

from sparcl_compile.passes.core.contract import Pass
from sparcl_compile.passes.core.phases import Phase
from sparcl_compile.passes.exporting.freeze_state import FreezeState
from sparcl_compile.passes.exporting.fuse_normalisation import FuseNormalisation
from sparcl_compile.passes.exporting.remove_idle_channels import RemoveIdleChannels
from sparcl_compile.passes.exporting.restore_input import RestoreInput
from sparcl_compile.targets.steps import Steps

STEPS: Steps = {Phase.EXPORTING: (FreezeState, RestoreInput, RemoveIdleChannels, FuseNormalisation)}


def make(one: type[Pass], state: Mapping[str, np.ndarray], input_type: str = "float32") -> Pass:
    """Make a pass of the target from the learned state and the type that the exported model's input is to have."""
    if one is RestoreInput:
        return RestoreInput(input_type)
    return FreezeState(state) if one is FreezeState else one()
