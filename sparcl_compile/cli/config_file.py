"""Options that one always types, from ``sparcl.toml`` or ``[tool.sparcl]`` in ``pyproject.toml`` (docs/cli.md)."""

import dataclasses
import difflib
import re
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import click

from sparcl_compile.cli.guides import GUIDES
from sparcl_compile.interface.errors import OptionError
from sparcl_compile.interface.files import readable

OWN, SHARED = "sparcl.toml", "pyproject.toml"
SECTIONS = (*GUIDES,)
"""The tables of the file: a command each, without its ``sparcl-``."""
NEVER = ("help", "version", "list")
"""Options that end a command at once."""
TABLE = re.compile(r"\s*\[\s*([\w.\-]+)\s*\]")
KEY = re.compile(r"\s*\"?([\w-]+)\"?\s*=")


@dataclasses.dataclass(frozen=True)
class Configured:
    """The options that a file gives one command.

    Attributes:
        file: its path; empty where no file says anything.
        values: by the name of the parameter.
        lines: the line of each value, where it was found.
    """

    file: str = ""
    values: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    lines: Mapping[str, int] = dataclasses.field(default_factory=dict)

    def place(self, name: str) -> str:
        """Return the place where a parameter's value is written: ``sparcl.toml, line 3``."""
        line = self.lines.get(name)
        return f"{self.file}, line {line}" if line else self.file


def configured(section: str, params: Iterable[click.Parameter], start: Path) -> Configured:
    """Return what the nearest file from a folder upwards says for a command.

    Args:
        section: the command without ``sparcl-``.
        params: its parameters.
        start: the folder.

    Raises:
        OptionError: the file cannot be read, or has a table or a key that there is not; the message names the line.
    """
    found = _nearest(start)
    if found is None:
        return Configured()
    path, prefix, tables, lines = found
    _check_tables(path, prefix, tables, lines)
    known = option_names(params)
    own = tables.get(section, {})
    for key, value in own.items():
        _check_key(f"{_at(path, lines, section, key)}", section, key, value, known)
    named = {known[key]: key for key in own}
    places = {name: lines[section, key] for name, key in named.items() if (section, key) in lines}
    return Configured(str(path), {name: own[key] for name, key in named.items()}, places)


def option_names(params: Iterable[click.Parameter]) -> dict[str, str]:
    """The keys of a command's table with the names of their parameters: long options without their dashes."""
    options = [param for param in params if isinstance(param, click.Option)]
    pairs = ((_long(option), option.name or "") for option in options)
    return {key: name for key, name in pairs if key not in NEVER}


def _long(option: click.Option) -> str:
    return next(name for name in option.opts if name.startswith("--")).removeprefix("--")


Found = tuple[Path, tuple[str, ...], dict[str, Any], dict[tuple[str, str], int]]


def _nearest(start: Path) -> Found | None:
    """The file, the names before its tables, the tables, and the line of every key; None without a file."""
    found = (_own(folder / OWN) or _shared(folder / SHARED) for folder in (start, *start.parents))
    return next((one for one in found if one is not None), None)


def _own(path: Path) -> Found | None:
    if not path.is_file():
        return None
    text = _text(path)
    return path, (), _parsed(path, text), _lines(text, ())


def _shared(path: Path) -> Found | None:
    if not path.is_file() or "[tool.sparcl" not in (text := _text(path)):
        return None
    tables = _parsed(path, text).get("tool", {}).get("sparcl")
    if not isinstance(tables, dict):  # a comment that looks like it
        return None
    return path, ("tool", "sparcl"), tables, _lines(text, ("tool", "sparcl"))


def _text(path: Path) -> str:
    try:
        with readable(path, OptionError, plain=True):
            return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise OptionError(f"{path}: is not UTF-8 text; save it as UTF-8, or remove it") from error


def _parsed(path: Path, text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise OptionError(f"{path}: is not TOML ({error}); mend that line, or remove the file") from error


def _lines(text: str, prefix: tuple[str, ...]) -> dict[tuple[str, str], int]:
    """The line of every table (under the key ``""``) and of every key of a table."""
    found: dict[tuple[str, str], int] = {}
    section: str | None = None
    for number, line in enumerate(text.splitlines(), start=1):
        if table := TABLE.match(line):
            parts = tuple(table[1].split("."))
            section = parts[len(prefix)] if parts[:-1] == prefix else None
            found |= {(section, ""): number} if section is not None else {}
        elif (key := KEY.match(line)) and (section is not None or not prefix):
            found.setdefault((section or "", key[1]), number)
    return found


def _at(path: Path, lines: Mapping[tuple[str, str], int], section: str, key: str = "") -> str:
    line = lines.get((section, key))
    return f"{path}, line {line}" if line else str(path)


def _check_tables(
    path: Path, prefix: tuple[str, ...], tables: Mapping[str, Any], lines: Mapping[tuple[str, str], int]
) -> None:
    shown = ", ".join(f"[{'.'.join((*prefix, name))}]" for name in SECTIONS)
    for name, table in tables.items():
        if name not in SECTIONS:
            at = _at(path, lines, name) if isinstance(table, dict) else _at(path, lines, "", name)
            raise OptionError(f"{at}: there is no command {name!r}; {_meant(name, SECTIONS)}give one of {shown}")
        if not isinstance(table, dict):
            raise OptionError(f"{_at(path, lines, '', name)}: {name} is no table; write [{'.'.join((*prefix, name))}]")


def _check_key(at: str, section: str, key: str, value: object, known: Mapping[str, str]) -> None:
    if key not in known:
        raise OptionError(
            f"{at}: sparcl-{section} has no option {key!r}; {_meant(key, known)}give one of {', '.join(sorted(known))}"
        )
    if isinstance(value, dict) or not isinstance(value, str | int | float | list):
        raise OptionError(f"{at}: {key} has a value of another kind; write it as after --{key}, in quotes for a text")


def _meant(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, known, 1, 0.6)
    return f"did you mean {near[0]}? " if near else ""
