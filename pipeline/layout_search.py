"""Finding a product's layout: what an OCR found in several pictures, put together and made exact."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from engines.cnocr_reader import FoundText
from pipeline.field_plausibility import broken_relation, fold_name
from pipeline.layout_ink import ink_of, print_colour
from pipeline.layout_part import find_part
from pipeline.layout_pieces import Candidate, candidates
from pipeline.layout_place import inner, measure_place
from schemas.errors import InputError
from schemas.layout import Layout, LayoutField, Relation
from schemas.verdict import Box

LEAST_PICTURES = 3
_LEAST_CONTRAST = 40
_LEAST_SHARE = 0.5
"""A field is there in at least this share of the pictures."""
Rgb = NDArray[np.uint8]
Grey = NDArray[np.uint8]


def find_layout(
    product: str, pictures: Sequence[Rgb], greys: Sequence[Grey], pieces: Sequence[Sequence[FoundText]]
) -> tuple[Layout, Grey, list[str]]:
    """The layout, its reference picture (H, W) uint8, and what a person should look at.

    Args: pictures, greys: (H, W, 3) RGB and (H, W), as the line will decode them. pieces: found in each of them.
    Raises: InputError when the pictures differ in size, are too few, or print no numbers with names.
    """
    sizes = {grey.shape for grey in greys}
    if len(greys) < LEAST_PICTURES or len(sizes) != 1:
        raise InputError(
            f"{len(greys)} pictures of {len(sizes)} sizes; a layout needs at least {LEAST_PICTURES} of one size"
        )
    reference = np.median(np.stack(greys), axis=0).astype(np.uint8)
    fields, warnings, seen = [], [], []
    for group in _grouped([candidates(found) for found in pieces]):
        if len(group) < max(_LEAST_SHARE * len(greys), 2):
            warnings.append(
                f"{next(iter(group.values())).name!r} is in {len(group)} of {len(greys)} pictures: left out"
            )
            continue
        field = _field(group, pictures, greys, reference)
        if isinstance(field, str):
            warnings.append(field)
            continue
        fields.append(field)
        seen.append(group)
    if not fields:
        raise InputError("no printed numbers with names were found; check the pictures, or write the layout by hand")
    fields = _apart(fields, reference.shape[1])
    height, width = reference.shape
    relations, told = _relations(fields, seen)
    layout = Layout(
        product=product,
        frame_size_px=(width, height),
        part_px=find_part(greys, [box for field in fields for box in (field.name_px, field.value_px)]),
        fields=tuple(fields),
        relations=relations,
    )
    return layout, reference, warnings + told


def _grouped(found: Sequence[Sequence[Candidate]]) -> list[dict[int, Candidate]]:
    """Candidates of the same name at the same place: picture index -> candidate, in reading order."""
    groups: list[dict[int, Candidate]] = []
    for index, each in enumerate(found):
        for candidate in each:
            for group in groups:
                known = next(iter(group.values()))
                height = known.bottom_px - known.top_px
                close = abs(known.top_px - candidate.top_px) < 0.6 * height
                if index not in group and close and abs(known.left_px - candidate.left_px) < height:
                    group[index] = candidate
                    break
            else:
                groups.append({index: candidate})
    return sorted(groups, key=lambda group: _reading_order(next(iter(group.values())), groups))


def _reading_order(candidate: Candidate, groups: Sequence[dict[int, Candidate]]) -> tuple[int, float]:
    """Column by column (a new one begins where lines begin further right than another ends), each from the top."""
    rights = [next(iter(group.values())).name_right_px for group in groups]
    column = sum(right < candidate.left_px for right in rights)
    return (1 if column >= 0.25 * len(groups) else 0), candidate.top_px


def _field(
    group: dict[int, Candidate], pictures: Sequence[Rgb], greys: Sequence[Grey], reference: Grey
) -> LayoutField | str:
    """One field from where it was found, or why it is none."""
    every = list(group.values())
    name = Counter(each.name for each in every).most_common(1)[0][0]
    unit = Counter(each.unit for each in every).most_common(1)[0][0].replace("μ", "µ")
    marks = Counter("," if "," in each.number else "." for each in every)
    mark = marks.most_common(1)[0][0]
    counts = Counter(len(each.number.replace(",", ".").partition(".")[2]) for each in every)
    decimals, n_agreeing = counts.most_common(1)[0]
    if n_agreeing < 0.8 * len(every):
        return f"{name!r} is printed with {sorted(counts)} decimals: left out; its format changes"
    place = measure_place(group, greys, reference)
    if place.contrast < _LEAST_CONTRAST:
        return f"{name!r} stands out by {place.contrast:.0f} grey levels only: left out; print it lighter or darker"
    low, high = _range([each.number.replace(",", ".") for each in every], decimals, unit)
    first, (top, bottom) = next(iter(group)), place.rows
    number = slice(top, bottom), inner(group[first])
    return LayoutField(
        name=name,
        unit=unit,
        decimals=decimals,
        decimal_mark="," if mark == "," else ".",
        low=low,
        high=high,
        name_px=place.name_px,
        value_px=place.value_px,
        digits_px=place.digits_px,
        colour=print_colour(pictures[first][number], ink_of(greys[first][number]).share),
        dark_ink=place.dark_ink,
    )


def _range(numbers: Sequence[str], decimals: int, unit: str) -> tuple[float, float]:
    """What is plausible: five times the seen range to either side, below zero only where a sign was seen."""
    values = [float(number) for number in numbers]
    spread = max(max(values) - min(values), 0.05 * max(abs(value) for value in values), 10 * 10.0**-decimals)
    low, high = min(values) - 5 * spread, max(values) + 5 * spread
    if not any(number[0] in "+-" for number in numbers):
        low = max(low, 0.0)
    if unit == "%" and max(values) <= 100:
        high = min(high, 100.0)
    return round(low, decimals), round(high, decimals)


def _apart(fields: Sequence[LayoutField], width: int) -> list[LayoutField]:
    """No value's box reaches into what is printed to its right."""
    parted = []
    for field in fields:
        x, y, w, h = field.value_px
        limit = width
        for other in fields:
            ox, oy, _, oh = other.name_px
            if other is not field and oy < y + h and y < oy + oh and ox > x:
                limit = min(limit, ox - 2)
        box: Box = (x, y, max(min(w, limit - x), 1), h)
        parted.append(field.model_copy(update={"value_px": box}))
    return parted


