"""The masks of a run as flags, and as small pictures."""

import base64
import io
from collections.abc import Mapping, Sequence

import numpy as np

from sparcl_compile.interface.channels import SpaceSpec
from sparcl_compile.interface.manifest import Manifest
from sparcl_compile.interface.specs import WeightSpec

CHANNEL = "channel"
HEIGHT, WIDTH = 96, 192
"""The most cells of a picture; those of a larger mask show the share that is kept."""


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


def kept_units(space: SpaceSpec, state: Mapping[str, np.ndarray]) -> np.ndarray:
    """The flags of the kept channels of a space, bool [size]."""
    index, live = (state[f"channels.{space.name}.{part}"] for part in ("index", "live"))
    flags = np.zeros(space.size, bool)
    flags[index[live > 0]] = True
    return flags


def masks_of(manifest: Manifest, state: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Every mask of a run, bool in the full shape: by weight, or by space where channels come and go.

    Args:
        manifest: of the artifact.
        state: the tensors of the run by name.
    """
    spaces = manifest.channels.spaces if manifest.channels else ()
    single = [one for one in manifest.weights if one.scheme != CHANNEL]
    channels = {f"channels of {one.name}": kept_units(one, state) for one in spaces}
    return channels | {one.weight: kept_of(one, state).reshape(one.shape) for one in single}


def png(kept: np.ndarray) -> str:
    """A mask as a PNG in base64: a row an output channel, black where everything is kept, clear where nothing is."""
    from PIL import Image

    rows = kept.reshape(kept.shape[0], -1) if kept.ndim > 1 else kept.reshape(1, -1)
    shares = _shrunk(rows)
    pixels = np.zeros((*shares.shape, 2), np.uint8)  # grey and opacity
    pixels[..., 1] = np.rint(255 * shares)
    file = io.BytesIO()
    Image.fromarray(pixels, "LA").save(file, "PNG", optimize=True)
    return base64.b64encode(file.getvalue()).decode()


def _shrunk(rows: np.ndarray) -> np.ndarray:
    """The mean of each cell of a grid over a matrix, float [at most HEIGHT, at most WIDTH]."""
    found = rows.astype(np.float64)
    for axis, most in enumerate((HEIGHT, WIDTH)):
        starts = _starts(found.shape[axis], most)
        lengths = np.diff([*starts, found.shape[axis]]).reshape([-1, 1] if axis == 0 else [1, -1])
        found = np.add.reduceat(found, starts, axis=axis) / lengths
    return found


def _starts(length: int, most: int) -> Sequence[int]:
    cells = min(length, most)
    return [length * cell // cells for cell in range(cells)]
