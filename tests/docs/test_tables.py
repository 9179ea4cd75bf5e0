"""The tables of accuracies are those of the runs beside them: a number is a run's or a mean, rounded as it is shown."""

import re
from collections.abc import Callable, Mapping
from statistics import fmean

import pytest

from tests.support.tables import NUMBER, ROOT, Runs, agrees, ahead, grid, of, spread, table, with_seeds, work

COLUMNS: Mapping[str, Callable[[Runs], list[float]]] = {
    **dict.fromkeys(
        ("class-IL %", "class-IL %, mean and deviation", "class-incremental accuracy, %"),
        lambda runs: spread("class_il", runs),
    ),
    **dict.fromkeys(("by seed", "seeds"), lambda runs: of("class_il", runs)),
    "task-IL %": lambda runs: spread("task_il", runs),
    "forgetting": lambda runs: spread("forgetting", runs),
    **dict.fromkeys(("training GFLOPs", "training GFLOPs (true)"), lambda runs: [work(runs)]),
    "training FLOPs, true, 1e13": lambda runs: [work(runs) / 1e4],
    "seconds of training": lambda runs: of("training_seconds", runs),
}
"""What a column shows, by its head; others are not of these runs."""
NAMES = {
    "README.md": {"dense": "merged 20 dense", "80 % sparse": "merged 20 80 % sparse",
                  "dense, 4 epochs": "merged 4 dense", "dense, narrow": "merged 20 dense, narrow"},
    "docs/results.md": {"80 % sparse, the defaults": "80 % sparse", "dense, 4 epochs": "dense, fewer epochs",
                        "dense, width 7 instead of 16": "dense, fewer channels",
                        "75 % sparse, again": "75 %, TDM and DDR",
                        "75 %, with gradient masks, q = 0.9": "75 %, TDM and DGM",
                        "er, all classes": "all classes, method er", "der++, all classes": "all classes, method der++"},
    "docs/defaults.md": {"80 % sparse, the defaults of then": "80 % sparse", "dense, 4 epochs": "dense, fewer epochs",
                         "dense, width 7 instead of 16": "dense, fewer channels"},
}  # fmt: skip
"""Rows that have another name in the results."""


@pytest.mark.parametrize(("page", "behind", "folder", "labels"), [
    ("README.md", "## A result", "split_digits_table", 1),
    ("docs/results.md", "## Split-Digits in one table", "split_digits_table", 3),
    ("docs/results.md", "### Where it does worse", "shapes", 1),
    ("docs/results.md", "## A motion sensor", "split_sensor", 1),
    ("docs/results.md", "## Split CIFAR-10", "split_cifar10_grid", 1),
    ("docs/results.md", "## Mask policies", "digits_policies", 1),
    ("docs/results.md", "## Methods", "methods", 1),
    ("docs/results.md", "methods_own_classes/summary.md", "methods_own_classes", 1),
    ("docs/defaults.md", "## Split-Digits at equal work", "split_digits", 1),
    ("docs/defaults.md", "split_digits_separate/summary.md", "split_digits_separate", 1),
])  # fmt: skip
def test_a_row_is_its_runs(page: str, behind: str, folder: str, labels: int) -> None:
    head, rows = table(page, behind)
    for row in rows:
        label = " ".join(row[:labels]).strip("`")
        rate = [float(cell) for name, cell in zip(head, row, strict=True) if name in ("rate", "learning rate")]
        name = NAMES[page].get(label, label)
        found = [runs for key, runs in grid(folder).items() if key[0] == name and rate in ([], [key[1]])]
        assert len(found) == 1, f"{label}: not one line of runs, but {len(found)}"
        for column, cell in zip(head, row, strict=True):
            if column in COLUMNS and NUMBER.search(cell):
                assert agrees(cell, COLUMNS[column](*found)), f"{label}: {cell}, not {COLUMNS[column](*found)}"


def shipped(line: str, folder: str = "shipped") -> list[Runs]:
    """The runs of one line of the grids of shipped data, pair by pair, in the order of the page."""
    lines = {row: runs for (row, _), runs in grid(folder).items()}
    names = [row[0] + line for row in table("docs/results.md", "## Shipped data")[1]]
    return [lines[name] for name in names if name in lines]


def test_shipped_data() -> None:
    head, rows = table("docs/results.md", "## Shipped data")
    lines = [shipped(f": {name}") for name in head[1:-1]]
    for row, *pair in zip(rows, *lines, strict=True):
        assert all(agrees(cell, with_seeds(runs)) for cell, runs in zip(row[1:-1], pair, strict=True)), row
        assert agrees(row[-1], [work(runs) for runs in pair]), row


