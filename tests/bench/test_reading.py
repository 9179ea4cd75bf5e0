"""The grid's file: what it stands for, and every refusal with its line."""

import re
from pathlib import Path

import pytest

from sparcl_compile.bench.grid import givers
from sparcl_compile.bench.reading import read_grid
from sparcl_compile.bench.settings import COMPILE
from sparcl_compile.bench.toml_file import TomlFile
from sparcl_compile.cli import compile_command
from sparcl_compile.interface.errors import GridError

GRID = """seeds = [0, 1]

[models]
wide = "wide.onnx"
narrow = "narrow.onnx"

[data]
digits = "digits"

[compile]
init = "fresh"
method = ["er", "der++"]

[run]
tasks = [6, 4]
epochs = 3
lr = [0.1, 0.3]

[choose]
epochs = 1

[rows.dense]
models = ["wide"]
compile = {sparsity = 0, dense = ["stem*"], method = "er"}

[rows."fewer epochs"]
models = ["narrow"]
[rows."fewer epochs".run]
epochs = 1
lr = 0.2
"""


def write(folder: Path, text: str = GRID) -> Path:
    for name in ("wide", "narrow"):
        (folder / f"{name}.onnx").touch()
    path = folder / "grid.toml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture(autouse=True)
def in_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_rows_lists_and_what_stands_before_what(tmp_path: Path) -> None:
    grid = read_grid(write(tmp_path))
    assert (grid.seeds, grid.choose.epochs, grid.choose.seeds) == ((0, 1), 1, (0,))
    assert grid.models == {"wide": Path("wide.onnx"), "narrow": Path("narrow.onnx")}
    dense, er, der = grid.cells
    assert (dense.row, dense.model, dense.data, dense.rates) == ("dense", "wide", "digits", (0.1, 0.3))
    assert dense.compiling == {"init": "fresh", "method": "er", "sparsity": 0.0, "dense": ("stem*",)}
    assert dense.running == {"tasks": (6, 4), "epochs": 3}
    assert [cell.row for cell in (er, der)] == ["fewer epochs, method er", "fewer epochs, method der++"]
    assert der.compiling == {"init": "fresh", "method": "der++"}
    assert (der.running, der.rates, der.model) == ({"tasks": (6, 4), "epochs": 1}, (0.2,), "narrow")


def test_a_row_takes_the_rate_of_another(tmp_path: Path) -> None:
    grid = read_grid(write(tmp_path, GRID.replace("lr = 0.2", 'lr = "dense"')))
    assert [(cell.rates, cell.rate_of) for cell in grid.cells] == [((0.1, 0.3), ""), ((), "dense"), ((), "dense")]


def rate_grid(rows: str) -> str:
    """A grid of two models and two data sets; rates stand in its rows alone."""
    models = '[models]\nwide = "wide.onnx"\nnarrow = "narrow.onnx"\n'
    return f'{models}[data]\na = "digits"\nb = "npz:b.npz"\n{rows}'


DENSE = "[rows.dense]\nrun = {lr = [0.1, 0.3]}\n"
TAKES = '[rows.takes]\nrun = {lr = "dense"}\n'


@pytest.mark.parametrize(
    ("dense", "takes", "pairs"),
    [
        ("", "", {"wide a": "wide a", "wide b": "wide b", "narrow a": "narrow a", "narrow b": "narrow b"}),
        ('models = ["wide"]\n', 'models = ["narrow"]\n', {"narrow a": "wide a", "narrow b": "wide b"}),
        ('models = ["wide"]\n', 'data = ["b"]\n', {"wide b": "wide b", "narrow b": "wide b"}),
        ("", 'models = ["narrow"]\ndata = ["b"]\n', {"narrow b": "narrow b"}),
    ],
)
def test_the_line_whose_rate_a_line_takes(dense: str, takes: str, pairs: dict[str, str], tmp_path: Path) -> None:
    cells = read_grid(write(tmp_path, rate_grid(f"{DENSE}{dense}{TAKES}{takes}"))).cells
    taken = {}
    for cell in cells:
        if cell.rate_of:
            (giver,) = givers(cell, cells)
            assert (giver.row, giver.rates) == ("dense", (0.1, 0.3))
            taken[f"{cell.model} {cell.data}"] = f"{giver.model} {giver.data}"
    assert taken == pairs


