"""Every pass by its name. The module of a pass is imported when the pass is asked for, not before.

Other packages add passes by entry points of the group ``sparcl_compile.passes``: ``name = "module:Class"``.
"""

import difflib
import importlib
from collections.abc import Mapping, Sequence
from importlib.metadata import EntryPoint, entry_points

from sparcl_compile.interface.errors import OptionError
from sparcl_compile.passes.core.contract import Pass
from sparcl_compile.passes.core.notation import read_options, split, unwritable
from sparcl_compile.passes.core.phases import Phase

GROUP = "sparcl_compile.passes"
FILES: Mapping[Phase, tuple[str, ...]] = {
    Phase.IMPORTING: ("fix_input", "expand_runtime_operators", "expand_ml_operators", "import_forward"),
    Phase.SPARSIFYING: (
        "mark_dense_weights",
        "freeze_parameters",
        "raise_signal",
        "insert_weight_masks",
        "scale_by_density",
        "limit_steps",
    ),
    Phase.LOWERING: (
        "fold_channels",
        "select_kernels",
        "compress_weights",
        "run_dense_on_sparse_kernels",
        "fold_fixed_norms",
        "lay_out_batch_last",
    ),
    Phase.DIFFERENTIATING: (
        "attach_loss",
        "insert_sample_filter",
        "save_batch_statistics",
        "differentiate",
        "ort_training.differentiate_by_builder",
        "pass_gradients_through",
        "insert_gradient_masks",
        "attach_optimizer",
        "prune_backward",
        "ort_training.transpose_frozen_convolutions",
        "ort_training.keep_relu_masks",
        "ort_training.replace_relu_gradients",
        "pack_relu_masks",
        "add_inside_input_gradients",
        "normalise_on_load",
        "halve_activations",
    ),
    Phase.SCHEDULING: ("order_backward", "recompute_activations"),
    Phase.UPDATING: ("compute_gradient_rows", "update_in_backward"),
    Phase.EMITTING: ("emit",),
    Phase.EXPORTING: ("freeze_state", "restore_input", "remove_idle_channels", "fuse_normalisation"),
}
"""By phase the files of its passes, in the order in which they run."""
PHASES = {file.rpartition(".")[2]: phase for phase, files in FILES.items() for file in files}
"""By name of a pass of this package its phase."""
MODULES = {
    file.rpartition(".")[2]: f"sparcl_compile.passes.{phase}.{file}" for phase, files in FILES.items() for file in files
}
"""By name of a pass of this package its module."""


def pass_names() -> list[str]:
    """The names of all passes: those of this package in their order, then those of others by name."""
    return [*MODULES, *sorted(_others().keys() - MODULES.keys())]


def pass_class(name: str) -> type[Pass]:
    """The class of a pass.

    Raises:
        OptionError: no pass has this name, or what another package calls so is none.
    """
    if name in MODULES:
        found: type[Pass] = getattr(importlib.import_module(MODULES[name]), name.title().replace("_", ""))
        return found
    others = _others()
    if name not in others:
        close = difflib.get_close_matches(name, pass_names(), 1, 0.5)
        meant = f"did you mean {close[0]}? " if close else ""
        raise OptionError(f"{name}: no such pass; {meant}give one of {', '.join(pass_names())}")
    return _loaded(others[name])


def passes_from(text: str) -> list[Pass]:
    """The passes of a list such as ``insert_weight_masks{sparsity=0.5},attach_loss``.

    Raises:
        OptionError: the text is no list, or a pass or an option is unknown or cannot be had so.
    """
    return [_made(pass_class(name), options) for name, options in split(text)]


def _made(one: type[Pass], options: Sequence[str]) -> Pass:
    if lacking := unwritable(one):
        whole = "sparcl-compile or sparcl-export"
        raise OptionError(f"{one.name}: runs inside of {whole} only, which gives it its {lacking[0]}; leave it out")
    return one(**read_options(one, options))


def _others() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=GROUP)}


def _loaded(point: EntryPoint) -> type[Pass]:
    where = f"{point.name}: the entry point {point.value}"
    try:
        found = point.load()
    except (ImportError, AttributeError) as error:
        raise OptionError(f"{where} cannot be loaded ({error}); mend or remove the package that has it") from error
    if not (isinstance(found, type) and issubclass(found, Pass) and isinstance(getattr(found, "phase", None), Phase)):
        raise OptionError(f"{where} is no pass with a phase; mend or remove the package that has it")
    if found.name != point.name:
        raise OptionError(f"{where} is the pass {found.name}; give the entry point that name")
    return found
