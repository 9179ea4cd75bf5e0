"""The FLOPs that the SparCL paper prints (arXiv 2209.09476), from the graphs of models/resnet.py alone."""

import functools
import math
import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import onnx_ir as ir
import pytest

from models.export import export
from models.resnet import masked_weights, resnet18
from sparcl_compile.costs import flops as cost
from sparcl_compile.interface.manifest import Flops


@dataclass(frozen=True)
class Stream:
    """A data set: its images' side, classes, training samples, epochs a task, and the unit of the paper's FLOPs."""

    side: int
    classes: int
    samples: int
    epochs: int
    unit: float

    @property
    def presented(self) -> int:
        """Presentations of current samples."""
        return self.samples * self.epochs


STREAMS = {
    "Split CIFAR-10": Stream(32, 10, 50_000, 50, 1e15),
    "Split Tiny-ImageNet": Stream(64, 200, 100_000, 100, 1e16),
}
REPLAYS = {"none": 0, "ER": 1, "DER++": 2}
"""Batches from the buffer beside each current one, all of one size."""
DENSE = {
    ("Split CIFAR-10", "none"): 8.3,
    ("Split CIFAR-10", "ER"): 11.1,
    ("Split CIFAR-10", "DER++"): 13.9,
    ("Split Tiny-ImageNet", "none"): 13.3,
    ("Split Tiny-ImageNet", "ER"): 17.8,
    ("Split Tiny-ImageNet", "DER++"): 22.2,
}
SPARSE = {0.75: (0.80, 2.5), 0.90: (0.90, 1.1), 0.95: (0.95, 0.6)}
"""SparCL-DER++ on Split CIFAR-10 by sparsity: the gradient sparsity, and the paper's number in 1e15."""
REMOVED = 0.075 * (0.9 + 0.8 + 0.7 + 0.6)
"""The share of presentations that fall away when 30 % go in four equal stages, at 0.1 to 0.4 of a task."""


@pytest.fixture(scope="module")
def graphs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, ir.Model]:
    """ResNet-18 of width 64 for both data sets; costs read their shapes alone."""
    made = {}
    for name, stream in STREAMS.items():
        path = tmp_path_factory.mktemp("resnet18") / "model.onnx"
        export(resnet18(classes=stream.classes), (3, stream.side, stream.side), path)
        made[name] = ir.load(path)
    return made


def per_sample(graph: ir.Model, density: float, gradient_density: float, masked: Collection[str] | None) -> Flops:
    """The FLOPs of one sample, with masks on these weights, or on all."""
    costs = cost.layer_costs(graph)
    names = [str(one.weight) for one in costs if masked is None or one.weight in masked]
    shares = (dict.fromkeys(names, density), dict.fromkeys(names, gradient_density))
    return cost.to_manifest(cost.training_flops(costs, *shares))


def by_the_paper(sample: Flops, presented: float, batches: int) -> float:
    """Forward and backward for a current sample, the forward pass alone for one from the buffer."""
    return presented * (sample.training_sparse + batches * sample.forward_sparse)


def truly(sample: Flops, presented: float, batches: int) -> float:
    """Forward and backward for every sample."""
    return presented * (1 + batches) * sample.training_sparse


def test_a_sample_s_macs_are_those_of_the_architecture(graphs: dict[str, ir.Model]) -> None:
    """By hand: four stages of four 3x3 convolutions; half the side and twice the channels from each to the next."""
    product = 32 * 32 * 64 * 64  # positions times channels squared, in every stage the same
    first = 4 * 9 * product
    later = 3 * 9 * product + (9 + 1) * product // 2  # the first convolution and the shortcut read half the channels
    body = 32 * 32 * 64 * 27 + first + 3 * later
    assert cost.total_macs(cost.layer_costs(graphs["Split CIFAR-10"])) == body + 512 * 10
    bigger = cost.total_macs(cost.layer_costs(graphs["Split Tiny-ImageNet"]))
    assert bigger == 4 * body + 512 * 200


