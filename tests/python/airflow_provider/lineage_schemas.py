"""Whether an event of OpenLineage is as its specification has it, by the classes that the client generates from it.

The client ships classes, one for each definition, and not the JSON schemas themselves; here they are made schemas again.
A facet is held against the class that its ``_schemaURL`` names.
"""

from __future__ import annotations

import enum
import functools
import importlib
import pkgutil
import types
import typing
from collections.abc import Iterator, Mapping
from typing import Any

import attr
import jsonschema
from openlineage.client import generated
from openlineage.client.generated import base

__all__ = ["problems"]

PLAIN = {str: "string", bool: "boolean", int: "integer", float: "number"}
FORMATS = {
    "eventTime": "date-time", "runId": "uuid", "producer": "uri", "schemaURL": "uri", "_producer": "uri", "_schemaURL": "uri",
}  # fmt: skip


def problems(event: Mapping[str, Any]) -> list[str]:
    """Return what is wrong with an event; nothing when it is as specified."""
    found = list(_errors(event, base.RunEvent, "event"))
    for where, place, kind in _facets(event):
        for name, facet in place.items():
            cls = _classes().get(facet.get("_schemaURL"))
            if cls is None:
                found.append(f"{where}.{name}: no definition at {facet.get('_schemaURL')}")
            elif not issubclass(cls, kind):
                found.append(f"{where}.{name}: {cls.__name__} is no {kind.__name__}")
            else:
                found += _errors(facet, cls, f"{where}.{name}")
    return found


def _facets(event: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any], type]]:
    yield "run", event["run"].get("facets") or {}, base.RunFacet
    yield "job", event["job"].get("facets") or {}, base.JobFacet
    for side, own, kind in (
        ("inputs", "inputFacets", base.InputDatasetFacet),
        ("outputs", "outputFacets", base.OutputDatasetFacet),
    ):
        for dataset in event.get(side) or ():
            yield f"{side} {dataset['name']}", dataset.get("facets") or {}, base.DatasetFacet
            yield f"{side} {dataset['name']}", dataset.get(own) or {}, kind


def _errors(value: Any, cls: type, where: str) -> Iterator[str]:
    checker = jsonschema.Draft202012Validator(_schema(cls), format_checker=jsonschema.FormatChecker())
    for error in checker.iter_errors(value):
        yield f"{where}: {error.json_path}: {error.message}"


@functools.cache
def _classes() -> dict[str, type]:
    for module in pkgutil.iter_modules(generated.__path__):
        importlib.import_module(f"{generated.__name__}.{module.name}")

    def below(cls: type) -> Iterator[type]:
        yield cls
        for each in cls.__subclasses__():
            yield from below(each)

    # What a producer adds itself goes by the URL of the kind that it extends.
    known = [cls for cls in below(base.BaseFacet) if cls.__module__.startswith(generated.__name__)]
    return {cls._get_schema(): cls for cls in known}


@functools.cache
def _schema(cls: type) -> dict[str, Any]:
    """The schema of a class, beside those of the classes that its fields are of: some are of themselves."""
    known: dict[str, Any] = {}
    left = {cls}
    while left:
        each = left.pop()
        known[each.__name__] = _object(each, left)
        left = {other for other in left if other.__name__ not in known}
    return {"$ref": f"#/$defs/{cls.__name__}", "$defs": known}


def _object(cls: type, met: set[type]) -> dict[str, Any]:
    hints = typing.get_type_hints(cls)
    fields = attr.fields(cls)
    properties = {field.name: _of(hints[field.name], met) for field in fields}
    for name in properties.keys() & FORMATS.keys():
        properties[name] = {**properties[name], "format": FORMATS[name]}
    is_open = cls.__module__ == base.__name__
    return {
        "type": "object",
        "properties": properties,
        "required": [field.name for field in fields if field.default is attr.NOTHING or field.name in FORMATS],
        "additionalProperties": is_open,
    }


def _of(kind: Any, met: set[type]) -> dict[str, Any]:
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if kind is Any:
        return {}
    if origin in (typing.Union, types.UnionType):
        # What is None is left out of an event.
        arguments = tuple(each for each in arguments if each is not type(None))
        if len(arguments) == 1:
            return _of(arguments[0], met)
        return {"anyOf": [_of(each, met) for each in arguments]}
    if origin is list:
        return {"type": "array", "items": _of(arguments[0], met)}
    if origin is dict:
        return {"type": "object", "additionalProperties": _of(arguments[1], met)}
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return {"enum": [each.value for each in kind]}
    if attr.has(kind):
        met.add(kind)
        return {"$ref": f"#/$defs/{kind.__name__}"}
    return {"type": PLAIN[kind]}
