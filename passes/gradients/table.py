"""The table of all rules, and those of other packages.

Other packages add rules by entry points of the group ``sparcl_compile.gradients``: ``OPERATOR = "module:rule"``, or
``DOMAIN.OPERATOR`` for an operator of another domain than ONNX's.
"""

import functools
from collections.abc import Mapping
from importlib.metadata import entry_points

import onnx_ir as ir

from sparcl_compile.interface.errors import OptionError
from sparcl_compile.passes.core.operators import SPARSE_DOMAIN
from sparcl_compile.passes.gradients import (
    arithmetic,
    convolutions,
    movement,
    normalisations,
    pooling,
    products,
    recurrent,
    reductions,
    sparse,
)
from sparcl_compile.passes.gradients.gradient import Rule

GROUP = "sparcl_compile.gradients"
FAMILIES = (arithmetic, convolutions, movement, normalisations, pooling, products, recurrent, reductions)
RULES: Mapping[tuple[str, str], Rule] = {
    **{("", op_type): rule for family in FAMILIES for op_type, rule in family.RULES.items()},
    **{(SPARSE_DOMAIN, op_type): rule for op_type, rule in sparse.RULES.items()},
}
"""By domain and operator its rule."""
STOPS = frozenset(
    """
    And ArgMax ArgMin Ceil Equal Floor Greater GreaterOrEqual IsInf IsNaN Less LessOrEqual NonZero Not OneHot Or Round
    Shape Sign Size
    """.split()  # noqa: SIM905 - twenty quoted names would be harder to read
)
"""Operators whose results carry no gradient: it is 0 wherever there is one."""


def rule_for(node: ir.Node) -> Rule | None:
    """The rule of a node's operator, that of another package first; None where there is none."""
    key = (node.domain, node.op_type)
    return _others().get(key) or RULES.get(key)


@functools.cache
def _others() -> Mapping[tuple[str, str], Rule]:
    found = {}
    for point in entry_points(group=GROUP):
        domain, _, op_type = point.name.rpartition(".")
        try:
            rule = point.load()
        except (ImportError, AttributeError) as error:
            where = f"{point.name}: the entry point {point.value}"
            raise OptionError(f"{where} cannot be loaded ({error}); mend or remove the package that has it") from error
        found[domain, op_type] = rule
    return found
