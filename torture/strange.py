"""Values and bytes as a stranger may send them, drawn or made of honest ones by a few changes.

Knows nothing of who reads them.
"""

from __future__ import annotations

import json
from random import Random
from typing import Any

NUMBERS = (
    *(0, 1, -1, 2, 3, 7, 255, 256, 65_535, 2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**53, 2**62),
    *(2**63 - 1, 2**63, 2**64 - 1, 2**64, 10**30, -(2**63), 0.5, 1e308, -0.0, 1e-300),
    *(float("inf"), float("nan")),
)
TEXTS = (
    *("", "a", "0", "-1", "\u0661", "½", "../x", "/etc/passwd", "a\0b", "a" * 5_000, "\ud800", "é"),
    *("segment-1", "segment-1.sqlite", "codec-2", "I8", "U64", "F32", "$eq", "$in", "$prefix"),
    *("codec-9" * 9, "\n", "\r\n", "{", '"', "true", "null", "\u202e", "LOCK", "manifest-1.json"),
)


def strange(random: Random, depth: int = 0) -> Any:
    """Any JSON value."""
    kind = random.randrange(8 if depth < 3 else 5)
    if kind == 0:
        return random.choice([None, True, False])
    if kind <= 2:
        return random.choice(NUMBERS)
    if kind <= 4:
        return random.choice(TEXTS)
    if kind == 5:
        return {
            random.choice(TEXTS): strange(random, depth + 1) for _ in range(random.randrange(4))
        }
    if kind == 6:
        return [strange(random, depth + 1) for _ in range(random.randrange(4))]
    nested: Any = random.choice([[], {}, 0])
    for _ in range(random.choice([10, 200, 3_000])):
        nested = [nested] if random.random() < 0.9 else {"a": nested}
    return nested


def changed_json(value: Any, random: Random) -> Any:
    """The same value with a few changes anywhere in it."""
    for _ in range(random.choice([1, 1, 1, 2, 5])):
        value = _changed(value, random)
    return value


def _changed(value: Any, random: Random, depth: int = 0) -> Any:  # noqa: PLR0911
    if depth > 20 or not isinstance(value, dict | list) or not value or random.random() < 0.08:
        if type(value) is int and random.random() < 0.5:
            return value + random.choice([-1, 1, 8, -8, value, 2**32, -2 * value])
        return strange(random)
    if isinstance(value, list):
        place = random.randrange(len(value))
        return [*value[:place], _changed(value[place], random, depth + 1), *value[place + 1 :]]
    key = random.choice(list(value))
    what = random.random()
    if what < 0.07:
        return {k: v for k, v in value.items() if k != key}
    if what < 0.14:
        return value | {random.choice([*TEXTS, key + "x"]): value[key]}
    if what < 0.2:
        return value | {key: value[random.choice(list(value))]}
    return value | {key: _changed(value[key], random, depth + 1)}


def as_json(value: Any) -> bytes:
    """JSON, also of what is too deep for `json.dumps`."""
    try:
        return json.dumps(value).encode()
    except RecursionError:
        return b"[" * 100_000


def changed_bytes(content: bytes, random: Random) -> bytes:
    """The same bytes with some flipped, cut, doubled or put in."""
    for _ in range(random.choice([1, 1, 2, 8])):
        at = random.randrange(len(content) + 1)
        end = min(at + random.choice([1, 2, 8, 64, 1_000]), len(content))
        new = random.choice(
            [
                bytes([random.randrange(256)]),
                random.randbytes(end - at),
                b"\xff" * (end - at),
                bytes(end - at),
                b"",
                content[at:end] * 2,
                random.choice([t.encode(errors="surrogatepass") for t in TEXTS]),
            ]
        )
        content = content[:at] + new + content[end:]
    return content
