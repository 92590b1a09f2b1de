# SPDX-License-Identifier: Apache-2.0
"""A reader for the plain part of YAML: mappings, lists, and scalars that every YAML version reads alike.

PyYAML's pure-Python parser turns the text into events; nothing is constructed by PyYAML. A first pass over the events
refuses anchors, aliases, tags, directives, second documents and whatever is too large or too deep; a second one
builds plain dictionaries and lists and remembers where each value stands. Scalars follow YAML 1.2 (`1e-3` is a
number); those that YAML 1.1 reads otherwise (`no`, `012`, `1:30`) are refused, with the spelling that is plain.
"""

from __future__ import annotations

import dataclasses
import re
import unicodedata
from collections.abc import Iterator
from typing import Any, TypeAlias

import yaml

from harness import errors

MAX_BYTES = 64 * 1024
MAX_EVENTS = 5_000
MAX_DEPTH = 16
MAX_PROBLEMS = 10
MAX_INTEGER = 2**53 - 1
MAX_DIGITS = 100

Path: TypeAlias = tuple[str | int, ...]
Position: TypeAlias = tuple[int, int]

_DIRECTION = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"


@dataclasses.dataclass(frozen=True)
class Document:
    """A YAML document as plain values, with the place of each.

    Attributes:
        file: What messages call it.
        value: The top mapping; inside are only dict, list, str, int, float, bool and None.
        values: (line, column), from 1, of the value at each path.
        keys: (line, column), from 1, of the key at each path that ends in a key.
    """

    file: str
    value: dict[str, Any]
    values: dict[Path, Position]
    keys: dict[Path, Position]


def decode(data: bytes, file: str) -> str:
    """Returns the text of a file's bytes (UTF-8, with or without byte-order mark).

    Raises:
        errors.InputError: If they are not UTF-8, or too many.
    """
    if len(data) > MAX_BYTES:
        raise _too_large(file)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        good = data[: error.start].decode("utf-8", "replace")
        text = f"byte 0x{data[error.start]:02x} is not UTF-8; save the file as UTF-8"
        raise errors.InputError(_message(file, _index_place(good, len(good)), (), text)) from None


def load(text: str, file: str) -> Document:
    """Reads one document, whose top is a mapping.

    Args:
        text: The YAML.
        file: What messages call it.

    Returns:
        The document.

    Raises:
        errors.InputError: With file, line and column of each problem, MAX_PROBLEMS at most.
    """
    if len(text) > MAX_BYTES or len(text.encode("utf-8", "surrogatepass")) > MAX_BYTES:
        raise _too_large(file)
    _refuse_characters(text, file)
    events = _events(text, file)
    if not events:
        raise errors.InputError(_message(file, (1, 1), (), "the file is empty"))
    top = events[0]
    if not isinstance(top, yaml.MappingStartEvent):
        problem = "expected a mapping (lines of `key: value`) at the top"
        raise errors.InputError(_message(file, _position(top), (), problem))
    document = Document(file, {}, {}, {})
    problems: list[str] = []
    rest = iter(events)
    document.value.update(_build(next(rest), rest, (), document, problems))
    if problems:
        raise errors.InputError(listed(problems))
    return document


def position(document: Document, path: Path, *, key: bool = False) -> Position:
    """Returns line and column of what stands at a path, or of the nearest thing around it that is written down.

    Args:
        document: Where the path leads.
        path: The path.
        key: Whether to point to the key rather than to the value.
    """
    while path and path not in document.values:
        path = path[:-1]
    value = document.values[path]
    return document.keys.get(path, value) if key else value


def message(document: Document, path: Path, text: str, *, key: bool = False) -> str:
    """Returns `file:line:column: dotted.path: text`; the arguments are those of `position`, and what is wrong."""
    return _message(document.file, position(document, path, key=key), path, text)


def listed(problems: list[str]) -> str:
    """Returns the first MAX_PROBLEMS problems, one a line, and how many there are beyond."""
    more = len(problems) - MAX_PROBLEMS
    return "\n".join(problems[:MAX_PROBLEMS] + ([f"... and {more} more"] if more > 0 else []))


def dotted(path: Path) -> str:
    """Returns a path as messages and grids write it: `model.hidden[0]`."""
    parts = (f"[{part}]" if isinstance(part, int) else f".{_name(part)}" for part in path)
    return "".join(parts).removeprefix(".")


def shown(value: object) -> str:
    """Returns a value as messages print it, cut at 80 characters."""
    match value:
        case None:
            text = "null"
        case bool():
            text = str(value).lower()
        case _:
            text = repr(value)
    return _cut(text)


