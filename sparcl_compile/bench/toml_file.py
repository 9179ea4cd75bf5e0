"""A TOML file whose faults are told with their lines."""

import tomllib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import msgspec

from sparcl_compile.interface.errors import GridError
from sparcl_compile.interface.files import readable

Kind = TypeVar("Kind")
Keys = tuple[str, ...]
"""The path of a value: the keys that lead to it."""


class TomlFile:
    """The text and the values of a TOML file.

    Args:
        path: the file.

    Raises:
        GridError: it cannot be read, or is no TOML.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with readable(path, GridError, plain=True):
            content = path.read_bytes()
        try:
            self._text = content.decode()
            self.values: Mapping[str, Any] = tomllib.loads(self._text)
        except UnicodeDecodeError as error:
            raise GridError(f"{path}: is no UTF-8 text (byte {error.start}); save it as UTF-8") from error
        except tomllib.TOMLDecodeError as error:
            raise GridError(f"{path}: is no TOML ({error}); mend that line") from error

    def refuse(self, keys: Keys, fault: str) -> NoReturn:
        """Raise GridError about the value below these keys; the fault goes on from their name."""
        raise GridError(f"{self.place(keys)}: {'.'.join(keys)} {fault}")

    def place(self, keys: Keys) -> str:
        """The file and the line of the value below these keys."""
        line = self.line_of(keys)
        return f"{self.path}, line {line}" if line else str(self.path)

    def table(self, keys: Keys, value: object, allowed: Iterable[str]) -> Mapping[str, Any]:
        """Return a value as a table without other keys than those that are allowed; raise GridError if it is none."""
        known, found = sorted(allowed), self.as_kind(keys, value, dict[str, Any], "a table")
        for key in found:
            if key not in known:
                self.refuse((*keys, key), f"is unknown; allowed here: {', '.join(known)}")
        return found

    def line_of(self, keys: Keys) -> int:
        """The line, from 1, of the value below these keys, else of the nearest one above it; 0 where there is none."""
        nearest, found = 0, 0
        for number, written in self._written():
            common = _common(keys, written)
            if common > nearest:
                nearest, found = common, number
        return found

    def _written(self) -> Iterator[tuple[int, Keys]]:
        """The lines that begin a table or a value, with their keys."""
        table: Keys = ()
        for number, line in enumerate(self._text.splitlines(), start=1):
            if line.lstrip().startswith("["):
                table = _keys_of(line) or table
                yield number, table
            elif "=" in line:
                yield number, (*table, *_keys_of(f"{line.partition('=')[0]} = 0"))

    def as_kind(self, keys: Keys, value: object, kind: type[Kind], wanted: str) -> Kind:
        """Return a value as this type; raise GridError, which says what is wanted, where it is of another one."""
        try:
            return msgspec.convert(value, kind)
        except msgspec.ValidationError:
            self.refuse(keys, f"is {shown(value)}; give {wanted}")


def shown(value: object) -> str:
    """A value as a message has it."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _keys_of(line: str) -> Keys:
    """The keys that one line of TOML leads to; none where it is no line by itself."""
    try:
        found: Any = tomllib.loads(line)
    except tomllib.TOMLDecodeError:
        return ()
    keys: list[str] = []
    while isinstance(found, dict) and found:
        key, found = next(iter(found.items()))
        keys.append(key)
    return tuple(keys)


def _common(one: Keys, other: Keys) -> int:
    """How many keys two paths begin with in common, where the second is no deeper; else 0."""
    if len(other) > len(one) or one[: len(other)] != other:
        return 0
    return len(other)
