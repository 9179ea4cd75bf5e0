"""A hand-made plan with every kind of axis: chains, depthwise, concatenation, heads, flattening, a whole classifier."""

import numpy as np

from sparcl_compile.interface.channels import Segment
from sparcl_compile.interface.names import Role
from sparcl_compile.passes.analysis.channels.plan import ChannelPlan
from sparcl_compile.passes.analysis.channels.spaces import Axes, Channels, Space, kept_elements
from tests.reference.channels import Tensor, Unit

SIZES = {"a": 5, "b": 4, "c": 6, "heads": 3}


def plain(space: str) -> tuple[Segment, ...]:
    return (Segment(0, space, SIZES[space]),)


JOINED = (Segment(0, "a", 5), Segment(5, None, 3), Segment(8, "b", 4))
HEADS = (Segment(0, "heads", 3, outer=3, inner=2),)
FLAT = (Segment(0, "c", 6, outer=1, inner=4),)

SHAPES: dict[str, tuple[int, ...]] = {
    "stem.weight": (5, 2, 3, 3),
    "stem.scale": (5,),
    "stem.shift": (5,),
    "stem.mean": (5,),
    "stem.var": (5,),
    "depthwise.weight": (5, 1, 3, 3),
    "expand.weight": (4, 5, 1, 1),
    "residual.weight": (5, 5, 3, 3),
    "join.weight": (6, 12, 1, 1),
    "qkv.weight": (6, 18),
    "qkv.bias": (18,),
    "fc.weight": (3, 24),
    "position": (1, 7, 6),
    "gate": (6, 4),
}
AXES: dict[str, Axes] = {
    **{f"stem.{part}": {0: plain("a")} for part in ("weight", "scale", "shift", "mean", "var")},
    "depthwise.weight": {0: plain("a")},
    "expand.weight": {0: plain("b"), 1: plain("a")},
    "residual.weight": {0: plain("a"), 1: plain("a")},
    "join.weight": {0: plain("c"), 1: JOINED},
    "qkv.weight": {0: plain("c"), 1: HEADS},
    "qkv.bias": {0: HEADS},
    "fc.weight": {1: FLAT},
    "position": {2: plain("c")},
    "gate": {0: plain("c"), 1: plain("b")},
}
WEIGHTS = tuple(name for name in SHAPES if name.endswith(".weight"))
PRODUCED = {name: 0 for name in WEIGHTS} | {"qkv.weight": 1}
FILLS = {"stem.scale": 1.0, "stem.var": 1.0, "gate": 1.0, "stem.shift": 0.0, "stem.mean": 0.0, "qkv.bias": 0.0}
FAN_IN = {"stem.weight": 18, "depthwise.weight": 9, "expand.weight": 3, "residual.weight": 27, "join.weight": 8}
FAN_IN["qkv.weight"] = 4
STATES = {name: (f"{name}.exp_avg", f"{name}.exp_avg_sq") for name in ("stem.scale", "join.weight", "position")}
ROLES = {name: Role.RUNNING_STAT if name in ("stem.mean", "stem.var") else Role.PARAMETER for name in SHAPES}
CHANNELS = Channels(tuple(Space(*item) for item in SIZES.items()), AXES, PRODUCED, FILLS, ())


def plan(kept: dict[str, np.ndarray], chosen: dict[str, np.ndarray]) -> ChannelPlan:
    return ChannelPlan(CHANNELS, WEIGHTS, SHAPES, kept, chosen)


def compact(name: str, value: np.ndarray, chosen: dict[str, np.ndarray]) -> np.ndarray:
    """The stored part of a full tensor on ``SHAPES``' axes; a mask or a state has its weight's axes."""
    for axis, segments in AXES[name].items():
        value = np.take(value, kept_elements(segments, chosen), axis)
    return value


def _units(segments: tuple[Segment, ...]) -> list[Unit]:
    made: list[Unit] = []
    for one in segments:
        for place in range(one.length):
            unit = place // one.inner % one.units
            made.append(None if one.space is None else (one.space, unit))
    return made


def tensors() -> dict[str, Tensor]:
    """The same for the second implementation."""
    return {
        name: Tensor(
            units={axis: _units(segments) for axis, segments in axes.items()},
            number=WEIGHTS.index(name) if name in WEIGHTS else None,
            produced=PRODUCED[name] if name in WEIGHTS and PRODUCED[name] in axes else None,
            fan_in=FAN_IN.get(name, 0),
            fill=FILLS.get(name, 0.0),
        )
        for name, axes in AXES.items()
    }