def _relations(
    fields: Sequence[LayoutField], groups: Sequence[dict[int, Candidate]]
) -> tuple[tuple[Relation, ...], list[str]]:
    """Min <= average <= max, by name; a = factor x b x c, where every picture agrees."""
    numbers = [{i: float(each.number.replace(",", ".")) for i, each in group.items()} for group in groups]
    found: list[Relation] = [*_orders(fields)]
    common = sorted(set.intersection(*(set(each) for each in numbers))) if numbers else []
    if len(common) >= 6:
        table = np.array([[each[i] for i in common] for each in numbers])
        found += _products(fields, table)
    told = [f"found {relation.kind}: {', '.join(relation.fields)}" for relation in found]
    return tuple(found), told


def _orders(fields: Sequence[LayoutField]) -> list[Relation]:
    """Fields called X min, X avg (mean) and X max."""
    by_name = {fold_name(field.name): field.name for field in fields}
    relations = []
    for folded, name in by_name.items():
        if not folded.endswith("min"):
            continue
        stem = folded[: -len("min")]
        chain = [name, *(by_name[stem + end] for end in ("avg", "mean", "ave", "max") if stem + end in by_name)]
        if len(chain) >= 2 and fold_name(chain[-1]) == stem + "max":
            relations.append(Relation(kind="order", fields=tuple(chain)))
    return relations


def _products(fields: Sequence[LayoutField], table: NDArray[np.float64]) -> list[Relation]:
    """Triples where one field is a power of ten times the product of two others in every picture."""
    varying = [i for i, row in enumerate(table) if row.std() > 1e-9 and np.all(row > 0)]
    relations = []
    for a in varying:
        for b in varying:
            for c in varying:
                if len({a, b, c}) < 3 or b > c:
                    continue
                factor = 10.0 ** round(float(np.log10(np.median(table[a] / (table[b] * table[c])))))
                relation = Relation(kind="product", fields=tuple(fields[i].name for i in (a, b, c)), factor=factor)
                if not any(broken_relation(relation, list(table[[a, b, c], k]), fields) for k in range(table.shape[1])):
                    relations.append(relation)
    return relations


def encode_reference(reference: Grey) -> bytes:
    """`reference` as PNG bytes."""
    done, png = cv2.imencode(".png", reference)
    if not done:
        raise ValueError(f"a picture of shape {reference.shape} cannot be written as PNG")
    return png.tobytes()