def scalar(text: str) -> str | int | float | bool | None:
    """Returns the value of a scalar written without quotes.

    Raises:
        ValueError: If YAML versions read it differently, or it is a number that no double holds.
    """
    if text in ("", "~", "null", "Null", "NULL"):
        return None
    if text in ("true", "True", "TRUE", "false", "False", "FALSE"):
        return text in ("true", "True", "TRUE")
    if text[0] not in "+-.0123456789":
        if text.lower() in ("yes", "no", "on", "off"):
            word = "true" if text.lower() in ("yes", "on") else "false"
            raise ValueError(f"some YAML readers take it for {word}; write {word}, or put the text in quotes")
        return text
    if re.fullmatch(r"[-+]?(0|[1-9][0-9]*)", text):
        return _integer(text)
    if re.fullmatch(r"[-+]?(\.[0-9]+|[0-9]+\.[0-9]*|[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+|\.[0-9]+[eE][-+]?[0-9]+)", text):
        return _float(text)
    _refuse_number(text)
    return text


def _integer(text: str) -> int:
    if len(text) > 17 or abs(int(text)) > MAX_INTEGER:
        raise ValueError("integers must lie between -(2^53 - 1) and 2^53 - 1")
    return int(text)


def _float(text: str) -> float:
    if len(text) > MAX_DIGITS:
        raise ValueError(f"a number has at most {MAX_DIGITS} characters; write it shorter")
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise ValueError("the number is too large for a double; the largest is 1.7976931348623157e308")
    if value == 0 and re.search(r"[1-9]", re.split(r"[eE]", text)[0]):
        raise ValueError("the number is too small for a double; write 0 if zero is meant")
    return value or 0.0  # -0.0 equals 0.0, so it is 0.0: equal numbers are one configuration, with the same bits


def _refuse_number(text: str) -> None:
    """Raises ValueError for what looks like a number, or is one in YAML 1.1 only."""
    if re.fullmatch(r"[-+]?0[0-9]+", text):
        plain = text[: text.startswith("-")] + (text.lstrip("+-0")[:20] or "0")
        raise ValueError(f"some YAML readers take a leading 0 for octal; write {plain}, or put the text in quotes")
    if re.fullmatch(r"[-+]?0([xX][0-9a-fA-F_]+|[oO][0-7_]+|[bB][01_]+)", text):
        raise ValueError("numbers are written in decimal here; convert it, or put the text in quotes")
    if re.fullmatch(r"[-+]?(\.[0-9_]+|[0-9][0-9_]*(\.[0-9_]*)?)([eE][-+]?[0-9]+)?", text):
        raise ValueError(f"numbers have no underscores here; write {text.replace('_', '')[:40]}, or quote the text")
    if re.fullmatch(r"[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?", text):
        raise ValueError("some YAML readers take it for a number in base 60; write it in decimal, or quote the text")
    if re.fullmatch(r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}([Tt \t].*)?", text, re.DOTALL):
        raise ValueError("some YAML readers take it for a date; put the text in quotes")
    if re.fullmatch(r"[-+]?\.(inf|nan)", text, re.IGNORECASE):
        raise ValueError("numbers must be finite; write a finite number")


def _events(text: str, file: str) -> list[yaml.Event]:
    """Returns the events of the one document in `text` (none for an empty one), after refusing what we do not read."""
    content: list[yaml.Event] = []
    documents = depth = 0
    loader: Any = yaml.SafeLoader(text)  # its methods have no types
    try:
        while loader.check_event():
            event = loader.get_event()
            documents += isinstance(event, yaml.DocumentStartEvent)
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if isinstance(event, yaml.NodeEvent | yaml.CollectionEndEvent):
                content.append(event)
            problem = _refusal(event)
            if documents > 1:
                problem = "a second document starts here; a file holds one"
            elif depth > MAX_DEPTH:
                problem = f"nested deeper than {MAX_DEPTH} levels"
            elif len(content) > MAX_EVENTS:
                problem = f"more than {MAX_EVENTS:,} keys, values and brackets; a spec is smaller"
            if problem:
                raise errors.InputError(_message(file, _position(event), (), problem))
    except yaml.MarkedYAMLError as error:
        raise errors.InputError(_syntax(error, file)) from None
    except (yaml.YAMLError, ValueError, OverflowError, LookupError, AttributeError, TypeError):
        # What PyYAML lets through: int() of a %YAML line, chr() of an escape such as "\\UFFFFFFFF".
        problem = 'not valid YAML: a number in a %YAML line or in an escape such as "\\U0001F600" is out of range'
        raise errors.InputError(_message(file, (loader.line + 1, loader.column + 1), (), problem)) from None
    return content


