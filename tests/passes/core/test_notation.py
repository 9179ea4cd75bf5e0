"""A pass in writing: its fields are its options."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import onnx_ir as ir
import pytest

from sparcl_compile.interface.errors import OptionError
from sparcl_compile.passes.core.contract import Pass
from sparcl_compile.passes.core.notation import options_of, read_options, signature, split, unwritable, written
from sparcl_compile.passes.core.phases import Phase


class Idle(Pass):
    """Does nothing."""

    phase = Phase.LOWERING

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        return ir.passes.PassResult(model, False)


@dataclasses.dataclass(frozen=True)
class Every(Idle):
    """One field of each kind."""

    count: int
    share: float = 0.5
    word: str = "one"
    on: bool = False
    where: Path | None = None
    names: tuple[str, ...] = ()
    most: int | None = None
    sizes: tuple[int, ...] = (1, 2)
    made_by: Callable[[], None] | None = None


@dataclasses.dataclass(frozen=True)
class Plain(Idle):
    """No options."""


def read(text: str) -> dict[str, object]:
    return read_options(Every, text.split(","))


def test_fields_of_plain_types_are_options() -> None:
    assert list(options_of(Every)) == ["count", "share", "word", "on", "where", "names", "most", "sizes"]
    assert unwritable(Every) == []
    assert signature(Every) == (
        "every{count=...,share=0.5,word=one,on=false,where=none,names=,most=none,sizes=1,sizes=2}"
    )
    assert signature(Plain) == "plain"


def test_values_have_the_types_of_their_fields() -> None:
    found = read("count=3,share=1,word=a=b,on=true,where=a/b.so,names=x,names=y*,most=7,sizes=4")
    assert found == {
        "count": 3,
        "share": 1.0,
        "word": "a=b",
        "on": True,
        "where": Path("a/b.so"),
        "names": ("x", "y*"),
        "most": 7,
        "sizes": (4,),
    }
    assert {name: type(value) for name, value in found.items()}["share"] is float


def test_nothing_and_no_entries() -> None:
    assert read("count=1,most=none,where=none,sizes=,names=") == {
        "count": 1,
        "most": None,
        "where": None,
        "sizes": (),
        "names": (),
    }


@pytest.mark.parametrize(
    "one",
    [
        Every(1),
        Every(2, share=0.25, on=True, names=("a", "b"), where=Path("x"), most=3),
        Every(3, sizes=(), word="none"),
        Every(4, names=("a,b", "c{d}", 'e"f', "g\\h", "i=j", "none", "", " k ", "l\nm"), word="", where=Path("n,o}")),
    ],
    ids=str,
)
def test_what_is_written_is_read_again(one: Every) -> None:
    ((name, parts),) = split(written(one))
    assert name == "every"
    assert Every(**read_options(Every, parts)) == one
    assert str(one) == written(one)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("conv*", "conv*"),
        ("a=b c", "a=b c"),
        ("a\\b", "a\\b"),
        ("conv[1,2]*", '"conv[1,2]*"'),
        ("{a}", '"{a}"'),
        ('say "a,b"', r'"say \"a,b\""'),
        ("a\\,", r'"a\\,"'),
        (" a", '" a"'),
        ("none", '"none"'),
        ("", '""'),
    ],
)
def test_a_value_is_quoted_where_it_must_be(value: str, text: str) -> None:
    assert str(Every(1, word=value)) == f"every{{count=1,word={text}}}"
    ((_, parts),) = split(f"every{{count=1, word={text} }}")
    assert read_options(Every, parts) == {"count": 1, "word": value}


def test_quotes_hold_commas_and_braces_in_a_list_of_passes() -> None:
    assert list(split('a{x="1,2",y="}{"},b{z="\\",\\""}')) == [("a", ['x="1,2"', 'y="}{"']), ("b", ['z="\\",\\""'])]


def test_any_plain_value_may_be_quoted() -> None:
    found = read_options(Every, ['count="3"', 'on="true"', 'where="a/b.so"', 'most="7"', 'sizes="4"'])
    assert found == {"count": 3, "on": True, "where": Path("a/b.so"), "most": 7, "sizes": (4,)}


def test_only_what_differs_is_written() -> None:
    assert str(Plain()) == "plain"
    assert str(Every(1, word="two")) == "every{count=1,word=two}"


def test_a_list_of_passes() -> None:
    assert list(split(" a , b{x=1, y=2},c{} ")) == [("a", []), ("b", ["x=1", "y=2"]), ("c", [])]


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("", "at its end"),
        ("a,", "at its end"),
        ("a b", "at 'a b'"),
        ("a,b{x=1", "at 'b{x=1'"),
        ("a{{x=1}}", "at 'a{{x=1}}'"),
        (",a", "at ',a'"),
        ('a{x="1}', "at 'a{x=\"1}'"),
        ("a-b", "at 'a-b'"),
    ],
)
def test_what_is_no_list_says_where(text: str, where: str) -> None:
    with pytest.raises(OptionError) as caught:
        list(split(text))
    assert str(caught.value) == f"{text!r} {where}: is no list of passes; write PASS,PASS{{OPTION=VALUE,OPTION=VALUE}}"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("share=0.1", "every: needs count; write every{count=...}"),
        ("count=1.5", "every: count=1.5: give a whole number"),
        ("count=1,share=much", "every: share=much: give a number"),
        ("count=1,on=yes", "every: on=yes: give true or false"),
        ("count=none", "every: count=none: give a whole number"),
        ("count=1,most=x", "every: most=x: give a whole number"),
        ("count=1,count=2", "every: count is given twice; leave one out"),
        ('count=1,word=a"b"', 'every: word=a"b": put the whole value in quotes'),
        ('count=1,most="none"', 'every: most="none": give a whole number'),
        ("count", "every: 'count' is no option; write PASS,PASS{OPTION=VALUE,OPTION=VALUE}"),
        ("made_by=1", "every: made_by cannot be written: the whole pipeline alone gives it; leave it out"),
        ("cont=1", "every: has no option cont; did you mean count? its options are " + ", ".join(options_of(Every))),
        ("zzz=1", "every: has no option zzz; its options are " + ", ".join(options_of(Every))),
    ],
)
def test_a_wrong_option_is_one_true_line(text: str, message: str) -> None:
    with pytest.raises(OptionError) as caught:
        read(text)
    assert str(caught.value) == message


def test_a_pass_without_options_says_so() -> None:
    with pytest.raises(OptionError, match="plain: has no option x, nor any other"):
        read_options(Plain, ["x=1"])
