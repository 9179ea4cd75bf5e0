"""Operations of iCaRL: the choice of exemplars at the end of a task, and the answer by the nearest of their means."""

from sparcl_compile.graphs.exemplars import SAMPLE_FEATURES, SAMPLE_LABELS, SUMS
from sparcl_compile.graphs.recorded import SAMPLE_OUTPUTS
from sparcl_compile.interface.program import Block, Count, Each, Gather, Reset, Rows, Run, Set, Slice, Source
from sparcl_compile.program.batches import CURRENT, standardised
from sparcl_compile.program.fixed import CHUNK
from sparcl_compile.program.parts import Parts
from sparcl_compile.program.remembering import LEARNED, recorded, seen_classes

OLD = "old"
"""Prefix of the values of samples in the buffer."""
OF_NEW = 1.0
"""Weight of the mean loss of new samples."""
OF_BATCH: dict[str, Source] = {"classes": f"{CURRENT}.classes"}
OF_TASK: dict[str, Source] = {"classes": f"{LEARNED}.classes"}


def exemplar_parts(weight: float) -> Parts:
    """Return what iCaRL adds to a program in which the mean loss of exemplars has this weight."""
    recall = Run("recall", take=CURRENT, give=CURRENT)
    chosen = (*seen_classes(), *_described(), *_chosen(), *_summed())
    return Parts(
        begin_task=(Reset((SAMPLE_FEATURES, SAMPLE_LABELS)), *recorded(SAMPLE_OUTPUTS)),
        current=(recall, _targets(CURRENT, f"{CURRENT}.outputs", OF_NEW)),
        replayed=lambda name: (_targets(name, f"{name}.distill_target", weight),),
        end_task=chosen,
        answered=lambda name: (Run("features", take=name, give=name), Run("nearest_mean", take=name, give=name)),
    )


def _targets(batch: str, outputs: str, weight: float) -> Run:
    return Run("sigmoid_targets", take=batch, feeds={"outputs": outputs, "distill": weight, **OF_BATCH}, give=batch)


def _described() -> Block:
    """Return the features of all samples of the task."""
    some = (
        standardised(LEARNED),
        Run("features", take=LEARNED, give=LEARNED),
        Run("record_features", take=LEARNED, feeds={"first": "described"}),
        Count("described", rows=f"{LEARNED}.labels"),
    )
    return (Set("described", 0), Rows("train", CHUNK, LEARNED, some))


def _chosen() -> Block:
    """Return the reduction of older exemplars, and the choice of new ones, class by class."""
    pick = (
        Run("herd", feeds={"label": "label"}),
        Gather(rows="row", give="picked"),
        Run("place_exemplar", take="picked", feeds={"x": "picked.raw", "pick": "pick"}),
    )
    begin = Run("begin_herding", feeds={"member": "member", **OF_TASK})
    each = Each("member", "last_member", (begin, Each("pick", "last_pick", pick)))
    return (Run("reduce_exemplars", feeds=OF_TASK), each)


def _summed() -> Block:
    """Return the sums of all exemplars' features by class, and what the network says of them now."""
    some = (
        Slice(vector="slots", position="walked", count="chunk", end="filled", give=f"{OLD}.slot"),
        Run("buffer_rows", take=OLD, give=OLD, results={"x": f"{OLD}.raw"}),
        standardised(OLD),
        Run("features", take=OLD, give=OLD),
        Run("renew_outputs", take=OLD),
        Run("add_means", take=OLD),
    )
    walk = Each("part", "last_chunk", some)
    return (Reset((SUMS,)), Run("buffer_slots"), Set("walked", 0), Set("chunk", CHUNK), walk)
