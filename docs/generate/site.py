"""``make docs``: the pages of docs/ and those that they link to, as a site below build/site. A dead link fails it."""

import argparse
import ast
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from docs.generate.nav import NAV, titles
from docs.generate.pages import PAGES, ROOT, page

BUILD = Path("build")
LINK = re.compile(r"(!?\[[^\]]*\])\((?!https?://|mailto:|#)([^)#\s]+)(#[^)\s]*)?\)")
FENCE = re.compile(r"(^```.*?^```$)", re.MULTILINE | re.DOTALL)
SOURCES = "source"
"""The folder of the site with the files that pages link to."""
LANGUAGES = {
    ".py": "python",
    ".toml": "toml",
    ".ts": "typescript",
    ".json": "json",
    ".java": "java",
    ".mjs": "javascript",
}
UNSEARCHED = "---\nsearch:\n  exclude: true\n---\n\n"
SETTINGS = """site_name: sparcl-compile
site_description: A compiler for sparse continual learning on edge devices
docs_dir: docs
site_dir: site
use_directory_urls: false
strict: true
not_in_nav: |
  /source/
validation:
  nav: {omitted_files: warn, not_found: warn, absolute_links: warn}
  links: {not_found: warn, anchors: warn, absolute_links: warn, unrecognized_links: warn}
theme:
  name: material
  font: false
  features: [navigation.tabs, navigation.top, navigation.footer, content.code.copy, search.suggest, toc.follow]
  palette:
    - {media: "(prefers-color-scheme: light)", scheme: default, primary: indigo, accent: indigo,
       toggle: {icon: material/weather-night, name: Dark}}
    - {media: "(prefers-color-scheme: dark)", scheme: slate, primary: indigo, accent: indigo,
       toggle: {icon: material/weather-sunny, name: Light}}
plugins: [search]
extra: {generator: false}
markdown_extensions:
  - admonition
  - attr_list
  - tables
  - toc: {permalink: true, slugify: !!python/object/apply:pymdownx.slugs.slugify {kwds: {case: lower}}}
  - pymdownx.highlight
  - pymdownx.superfences
nav:
"""


class Site:
    """The Markdown files of a site as they are collected: those in the navigation first, then what they link to.

    Args:
        root: of the repository.
        target: folder that takes them.
    """

    def __init__(self, root: Path, target: Path) -> None:
        self._root, self._target = root, target
        self._waiting: list[Path] = []
        self._places: dict[Path, Path] = {}

    def collect(self) -> None:
        """Write every page; raises FileNotFoundError for a link of a page that leads to nothing."""
        for source, place in pages(self._root).items():
            self._places[source] = place
            self._waiting.append(source)
        while self._waiting:
            self._write(self._waiting.pop())

    def _write(self, source: Path) -> None:
        place = self._target / self._places[source]
        place.parent.mkdir(parents=True, exist_ok=True)
        path = self._root / source
        if path.is_dir():
            place.write_text(self._rewritten(folder_page(self._root, source), source / "x", place), encoding="utf-8")
        elif source.suffix == ".md":
            place.write_text(self._rewritten(path.read_text(encoding="utf-8"), source, place), encoding="utf-8")
        elif place.suffix == ".md":
            place.write_text(code_page(source, path.read_text(encoding="utf-8")), encoding="utf-8")
        else:
            shutil.copyfile(path, place)

    def _rewritten(self, text: str, source: Path, place: Path) -> str:
        """A page with its links as the site has them; code blocks stay as they are."""
        parts = FENCE.split(text)
        outside = (LINK.sub(lambda found: self._link(found, source, place), part) for part in parts[::2])
        return "".join(part for pair in zip(outside, [*parts[1::2], ""], strict=True) for part in pair)

    def _link(self, found: re.Match[str], source: Path, place: Path) -> str:
        target = Path(os.path.normpath(source.parent / found[2]))
        if not (self._root / target).exists():
            raise FileNotFoundError(f"{source}: the link to {found[2]} leads to nothing")
        other = self._target / self._place(target)
        return f"{found[1]}({Path(os.path.relpath(other, place.parent)).as_posix()}{found[3] or ''})"

    def _place(self, target: Path) -> Path:
        """Where a file of the repository is on the site, which gets it where it has not."""
        if target not in self._places:
            self._places[target] = place_of(self._root, target)
            self._waiting.append(target)
        return self._places[target]


