"""The guides of the commands: which options belong together, and examples."""

from collections.abc import Mapping

from sparcl_compile.cli.help import Guide

OUTPUT = "Printing"
LOUD = ("quiet", "verbose")
END = (*LOUD, "version", "help")

COMPILE = Guide(
    topics={
        "Model and artifact": ("output", "target", "classes", "logits", "input-shape", "init", "seed", "ort-format"),
        "What is sparse": (
            "sparsity",
            "scheme",
            "distribution",
            "dense",
            "gradient-sparsity",
            "gradient-scheme",
            "data-removal",
            "mask-policy",
            "growth",
            "first-mask",
            "recipe",
        ),
        "How it learns": (
            "method",
            "replay-batches",
            "logit-weight",
            "label-weight",
            "loss-classes",
            "optimizer",
            "momentum",
            "weight-decay",
            "rate-decay",
            "step-limit",
            "scaling",
        ),
        "What trains": ("freeze", "update"),
        "Speed and memory": (
            "compress",
            "select-kernels",
            "measure-kernels",
            "activations",
            "fold",
            "recompute",
            "batch-size",
        ),
        "Looking at the passes": ("dump-passes", "dump-after", "print-after", "check-passes"),
        OUTPUT: ("json", *END),
    },
    examples={
        "sparcl-compile model.onnx": "an artifact at sparsity 0.8 in model.sparcl",
        "sparcl-compile model.onnx --sparsity 0.9 --compress": "only a tenth of the weights stored, sparse kernels",
        "sparcl-compile model.onnx --scheme channel": "whole channels: faster on any ONNX Runtime",
        "sparcl-compile model.onnx --classes 12 --update last:1": "a new head, and the backbone frozen",
    },
    first="sparcl-compile turns an ONNX classifier into an artifact that learns new classes with sparse weights.",
)
RUN = Guide(
    topics={
        "Data": ("data", "tasks", "class-order-seed", "augment", "normalise"),
        "Training": ("epochs", "batch-size", "buffer", "lr", "seed", "threads"),
        "State": ("checkpoint", "resume"),
        "Results": ("json", "report", "beside", "log-dir"),
        OUTPUT: END,
    },
    examples={
        "sparcl-run model.sparcl --data digits": "five tasks of the digits that come with scikit-learn",
        "sparcl-run model.sparcl --data folder:photos --tasks 4,3,3": "your photos, a folder a class",
        "sparcl-run model.sparcl --data digits --resume": "go on after an interruption",
        "sparcl-run model.sparcl --data digits --report run.html --log-dir logs": "a page to look at, and curves",
    },
    first="sparcl-run lets a compiled artifact learn a stream of tasks, and measures what it keeps.",
)
INSPECT = Guide(
    topics={
        "What is shown": ("after", "diff", "html", "beside"),
        OUTPUT: ("json", *END),
    },
    examples={
        "sparcl-inspect model.sparcl": "the passes, the weights and the costs",
        "sparcl-inspect model.sparcl --after differentiate": "the graph after a pass",
        "sparcl-inspect model.sparcl --html model.html": "a page with every graph as a picture",
        "sparcl-inspect model.sparcl --html two.html --beside other.sparcl": "two artifacts side by side",
        "sparcl-inspect model.onnx": "a model that is not compiled yet",
    },
    first="sparcl-inspect shows the passes of an artifact, the graph after each, and what each one changed.",
)
EXPORT = Guide(
    topics={
        "Model": ("output", "checkpoint", "initial", "batch", "ort-format"),
        OUTPUT: ("json", *END),
    },
    examples={
        "sparcl-export model.sparcl": "the learned model as model.learned.onnx",
        "sparcl-export model.sparcl --batch 1 -o small.onnx": "for a device that takes one sample at a time",
    },
    first="sparcl-export gives the learned model as plain ONNX, for inference anywhere.",
)
OPT = Guide(
    topics={
        "Passes": ("passes", "list", "output"),
        OUTPUT: END,
    },
    examples={
        "sparcl-opt model.onnx --list": "the passes with their options",
        "sparcl-opt model.onnx -p 'import_forward,mark_dense_weights,insert_weight_masks{sparsity=0.5}'": "masks",
    },
    first="sparcl-opt runs single passes on an ONNX model, on what an earlier call wrote, or on a dump.",
)
BENCH = Guide(
    topics={
        "Runs": ("output", "cores", "threads", "dask"),
        "Results": ("so-far", "plots"),
        OUTPUT: END,
    },
    examples={
        "sparcl-bench grid.toml": "learn the grid, or what is left of it",
        "sparcl-bench grid.toml --cores 8 --plots": "eight cores, and pictures",
        "sparcl-bench grid.toml --so-far": "the table of what is there, also while the grid is being learned",
    },
    first="sparcl-bench learns a grid of runs from a TOML file and prints its table.",
)
DOCTOR = Guide(
    topics={
        "Help": ("completion",),
        OUTPUT: ("json", *END),
    },
    examples={
        "sparcl-doctor": "what is installed, and how to get what is missing",
        'eval "$(sparcl-doctor --completion bash)"': "complete options with the tabulator; for ~/.bashrc",
    },
    first="sparcl-doctor prints what is installed and what is missing.",
)
GUIDES: Mapping[str, Guide] = {
    "compile": COMPILE,
    "run": RUN,
    "inspect": INSPECT,
    "export": EXPORT,
    "opt": OPT,
    "bench": BENCH,
    "doctor": DOCTOR,
}
"""By command, without ``sparcl-``."""
