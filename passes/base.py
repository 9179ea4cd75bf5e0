"""What every pass shares: the pass class, roles of state values, provenance of inserted nodes."""

import dataclasses
import enum
import re
from collections.abc import Iterator

import onnx_ir as ir

OPSET = 18
IR_VERSION = 10

ROLE_KEY = "sparcl.role"
DENSE_KEY = "sparcl.dense"
PASS_KEY = "sparcl.pass"


class Role(enum.StrEnum):
    """What a state tensor is for; see docs/interfaces.md."""

    PARAMETER = "parameter"
    MASK = "mask"
    GRADIENT_MASK = "gradient_mask"
    RUNNING_STAT = "running_stat"
    GRADIENT = "gradient"
    OPTIMIZER = "optimizer"
    SAMPLE = "sample"


@dataclasses.dataclass(frozen=True)
class Pass(ir.passes.InPlacePass):
    """A pass over a model, with its options as frozen fields.

    Subclasses implement ``call(model) -> ir.passes.PassResult``, change the model in place, report
    ``modified`` honestly and do nothing on a second run.
    """

    @property
    def name(self) -> str:
        """The pass's name in snake case: the same as its file's."""
        return re.sub(r"(?<!^)(?=[A-Z])", "_", type(self).__name__).lower()

    def __str__(self) -> str:
        return self.name

    def node(self, op_type: str, inputs: list[ir.Value | None], **kwargs: object) -> ir.Node:
        """Make a node (arguments as ``ir.node``) that carries this pass's name as its origin."""
        node = ir.node(op_type, inputs, **kwargs)  # type: ignore[arg-type]
        return self.tag(node)

    def tag(self, node: ir.Node) -> ir.Node:
        """Mark a node as made by this pass."""
        node.metadata_props[PASS_KEY] = self.name
        return node


def role_of(value: ir.Value) -> Role | None:
    """The role of a state value, or None for any other value."""
    text = value.metadata_props.get(ROLE_KEY)
    return Role(text) if text else None


def set_role(value: ir.Value, role: Role) -> ir.Value:
    """Mark a value as state of this role and return it."""
    value.metadata_props[ROLE_KEY] = str(role)
    return value


def values_with_role(model: ir.Model, role: Role) -> Iterator[ir.Value]:
    """All initializers and graph inputs of one role, in graph order."""
    graph = model.graph
    seen: set[str | None] = set()
    for value in (*graph.initializers.values(), *graph.inputs):
        if value.name not in seen and role_of(value) is role:
            seen.add(value.name)
            yield value


def dims(value: ir.Value) -> list[int]:
    """The static shape of a value; raises ValueError when a dimension is symbolic or unknown."""
    if value.shape is None or not all(isinstance(d, int) for d in value.shape):
        raise ValueError(f"value {value.name} has no static shape: {value.shape}")
    return [int(d) for d in value.shape]  # type: ignore[arg-type]
