"""The marked blocks of pages run, in order, each page in a folder of its own."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.test_readme import run, runnable_blocks

PAGES = ("deploying.md", "index.md", "looking.md", "tutorials/photos.md", "tutorials/sensor.md")
PHOTOS = ("apple", "bread", "cheese", "dates")


def write_photos(folder: Path) -> None:
    """Photos of several sizes, each class of one colour: what the reader of the tutorial brings."""
    rng = np.random.default_rng(0)
    for number, name in enumerate(PHOTOS):
        (folder / name).mkdir(parents=True)
        for photo in range(24):
            pixels = rng.integers(0, 90, (*rng.integers(40, 90, 2), 3), dtype=np.uint8)
            pixels[..., number % 3] += 100
            pixels[: 20 * (number == 3)] += 60
            Image.fromarray(pixels).save(folder / name / f"{photo}.jpg")


@pytest.mark.parametrize("page", PAGES)
def test_the_blocks_run_in_order(page: str, root: Path, console_scripts: Path, tmp_path: Path) -> None:
    (tmp_path / "models").symlink_to(root / "models")
    if page.startswith("tutorials/"):
        pytest.importorskip("torch", reason="the tutorials export from PyTorch (the extra torch)")
        write_photos(tmp_path / "photos")
    blocks = runnable_blocks((root / "docs" / page).read_text(encoding="utf-8"))
    assert blocks
    for block in blocks:
        done = run(block, tmp_path, console_scripts)
        assert done.returncode == block.code, f"{block.script}\n{done.stdout}\n{done.stderr}"


def test_what_the_page_about_looking_promises_is_there(root: Path, console_scripts: Path, tmp_path: Path) -> None:
    (tmp_path / "models").symlink_to(root / "models")
    blocks = runnable_blocks((root / "docs" / "looking.md").read_text(encoding="utf-8"))
    for block in (blocks[0], blocks[3]):
        assert run(block, tmp_path, console_scripts).returncode == 0
    text = (root / "docs" / "looking.md").read_text(encoding="utf-8")
    assert all(f"| `{path.name}`" in text for path in (tmp_path / "logs").glob("*.csv"))
