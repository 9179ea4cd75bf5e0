"""The target of ``sparcl-export``: a plain model for inference."""

from collections.abc import Mapping, Sequence

import numpy as np

from sparcl_compile.passes.core.contract import Pass
from sparcl_compile.passes.exporting.freeze_state import FreezeState
from sparcl_compile.passes.exporting.fuse_normalisation import FuseNormalisation
from sparcl_compile.passes.exporting.remove_idle_channels import RemoveIdleChannels


def export_passes(state: Mapping[str, np.ndarray]) -> Sequence[Pass]:
    """What turns an artifact's evaluation graph and learned state into a plain model for inference."""
    return (FreezeState(state), RemoveIdleChannels(), FuseNormalisation())
