"""The site reaches every page of docs/, and a dead link or a forgotten page fails it."""

import importlib.util
import re
import shutil
from pathlib import Path

import pytest

from docs.generate import nav, site
from docs.generate.pages import PAGES

MISSING = importlib.util.find_spec("material") is None
needs_theme = pytest.mark.skipif(MISSING, reason="mkdocs-material is not installed (the extra docs)")


def test_every_page_of_docs_is_in_the_navigation_once(root: Path) -> None:
    places = [place.as_posix() for place in site.pages(root).values()]
    assert sorted(nav.titles()) == sorted(places)
    assert len(set(places)) == len(places)


@pytest.fixture
def small(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository of a page, one that it links to, and one of code."""
    monkeypatch.setattr(site, "OUTSIDE", {"README.md": "readme.md"})
    monkeypatch.setattr(site, "NAV", {"Start": "index.md", "Read": "readme.md"})
    (tmp_path / "docs").mkdir()
    for name in PAGES:
        shutil.copyfile(root / "docs" / name, tmp_path / "docs" / name)
    monkeypatch.setattr(site, "PAGES", {})
    for name in PAGES:
        (tmp_path / "docs" / name).unlink()
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "a.py").write_text('"""Adds."""\n\nX = "[no](link)"\n')
    (tmp_path / "README.md").write_text("# Read\n\n## Part\n\n[back](docs/index.md)\n")
    page = "# Start\n\n[r](../README.md#part) [c](../code/a.py) [f](../code/)\n\n```\n[in](code)\n```\n"
    (tmp_path / "docs" / "index.md").write_text(page)
    return tmp_path


def test_links_lead_to_pages_of_the_site(small: Path) -> None:
    site.assemble(small, small / "build")
    made = (small / "build" / "docs" / "index.md").read_text()
    assert "[r](readme.md#part) [c](source/code/a.py.md) [f](source/code/folder.md)" in made
    assert "[in](code)" in made
    assert "[back](index.md)" in (small / "build" / "docs" / "readme.md").read_text()
    assert (
        (small / "build" / "docs" / "source" / "code" / "folder.md").read_text().endswith("- [a.py](a.py.md): Adds.\n")
    )
    assert "[no](link)" in (small / "build" / "docs" / "source" / "code" / "a.py.md").read_text()


def test_a_link_to_nothing_is_noticed(small: Path) -> None:
    (small / "README.md").write_text("[gone](docs/gone.md)\n")
    with pytest.raises(FileNotFoundError, match=r"README.md: the link to docs/gone.md leads to nothing"):
        site.assemble(small, small / "build")


def test_a_generated_page_that_is_behind_is_noticed(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(site, "PAGES", {"index.md": str})
    monkeypatch.setattr(site, "page", lambda _: "newer")
    with pytest.raises(ValueError, match=r"docs/index\.md is behind the code"):
        site.assemble(small, small / "build")


@needs_theme
@pytest.mark.parametrize(
    ("page", "text", "fault"),
    [
        ("index.md", "# Start\n\n[x](../README.md#no-such-part)\n", "no-such-part"),
        ("index.md", "# Start\n\n[x](#nor-this)\n", "nor-this"),
        ("other.md", "# Other\n", "other.md"),
    ],
)
def test_a_dead_anchor_and_a_forgotten_page_fail_the_site(small: Path, page: str, text: str, fault: str) -> None:
    (small / "docs" / page).write_text(text)
    with pytest.raises(ValueError, match=fault):
        site.build(small, small / "build", small / "site")


@needs_theme
def test_a_small_site_without_faults_is_made(small: Path) -> None:
    site.build(small, small / "build", small / "site")
    assert (small / "site" / "readme.html").is_file()


@needs_theme
def test_the_site_is_made_and_asks_for_nothing_from_outside(root: Path, tmp_path: Path) -> None:
    site.build(root, tmp_path / "docs", tmp_path / "site")
    pages = [tmp_path / "site" / Path(place).with_suffix(".html") for place in nav.titles()]
    home = (tmp_path / "site" / "index.html").read_text()
    for path in pages:
        text = path.read_text()
        assert not re.findall(r'<(?:script|link|img)[^>]+(?:src|href)="?https?://', text), path
    reached = set(re.findall(r'href="([^"#]+\.html)', home)) | {"index.html"}
    for path in pages:
        reached |= set(re.findall(r'href="(?:\.\./)*([^"#]+\.html)', path.read_text()))
    assert {path.relative_to(tmp_path / "site").as_posix() for path in pages} <= {one.lstrip("./") for one in reached}
