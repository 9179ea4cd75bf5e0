"""Mutations of bytes and of JSON: a table each, and every choice is the generator's."""

import copy
from collections.abc import Callable
from random import Random
from typing import Any

ODD_NUMBERS = (0, 1, -1, 2, 7, 255, 2**31 - 1, -(2**31), 2**31, 2**63 - 1, -(2**63))
ODD_TEXTS = ("", "x", "a/b", "../x", "/etc/passwd", "\0", "é\n", "float32", "input", "w" * 300)
ODD_VALUES: tuple[Any, ...] = (
    *(None, True, False, 0.5, -1.5, float("nan"), float("inf"), 2**64, 10**400, [], {}, [0], [[]], {"a": 1}),
    *ODD_NUMBERS,
    *ODD_TEXTS,
)

Bytes = Callable[[bytearray, Random], None]


def _place(content: bytearray, rng: Random) -> int:
    return rng.randrange(len(content) + 1)


def _flip(content: bytearray, rng: Random) -> None:
    for _ in range(rng.choice((1, 1, 4, 32))):
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)


def _overwrite(content: bytearray, rng: Random) -> None:
    content[rng.randrange(len(content))] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))


def _cut(content: bytearray, rng: Random) -> None:
    del content[_place(content, rng) :]


def _drop(content: bytearray, rng: Random) -> None:
    start = _place(content, rng)
    del content[start : start + rng.choice((1, 4, 64, 1024))]


def _insert(content: bytearray, rng: Random) -> None:
    start = _place(content, rng)
    content[start:start] = rng.randbytes(rng.choice((1, 4, 64)))


def _repeat(content: bytearray, rng: Random) -> None:
    start = _place(content, rng)
    content[start:start] = content[start : start + rng.choice((1, 8, 256))]


def _front(content: bytearray, rng: Random) -> None:
    """Headers are at the front: most of a long file is weights."""
    content[rng.randrange(min(64, len(content)))] = rng.randrange(256)


BYTES: dict[str, Bytes] = {
    "flip": _flip,
    "overwrite": _overwrite,
    "cut": _cut,
    "drop": _drop,
    "insert": _insert,
    "repeat": _repeat,
    "front": _front,
}


def mutated_bytes(content: bytes, rng: Random) -> bytes:
    """The content after one mutation of :data:`BYTES`."""
    changed = bytearray(content or b"\0")
    BYTES[rng.choice(sorted(BYTES))](changed, rng)
    return bytes(changed)


Place = tuple[Any, Any]
"""A list or an object, and an index or a key of it."""


def places(content: Any) -> list[Place]:
    """Every place below a JSON value."""
    keys = {dict: lambda: list(content), list: lambda: range(len(content))}.get(type(content), list)()
    return [found for key in keys for found in ((content, key), *places(content[key]))]


def _odd(place: Place, _: list[Place], rng: Random) -> None:
    place[0][place[1]] = rng.choice(ODD_VALUES)


def _alike(place: Place, others: list[Place], rng: Random) -> None:
    """A value of the same type from elsewhere fits every check of types."""
    kind = type(place[0][place[1]])
    place[0][place[1]] = copy.deepcopy(rng.choice([holder[key] for holder, key in others if type(holder[key]) is kind]))


def _other(place: Place, others: list[Place], rng: Random) -> None:
    holder, key = rng.choice(others)
    place[0][place[1]] = copy.deepcopy(holder[key])  # it may hold the place itself


def _remove(place: Place, _: list[Place], __: Random) -> None:
    del place[0][place[1]]


def _rename(place: Place, others: list[Place], rng: Random) -> None:
    holder, key = place
    if not isinstance(holder, dict):
        return _alike(place, others, rng)
    holder[rng.choice(ODD_TEXTS)] = holder.pop(key)


def _near(place: Place, others: list[Place], rng: Random) -> None:
    """A number that is off by one."""
    value = place[0][place[1]]
    if type(value) not in (int, float):
        return _alike(place, others, rng)
    place[0][place[1]] = rng.choice((value + 1, value - 1, -value, value * 2, value * 1000))


JSON: dict[str, Callable[[Place, list[Place], Random], None]] = {
    "odd": _odd,
    "alike": _alike,
    "other": _other,
    "remove": _remove,
    "rename": _rename,
    "near": _near,
}


def mutate_json(content: Any, rng: Random) -> None:
    """Change a JSON value in place, once or a few times.

    The depth of the place is chosen first: most places of a manifest are far below its interesting ones.
    """
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        found = places(content)
        if found:
            JSON[rng.choice(sorted(JSON))](_descended(content, rng), found, rng)


def _descended(content: Any, rng: Random) -> Place:
    """A place that is reached by a walk down which may end at every step."""
    holder = content
    while True:
        key = rng.choice(sorted(holder) if isinstance(holder, dict) else range(len(holder)))
        below = holder[key]
        if not isinstance(below, dict | list) or not below or rng.random() < 0.15:
            return holder, key
        holder = below
