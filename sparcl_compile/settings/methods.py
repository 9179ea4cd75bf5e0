"""The methods of continual learning as data: what a step trains on beside the task's own samples, and what it keeps."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Literal, cast

from sparcl_compile.interface.errors import FieldError
from sparcl_compile.interface.options import AUTO, LossClasses, Options, ReplayClasses, SomeOptions
from sparcl_compile.interface.ranges import check_choice


@dataclasses.dataclass(frozen=True)
class ReplayBatch:
    """One batch of a step that is drawn from the buffer.

    Attributes:
        draw: number of the draw: batches of one step with different numbers hold different samples.
        ce: weight of the mean cross-entropy.
        distill: weight of the mean distance to the stored logits.
    """

    draw: int
    ce: float
    distill: float


@dataclasses.dataclass(frozen=True)
class Replay:
    """What a step draws from the buffer; one graph makes all of its batches.

    Attributes:
        batches: of a step.
        classes: those that take part in the cross-entropy of the batches.
    """

    batches: tuple[ReplayBatch, ...] = ()
    classes: ReplayClasses = "all"


@dataclasses.dataclass(frozen=True)
class Method:
    """A method of continual learning (docs/methods.md).

    Attributes:
        name: the name that ``--method`` gives it.
        source: where it was published.
        replay: what a step draws from the buffer.
        current: the classes in the loss of the current batch.
        distance: of logits from a target, a name of ``passes/differentiating/distances.py``.
        recalls: weight of the mean distance, for the current batch, to what the network gave before the task.
        penalty: strength of the pull back to where earlier tasks left the parameters, by what they matter; 0 for none.
        forgets: what is left, when a task ends, of how much parameters mattered for those before it.
        projects: whether a step's gradient is turned so that the loss of the replayed batch does not rise.
        packs: whether each task keeps some of the weights for itself, which later ones leave as they are.
        train: whether an epoch goes through the samples of the task, or of all tasks so far.
        fills: when the buffer is filled: with the presentations of every step, or when a task is over with all of its
            samples or with exemplars of each class, by whose means the run then answers.
    """

    name: str
    source: str
    replay: Replay = Replay()
    current: LossClasses = ""
    distance: str = "logits"
    recalls: float = 0.0
    penalty: float = 0.0
    forgets: float = 1.0
    projects: bool = False
    packs: bool = False
    train: Literal["task", "seen"] = "task"
    fills: Literal["steps", "end", "exemplars"] = "steps"

    @property
    def in_apps(self) -> bool:
        """Whether an app's learner can have it: earlier samples are gone there, and a new one does not say its task."""
        return self.train == "task" and not self.packs

    @property
    def targets_labels(self) -> bool:
        """Whether labels are part of the targets and no cross-entropy is learned, so that no class mask is read by it.

        The removal of samples reads it: it counts the errors among the classes that the mask leaves.
        """
        return self.fills == "exemplars"

    @property
    def balances(self) -> bool:
        """Whether the classes of its loss can be balanced: the labels that are replayed are part of it."""
        return not self.current and not self.projects and any(batch.ce for batch in self.replay.batches)

    @property
    def changes_gradients(self) -> bool:
        """Whether something happens to the gradients of a step before the parameters move."""
        return self.projects or self.packs or self.penalty > 0.0


DEFAULTS = Options()
LOSS_CLASSES: tuple[LossClasses, ...] = ("all", "task", "balanced")
"""The values of ``--loss-classes``."""
LABELS = ReplayBatch(draw=1, ce=1.0, distill=0.0)
"""Experience replay's batch: the mean cross-entropy of its labels."""

