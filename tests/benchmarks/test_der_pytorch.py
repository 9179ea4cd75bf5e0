from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from benchmarks.der_pytorch import Buffer, main


def records(samples: int, seed: int) -> np.ndarray:
    """So many of each class, each class of a brightness of its own."""
    labels = np.repeat(np.arange(10, dtype=np.uint8), samples)
    noise = np.random.default_rng(seed).integers(0, 20, (len(labels), 3072), dtype=np.uint8)
    return np.concatenate([labels[:, None], noise + 20 * labels[:, None]], axis=1)


def test_it_learns_the_tasks_and_prints_a_line_for_each(tmp_path: Path) -> None:
    for number in range(1, 6):
        records(10, number).tofile(tmp_path / f"data_batch_{number}.bin")
    records(4, 6).tofile(tmp_path / "test_batch.bin")
    found = CliRunner().invoke(main, [str(tmp_path), "--width", "2", "--epochs", "2", "--buffer", "40"])
    assert found.exit_code == 0, found.output
    assert [line.split(":")[0] for line in found.output.splitlines()] == [f"after task {i}" for i in range(1, 6)]


@pytest.mark.parametrize("presented", [3, 8, 500])
def test_the_buffer_keeps_a_sample_of_what_was_presented(presented: int) -> None:
    np.random.seed(0)
    buffer, numbers = Buffer(8), torch.arange(presented)
    buffer.add(torch.zeros(presented, 3, 32, 32, dtype=torch.uint8), numbers, torch.zeros(presented, 10))
    kept = buffer.labels[: min(8, presented)]
    assert len(set(kept.tolist())) == len(kept)
    assert int(kept.max()) < presented
    assert presented < 100 or int(kept.max()) > 8


def test_a_folder_without_images_is_refused(tmp_path: Path) -> None:
    found = CliRunner().invoke(main, [str(tmp_path)])
    assert found.exit_code == 1
    assert found.output.startswith("Error: cifar10:")
