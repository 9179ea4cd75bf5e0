"""The pages that are made from the code, by name."""

from collections.abc import Callable, Mapping
from pathlib import Path

from docs.generate import commands, contract, passes

ROOT = Path(__file__).resolve().parents[2]
PAGES: Mapping[str, Callable[[], str]] = {
    "cli.md": commands.text,
    "contract.md": contract.text,
    "pass-reference.md": passes.text,
}
MADE = "<!-- Made by `python -m docs.generate`: change the code, not this page. -->\n\n"


def page(name: str) -> str:
    """The text of a page."""
    return MADE + PAGES[name]()
