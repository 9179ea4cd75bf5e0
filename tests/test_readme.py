"""The README is run and short; docs/cli.md has every command's options; links of pages lead somewhere."""

import re
from pathlib import Path

import pytest

from tests.support.pages import Block, run, runnable_blocks

OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]+")
LINK = re.compile(r"\]\((?!https?://)([^)#]+)")
COMMANDS = (
    "sparcl-compile",
    "sparcl-run",
    "sparcl-inspect",
    "sparcl-export",
    "sparcl-opt",
    "sparcl-bench",
    "sparcl-doctor",
)
EVERYWHERE = {"--help", "--version", "--quiet", "--verbose"}
"""Options that every command has."""
WORDS = 900
ROOT = Path(__file__).resolve().parent.parent
LINKING = sorted(path.relative_to(ROOT).as_posix() for path in (*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")))


@pytest.fixture(scope="module")
def readme(root: Path) -> str:
    return (root / "README.md").read_text(encoding="utf-8")


def test_the_blocks_run_in_order(readme: str, root: Path, console_scripts: Path, tmp_path: Path) -> None:
    (tmp_path / "models").symlink_to(root / "models")
    blocks = runnable_blocks(readme)
    assert {(block.language, block.code) for block in blocks} == {("bash", 0), ("bash", 2), ("python", 0)}
    for block in blocks:
        done = run(block, tmp_path, console_scripts)
        assert done.returncode == block.code, f"{block.script}\n{done.stdout}\n{done.stderr}"
        if block.code:
            assert len(done.stderr.splitlines()) == 1, done.stderr


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("<!-- runs -->\n```bash\nsparcl-compile missing.onnx\necho not reached\n```\n", 2),
        ("<!-- runs -->\n```python\nimport missing_package\nprint('not reached')\n```\n", 1),
    ],
)
def test_a_failing_block_is_noticed(text: str, code: int, console_scripts: Path, tmp_path: Path) -> None:
    (block,) = runnable_blocks(text)
    done = run(block, tmp_path, console_scripts)
    assert done.returncode == code
    assert "not reached" not in done.stdout


def section(page: str, command: str) -> str:
    """The section of docs/cli.md on one command."""
    return page.partition(f"\n## {command}\n")[2].partition("\n## ")[0]


@pytest.mark.parametrize("command", COMMANDS)
def test_options_are_those_of_the_command(command: str, root: Path, console_scripts: Path, tmp_path: Path) -> None:
    page = (root / "docs" / "cli.md").read_text(encoding="utf-8")
    done = run(Block(f"COLUMNS=200 {command} --help"), tmp_path, console_scripts)
    assert done.returncode == 0, done.stderr
    offered = set(OPTION.findall(done.stdout)) - EVERYWHERE
    assert set(OPTION.findall(section(page, command))) == offered


def test_the_readme_is_short(readme: str) -> None:
    assert len(readme.split()) <= WORDS


@pytest.mark.parametrize("page", LINKING)
def test_links_lead_somewhere(page: str, root: Path) -> None:
    targets = LINK.findall((root / page).read_text(encoding="utf-8"))
    assert not [target for target in targets if not ((root / page).parent / target).exists()]
