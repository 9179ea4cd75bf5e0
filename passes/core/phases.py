"""The phases of a compilation, in the order in which they run. Each is a folder of this package."""

import enum


class Phase(enum.Enum):
    """A phase of a compilation. Its value says in one sentence what it does; its text is its folder's name."""

    IMPORTING = "Any ONNX classifier becomes the one forward graph that every later pass works on."
    SPARSIFYING = "It is decided what trains, and the weights get their masks."
    LOWERING = "Masks become smaller tensors or sparse operators, and the graph takes the form that is differentiated."
    DIFFERENTIATING = "The graph gets a loss, a backward pass and an optimizer."
    SCHEDULING = "The backward pass gets its order, and what is cheaper to compute again is not kept."
    UPDATING = "Only the chosen gradients are computed, and the parameters move where that can be done at once."
    EMITTING = "The finished graphs and the first state become files."
    EXPORTING = "An evaluation graph and a learned state become a plain model for inference."

    def __str__(self) -> str:
        return self.name.lower()


def phase_named(text: str) -> Phase | None:
    """The phase whose text this is, or None."""
    return next((phase for phase in Phase if str(phase) == text), None)
