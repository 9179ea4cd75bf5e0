"""The text of sparcl-opt --list."""

import inspect
from collections.abc import Iterator

from sparcl_compile.interface.errors import OptionError
from sparcl_compile.passes.core.contract import Pass
from sparcl_compile.passes.core.notation import signature, unwritable
from sparcl_compile.passes.core.phases import Phase
from sparcl_compile.passes.registry import pass_class, pass_names


def pass_list() -> str:
    """The phases in their order with what they do, and in each its passes with options, purpose and place."""
    found = [_found(name) for name in pass_names()]
    lines = [line for phase in Phase for line in _phase(phase, [one for one in found if isinstance(one, type)])]
    return "\n".join([*lines, *(one for one in found if isinstance(one, str))]) + "\n"


def _found(name: str) -> type[Pass] | str:
    try:
        return pass_class(name)
    except OptionError as error:
        return str(error)


def _phase(phase: Phase, passes: list[type[Pass]]) -> Iterator[str]:
    yield f"{phase}: {phase.value}"
    for one in passes:
        if one.phase is phase:
            yield f"  {signature(one)}"
            yield f"      {(inspect.getdoc(one) or '').partition(chr(10))[0]}"
            yield from (f"      {line}" for line in _place(one))
    yield ""


def _place(one: type[Pass]) -> Iterator[str]:
    """The passes that a pass runs after and before, and whether it can run alone."""
    for word, facts in (("needs", one.needs), ("before", one.before)):
        if facts:
            yield f"{word}: {', '.join(dict.fromkeys(fact.by for fact in facts))}"
    if lacking := unwritable(one):
        yield f"runs inside of the whole pipeline only, which gives it: {', '.join(lacking)}"
