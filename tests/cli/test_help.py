"""Help by topic, examples that parse, first steps, --quiet and --verbose, completion."""

import contextlib
import shlex
import subprocess
from pathlib import Path

import click
import pytest

from sparcl_compile.cli.completion import SHELLS, script
from sparcl_compile.cli.guides import GUIDES
from sparcl_compile.cli.help import OTHERS, long_name
from tests.support.cli import COMMANDS, call, check_refused, done, spawn, write_artifact, write_data, write_model

NEEDS_WORDS = sorted(COMMANDS.keys() - {"doctor"})


def test_every_command_has_a_guide() -> None:
    assert GUIDES.keys() == COMMANDS.keys()


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_stands_below_one_topic(name: str) -> None:
    command = COMMANDS[name]
    context = click.Context(command)
    options = [long_name(one) for one in command.get_params(context) if isinstance(one, click.Option)]
    assert sorted(option for names in GUIDES[name].topics.values() for option in names) == sorted(options)


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_has_the_topics_and_the_examples(name: str) -> None:
    text = done(name, "--help").out
    assert all(f"\n{heading}:\n" in text for heading in (*GUIDES[name].topics, "Examples"))
    assert all(f"\n  {line}\n" in f"{text}\n" for line in GUIDES[name].examples)
    assert f"\n{OTHERS}:" not in text
    assert "\x1b" not in text


@pytest.mark.parametrize(("name", "line"), [(name, line) for name in GUIDES for line in GUIDES[name].examples])
def test_an_example_parses(name: str, line: str) -> None:
    if line.startswith("eval"):
        line = line.partition("$(")[2].rstrip(')"')
    program, *words = shlex.split(line)
    assert program == f"sparcl-{name}"
    with contextlib.suppress(click.exceptions.Exit):  # --list and --completion print and end
        COMMANDS[name].make_context(program, words)


@pytest.mark.parametrize("name", NEEDS_WORDS)
def test_called_with_nothing_a_command_shows_the_first_steps(name: str) -> None:
    outcome = call(name)
    check_refused(outcome, "Missing argument", f"sparcl-{name} --help")
    assert outcome.out.startswith(GUIDES[name].first.split()[0])
    assert all(line in outcome.out for line in GUIDES[name].examples)
    assert "sparcl-doctor" in outcome.out


def test_called_with_an_option_alone_it_says_what_is_missing() -> None:
    outcome = call("compile", "--json")
    check_refused(outcome, "Missing argument 'MODEL'", "sparcl-compile --help")
    assert outcome.out == ""


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_tells_its_version(name: str) -> None:
    assert "version 0." in done(name, "--version").out


@pytest.mark.parametrize("name", COMMANDS)
def test_quiet_and_verbose_contradict_each_other(name: str) -> None:
    check_refused(call(name, "x", "--quiet", "--verbose"), "--quiet and --verbose")


def test_a_quiet_compilation_says_where_the_artifact_is(tmp_path: Path) -> None:
    outcome = done("compile", write_model(tmp_path), "-q")
    assert (outcome.out, outcome.err) == (f"{tmp_path / 'cnn_bn.sparcl'}\n", "")


def test_a_verbose_compilation_says_every_pass(tmp_path: Path) -> None:
    outcome = done("compile", write_model(tmp_path), "-v")
    assert "insert_weight_masks: " in outcome.err
    assert "Passes" in outcome.out


def test_a_verbose_error_has_its_traceback_and_the_line(tmp_path: Path) -> None:
    outcome = call("compile", tmp_path / "no.onnx", "-v")
    assert outcome.code == 2
    assert outcome.err.startswith("Traceback")
    assert outcome.err.splitlines()[-1].startswith("error: ")


def test_a_quiet_run_and_export_print_the_result_alone(tmp_path: Path) -> None:
    artifact, data = write_artifact(tmp_path), write_data(tmp_path)
    run = done("run", artifact, "--data", data, "--tasks", "2", "--epochs", "1", "-q")
    assert run.out.startswith("Class-incremental accuracy")
    assert run.err == ""
    assert done("export", artifact, "-q").out == f"{tmp_path / 'cnn_bn.learned.onnx'}\n"


def test_lines_of_a_run_say_its_speed_and_not_its_samples(tmp_path: Path) -> None:
    artifact, data = write_artifact(tmp_path), write_data(tmp_path)
    lines = done("run", artifact, "--data", data, "--tasks", "2", "--epochs", "2", "-v").out.splitlines()
    speeds = [line.partition(" samples/s")[0].split()[-1] for line in lines if " samples/s, about" in line]
    assert len(speeds) == 4
    assert speeds != ["60", "120", "168", "216"], "these are counts of samples"


@pytest.mark.parametrize("shell", SHELLS)
def test_a_script_completes_all_commands(shell: str) -> None:
    text = done("doctor", "--completion", shell).out
    assert text.rstrip() == script(shell).rstrip()
    assert all(f"sparcl-{name}" in text for name in COMMANDS)


def test_bash_takes_the_script_and_click_answers() -> None:
    checked = subprocess.run(["bash", "-n"], input=script("bash"), text=True, capture_output=True)
    assert (checked.returncode, checked.stderr) == (0, "")


@pytest.mark.parametrize(
    ("words", "offered"),
    [("sparcl-compile --spars", "plain,--sparsity"), ("sparcl-compile m.onnx --method der", "plain,der++")],
)
def test_options_and_their_values_are_completed(words: str, offered: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COMP_WORDS", words)
    monkeypatch.setenv("COMP_CWORD", str(len(words.split()) - 1))
    monkeypatch.setenv("_SPARCL_COMPILE_COMPLETE", "bash_complete")
    outcome = spawn("compile", env=None)
    assert offered in outcome.out.splitlines()