NOT_TAKEN = [
    ("[rows.dense]\n", "", "is 'dense', a row without rates of its own; give that row some, as in lr = [0.1, 0.3]"),
    (DENSE + 'data = ["a"]\n', "", "is 'dense', a row without the data b; add them there, or give this row its own lr"),
    (
        DENSE + 'models = ["wide"]\n[rows.more.compile]\nsparsity = 0.5\n',
        '[rows.own]\nrun = {lr = "more"}\n',
        "is 'more', a row without rates of its own; give that row some",
    ),
    (
        DENSE + 'compile = {sparsity = [0.5, 0.9]}\n[rows."dense, sparsity 0.5"]\nrun = {lr = 0.1}\n',
        '[rows.own]\nrun = {lr = "dense, sparsity 0.5"}\n',
        "is 'dense, sparsity 0.5', the name of several lines of the table; give each row another name",
    ),
    (
        "[rows.other]\n",
        "",
        "is 'dense'; give a number, a list of such, or one of the rows with a rate of their own: there",
    ),
    (
        DENSE + "[rows.more]\nrun = {lr = [0.2, 0.3]}\n",
        '[rows.own]\nrun = {lr = "takes"}\n',
        "is 'takes'; give a number, a list of such, or one of the rows with a rate of their own: dense, more",
    ),
]


@pytest.mark.parametrize(("rows", "own", "told"), NOT_TAKEN)
def test_a_rate_that_cannot_be_taken(rows: str, own: str, told: str, tmp_path: Path) -> None:
    text = rate_grid(rows + (own or TAKES) + (TAKES if "takes" in own else ""))
    path = write(tmp_path, text)
    line = next(
        number for number, line in enumerate(text.splitlines(), start=1) if line == (own or TAKES).split("\n")[1]
    )
    row = "own" if own else "takes"
    with pytest.raises(GridError, match=f"^{re.escape(f'{path}, line {line}: rows.{row}.run.lr {told}')}"):
        read_grid(path)


def test_a_model_that_a_row_of_several_lacks(tmp_path: Path) -> None:
    text = rate_grid(f'{DENSE}models = ["wide", "narrow"]\n{TAKES}').replace("[data]", 'third = "wide.onnx"\n[data]')
    with pytest.raises(GridError, match="is 'dense', a row of several models without third; add it there, or give"):
        read_grid(write(tmp_path, text))


def test_the_least_grid_has_one_row_and_one_seed(tmp_path: Path) -> None:
    grid = read_grid(write(tmp_path, '[models]\nm = "wide.onnx"\n[data]\nd = "digits"\n'))
    (cell,) = grid.cells
    assert (grid.seeds, grid.choose.seeds, cell.row, cell.rates) == ((0,), (0,), "defaults", ())
    assert (cell.compiling, cell.running) == ({}, {})


def test_every_option_of_a_compilation_has_its_name() -> None:
    """But for the seed, and for those of the command that say where to write and what to print."""
    where = {
        "output",
        "dump-passes",
        "dump-after",
        "print-after",
        "check-passes",
        "json",
        "quiet",
        "verbose",
        "version",
    }
    apart = where | {"seed", "replay"}
    names = {opt for param in compile_command.params for opt in param.opts if opt.startswith("--")}
    assert {name.removeprefix("--") for name in names} - apart == set(COMPILE)


