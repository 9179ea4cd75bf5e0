"""The contract of every pass: its phase, its preconditions, its nodes."""

import dataclasses
import re
from typing import Any, ClassVar

import onnx_ir as ir

from sparcl_compile.interface.errors import FieldError, PassOrderError
from sparcl_compile.passes.core.facts import Fact
from sparcl_compile.passes.core.insert import Inserter
from sparcl_compile.passes.core.marks import PASS_KEY
from sparcl_compile.passes.core.notation import written
from sparcl_compile.passes.core.phases import Phase

OPSET = 18
IR_VERSION = 10
PRODUCER = "sparcl-compile"
"""The producer in every graph that this project writes."""
CONSTANTS = "constants"
"""Key in the metadata of an exported file: the names of what was not learned, a line each."""


class OutOfOrder(PassOrderError, ir.passes.PreconditionError):
    """A user's mistake for the commands, and what onnx-ir expects of a precondition."""


@dataclasses.dataclass(frozen=True)
class Pass(ir.passes.InPlacePass):
    """A pass over a model, with its options as frozen fields.

    Subclasses implement ``call(model) -> ir.passes.PassResult``, change the model in place, report
    ``modified`` honestly and do nothing on a second run. To run a pass, call the pass and not its ``call``: its needs
    are then checked before it, and what it gives behind it.

    Attributes:
        name: the pass's name in snake case: the same as its file's.
        phase: when it runs: the same as its folder's.
        needs: what must be true of a graph for the pass to run.
        before: what must not be true of it yet.
        gives: what is true of it afterwards, whatever the options are.
    """

    name: ClassVar[str]
    phase: ClassVar[Phase]
    needs: ClassVar[tuple[Fact, ...]] = ()
    before: ClassVar[tuple[Fact, ...]] = ()
    gives: ClassVar[tuple[Fact, ...]] = ()

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.name = re.sub(r"(?<!^)(?=[A-Z])", "_", cls.__name__).lower()

    def __str__(self) -> str:
        """The pass as sparcl-opt reads it: its name, and in braces the options that are not their defaults."""
        return written(self)

    def __call__(self, model_or_result: ir.Model | ir.passes.PassResult, /) -> ir.passes.PassResult:
        """Run the pass; a complaint about a field gets the pass's name."""
        try:
            return super().__call__(model_or_result)
        except FieldError as error:
            error.made_by = self.name
            raise

    def requires(self, model: ir.Model) -> None:
        """Check that the pass may run.

        Every phase but the first writes nodes of opset 18, which mean something else, or nothing, in another opset.

        Raises:
            PassOrderError: what it needs is missing, or what must come after it is there. The message is one line with
                the pass, the fact and the pass that the fact is from.
        """
        late = next((fact for fact in self.before if fact.holds(model)), None)
        if late:
            raise OutOfOrder(f"{self.name}: the graph {late.has} already; run {self.name} before {late.by}")
        missing = next((fact for fact in self.needs if not fact.holds(model)), None)
        if missing:
            raise OutOfOrder(f"{self.name}: the graph {missing.lacks}; run {missing.by} before it")
        version = model.opset_imports.get("", OPSET)
        if self.phase is not Phase.IMPORTING and version != OPSET:
            raise OutOfOrder(f"{self.name}: the graph is of opset {version}, not {OPSET}; run import_forward before it")

    def ensures(self, model: ir.Model) -> None:
        """Check that the pass did what it is for; raises onnx-ir's PostconditionError, which is a bug of the pass."""
        missing = next((fact for fact in self.gives if not fact.holds(model)), None)
        if missing:
            raise ir.passes.PostconditionError(f"the graph {missing.lacks} after {self}")

    def inserter(self, graph: ir.Graph) -> Inserter:
        """Make an inserter of this pass's nodes; its place is the end of the graph until another is chosen."""
        return Inserter(self.name, graph)

    def tag(self, node: ir.Node) -> ir.Node:
        """Mark a node as made by this pass."""
        node.metadata_props[PASS_KEY] = self.name
        return node