@pytest.mark.parametrize(("name", "replay"), DENSE)
def test_dense(graphs: dict[str, ir.Model], name: str, replay: str) -> None:
    stream = STREAMS[name]
    sample = per_sample(graphs[name], 1.0, 1.0, None)
    found = by_the_paper(sample, stream.presented, REPLAYS[replay])
    assert round(found / stream.unit, 1) == DENSE[name, replay]


@pytest.mark.parametrize("wrong", ["MACs", "replay backward", "five times the epochs"])
def test_no_other_convention_gives_these_numbers(graphs: dict[str, ir.Model], wrong: str) -> None:
    stream, sample = STREAMS["Split CIFAR-10"], per_sample(graphs["Split CIFAR-10"], 1.0, 1.0, None)
    found = {
        "MACs": by_the_paper(sample, stream.presented, 2) / 2,
        "replay backward": truly(sample, stream.presented, 2),
        "five times the epochs": by_the_paper(sample, stream.presented, 2) * 5,
    }
    assert abs(found[wrong] / 13.9e15 - 1) > 0.4
    assert math.isclose(by_the_paper(sample, stream.presented, 2), 13.9e15, rel_tol=0.005)


@pytest.mark.parametrize("sparsity", SPARSE)
@pytest.mark.parametrize("everywhere", [True, False], ids=["all layers", "3x3 of the stages"])
def test_sparse_within_15_percent(graphs: dict[str, ir.Model], sparsity: float, everywhere: bool) -> None:
    gradient_sparsity, published = SPARSE[sparsity]
    masked = None if everywhere else masked_weights(resnet18())
    sample = per_sample(graphs["Split CIFAR-10"], 1 - sparsity, 1 - gradient_sparsity, masked)
    presented = STREAMS["Split CIFAR-10"].presented * (1 - REMOVED)
    found = by_the_paper(sample, presented, 2) / 1e15
    assert abs(found / published - 1) < 0.15
    assert truly(sample, presented, 2) / 1e15 > 1.5 * found


Row = tuple[str, ...]


def dense_rows(graphs: dict[str, ir.Model]) -> list[Row]:
    """The lines of the page's first table."""
    rows = []
    for (name, replay), published in DENSE.items():
        stream, sample, batches = STREAMS[name], per_sample(graphs[name], 1.0, 1.0, None), REPLAYS[replay]
        counts = [count(sample, stream.presented, batches) / stream.unit for count in (by_the_paper, truly)]
        power = f"e{math.log10(stream.unit):.0f}"
        rows.append((name, replay, f"{published}{power}", *(f"{one:.2f}{power}" for one in counts)))
    return rows


def sparse_rows(graphs: dict[str, ir.Model]) -> list[Row]:
    """The lines of the page's second table."""
    rows = []
    stages, presented = masked_weights(resnet18()), STREAMS["Split CIFAR-10"].presented * (1 - REMOVED)
    for sparsity, (gradient_sparsity, published) in SPARSE.items():
        count = functools.partial(per_sample, graphs["Split CIFAR-10"], 1 - sparsity, 1 - gradient_sparsity)
        samples = (count(None), count(stages))
        paper = [f"{by_the_paper(one, presented, 2) / 1e15:.2f}e15" for one in samples]
        true = [f"{truly(one, presented, 2) / 1e15:.2f}e15" for one in samples]
        rows.append((f"{sparsity:.2f}", f"{gradient_sparsity:.2f}", f"{published}e15", *paper, *true))
    return rows


def table_rows(page: str) -> list[Row]:
    """The cells of all lines of tables but their heads."""
    lines = re.findall(r"^\| (.+ \d+\.\d+e1\d) \|$", page, re.MULTILINE)
    return [tuple(line.split(" | ")) for line in lines]


def test_the_page_has_these_numbers(graphs: dict[str, ir.Model], root: Path) -> None:
    page = (root / "docs" / "flops.md").read_text(encoding="utf-8")
    assert table_rows(page) == [*dense_rows(graphs), *sparse_rows(graphs)]
