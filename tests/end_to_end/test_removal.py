"""Data removal that a task cannot bear: a full batch stays, and the run ends."""

from pathlib import Path

import numpy as np
import pytest

from tests.support.cli import arrays, done, read_json, write_artifact, write_data


@pytest.mark.parametrize("recipe", ["paper", "reference-code"])
def test_a_task_whose_samples_are_all_learned_keeps_a_batch(recipe: str, tmp_path: Path) -> None:
    """Every sample of a class is the same bright plane, so that all of them can soon be spared."""
    plain = arrays(count=10, classes=2)
    for part in ("train", "test"):
        plain[f"x_{part}"] = np.broadcast_to(
            (plain[f"y_{part}"] * 200).astype(np.uint8)[:, None, None, None], plain[f"x_{part}"].shape
        )
    artifact = write_artifact(tmp_path, "--data-removal", "0.999", "--recipe", recipe, "--classes", "2")
    run = ["--tasks", "1", "--epochs", "30", "--batch-size", "4", "--buffer", "10", "--threads", "1"]
    target = tmp_path / "result.json"
    done("run", artifact, "--data", write_data(tmp_path, **plain), *run, "--json", target)
    found = read_json(target)
    assert found["samples_removed"] == 20 - 4
    assert found["class_il"] == 100.0