REFUSED = [
    ("seeds = [0, 1]", "seeds = [0, 0]", 1, "seeds is [0, 0]; give a list of different whole numbers from 0 to"),
    ("seeds = [0, 1]", "seeds = 3", 1, "seeds is 3; give a list of different whole numbers"),
    ("seeds = [0, 1]", "seed = [0, 1]", 1, "seed is unknown; allowed here: choose, compile, data, models, rows"),
    ("narrow.onnx", "no.onnx", 5, "models.narrow is no.onnx, where no file is; give an ONNX file that exists"),
    ('"wide.onnx"', "3", 3, "models is {'wide': 3"),
    ('init = "fresh"', 'inits = "fresh"', 11, "compile.inits is unknown; allowed here: activations, batch-size"),
    ('init = "fresh"', 'init = "old"', 11, "init old: give one of keep, fresh"),
    ('init = "fresh"', "fold = 1", 11, "compile.fold is 1; give true or false"),
    ('init = "fresh"', "gradient_sparsity = 0.5", 11, "compile.gradient_sparsity is unknown"),
    ('init = "fresh"', "seed = 1", 11, "compile.seed is unknown"),
    ('["er", "der++"]', '["er", "er"]', 12, "compile.method is ['er', 'er']; give at least one value, and each once"),
    ('["er", "der++"]', "[]", 12, "compile.method is []; give at least one value"),
    ('["er", "der++"]', '["er", 3]', 12, "compile.method is 3; give a text, or a list of such"),
    ("tasks = [6, 4]", 'tasks = "6,4"', 15, "run.tasks is '6,4'; give a number of tasks, or a list with the classes"),
    ("tasks = [6, 4]", "tasks = [6, 0]", 15, "tasks 6,0: give at least 1 class for each task"),
    ("epochs = 3", "epoch = 3", 16, "run.epoch is unknown; allowed here: augment, batch-size, buffer"),
    ("epochs = 3", "epochs = 2.5", 16, "run.epochs is 2.5; give a whole number"),
    ("epochs = 3", "epochs = true", 16, "run.epochs is True; give a whole number"),
    ("epochs = 3", "batch-size = [8, 0]", 16, "batch-size 0: give at least 1"),
    ("epochs = 3", 'normalise = "raww"', 16, "normalise raww: give one of auto, unit, raw"),
    ("epochs = 3", 'augment = ["none", "blur"]', 16, "augment blur: give one of auto, none, crop_flip, jitter_"),
    ("lr = [0.1, 0.3]", 'lr = "nix"', 17, "run.lr is 'nix'; give a number, a list of such, or one of the rows"),
    ("lr = [0.1, 0.3]", "lr = [0.1, -0.3]", 17, "lr -0.3: give a number above 0"),
    ("epochs = 1\n\n", "epochs = 0\n\n", 20, "choose.epochs is 0; give a whole number from 1"),
    ("[choose]\n", "[choose]\nrate = 1\n", 20, "choose.rate is unknown; allowed here: epochs, seeds"),
    ('models = ["wide"]', 'models = ["huge"]', 23, "rows.dense.models is ['huge']; give a list of names from wide"),
    ('models = ["wide"]', "models = []", 23, "rows.dense.models is []; give a list of names from wide, narrow"),
    ("sparsity = 0,", "sparsity = 1.5,", 24, "sparsity 1.5: give a number from 0 (off) to below 1"),
    ("sparsity = 0,", 'sparsity = "0",', 24, "rows.dense.compile.sparsity is '0'; give a number"),
    ("sparsity = 0,", 'momentum = 0.9, optimizer = "adamw",', 24, "momentum 0.9: is for sgd"),
    ('[rows."fewer epochs".run]', '[rows."fewer epochs".runs]', 28, "rows.fewer epochs.runs is unknown; allowed"),
    ("lr = 0.2", 'lr = "sparse"', 30, "rows.fewer epochs.run.lr is 'sparse'; give a number, a list of such, or one of"),
    ("lr = 0.2", 'lr = "fewer epochs, method er"', 30, "rows.fewer epochs.run.lr is 'fewer epochs, method er'; give"),
    ("lr = 0.2", 'lr = ["dense", 0.1]', 30, "rows.fewer epochs.run.lr is 'dense'; give a number, or a list"),
    ("lr = 0.2", "lr = 0", 30, "lr 0.0: give a number above 0"),
]


@pytest.mark.parametrize(("old", "new", "line", "told"), REFUSED)
def test_refused_with_the_line(old: str, new: str, line: int, told: str, tmp_path: Path) -> None:
    assert GRID.count(old) >= 1
    path = write(tmp_path, GRID.replace(old, new, 1))
    with pytest.raises(GridError, match=f"^{re.escape(f'{path}, line {line}: {told}')}"):
        read_grid(path)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"seeds = [0\n[models]\n", "is no TOML (Unclosed array (at line 2, column 1)); mend that line"),
        (b"seeds [0]\n", "line 1, column 7"),
        (b"a = 1\na = 2\n", "is no TOML (Cannot overwrite a value (at line 2, column 6)); mend that line"),
        (b"\xff\xfe\n", "is no UTF-8 text (byte 0); save it as UTF-8"),
        (b"", "models is missing or empty; give a table of names and files of models"),
        (b'[models]\nm = "wide.onnx"\n', "data is missing or empty; give a table of names and sources"),
        (b'models = 3\ndata = {d = "digits"}\n', ", line 1: models is 3; give a table"),
        (b'[models]\nm = "wide.onnx"\n[data]\nd = "digits"\n[rows]\n', ", line 5: rows is empty; give a table [rows."),
    ],
)
def test_refused_files(content: bytes, told: str, tmp_path: Path) -> None:
    path = write(tmp_path)
    path.write_bytes(content)
    with pytest.raises(GridError) as caught:
        read_grid(path)
    assert str(path) in str(caught.value)
    assert told in str(caught.value)


@pytest.mark.parametrize(
    ("name", "told"), [("none.toml", "cannot be read (No such file"), (".", "cannot be read (a fo")]
)
def test_no_file(name: str, told: str, tmp_path: Path) -> None:
    with pytest.raises(GridError, match=re.escape(told)):
        read_grid(tmp_path / name)


def test_lines_of_keys(tmp_path: Path) -> None:
    text = 'a = 1\n[b."c d"]\ne = """\nf = 2\n"""\n\n[[g]]\n# [b.h]\nb.i = 3\n'
    file = TomlFile(write(tmp_path, text))
    lines = {("a",): 1, ("b", "c d"): 2, ("b", "c d", "e"): 3, ("b", "c d", "z"): 2, ("g", "b", "i"): 9, ("z",): 0}
    assert {keys: file.line_of(keys) for keys in lines} == lines
