"""The navigation of the site: every page of docs/ once, under what a reader asks for."""

from collections.abc import Iterator, Mapping

NAV: Mapping[str, object] = {
    "Home": {
        "Start": "index.md",
        "Questions": "questions.md",
        "README": "readme.md",
        "Changes": "changelog.md",
    },
    "Tutorials": {
        "Your own photos": "tutorials/photos.md",
        "A sensor": "tutorials/sensor.md",
        "From PyTorch to a phone": "tutorials/pytorch.md",
        "From Keras to a phone": "tutorials/keras.md",
        "From scikit-learn to a phone": "tutorials/scikit-learn.md",
        "Onto a phone": "tutorials/phone.md",
    },
    "Use": {
        "The commands": "cli.md",
        "Exporting a model": "exporting.md",
        "Data": "data.md",
        "Looking at artifacts and runs": "looking.md",
        "Methods": "methods.md",
        "Grids of runs": "bench.md",
        "The learned model": "deploying.md",
        "Results": "results.md",
        "Speed and memory": "speed.md",
        "Security": "security.md",
    },
    "On a device": {
        "Learning inside an app": "learner.md",
        "Java and Android": "learner-java.md",
        "JavaScript": "javascript.md",
        "Where an artifact runs": "portability.md",
        "Example in Python": "examples/python.md",
        "Example in a browser": "examples/web.md",
        "Example on Android": "examples/android.md",
    },
    "How it works": {
        "The algorithm": "algorithm.md",
        "How the defaults were chosen": "defaults.md",
        "The passes": "passes.md",
        "The passes, one by one": "pass-reference.md",
        "Gradients": "gradients.md",
        "The kernel library": "kernels.md",
        "FLOPs": "flops.md",
        "Glossary": "glossary.md",
    },
    "Contract": {
        "Interfaces": "interfaces.md",
        "The manifest": "contract.md",
        "Conformance kit": "conformance.md",
    },
    "Decisions": {
        "Why": "decisions/index.md",
        "Gradients of our own": "decisions/gradients.md",
        "Programs": "decisions/programs.md",
        "Batch last": "decisions/batch-last.md",
        "Exchanges": "decisions/exchanges.md",
        "Hash for random numbers": "decisions/hash.md",
        "Standard operators": "decisions/standard-operators.md",
        "Masks first": "decisions/masks-first.md",
        "A graph for every number": "decisions/graphs.md",
    },
    "Join": {
        "Contributing": "contributing.md",
        "A first change": "joining.md",
        "What stays": "stability.md",
        "Reporting a hole": "security-policy.md",
    },
}
"""Titles to pages, or to titles of a part."""


def titles(nav: Mapping[str, object] = NAV) -> dict[str, str]:
    """The pages with their titles."""
    return dict(_pairs(nav))


def _pairs(nav: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    for title, content in nav.items():
        if isinstance(content, str):
            yield content, title
        elif isinstance(content, Mapping):
            yield from _pairs(content)