def _refusal(event: yaml.Event) -> str | None:
    """Returns why we do not read what an event stands for, if we do not."""
    match event:
        case yaml.DocumentStartEvent() if event.version or event.tags:
            return "directives (%YAML, %TAG) are not allowed; remove the line"
        case yaml.AliasEvent():
            return f"aliases (*{str(event.anchor)[:40]}) are not allowed; write the value out"
        case yaml.ScalarEvent() | yaml.CollectionStartEvent() if event.anchor is not None:
            return f"anchors (&{event.anchor[:40]}) are not allowed; write the value out where it is used"
        case yaml.ScalarEvent() | yaml.CollectionStartEvent() if event.tag is not None:
            return f"tags ({event.tag[:80]}) are not allowed; remove it"
    return None


def _syntax(error: yaml.MarkedYAMLError, file: str) -> str:
    mark = error.problem_mark or error.context_mark
    position = (mark.line + 1, mark.column + 1) if mark else (1, 1)
    context = f" ({error.context})" if error.context else ""
    hint = "; indent with spaces" if "'\\t'" in str(error.problem) else ""
    return _message(file, position, (), f"not valid YAML: {error.problem}{context}{hint}")


def _build(event: yaml.Event, events: Iterator[yaml.Event], path: Path, document: Document, problems: list[str]) -> Any:
    """Returns the value that begins with `event`; notes its place in `document` and what is wrong in `problems`."""
    document.values[path] = _position(event)
    match event:
        case yaml.MappingStartEvent():
            return _mapping(events, path, document, problems)
        case yaml.SequenceStartEvent():
            values: list[Any] = []
            while not isinstance(event := next(events), yaml.SequenceEndEvent):
                values.append(_build(event, events, (*path, len(values)), document, problems))
            return values
        case yaml.ScalarEvent():
            try:
                return _text(event.value) if event.style else scalar(unicodedata.normalize("NFC", event.value))
            except ValueError as error:
                value = shown(event.value) if event.style else _cut(event.value)
                problems.append(message(document, path, f"{value}: {error}"))
    return None


def _mapping(events: Iterator[yaml.Event], path: Path, document: Document, problems: list[str]) -> dict[str, Any]:
    """Returns the mapping whose start event was just read."""
    mapping: dict[str, Any] = {}
    while not isinstance(event := next(events), yaml.MappingEndEvent):
        at = _position(event)
        if not isinstance(event, yaml.ScalarEvent):
            raise errors.InputError(_message(document.file, at, path, "a key must be a word, not a list or mapping"))
        name = unicodedata.normalize("NFC", event.value)
        here = (*path, name)
        if name == "<<" and not event.style:
            raise errors.InputError(_message(document.file, at, path, "merge keys (<<) are not allowed"))
        if any(map(_forbidden, name)):
            problem = f"the key {shown(name)} has a control character"
            raise errors.InputError(_message(document.file, at, path, problem))
        if name in mapping:
            text = f"this key is here twice, first on line {document.keys[here][0]}; keep one"
            problems.append(_message(document.file, at, here, text))
            _build(next(events), events, here, dataclasses.replace(document, values={}, keys={}), [])
            continue
        document.keys[here] = at
        mapping[name] = _build(next(events), events, here, document, problems)
    return mapping


def _text(text: str) -> str:
    """Returns the text of a quoted or block scalar."""
    text = unicodedata.normalize("NFC", text)
    for character in text:
        if _forbidden(character):
            raise ValueError(f"character U+{ord(character):04X} is not allowed")
    return text


def _refuse_characters(text: str, file: str) -> None:
    for i, character in enumerate(text):
        if _forbidden(character) and character != "\r":
            problem = f"character U+{ord(character):04X} is not allowed; remove it"
            raise errors.InputError(_message(file, _index_place(text, i), (), problem))


def _forbidden(character: str) -> bool:
    """Tells control characters, lone surrogates, separators and marks of direction, which hide what a text says."""
    if character.isascii():
        return not (" " <= character < "\x7f" or character in "\n\t")
    return unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") or character in _DIRECTION


def _cut(text: str) -> str:
    return text if len(text) <= 80 else text[:77] + "..."


def _too_large(file: str) -> errors.InputError:
    return errors.InputError(f"{file}: larger than {MAX_BYTES // 1024} KiB; a spec is smaller")


def _message(file: str, position: Position, path: Path, text: str) -> str:
    where = f"{dotted(path)}: " if path else ""
    return f"{file}:{position[0]}:{position[1]}: {where}{text}"


def _position(event: yaml.Event) -> Position:
    mark = event.start_mark
    return (mark.line + 1, mark.column + 1) if mark else (1, 1)


def _index_place(text: str, i: int) -> Position:
    """Returns line and column of the character at index i."""
    return text.count("\n", 0, i) + 1, i - text.rfind("\n", 0, i)


def _name(key: str) -> str:
    return key if re.fullmatch(r"[\w.-]{1,80}", key) else shown(key)
