"""Names: every node has one, every value has one of its own."""

import re

import onnx_ir as ir

from sparcl_compile.passes.core.edit import Names
from sparcl_compile.passes.core.values import all_values

ORIGIN = "import_forward"
"""Name of the pass that the nodes of the import carry."""


def name_nodes(graph: ir.Graph) -> bool:
    """Give nameless nodes a name from their operator and place, and repeated names a number."""
    taken: set[str] = set()
    changed = False
    for index, node in enumerate(graph):
        name = node.name or f"{node.op_type}_{index}"
        number = 0
        while name in taken:
            number += 1
            name = f"{node.name or node.op_type}_{index}_{number}"
        taken.add(name)
        changed |= name != node.name
        node.name = name
    return changed


ENDINGS = (
    ".next",
    ".mask",
    ".masked",
    ".gradient_mask",
    ".gradient_rows",
    ".index",
    ".rows",
    ".live",
    ".g1",
    ".g2",
    ".momentum",
    ".exp_avg",
    ".exp_avg_sq",
    ".batch_last",
    ".sparse",
    ".values",
    ".saved_mean",
    ".saved_inv_std",
    ".saved_factor",
    ".saved_offset",
    "_grad",
    ".bf16",
)
"""Endings with a meaning in artifacts, or in the names that passes make from those of weights and nodes."""
GRADIENT = re.compile(r"_Grad/|_grad\b|_grad_\d+$|_grad\.accumulation\b")
"""Parts of names that ONNX Runtime's gradient builder makes from others."""
BEGINNINGS = (
    *("loss.", "rows.axis_", "rows.nowhere_", "rows.numbers_", "saved_mean_def", "saved_inv_std"),
    *("accumulate.axes_", "accumulate.keep", "gradient.filled_", "gradient.ints_", "gradient.number_"),
    *("gradient.inside_", "gradient.reverse_", "unit_"),
    "statistics.number_",
)
"""Beginnings of the names of values that passes and the gradient builder insert."""
OWN = frozenset(
    """
    accumulate.is_further accuracy.class accuracy.task all_parameters backward_transfer batch broken buffer.labels
    buffer.logits buffer.seen buffer.x ce ce_weight class_il class_mask class_mean classes count data.count
    data.mean data.squares data.std data.sum distill distill_target distill_weight done epoch.loss epoch.steps
    every_place.flat filter.ce_weight filter.correct_change filter.counted filter.equal filter.first_learned
    filter.forgotten filter.hit filter.index filter.is_current filter.is_replay filter.keep filter.keep_replay
    filter.kept filter.last_correct filter.miss filter.not_learned filter.one filter.prediction
    filter.sample_correct_delta filter.sample_learned_delta filter.sample_score_delta filter.was_learned filter.zero
    finite first_index forgetting gradient_overall gradient_per_layer grow_to in_task keep key labels
    layout.ints_1_2 lazy_reset_grad learning_accuracy learning_rate length loss losses mean new_order new_position
    of one_step order overall own_mask paper_dense paper_sparse per_layer position raw relu.ratio relu.training
    relu.zero remove_to removed removed_now removed_total rows.one_more sample_correct sample_id sample_keep
    sample_learned sample_score sample_seen samples samples_measured samples_replayed samples_seen score.correct
    score.seen share slot steps steps_begun task task_backward_transfer task_forgetting task_il
    task_learning_accuracy task_mean task_step true_dense true_sparse x_ready
    """.split()  # noqa: SIM905 - eighty quoted names would be harder to read
)
"""Inputs, state and results of the graphs of an artifact, and single values that passes insert."""


def is_reserved(name: str) -> bool:
    """Whether a pass, or a graph of the artifact, may use a name for something of its own."""
    return name in OWN or name.startswith(BEGINNINGS) or name.endswith(ENDINGS) or bool(GRADIENT.search(name))


def unique_names(graph: ir.Graph) -> None:
    """Rename values of the file that later passes would mistake for their own."""
    names = Names(graph)
    for value in all_values(graph):
        if value.name and is_reserved(value.name):
            value.name = names.fresh(f"{value.name}.{'weight' if value.is_initializer() else 'value'}")
