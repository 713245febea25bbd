"""What runs in an engine's own process: load a bundle once, inspect batches, never raise across the pipe."""

from __future__ import annotations

import traceback
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from schemas.errors import SetupError, TransientError
from schemas.recipe import Recipe

if TYPE_CHECKING:
    from pipeline.inspection import Inspection, InspectionRequest, Inspector, Refusal

_MAX_LOADED = 8


@dataclass(frozen=True, slots=True)
class ChildSettings:
    """How a child loads engines: `bundles_url` is the store, `backend` a name or ``auto``.

    `cache_dir` keeps compiled engines and the choice of a backend, shared by every process of the machine.
    """

    bundles_url: str
    backend: str
    n_threads: int
    cache_dir: Path | None = None


@dataclass(frozen=True, slots=True)
class ChildError:
    """An error on its way through the pipe: ``setup``, ``transient`` or ``fault``."""

    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class MadeBy:
    """Which model made a result; `cell_threshold` is the bundle's score-grid level for the root-cause agent."""

    backend: str
    precision: str
    template_sha256: str
    cell_threshold: float


@dataclass(frozen=True, slots=True, eq=False)
class ChildAnswer:
    """Results in the order of the requests, without their full-size score maps, and what made them."""

    results: list[Inspection | Refusal]
    made_by: MadeBy


_inspectors: dict[str, Inspector] = {}


def load(settings: ChildSettings, bundle_sha256: str) -> ChildError | None:
    """Fetch, verify and load a bundle so that the first frame does not wait for it."""
    try:
        _inspector(settings, bundle_sha256)
    except Exception as error:
        return _child_error(error)
    return None


def inspect_batch(
    settings: ChildSettings, recipe: Recipe, requests: Sequence[InspectionRequest]
) -> ChildAnswer | ChildError:
    """Inspect `requests` with the recipe's bundle; every error comes back as a value."""
    from pipeline.inspection import RecipeRules

    try:
        inspector = _inspector(settings, recipe.bundle_sha256)
        results = inspector.inspect(requests, RecipeRules.of_recipe(recipe))
        bundle = inspector.bundle
        made_by = MadeBy(inspector.backend, inspector.precision, bundle.template_sha256, bundle.manifest.cell_threshold)
        return ChildAnswer([_slim(result) for result in results], made_by)
    except Exception as error:
        return _child_error(error)


def _slim(result: Inspection | Refusal) -> Inspection | Refusal:
    from pipeline.inspection import Inspection

    return replace(result, score_map=None) if isinstance(result, Inspection) else result


def _inspector(settings: ChildSettings, bundle_sha256: str) -> Inspector:
    from engines.bundle import Bundle
    from pipeline.inspection import Inspector
    from schemas.store import ContentStore

    known = _inspectors.get(bundle_sha256)
    if known is not None:
        return known
    store = ContentStore(settings.bundles_url)
    content = store.get(store.ref(bundle_sha256, ".bundle"))
    inspector = Inspector(
        Bundle.from_bytes(content),
        backend=settings.backend,
        n_threads=settings.n_threads,
        cache_dir=settings.cache_dir,
    )
    while len(_inspectors) >= _MAX_LOADED:
        _inspectors.pop(next(iter(_inspectors))).close()
    _inspectors[bundle_sha256] = inspector
    return inspector


def _child_error(error: Exception) -> ChildError:
    if isinstance(error, SetupError):
        return ChildError("setup", str(error))
    if isinstance(error, TransientError):
        return ChildError("transient", str(error))
    if isinstance(error, FileNotFoundError):
        return ChildError("setup", f"the recipe's bundle is not in the store: {error}; activate it again")
    return ChildError("fault", "".join(traceback.format_exception_only(error)).strip())
