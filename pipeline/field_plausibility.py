"""What machine parameters owe one another, and what is known digitally: digital values win, contradictions are told."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise

from pipeline.field_text import fold_unit
from pipeline.field_value import FieldValue
from schemas.frame import Parameter
from schemas.layout import Layout, LayoutField, Relation
from schemas.verdict import FieldStatus

DIGITAL = "digital"
"""Detail of a value that came with the frame, not from the picture."""


def hold_relations(values: Sequence[FieldValue], layout: Layout) -> list[FieldValue]:
    """`values` in the layout's order; those of a broken relation are abstained: one of them is wrong."""
    held = list(values)
    places = {field.name: i for i, field in enumerate(layout.fields)}
    for relation in layout.relations:
        members = [places[name] for name in relation.fields]
        read = [values[i].value for i in members]
        if any(values[i].status is not FieldStatus.READ for i in members):
            continue
        broken = broken_relation(relation, [float(value) for value in read if isinstance(value, float)], layout.fields)
        for i in members if broken else ():
            held[i] = replace(held[i], value=None, status=FieldStatus.ABSTAINED, detail=broken)
    return held


def broken_relation(relation: Relation, values: Sequence[float], fields: Sequence[LayoutField]) -> str:
    """Why `values` of the relation's fields cannot all be right; empty when they can."""
    named = dict(zip(relation.fields, values, strict=True))
    if relation.kind == "order":
        if any(later < earlier for earlier, later in pairwise(values)):
            return "out of order: " + ", ".join(f"{name} {value:g}" for name, value in named.items())
        return ""
    half = [0.5 * 10.0 ** -next(field.decimals for field in fields if field.name == name) for name in relation.fields]
    result, first, second = values
    expected = relation.factor * first * second
    slack = half[0] + abs(relation.factor) * (abs(first) * half[2] + abs(second) * half[1] + half[1] * half[2])
    if abs(result - expected) <= slack + relation.tolerance + 1e-9:
        return ""
    shown = ", ".join(f"{name} {value:g}" for name, value in named.items())
    return f"{relation.fields[0]} should be {expected:g}: {shown}"


def with_digital(values: Sequence[FieldValue], layout: Layout, parameters: Mapping[str, Parameter]) -> list[FieldValue]:
    """Digital parameters in place of what was read; where both exist and differ the status is `mismatch`.

    A digital parameter without a field in the layout is appended as it is.
    """
    merged = []
    known = {fold_name(name): (name, parameter) for name, parameter in parameters.items()}
    for value, field in zip(values, layout.fields, strict=True):
        given = known.pop(fold_name(field.name), None)
        merged.append(value if given is None else _digital(value, field, given[1]))
    merged += [
        FieldValue(name, parameter.value, parameter.unit, 1.0, FieldStatus.READ, DIGITAL)
        for name, parameter in known.values()
    ]
    return merged


def fold_name(name: str) -> str:
    """`name` without case, spaces and underscores, so that `bond_force` is `Bond Force`."""
    return "".join(name.lower().replace("_", " ").split())


def _digital(value: FieldValue, field: LayoutField, parameter: Parameter) -> FieldValue:
    """`parameter` in place of what was read, and what is to be said about the two."""
    unit = parameter.unit if parameter.unit is not None else (field.unit or None)
    digital = FieldValue(value.name, parameter.value, unit, 1.0, FieldStatus.READ, DIGITAL)
    if parameter.unit is not None and fold_unit(parameter.unit) != fold_unit(field.unit):
        detail = f"digital unit {parameter.unit!r}, the layout has {field.unit or 'none'!r}"
        return replace(digital, status=FieldStatus.MISMATCH, detail=detail)
    number = _number(parameter.value)
    if isinstance(value.value, float):
        rounding = 0.5 * 10.0**-field.decimals
        if number is None or abs(number - value.value) > rounding * (1 + 1e-6) + 1e-12:
            detail = f"digital {parameter.value!r}, printed {value.value:g}"
            return replace(digital, status=FieldStatus.MISMATCH, detail=detail)
    if number is not None and not field.low <= number <= field.high:
        detail = f"digital {number:g} is outside {field.low:g} to {field.high:g}"
        return replace(digital, status=FieldStatus.OUT_OF_RANGE, detail=detail)
    return digital


def _number(value: float | str) -> float | None:
    """`value` as a number, also where it was sent as text; None when it is none."""
    try:
        number = float(value)
    except ValueError:
        return None
    return number if math.isfinite(number) else None
