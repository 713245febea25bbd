"""Engines in child processes, each call with a deadline: a hang or a crash costs retries, never the consumer."""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from pebble import ProcessExpired, ProcessPool

from agents.engine_child import ChildAnswer, ChildError, ChildSettings, MadeBy, inspect_batch, load
from pipeline.inspection import Inspection, InspectionRequest, Refusal
from schemas.errors import DeadLetterReason, EngineFault, SetupError, TransientError
from schemas.recipe import Recipe

_log = logging.getLogger(__name__)
_LOAD_DEADLINE_S = 120.0
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class PoolSettings:
    """`deadline_s` is for one call (a batch); a frame is tried `1 + n_retries` times before it is given up."""

    n_processes: int = 1
    deadline_s: float = 5.0
    n_retries: int = 2


@dataclass(frozen=True, slots=True)
class ChildCalls:
    """The two functions a child runs, by reference; see agents/engine_child.py for what they promise."""

    load: Callable[[ChildSettings, str], ChildError | None] = load
    inspect_batch: Callable[[ChildSettings, Recipe, Sequence[InspectionRequest]], ChildAnswer | ChildError] = (
        inspect_batch
    )


@dataclass(frozen=True, slots=True, eq=False)
class Inspected:
    """The outcome of one frame in the pool."""

    result: Inspection | Refusal
    made_by: MadeBy | None


class EnginePool:
    """`n_processes` children; a batch goes to the one with the least work."""

    def __init__(self, settings: PoolSettings, child: ChildSettings, calls: ChildCalls | None = None) -> None:
        self._settings = settings
        self._children = [_Child(child, calls or ChildCalls()) for _ in range(settings.n_processes)]

    async def load(self, bundle_sha256: str) -> None:
        """Have every child load a bundle, one first: what it measures and compiles serves the others.

        Raises: SetupError, TransientError, EngineFault.
        """
        first, *others = self._children
        await first.load(bundle_sha256)
        await asyncio.gather(*(child.load(bundle_sha256) for child in others))

    async def inspect(self, recipe: Recipe, requests: Sequence[InspectionRequest]) -> list[Inspected]:
        """Inspect a batch; a frame that keeps breaking the engine comes back refused, its neighbours whole.

        Raises: SetupError, TransientError.
        """
        child = min(self._children, key=lambda each: each.n_pending)
        try:
            return await self._try(child, recipe, requests)
        except EngineFault as fault:
            _log.warning("engine fault on a batch of %d, trying frames one by one: %s", len(requests), fault)
        return [await self._try_alone(child, recipe, request) for request in requests]

    async def _try_alone(self, child: _Child, recipe: Recipe, request: InspectionRequest) -> Inspected:
        last = ""
        for _ in range(self._settings.n_retries):
            try:
                return (await self._try(child, recipe, [request]))[0]
            except EngineFault as fault:
                last = str(fault)
        detail = f"the engine failed {1 + self._settings.n_retries} times on this frame, last: {last}"
        return Inspected(Refusal(DeadLetterReason.ENGINE_FAULT, detail), None)

    async def _try(self, child: _Child, recipe: Recipe, requests: Sequence[InspectionRequest]) -> list[Inspected]:
        answer = await child.inspect(recipe, requests, self._settings.deadline_s)
        return [Inspected(result, answer.made_by) for result in answer.results]

    def pids(self) -> list[int]:
        """Process ids of the children now alive."""
        return [process.pid for process in multiprocessing.active_children() if process.pid is not None]

    def stop(self) -> None:
        """Kill the children."""
        for child in self._children:
            child.stop()


class _Child:
    """One engine process, replaced by a fresh one whenever a call kills it."""

    def __init__(self, settings: ChildSettings, calls: ChildCalls) -> None:
        self._settings = settings
        self._calls = calls
        self._pool: Any = ProcessPool(max_workers=1, context=multiprocessing.get_context("spawn"))
        self._loaded: set[str] = set()
        self._loading = asyncio.Lock()
        self.n_pending = 0

    async def load(self, bundle_sha256: str) -> None:
        async with self._loading:
            if bundle_sha256 in self._loaded:
                return
            error = await self._call(self._calls.load, (self._settings, bundle_sha256), _LOAD_DEADLINE_S)
            if error is not None:
                raise _as_error(error)
            self._loaded.add(bundle_sha256)

    async def inspect(self, recipe: Recipe, requests: Sequence[InspectionRequest], deadline_s: float) -> ChildAnswer:
        self.n_pending += 1
        try:
            await self.load(recipe.bundle_sha256)
            answer = await self._call(self._calls.inspect_batch, (self._settings, recipe, list(requests)), deadline_s)
        finally:
            self.n_pending -= 1
        if isinstance(answer, ChildError):
            raise _as_error(answer)
        return answer

    async def _call(self, function: Callable[..., T], arguments: tuple[Any, ...], deadline_s: float) -> T:
        future: asyncio.Future[T] = asyncio.wrap_future(
            self._pool.schedule(function, args=arguments, timeout=deadline_s)
        )
        try:
            return await future
        except TimeoutError as exc:
            self._loaded.clear()
            raise EngineFault(f"no answer within {deadline_s:g} s; the engine process was killed") from exc
        except ProcessExpired as exc:
            self._loaded.clear()
            raise EngineFault(f"the engine process died with exit code {exc.exitcode}") from exc

    def stop(self) -> None:
        self._pool.stop()
        self._pool.join(timeout=5)


def _as_error(error: ChildError) -> Exception:
    kinds: dict[str, type[Exception]] = {"setup": SetupError, "transient": TransientError}
    return kinds.get(error.kind, EngineFault)(error.text)
