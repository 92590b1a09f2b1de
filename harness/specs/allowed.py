# SPDX-License-Identifier: Apache-2.0
"""What a JSON Schema allows at one place, in words: for messages, templates and documentation.

The schema is the one that pydantic generates from the models of a spec, so that no name or range is typed twice.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeAlias

from harness.specs import strict_yaml

Schema: TypeAlias = dict[str, Any]


def values(schema: Schema, path: strict_yaml.Path, data: Any) -> str:
    """Returns what may stand at one place, in words.

    Args:
        schema: The whole schema.
        path: The place.
        data: The whole value; where the schema offers variants, its `family` or `name` chooses one.
    """
    return words(schema, _walk(schema, path, data)[0])


def names(schema: Schema, path: strict_yaml.Path, data: Any) -> list[str]:
    """Returns the names that may stand at one place, none if it takes something else than names."""
    node = _walk(schema, path, data)[0]
    return [*node.get("discriminator", {}).get("mapping", ()), *_named(schema, node)]


def _named(schema: Schema, node: Schema) -> Iterator[str]:
    """Yields the names that a node takes as they are, those of its options too."""
    node = _resolved(schema, node)
    fixed = [*node.get("enum", ()), *([node["const"]] if "const" in node else [])]
    yield from (name for name in fixed if isinstance(name, str))
    for option in node.get("anyOf") or node.get("oneOf") or ():
        yield from _named(schema, option)


def keys(schema: Schema, path: strict_yaml.Path, data: Any) -> list[str]:
    """Returns the keys that the mapping at one place may have."""
    return list(_variant(schema, *_walk(schema, path, data)).get("properties", {}))


def tag(schema: Schema, path: strict_yaml.Path, data: Any) -> str:
    """Returns the key that chooses among the variants of the mapping at one place, empty if there is no choice."""
    return str(_walk(schema, path, data)[0].get("discriminator", {}).get("propertyName", ""))


def kinds(schema: Schema, path: strict_yaml.Path, data: Any) -> dict[str, Schema]:
    """Returns the mappings that may stand at one place by the key that says which it is; none if there is no choice."""
    return _kinds(schema, _walk(schema, path, data)[0])


def description(schema: Schema, path: strict_yaml.Path, data: Any) -> str:
    """Returns what the field at one place means, empty where the schema does not say."""
    return str(_walk(schema, path, data)[0].get("description", ""))


def variants(schema: Schema, path: strict_yaml.Path, data: Any) -> dict[str, Schema]:
    """Returns name and node of each variant that the mapping at one place may be, none if it is no choice by name."""
    mapping = _walk(schema, path, data)[0].get("discriminator", {}).get("mapping", {})
    return {name: _resolved(schema, {"$ref": reference}) for name, reference in mapping.items()}


def words(schema: Schema, node: Schema) -> str:
    """Returns what a node of the schema allows, in words."""
    node = _resolved(schema, node)
    if "oneOf" in node and "discriminator" in node:
        rule = node["discriminator"]
        return f"a mapping with `{rule['propertyName']}`: {', '.join(rule['mapping'])}"
    if options := node.get("anyOf") or node.get("oneOf"):
        kinds = _kinds(schema, node)
        told = [words(schema, option) for option in options if not (kinds and "$ref" in option)]
        return " or ".join(told + ([f"a mapping with one of the keys {', '.join(kinds)}"] if kinds else []))
    if "const" in node:
        return str(node["const"])
    if "enum" in node:
        return ", ".join(map(str, node["enum"]))
    match node.get("type"):
        case "integer":
            return "an integer" + _range(node)
        case "number":
            return "a number" + _range(node)
        case "boolean":
            return "true or false"
        case "null":
            return "null"
        case "string" if "examples" in node:
            return f"a text like {node['examples'][0]}"
        case "string":
            return f"one line of text, {node['minLength']} to {node['maxLength']} characters"
        case "array":
            return f"a list{_count(node)}, each {words(schema, node['items'])}"
        case "object" if "properties" in node:
            return f"a mapping with the key{'s' if len(node['properties']) > 1 else ''} {', '.join(node['properties'])}"
        case "object":
            return f"a mapping, each value {words(schema, node['additionalProperties'])}"
    return "a value"


def _range(node: Schema) -> str:
    low, high = node.get("minimum"), node.get("maximum")
    if low is not None and high is not None:
        return f" from {_plain(low)} to {_plain(high)}"
    parts = [
        f"{word} {_plain(node[key])}"
        for key, word in (
            ("minimum", "at least"),
            ("exclusiveMinimum", "above"),
            ("maximum", "at most"),
            ("exclusiveMaximum", "below"),
        )
        if key in node
    ]
    return " " + " and ".join(parts) if parts else ""


def _plain(number: float) -> str:
    """Returns a number as people write it: 1000000, not 1000000.0 or 1e+06; 1e30 for what is longer than a line."""
    return str(int(number)) if number == int(number) and abs(number) < 1e16 else f"{number:g}".replace("e+", "e")


def _count(node: Schema) -> str:
    low, high = node.get("minItems", 0), node.get("maxItems")
    if high is None:
        return f" of at least {low}" if low else ""
    if low == high:
        return f" of {low}"
    return f" of {low} to {high}" if low else f" of at most {high}"


def _walk(schema: Schema, path: strict_yaml.Path, data: Any) -> tuple[Schema, Any]:
    """Returns the schema's node (variants not chosen) and the value at one place; empty and None beyond their ends."""
    node = schema
    for part in path:
        node = _variant(schema, node, data)
        if isinstance(part, int):
            node = _resolved(schema, node.get("items", {}))
            data = data[part] if isinstance(data, list) and part < len(data) else None
        else:
            node = _resolved(schema, node.get("properties", {}).get(part) or node.get("additionalProperties") or {})
            data = data.get(part) if isinstance(data, dict) else None
    return node, data


def _variant(schema: Schema, node: Schema, data: Any) -> Schema:
    """Returns the variant of a node that the data have chosen, the node itself if it has none."""
    if "discriminator" in node:
        rule = node["discriminator"]
        chosen = data.get(rule["propertyName"]) if isinstance(data, dict) else None
        reference = rule["mapping"].get(chosen) if isinstance(chosen, str) else None
        return _resolved(schema, {"$ref": reference}) if reference else {}
    options = [_resolved(schema, option) for option in node.get("anyOf") or node.get("oneOf") or []]
    wanted = "items" if isinstance(data, list) else "properties"
    if isinstance(data, dict) and (kinds := _kinds(schema, node)):
        return next((kinds[key] for key in data if key in kinds), {})
    return next((option for option in options if wanted in option), node)


def _kinds(schema: Schema, node: Schema) -> dict[str, Schema]:
    """Returns several mappings that a node may be, each by the first key that it must have; none if there is one."""
    options = [_resolved(schema, option) for option in node.get("anyOf") or node.get("oneOf") or []]
    mappings = [option for option in options if option.get("required")]
    return {option["required"][0]: option for option in mappings} if len(mappings) > 1 else {}


def _resolved(schema: Schema, node: Schema) -> Schema:
    """Returns a node with its reference into `$defs` followed; what stands beside the reference wins."""
    while "$ref" in node:
        beside = {key: value for key, value in node.items() if key != "$ref"}
        node = schema["$defs"][node["$ref"].removeprefix("#/$defs/")] | beside
    return node
