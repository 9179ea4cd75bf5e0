"""sparcl-run --report and --log-dir: what they write, that a resumed run writes the same, and what is refused."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sparcl_compile.runtime import checkpoint as checkpoints
from sparcl_compile.runtime.reporting import logs
from sparcl_compile.runtime.reporting.history import History, read_history
from sparcl_compile.runtime.reporting.progress import Reporter
from tests.support.cli import SMALL_RUN, Outcome, call, check_refused, contents, done, write_artifact, write_data


def embedded(page: Path) -> Any:
    """The data of a page."""
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page.read_text(), re.DOTALL)
    assert found
    return json.loads(found[1])


def learned(folder: Path, artifact: Path, name: str, *options: object) -> Outcome:
    place = folder / name
    return call(
        "run", artifact, "--data", write_data(folder), *SMALL_RUN, "--checkpoint", place / "run",
        "--report", place / "page.html", "--log-dir", place / "logs", *options,
    )  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("made")
    artifact = write_artifact(folder)
    assert learned(folder, artifact, "whole").code == 0
    return folder, artifact


def test_the_history_is_that_of_the_run(made: tuple[Path, Path]) -> None:
    folder, _ = made
    found = read_history(folder / "whole" / "run")
    assert found.result is not None
    assert [(one.task, one.epoch) for one in found.epochs] == [(1, 1), (1, 2), (2, 1), (2, 2)]
    assert [one.task for one in found.tasks] == [0, 1, 2]
    assert list(found.tasks[-1].class_accuracies) == found.result["accuracy_matrix"][-1][:2]
    assert found.epochs[-1].samples_removed == found.result["samples_removed"]
    assert found.epochs[-1].samples_seen == found.result["samples_seen"]
    per_layer = found.result["sparsity"]["per_layer"]
    assert {name: one.sparsity for name, one in found.epochs[-1].layers.items()} == pytest.approx(per_layer)
    assert any(one.churn > 0 for point in found.epochs for one in point.layers.values())


def test_the_page_has_the_run(made: tuple[Path, Path]) -> None:
    folder, _ = made
    (shown,) = embedded(folder / "whole" / "page.html")["subjects"]
    result = read_history(folder / "whole" / "run").result
    assert result is not None
    assert shown["accuracy_matrix"] == result["accuracy_matrix"]
    assert shown["training_flops"] == result["training_flops"]
    assert [len(one["images"]) for one in shown["pictures"]] == [3]
    assert shown["memory"][0]["bytes"] > 0


def test_a_run_is_the_same_whether_it_is_recorded_or_not(made: tuple[Path, Path]) -> None:
    folder, artifact = made
    done("run", artifact, "--data", write_data(folder), *SMALL_RUN, "--checkpoint", folder / "bare")
    bare, whole = (checkpoints.read(folder / name).arrays for name in ("bare", "whole/run"))
    assert bare.keys() == whole.keys()
    assert all(np.array_equal(bare[name], whole[name], equal_nan=True) for name in bare)
    assert contents(folder / "bare").keys() == contents(folder / "whole" / "run").keys() - {"history.jsonl"}


def without_times(history: History) -> list[Any]:
    return [*(vars(one) | {"seconds": 0} for one in history.epochs), *history.tasks]


def test_an_interrupted_run_records_the_same_as_a_whole_one(
    made: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, artifact = made
    plain_step = Reporter.step

    def interrupted(self: Reporter, task: int, *args: Any) -> None:
        if task == 1 and args[0] == 1:
            raise KeyboardInterrupt
        plain_step(self, task, *args)

    monkeypatch.setattr(Reporter, "step", interrupted)
    assert learned(folder, artifact, "halves").code == 130
    monkeypatch.undo()
    assert learned(folder, artifact, "halves", "--resume").code == 0
    whole, halves = (read_history(folder / name / "run") for name in ("whole", "halves"))
    assert without_times(halves) == without_times(whole)
    for name in logs.TABLES:
        one, other = ((folder / place / "logs" / name).read_text().splitlines() for place in ("whole", "halves"))
        assert [line.rpartition(",")[0] for line in one] == [line.rpartition(",")[0] for line in other]


def test_a_finished_run_gives_its_page_again_and_beside_another(made: tuple[Path, Path]) -> None:
    folder, artifact = made
    page = folder / "again.html"
    options = ("--resume", "--report", page, "--beside", folder / "whole" / "run", "--log-dir", folder / "again")
    assert learned(folder, artifact, "whole", *options).code == 0
    assert len(embedded(page)["subjects"]) == 2
    assert len(read_history(folder / "whole" / "run").epochs) == 4


def test_the_page_of_a_run_that_was_not_recorded_says_what_it_lacks(made: tuple[Path, Path], tmp_path: Path) -> None:
    folder, artifact = made
    run = ("run", artifact, "--data", write_data(folder), *SMALL_RUN, "--checkpoint", tmp_path / "run")
    done(*run)
    told = "note: --report: no epoch of this run was recorded, its page has the result alone\n"
    for loudness, said in (("--verbose", told), ("--quiet", "")):
        outcome = done(*run, "--resume", "--report", tmp_path / "page.html", loudness)
        assert (told in outcome.err) == bool(said)
    assert told not in done(*run, "--report", tmp_path / "page.html").err


REFUSED: list[tuple[tuple[object, ...], tuple[str, ...]]] = [
    (("--report", "page.txt"), ("--report page.txt", ".html")),
    (("--beside", "x"), ("--beside x", "--report")),
    (("--report", "p.html", "--beside", "nowhere"), ("nowhere", "holds no recorded run", "--report")),
]


@pytest.mark.parametrize(("options", "parts"), REFUSED)
def test_what_cannot_be_recorded_is_refused_before_any_work(
    made: tuple[Path, Path], tmp_path: Path, options: tuple[object, ...], parts: tuple[str, ...]
) -> None:
    folder, artifact = made
    run = tmp_path / "run"
    outcome = call("run", artifact, "--data", write_data(folder), *SMALL_RUN, "--checkpoint", run, *options)
    check_refused(outcome, *parts)
    assert not run.exists()


def test_nothing_is_written_into_the_artifact(made: tuple[Path, Path]) -> None:
    folder, artifact = made
    before = contents(artifact)
    check_refused(learned(folder, artifact, "in", "--report", artifact / "page.html"), "--report")
    check_refused(learned(folder, artifact, "in", "--log-dir", artifact / "logs"), "--log-dir")
    assert contents(artifact) == before


def test_an_unfinished_run_is_not_shown_beside_another(
    made: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, artifact = made

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Reporter, "step", interrupted)
    assert learned(folder, artifact, "begun").code == 130
    monkeypatch.undo()
    check_refused(learned(folder, artifact, "x", "--beside", folder / "begun" / "run"), "not finished", "--resume")


def test_without_the_writer_there_are_tables_and_a_note(
    made: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, artifact = made
    monkeypatch.setattr("sparcl_compile.cli.recording.can_write_events", lambda: False)
    outcome = learned(folder, artifact, "tables")
    assert outcome.code == 0
    assert outcome.err == "note: --log-dir: " + logs.NO_EVENTS + "\n"
    assert {path.name for path in (folder / "tables" / "logs").iterdir()} == set(logs.TABLES)


@pytest.mark.parametrize("form", ["--compress", "--scheme channel"])
def test_every_form_of_masks_is_recorded(tmp_path: Path, form: str) -> None:
    artifact = write_artifact(tmp_path, *form.split())
    assert learned(tmp_path, artifact, "run").code == 0
    found = read_history(tmp_path / "run" / "run")
    layers = found.epochs[-1].layers
    assert layers
    assert all(0.5 < one.sparsity < 1.0 for one in layers.values())
    assert all(found.tasks[0].pictures.values())