def pages(root: Path) -> dict[Path, Path]:
    """The pages that the navigation reaches, relative to the root, with their places on the site."""
    found = {path.relative_to(root): path.relative_to(root / "docs") for path in sorted((root / "docs").rglob("*.md"))}
    return found | {Path(source): Path(place) for source, place in OUTSIDE.items()}


OUTSIDE: Mapping[str, str] = {
    "README.md": "readme.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "SECURITY.md": "security-policy.md",
    "examples/python/README.md": "examples/python.md",
    "examples/web/README.md": "examples/web.md",
    "examples/android/README.md": "examples/android.md",
    "runtime/js/README.md": "javascript.md",
    "tests/conformance/README.md": "conformance.md",
}
"""Pages that lie where their subject does, with their places on the site."""


def place_of(root: Path, target: Path) -> Path:
    """The place of a file that no navigation has: pictures as they are, code as a page."""
    if (root / target).is_dir():
        return Path(SOURCES) / target / "folder.md"
    if target.suffix in (".png", ".svg", ".jpg"):
        return target.relative_to("docs") if target.is_relative_to("docs") else Path(SOURCES) / target
    return Path(SOURCES) / f"{target}.md" if target.suffix != ".md" else Path(SOURCES) / target


def code_page(source: Path, text: str) -> str:
    """A page with a file of the repository."""
    return f"{UNSEARCHED}# {source}\n\n````{LANGUAGES.get(source.suffix, 'text')}\n{text.rstrip()}\n````\n"


def folder_page(root: Path, folder: Path) -> str:
    """A page with the files of a folder and the first line that each says of itself."""
    files = [path for path in sorted((root / folder).iterdir()) if path.is_file() and path.suffix in LANGUAGES]
    return f"# {folder}\n\n" + "".join(f"- [{path.name}]({path.name}){_purpose(path)}\n" for path in files)


def _purpose(path: Path) -> str:
    if path.suffix != ".py":
        return ""
    said = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return f": {said.partition(chr(10))[0]}" if said else ""


def nav_lines(nav: Mapping[str, object], depth: int = 1) -> Iterator[str]:
    """The navigation as YAML."""
    for title, content in nav.items():
        if isinstance(content, str):
            yield f"{'  ' * depth}- {title}: {content}\n"
        elif isinstance(content, Mapping):
            yield f"{'  ' * depth}- {title}:\n"
            yield from nav_lines(content, depth + 1)


def assemble(root: Path, folder: Path) -> Path:
    """Write the pages and the settings into an empty folder and return the settings' file.

    Raises:
        FileNotFoundError: a link leads to nothing.
        ValueError: a page that is made from the code is behind it.
    """
    for name in PAGES:
        if (root / "docs" / name).read_text(encoding="utf-8") != page(name):
            raise ValueError(f"docs/{name} is behind the code; run python -m docs.generate")
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "docs").mkdir(parents=True)
    Site(root, folder / "docs").collect()
    file = folder / "mkdocs.yml"
    file.write_text(SETTINGS + "".join(nav_lines(NAV)), encoding="utf-8")
    return file


def build(root: Path, folder: Path, target: Path) -> None:
    """Make the site; raises ValueError with every dead link and every page without a way to it."""
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--clean"]
    settings = assemble(root, folder)
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}  # an advertisement of the theme's
    # Not --quiet: that also keeps warnings from failing the site.
    command += ["-f", str(settings), "-d", str(target.absolute())]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    if done.returncode:
        faults = [line for line in done.stderr.splitlines() if line.startswith(("WARNING", "ERROR", "  - "))]
        raise ValueError("\n".join(faults) or done.stderr)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--target", type=Path, default=ROOT / BUILD / "site")
    given = parser.parse_args()
    build(ROOT, ROOT / BUILD / "docs", given.target)
    print(f"{len(titles())} pages: open {given.target}/index.html, or serve that folder, with which its search works")
