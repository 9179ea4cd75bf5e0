"""A release says one version and one date in every place (docs/joining.md has the list of what a release is)."""

import json
import re
import tomllib
from pathlib import Path

import pytest

from sparcl_compile import __version__

PLACES = {
    "CITATION.cff": r"^version: (\S+)$",
    "runtime/java/pom.xml": r"^  <version>(.+)</version>$",
    "runtime/java/build.gradle": r"^version = '(.+)'$",
    "examples/android/app/build.gradle": r"versionName '(.+)'",
}
"""Files with the version, and how each writes it; the ones below are read as what they are."""
RELEASE = re.compile(r"^## \[(\d+\.\d+\.\d+)\] - (\d{4}-\d{2}-\d{2})$", re.MULTILINE)


@pytest.mark.parametrize("place", PLACES)
def test_the_version_is_everywhere(place: str, root: Path) -> None:
    found = re.findall(PLACES[place], (root / place).read_text(encoding="utf-8"), re.MULTILINE)
    assert found == [__version__]


def test_packages_have_it(root: Path) -> None:
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    package, lock = (json.loads((root / "runtime/js" / f"package{end}.json").read_text()) for end in ("", "-lock"))
    assert {project["version"], package["version"], lock["version"], lock["packages"][""]["version"]} == {__version__}


def test_the_changelog_begins_with_what_comes_and_has_this_version_next(root: Path) -> None:
    text = (root / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.findall(r"^## \[(.+?)\]", text, re.MULTILINE)[:2] == ["Unreleased", __version__]
    version, date = RELEASE.findall(text)[0]
    assert version == __version__
    assert f"date-released: {date}\n" in (root / "CITATION.cff").read_text(encoding="utf-8")
