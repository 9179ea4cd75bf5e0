"""Reads a grid from its TOML file."""

from collections.abc import Mapping
from pathlib import Path

from sparcl_compile.bench.grid import Choose, Grid
from sparcl_compile.bench.rows import read_cells
from sparcl_compile.bench.toml_file import Keys, TomlFile
from sparcl_compile.interface.ranges import LARGEST_SEED

TABLES = ("seeds", "models", "data", "compile", "run", "choose", "rows")
CHOOSE = ("epochs", "seeds")
MODELS = 'names and files of models, as in cnn = "cnn.onnx"'
DATA = 'names and sources as sparcl-run --data takes them, as in digits = "digits"'
SEEDS = f"a list of different whole numbers from 0 to {LARGEST_SEED}, as in [0, 1, 2]"


def read_grid(path: Path) -> Grid:
    """Read a grid and check all that can be checked without learning.

    Raises:
        GridError: the file cannot be read or is no TOML, a key is unknown, or a value is missing or cannot be; the
            message has the line, and what is allowed.
    """
    file = TomlFile(path)
    values = file.table((), file.values, TABLES)
    models, data = _named(file, "models", MODELS), _named(file, "data", DATA)
    for name, model in models.items():
        if not Path(model).is_file():
            file.refuse(("models", name), f"is {model}, where no file is; give an ONNX file that exists")
    seeds = _seeds(file, ("seeds",), values.get("seeds", [0]))
    cells = tuple(read_cells(file, models, data))
    return Grid({name: Path(model) for name, model in models.items()}, data, seeds, _choose(file, seeds), cells)


def _named(file: TomlFile, key: str, wanted: str) -> Mapping[str, str]:
    found = file.as_kind((key,), file.values.get(key, {}), dict[str, str], f"a table of {wanted}")
    if not found:
        file.refuse((key,), f"is missing or empty; give a table of {wanted}")
    return found


def _seeds(file: TomlFile, keys: Keys, value: object) -> tuple[int, ...]:
    found = file.as_kind(keys, value, tuple[int, ...], SEEDS)
    if not found or len(set(found)) < len(found) or min(found) < 0 or max(found) > LARGEST_SEED:
        file.refuse(keys, f"is {list(found)}; give {SEEDS}")
    return found


def _choose(file: TomlFile, seeds: tuple[int, ...]) -> Choose:
    """The trials; by default those of the first seed, as long as the row's own runs."""
    table = file.table(("choose",), file.values.get("choose", {}), CHOOSE)
    wanted, keys = "a whole number from 1", ("choose", "epochs")
    epochs = file.as_kind(keys, table.get("epochs"), int | None, wanted)  # type: ignore[arg-type]
    if epochs is not None and epochs < 1:
        file.refuse(keys, f"is {epochs}; give {wanted}")
    return Choose(epochs, _seeds(file, ("choose", "seeds"), table.get("seeds", [seeds[0]])))