_ALL = (
    Method("finetune", "the step of the current batch and nothing else"),
    Method("joint", "the upper bound: nothing is forgotten, because nothing is left out", train="seen"),
    Method("er", "Chaudhry et al., On Tiny Episodic Memories in Continual Learning, 2019", Replay((LABELS,))),
    Method(
        "er-ace",
        "Caccia et al., New Insights on Reducing Abrupt Representation Change, ICLR 2022, section 4",
        Replay((LABELS,), classes="seen"),
        current="batch",
    ),
    Method(
        "lwf",
        "Li and Hoiem, Learning without Forgetting, ECCV 2016, equations 2 and 3",
        current="task",
        distance="softened",
        recalls=1.0,
    ),
    Method(
        "ewc",
        "Kirkpatrick et al., PNAS 2017, equation 3, in the online form of Schwarz et al., ICML 2018, section 3.2",
        penalty=1000.0,
        forgets=1.0,
    ),
    Method(
        "packnet",
        "Mallya and Lazebnik, PackNet, CVPR 2018, section 3",
        current="task",
        packs=True,
    ),
    Method(
        "a-gem",
        "Chaudhry et al., Efficient Lifelong Learning with A-GEM, ICLR 2019, equation 11",
        Replay((LABELS,)),
        projects=True,
    ),
    Method(
        "fdr",
        "Benjamin et al., Measuring and Regularizing Networks in Function Space, ICLR 2019, section 2",
        Replay((ReplayBatch(draw=0, ce=0.0, distill=0.3),)),
        distance="outputs",
        fills="end",
    ),
    Method(
        "icarl",
        "Rebuffi et al., iCaRL, CVPR 2017, algorithms 1 to 5",
        Replay((ReplayBatch(draw=1, ce=0.0, distill=1.0),)),
        distance="sigmoid",
        fills="exemplars",
    ),
    Method("der", "Buzzega et al., NeurIPS 2020, equation 5", Replay((ReplayBatch(draw=0, ce=0.0, distill=0.3),))),
    Method(
        "der++",
        "Buzzega et al., NeurIPS 2020, equation 6",
        Replay((ReplayBatch(draw=0, ce=0.0, distill=0.2), LABELS)),
    ),
)
METHODS: Mapping[str, Method] = {method.name: method for method in _ALL}
"""The methods by name."""


def method_of(options: Options) -> Method:
    """The method that the options name, under the weights that they give to its replay batches."""
    method = METHODS[options.method]
    balanced = method.replay.classes == "all" and loss_classes_of(options) == "balanced"
    batches = tuple(_weighted(batch, options) for batch in method.replay.batches)
    return dataclasses.replace(method, replay=Replay(batches, "balanced" if balanced else method.replay.classes))


def _weighted(batch: ReplayBatch, options: Options) -> ReplayBatch:
    ce = options.label_weight if batch.ce and options.label_weight is not None else batch.ce
    distill = options.logit_weight if batch.distill and options.logit_weight is not None else batch.distill
    return dataclasses.replace(batch, ce=ce, distill=distill)


NOT_REPLAYED, DIRECTION = "replays no such batch", "reads the direction of the replayed gradient alone"
"""Why a weight of replayed samples would weigh nothing."""


def check_method(options: Options) -> None:
    """Raise FieldError for a method that does not fit the other options."""
    check_choice("method", options.method, METHODS)
    method = METHODS[options.method]
    if options.loss_classes is not None:
        check_choice("loss_classes", options.loss_classes, LOSS_CLASSES)
    batches = method.replay.batches
    no_logits = "" if any(batch.distill for batch in batches) else NOT_REPLAYED
    no_labels = "" if any(batch.ce for batch in batches) else NOT_REPLAYED
    _check_weight("logit_weight", options.logit_weight, options.method, no_logits)
    _check_weight("label_weight", options.label_weight, options.method, DIRECTION if method.projects else no_labels)
    for applies, problem, mend in _refused(options, method):
        if applies:
            raise FieldError("method", options.method, problem, mend)
    for field, unread, problem in _idle(options, method):
        if unread and getattr(options, field) != getattr(DEFAULTS, field):
            raise FieldError(field, getattr(options, field), f"changes nothing, {problem}", "leave it out")


def _check_weight(field: str, value: float | None, method: str, nothing: str) -> None:
    """Refuse a weight that is not above 0, or of a term that the method's replay does not have or does not weigh.

    Args:
        field: the option.
        value: the weight; None for the method's own.
        method: its name.
        nothing: why the weight would weigh nothing; empty where it does.
    """
    if value is None:
        return
    if nothing:
        raise FieldError(field, value, f"weighs nothing, `method` {method} {nothing}", "leave it out")
    if not 0.0 < value < math.inf:
        raise FieldError(field, value, mend="give a number above 0, for example 0.5")


