"""Options from sparcl.toml and pyproject.toml: they hold, flags win, and what is wrong is named with its line."""

from pathlib import Path

import pytest

from sparcl_compile.cli import compile_command
from sparcl_compile.cli.config_file import SECTIONS, configured, option_names
from sparcl_compile.interface.errors import OptionError
from tests.support.cli import COMMANDS, Outcome, call, check_refused, done, read_json, write_model
from tests.support.pages import blocks


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def written(folder: Path, text: str, name: str = "sparcl.toml") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def sparsity(folder: Path, *args: object) -> float:
    done("compile", write_model(folder), *args)
    found: float = read_json(folder / "cnn_bn.sparcl" / "manifest.json")["options"]["sparsity"]
    return found


def test_a_file_gives_options_and_flags_win(folder: Path) -> None:
    written(folder, "[compile]\nsparsity = 0.5\n")
    assert sparsity(folder) == 0.5
    assert sparsity(folder, "--sparsity", "0.75") == 0.75


@pytest.mark.parametrize("section", ["compile", "run"])
def test_the_example_of_the_page_is_taken(section: str, folder: Path, root: Path) -> None:
    """That of docs/cli.md."""
    (example,) = (block for block in blocks((root / "docs" / "cli.md").read_text()) if block.language == "toml")
    written(folder, example.script)
    found = configured(section, COMMANDS[section].params, folder).values
    assert (
        found
        == {
            "compile": {"sparsity": 0.9, "compress": True, "freeze": ["backbone.*"]},
            "run": {"data": "folder:photos", "epochs": 20},
        }[section]
    )


def test_the_nearest_folder_with_a_file_holds(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(folder, "[compile]\nsparsity = 0.5\n")
    below = folder / "a" / "b"
    below.mkdir(parents=True)
    monkeypatch.chdir(below)
    assert sparsity(below) == 0.5
    written(folder / "a", "[tool.sparcl.compile]\nsparsity = 0.25\n", "pyproject.toml")
    assert sparsity(below) == 0.25


def test_a_project_file_without_our_table_is_none_of_ours(folder: Path) -> None:
    written(folder, "# [tool.sparcl]\n[tool.other]\nx = 1\n", "pyproject.toml")
    assert sparsity(folder) == 0.8


def test_flags_without_values_lists_and_choices(folder: Path) -> None:
    written(folder, "[compile]\nrecompute = true\nfold = false\nfreeze = ['bn1.*']\nmethod = 'er'\n")
    done("compile", write_model(folder))
    options = read_json(folder / "cnn_bn.sparcl" / "manifest.json")["options"]
    assert (options["recompute"], options["fold"], options["freeze"], options["method"]) == (
        True,
        False,
        ["bn1.*"],
        "er",
    )


def test_help_shows_the_defaults_of_the_file(folder: Path) -> None:
    written(folder, "[run]\nepochs = 77\n")
    assert "[default: 77]" in done("run", "--help").out


REFUSED = [
    ("[compile]\nsparsity = 0.5\nsparsty = 0.9\n", ("sparcl.toml, line 3", "'sparsty'", "did you mean sparsity?")),
    ("[compil]\nsparsity = 0.5\n", ("sparcl.toml, line 1", "'compil'", "did you mean compile?", "[compile]")),
    ("sparsity = 0.5\n", ("sparcl.toml, line 1", "no command 'sparsity'", "[compile]")),
    ("compile = 3\n", ("sparcl.toml, line 1", "compile is no table", "[compile]")),
    ("[compile]\n\nsparsity = 2000-01-01\n", ("sparcl.toml, line 3", "sparsity", "--sparsity")),
    ("[compile]\nsparsity = {a = 1}\n", ("sparcl.toml, line 2", "sparsity")),
    ("[compile\n", ("sparcl.toml", "is not TOML", "line 1")),
    ("[compile]\nhelp = true\n", ("line 2", "no option 'help'")),
    ("[compile]\nsparsity = 1.5\n", ("--sparsity 1.5", "sparcl.toml, line 2")),
    ("[compile]\nsparsity = 'much'\n", ("sparcl.toml, line 2", "--sparsity", "'much'")),
    ("[compile]\nmethod = 'derp'\n", ("sparcl.toml, line 2", "--method", "derp")),
]


@pytest.mark.parametrize(("text", "parts"), REFUSED)
def test_a_mistake_in_the_file_is_one_line(folder: Path, text: str, parts: tuple[str, ...]) -> None:
    written(folder, text)
    check_refused(call("compile", write_model(folder)), *parts)
    assert not (folder / "cnn_bn.sparcl").exists()


def test_a_mistake_on_the_line_itself_names_no_file(folder: Path) -> None:
    written(folder, "[compile]\nsparsity = 0.5\n")
    outcome = call("compile", write_model(folder), "--sparsity", "1.5")
    check_refused(outcome, "--sparsity 1.5")
    assert "sparcl.toml" not in outcome.err


def test_a_mistake_in_a_project_file_names_our_table(folder: Path) -> None:
    written(folder, "[tool.sparcl.compile]\nsparsty = 1\n\n[tool.x]\n", "pyproject.toml")
    check_refused(call("compile", "m.onnx"), "pyproject.toml, line 2", "'sparsty'")
    written(folder, "[tool.sparcl.other]\n", "pyproject.toml")
    check_refused(call("compile", "m.onnx"), "pyproject.toml, line 1", "[tool.sparcl.compile]")


def test_what_is_not_utf_8_is_refused(folder: Path) -> None:
    (folder / "sparcl.toml").write_bytes(b"[compile]\n# \xff\n")
    check_refused(call("compile", "m.onnx"), "sparcl.toml", "is not UTF-8")


def test_every_command_has_a_table_and_every_option_a_key() -> None:
    assert set(SECTIONS) == set(COMMANDS)
    keys = option_names(compile_command.params)
    assert keys["rate-decay"] == "rate_decay"
    assert keys["json"] == "as_json"
    assert "help" not in keys


def test_without_a_file_nothing_is_configured(tmp_path: Path) -> None:
    assert configured("compile", compile_command.params, tmp_path).values == {}


def test_a_broken_file_stops_every_command(folder: Path) -> None:
    written(folder, "[nothing]\n")
    outcomes: list[Outcome] = [call(name, "x") for name in COMMANDS if name != "doctor"]
    for outcome in outcomes:
        check_refused(outcome, "line 1", "'nothing'")


def test_the_error_has_the_line_of_a_table(tmp_path: Path) -> None:
    written(tmp_path, "\n\n[run]\n[nowhere]\n")
    with pytest.raises(OptionError, match="line 4"):
        configured("run", (), tmp_path)
