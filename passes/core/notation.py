"""A pass in writing: ``insert_weight_masks{sparsity=0.5,scheme=channel}``. A pass's fields are its options.

Plain options are numbers, words, truth values, paths and tuples of them; a tuple is written by giving its option
several times, nothing as ``none``. A field of another type (a model, a function) has no written form.

A value with a comma, a brace or a quote stands in double quotes: ``freeze_parameters{freeze="conv[1,2]*"}``. Inside
them a backslash escapes the next character, blanks count, and ``"none"`` is a word.
"""

import dataclasses
import difflib
import itertools
import re
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from sparcl_compile.interface.errors import OptionError

NONE = "none"
KINDS: Mapping[type, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a word",
    Path: "a path",
}
"""The types of plain options, and what a message asks for."""
TRUTH = {"true": True, "false": False}
_QUOTED = r'"(?:[^"\\]|\\.)*"'
QUOTED = re.compile(_QUOTED, re.DOTALL)
QUOTED_OR_COMMA = re.compile(f"{_QUOTED}|,", re.DOTALL)
PASS = re.compile(rf'\s*(\w+)\s*(?:\{{((?:[^{{}}"]|{_QUOTED})*)\}})?\s*(,|$)', re.DOTALL)
BARE = re.compile(r'[^\s,{}"](?:[^,{}"]*[^\s,{}"])?')
"""A text that needs no quotes."""
FORM = "write PASS,PASS{OPTION=VALUE,OPTION=VALUE}"


@dataclasses.dataclass(frozen=True)
class Option:
    """A field of a pass that can be written.

    Attributes:
        kind: one of ``KINDS``.
        many: whether the field is a tuple of them.
        optional: whether it may be nothing.
        default: what it is unless given; ``dataclasses.MISSING`` where it must be given.
    """

    kind: type
    many: bool
    optional: bool
    default: object


def options_of(made: Any) -> Mapping[str, Option]:
    """The options of a pass by name, in the order of its fields."""
    hints = typing.get_type_hints(made)
    found = {field.name: _option(hints[field.name], field.default) for field in dataclasses.fields(made)}
    return {name: option for name, option in found.items() if option}


def _option(hint: Any, default: object) -> Option | None:
    parts = typing.get_args(hint) if typing.get_origin(hint) in (typing.Union, types.UnionType) else (hint,)
    kinds = [part for part in parts if part is not types.NoneType]
    if len(kinds) != 1:
        return None
    many = typing.get_origin(kinds[0]) is tuple and typing.get_args(kinds[0])[1:] == (...,)
    kind = typing.get_args(kinds[0])[0] if many else kinds[0]
    return Option(kind, many, len(kinds) < len(parts), default) if kind in KINDS else None


def unwritable(made: Any) -> list[str]:
    """The fields that must be given and cannot be written: a pass that has any is made by a pipeline alone."""
    fields = [f for f in dataclasses.fields(made) if f.name not in options_of(made)]
    missing = dataclasses.MISSING
    return [field.name for field in fields if field.default is missing and field.default_factory is missing]


def written(one: Any) -> str:
    """A pass as it is written, with those of its options that are not their defaults."""
    given = {name: getattr(one, name) for name in options_of(type(one))}
    changed = {name: value for name, value in given.items() if value != options_of(type(one))[name].default}
    return in_braces(one.name, changed)


def signature(made: Any) -> str:
    """A pass as it is written with all of its options at their defaults; one that must be given has three dots."""
    defaults = {name: option.default for name, option in options_of(made).items()}
    return in_braces(made.name, {n: "..." if v is dataclasses.MISSING else v for n, v in defaults.items()})


def in_braces(name: str, values: Mapping[str, object]) -> str:
    """A name with options; values are quoted where they must be."""
    options = ",".join(part for option, value in values.items() for part in _texts(option, value))
    return f"{name}{{{options}}}" if options else name


def _texts(option: str, value: object) -> list[str]:
    parts = value if isinstance(value, tuple) else (value,)
    return [f"{option}={_text(part)}" for part in parts] or [f"{option}="]


def _text(value: object) -> str:
    if value is None or isinstance(value, bool):
        return str(value).lower()
    text = str(value)
    return text if text != NONE and BARE.fullmatch(text) else '"' + re.sub(r'(["\\])', r"\\\1", text) + '"'


def split(text: str) -> Iterator[tuple[str, Sequence[str]]]:
    """The passes of a list: each one's name and what stands between its braces, at the commas.

    Raises:
        OptionError: the text is no such list.
    """
    place = 0
    while match := PASS.match(text, place):
        name, options, separator = match.groups()
        yield name, _at_commas(options) if options else []
        place = match.end()
        if not separator:
            return
    where = f"at {text[place:]!r}" if text[place:] else "at its end"
    raise OptionError(f"{text!r} {where}: is no list of passes; {FORM}")


def _at_commas(options: str) -> Sequence[str]:
    commas = [found.start() for found in QUOTED_OR_COMMA.finditer(options) if found[0] == ","]
    return [options[start + 1 : end].strip() for start, end in itertools.pairwise((-1, *commas, len(options)))]


def read_options(made: Any, parts: Sequence[str]) -> dict[str, Any]:
    """The fields of a pass from its written options.

    Raises:
        OptionError: an option is unknown, given twice, missing, or its value cannot be read.
    """
    known, found = options_of(made), dict[str, Any]()
    for part in parts:
        name, equals, text = part.partition("=")
        if not equals:
            raise OptionError(f"{made.name}: {part!r} is no option; {FORM}")
        if name not in known:
            raise OptionError(f"{made.name}: {_unknown(made, name)}")
        value = _read(made.name, name, known[name], text)
        if name in found and not known[name].many:
            raise OptionError(f"{made.name}: {name} is given twice; leave one out")
        found[name] = found.get(name, ()) + value if known[name].many else value
    missing = [n for n, option in known.items() if option.default is dataclasses.MISSING and n not in found]
    if missing:
        raise OptionError(f"{made.name}: needs {missing[0]}; write {in_braces(made.name, {missing[0]: '...'})}")
    return found


def _unknown(made: Any, name: str) -> str:
    if name in {field.name for field in dataclasses.fields(made)}:
        return f"{name} cannot be written: the whole pipeline alone gives it; leave it out"
    known = list(options_of(made))
    if not known:
        return f"has no option {name}, nor any other"
    close = difflib.get_close_matches(name, known, 1, 0.5)
    meant = f"did you mean {close[0]}? " if close else ""
    return f"has no option {name}; {meant}its options are {', '.join(known)}"


def _read(owner: str, name: str, option: Option, text: str) -> Any:
    if option.optional and text == NONE:
        return None
    if option.many and not text:
        return ()
    if '"' in text and not QUOTED.fullmatch(text):
        raise OptionError(f"{owner}: {name}={text}: put the whole value in quotes")
    plain = re.sub(r"\\(.)", r"\1", text[1:-1], flags=re.DOTALL) if text.startswith('"') else text
    try:
        value = TRUTH[plain] if option.kind is bool else option.kind(plain)
    except (KeyError, ValueError):
        raise OptionError(f"{owner}: {name}={text}: give {KINDS[option.kind]}") from None
    return (value,) if option.many else value
