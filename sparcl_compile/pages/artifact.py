"""The page about an artifact, or about two side by side: sparcl-inspect --html."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sparcl_compile.interface.codec import plain
from sparcl_compile.interface.manifest import Flops, Manifest
from sparcl_compile.interface.report import CompileReport, PassTrace
from sparcl_compile.pages.graphs import graphs
from sparcl_compile.pages.page import page
from sparcl_compile.passes.registry import PHASES

SCRIPTS = ("base.js", "charts.js", "graph.js", "artifact.js")
UNMASKED = "dense"


@dataclasses.dataclass(frozen=True)
class Compiled:
    """An artifact with all that its page shows.

    Attributes:
        name: in the page's headings.
        manifest: its contract.
        log: of its compilation.
        texts: by pass the file and the text of the graph after it.
        notes: what is doubtful about it.
    """

    name: str
    manifest: Manifest
    log: CompileReport
    texts: Sequence[tuple[Path, str]]
    notes: Sequence[str]


def artifact_page(shown: Sequence[Compiled]) -> str:
    """The page of one artifact, or of two.

    Raises:
        ArtifactError: the text of a graph is damaged.
    """
    title = " and ".join(one.name for one in shown)
    return page(f"{title} - sparcl-inspect", SCRIPTS, {"title": title, "subjects": [_subject(one) for one in shown]})


def _subject(one: Compiled) -> dict[str, Any]:
    manifest, options = one.manifest, one.manifest.options
    size = sum(weight.size for weight in manifest.weights) + sum(dense.size for dense in manifest.dense)
    kept = sum(weight.base for weight in manifest.weights) + sum(dense.size for dense in manifest.dense)
    return {
        "name": one.name,
        "facts": {
            "model": manifest.model.name,
            "input": " x ".join(str(length) for length in manifest.model.input_shape),
            "classes": manifest.model.classes,
            "target": options.target,
            "method": options.method,
            "sparsity": options.sparsity,
            "scheme": options.scheme,
            "mask policy": options.mask_policy,
        },
        "trained": manifest.update.trained,
        "parameters": manifest.update.parameters,
        "kept": kept,
        "size": size,
        "passes": [_pass(trace) for trace in one.log.passes],
        "graph": graphs(one.texts, one.log.passes),
        "state": [spec.name for spec in manifest.state],
        "weights": _weights(manifest),
        "flops": costs(manifest.flops),
        "memory": memory(plain(one.log.memory)),
        "notes": list(one.notes),
    }


def _pass(trace: PassTrace) -> dict[str, Any]:
    return {
        "name": trace.name,
        "phase": str(PHASES[trace.name]) if trace.name in PHASES else "",
        "ms": 1000 * trace.seconds,
        "modified": trace.modified,
        "added": dict(trace.nodes_added),
        "removed": dict(trace.nodes_removed),
        "nodes": sum(trace.ops_after.values()),
        "parameters": trace.parameters,
        "macs": trace.macs_after,
    }


def _weights(manifest: Manifest) -> list[dict[str, Any]]:
    masked = [
        {"name": one.weight, "size": one.size, "kept": one.base, "how": f"{one.scheme}, {one.stored}"}
        for one in manifest.weights
    ]
    dense = [{"name": one.weight, "size": one.size, "kept": one.size, "how": one.reason} for one in manifest.dense]
    return [*masked, *dense]


def costs(flops: Flops) -> list[dict[str, Any]]:
    """Training FLOPs of a sample, dense and sparse, by part."""
    return [{"name": name, "dense": dense, "sparse": sparse} for name, dense, sparse in flops.parts]


def memory(estimate: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The parts of the estimated memory of training in bytes, the largest first.

    Args:
        estimate: the memory of a compilation's log, as JSON-ready data.
    """
    parts = {
        "activations and gradients at the peak": estimate["peak_activation_bytes"],
        **{f"state: {role}": size for role, size in estimate["state_bytes"].items() if role != "sample"},
        "feeds and results": estimate["feed_bytes"] + estimate["result_bytes"],
    }
    ordered = sorted(parts.items(), key=lambda item: -item[1])
    return [{"name": name, "bytes": size} for name, size in ordered if size]
