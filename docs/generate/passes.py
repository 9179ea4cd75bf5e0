"""docs/pass-reference.md: the passes with their options and rules, from their classes."""

import dataclasses
import inspect
import re
from collections.abc import Iterator

from sparcl_compile.passes.core.contract import Pass
from sparcl_compile.passes.core.notation import Option, options_of, unwritable
from sparcl_compile.passes.core.phases import Phase
from sparcl_compile.passes.registry import FILES, pass_class

HEAD = """# The passes, one by one

The rules by which each pass changes a graph, from its own docstring, and its options for
[sparcl-opt](cli.md#sparcl-opt). [The passes](passes.md) has them in a line each, with what they do together.
"""
RULE = re.compile(r"^(\d+\.) ", re.MULTILINE)


def text() -> str:
    """The page."""
    return HEAD + "".join("".join(_phase(phase)) for phase in Phase)


def _phase(phase: Phase) -> Iterator[str]:
    yield f"\n## {str(phase).capitalize()}\n\n{phase.value}\n"
    for file in FILES[phase]:
        yield from _pass(pass_class(file.rpartition(".")[2]), f"passes/{phase}/{file.replace('.', '/')}.py")


def _pass(one: type[Pass], path: str) -> Iterator[str]:
    yield f"\n### {one.name}\n\n[{path}](../{path})\n\n{_markdown(inspect.getdoc(one) or '')}\n"
    options = options_of(one)
    if options:
        yield "\n| option | value | default |\n|---|---|---|\n"
        yield from (f"| `{name}` | {_kind(option)} | {_default(option)} |\n" for name, option in options.items())
    for word, facts in (("Needs", one.needs), ("Comes before", one.before)):
        if facts:
            yield f"\n{word}: {', '.join(f'`{name}`' for name in dict.fromkeys(fact.by for fact in facts))}.\n"
    if lacking := unwritable(one):
        yield f"\nRuns in the whole pipeline only, which gives it: {', '.join(f'`{name}`' for name in lacking)}.\n"


def _markdown(text: str) -> str:
    """A docstring as Markdown: code in single backquotes, links of Sphinx as code, sections as bold words."""
    plain = re.sub(r":\w+:`~?([^`]+)`", r"`\1`", text.replace("``", "`"))
    plain = re.sub(r"^(Args|Attributes|Options|Raises):\n", r"**\1**\n\n", plain, flags=re.MULTILINE)
    plain = re.sub(r"^    (\w+): ", r"- `\1`: ", plain, flags=re.MULTILINE)
    # Blanks in front of the folded lines of a rule must be those of the rule's text.
    return re.sub(r"^ {3}(?=\S)", "    ", RULE.sub(r"\1 ", plain), flags=re.MULTILINE)


def _kind(option: Option) -> str:
    word = {bool: "true or false", int: "whole number", float: "number", str: "word"}.get(option.kind, "path")
    return f"{word}{', several' if option.many else ''}{', or none' if option.optional else ''}"


def _default(option: Option) -> str:
    if option.default is dataclasses.MISSING:
        return "must be given"
    if option.default in ((), None, ""):
        return "none"
    return f"`{str(option.default).lower() if isinstance(option.default, bool) else option.default}`"