def _refused(options: Options, method: Method) -> Sequence[tuple[bool, str, str]]:
    """Combinations that mean nothing: whether it is here, the problem and the mend."""
    merged = options.replay_batches == "merged"
    return (
        (method.projects and merged, "compares the gradients of two batches, which `replay_batches` merged adds up",
         "give `replay_batches` separate"),
        (method.packs and options.sparsity > 0.0, "prunes by itself, task by task",
         "give `sparsity` 0 and `gradient_sparsity` 0"),
        (method.packs and options.masks_gradients, "chooses by itself what trains", "give `gradient_sparsity` 0"),
        (method.packs and options.weight_decay > 0.0, "leaves the weights of earlier tasks as they are",
         "leave `weight_decay` out"),
        (method.penalty > 0.0 and options.compress, "holds weights in their places, and `compress` moves them",
         "leave `compress` out"),
        (options.loss_classes == "balanced" and not method.balances and not method.current,
         "has no replayed labels in its loss, by which `loss_classes` balanced weighs old classes",
         "leave `loss_classes` out"),
        (method.penalty > 0.0 and options.scheme == "channel" and options.sparsity > 0.0,
         "holds weights in their places, and `scheme` channel moves them", "give another `scheme`"),
    )  # fmt: skip


def _idle(options: Options, method: Method) -> Sequence[tuple[str, bool, str]]:
    """Options that a method leaves no effect, whatever their value: the field, whether that is so here, and why."""
    name, merged = f"`method` {method.name}", options.replay_batches == "merged"
    return (
        ("replay_batches", merged and not method.replay.batches, f"{name} replays no batch"),
        ("loss_classes", bool(method.current), f"{name} says by itself which classes are in the loss"),
        ("loss_classes", method.targets_labels and options.data_removal == 0.0,
         f"{name} says by itself which classes are in the loss, and with `data_removal` 0 nothing else reads them"),
    )  # fmt: skip


def loss_classes_of(options: Options) -> LossClasses:
    """The classes in the loss of the current batch: the method's, or those of the options.

    A user who names none has balanced ones where the method can (docs/defaults.md, Balanced classes).
    """
    method = METHODS[options.method]
    named = cast("LossClasses | None", options.loss_classes)  # check_method has seen its value
    return method.current or named or ("balanced" if method.balances else "all")


def replayed_labels(options: Options) -> float:
    """The weight of the mean cross-entropy of all replayed samples of a step."""
    return sum(batch.ce for batch in method_of(options).replay.batches)


def settled(options: SomeOptions, shares_statistics: bool) -> SomeOptions:
    """Return the options with a way to replay: the user's, or else the one that suits the model.

    Merged batches are normalised together. Those of separate batches are not what the model is asked about later: a
    task of two classes normalises its own by statistics that no other class shares, which costs up to 11 points where
    tasks are short (docs/defaults.md, Separate and merged batches). Where no statistics are shared the two compute
    the same, and separate ones hold the activations of one batch at a time.

    Args:
        options: as the user gave them.
        shares_statistics: whether samples of a batch share statistics that training takes: BatchNormalization's.
    """
    if options.replay_batches != AUTO:
        return options
    method = METHODS[options.method]
    merges = shares_statistics and bool(method.replay.batches) and not method.projects
    return dataclasses.replace(options, replay_batches="merged" if merges else "separate")


def batch_samples(options: Options) -> int:
    """The samples that a training step of the graphs computes with at once, of steps of ``batch_size`` new ones."""
    merged = options.replay_batches == "merged"
    return options.batch_size * (1 + len(method_of(options).replay.batches) if merged else 1)


def accumulates(options: Options) -> bool:
    """Whether gradients are stored before the parameters move."""
    return stores_between_batches(options) or method_of(options).changes_gradients


def stores_between_batches(options: Options) -> bool:
    """Whether the gradients of several batches make one step."""
    return bool(method_of(options).replay.batches) and options.replay_batches != "merged"