def test_shipped_data_in_longer_and_shorter_tasks() -> None:
    head, rows = table("docs/results.md", "### Longer and shorter tasks")
    lines = {name: shipped(f": {name}", "shipped_lengths") for name in head[1:-1]}
    for row, *pair in zip(rows, *lines.values(), strict=True):
        assert all(agrees(cell, with_seeds(runs)) for cell, runs in zip(row[1:-1], pair, strict=True)), row
        dense, sparse, *longer = pair
        assert agrees(row[-1], [100 * work(sparse) / work(dense), 100 * work(longer[1]) / work(longer[0])]), row
    text = (ROOT / "docs/results.md").read_text(encoding="utf-8")
    for epochs in (3, 20):
        below = ahead(lines[f"dense, epochs {epochs}"], lines[f"80 % sparse, epochs {epochs}"])
        (cell,) = re.findall(
            rf"([\d.]+ ± [\d.]+)(?: points behind dense ones)? after {epochs}(?: epochs)?(?: and|\*\*)", text
        )
        assert agrees(cell, below), f"{epochs} epochs: {cell}, not {below}"


def test_shipped_data_with_separate_batches() -> None:
    head, rows = table("docs/results.md", "shipped_separate/summary.md")
    dense, sparse = (shipped(f": {name}", "shipped_separate") for name in head[1:])
    for row, *pair in zip(rows, dense, sparse, strict=True):
        assert all(agrees(cell, with_seeds(runs)) for cell, runs in zip(row[1:], pair, strict=True)), row
    text = (ROOT / "docs/results.md").read_text(encoding="utf-8")
    (cell,) = re.findall(r"([\d.]+ ± [\d.]+) points behind dense ones with separate", text)
    assert agrees(cell, ahead(dense, sparse)), cell


def test_mask_policies_on_digits_seed_by_seed() -> None:
    alone = {row: [[run] for run in runs] for (row, _), runs in grid("digits_policies").items()}
    for name, _, _, lead, _ in table("docs/results.md", "## Mask policies")[1][1:]:
        assert agrees(lead, ahead(alone["tdm"], alone[name.strip("`")])), f"{name}: {lead}"


def test_mask_policies_on_shipped_data() -> None:
    tdm = shipped(": 80 % sparse")
    for name, *cells, lead, share in table("docs/results.md", "shipped_policies/summary.md")[1]:
        pairs = tdm if name == "`tdm`" else shipped(f", mask-policy {name.strip('`')}", "shipped_policies")
        assert all(agrees(cell, with_seeds(runs)) for cell, runs in zip(cells, pairs, strict=True)), name
        assert not lead or agrees(lead, ahead(tdm, pairs)), f"{name}: {lead}"
        assert agrees(share, [fmean(work(one) / work(other) for one, other in zip(pairs, tdm, strict=True))]), name


@pytest.mark.parametrize("page", ["README.md", "docs/results.md"])
def test_what_nine_pairs_say_together(page: str) -> None:
    """Below dense weights first, then above narrow dense ones, wherever a page says so."""
    text = (ROOT / page).read_text(encoding="utf-8")
    dense, narrow = (ahead(shipped(": 80 % sparse"), shipped(f": {name}")) for name in ("dense", "dense, narrow"))
    told = re.findall(r"([\d.]+ ± [\d.]+)( points)? (below dense|above a narrow dense)", text)
    assert {what for *_, what in told} == {"below dense", "above a narrow dense"}
    for cell, _, what in told:
        assert agrees(cell, narrow if "narrow" in what else [-dense[0], dense[1]]), f"{cell} {what}"
    shares = [work(one) / work(other) for one, other in zip(shipped(": 80 % sparse"), shipped(": dense"), strict=True)]
    assert f"{100 * min(shares):.0f} to {100 * max(shares):.0f} %" in text


@pytest.mark.parametrize(("cell", "values", "right"), [
    ("96.3 ± 0.4", [96.335, 0.391], True),
    ("96.4 ± 0.4", [96.335, 0.391], False),
    ("96.3", [96.335, 0.391], False),
    ("88 (1,308, 9)", [88.4, 1307.6, 9.3], True),
])  # fmt: skip
def test_a_number_of_other_runs_is_noticed(cell: str, values: list[float], right: bool) -> None:
    assert agrees(cell, values) == right
