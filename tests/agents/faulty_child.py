"""Engine-child functions whose behaviour the picture's bytes command; run in real child processes by the tests."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence

from agents.engine_child import ChildAnswer, ChildError, ChildSettings, MadeBy
from pipeline.inspection import Inspection, InspectionRequest, Refusal
from schemas.errors import DeadLetterReason
from schemas.recipe import Recipe


def load(settings: ChildSettings, bundle_sha256: str) -> ChildError | None:
    """Fine, unless the bundle is the one that cannot be loaded."""
    return ChildError("setup", "no such bundle") if bundle_sha256 == "f" * 64 else None


def inspect_batch(
    settings: ChildSettings, recipe: Recipe, requests: Sequence[InspectionRequest]
) -> ChildAnswer | ChildError:
    """Obey each picture: b"hang", b"segfault", b"raise", b"exit", b"flaky:<path>"; anything else is answered."""
    results: list[Inspection | Refusal] = []
    for request in requests:
        if request.picture == b"hang":
            time.sleep(3600)
        if request.picture == b"segfault":
            os.kill(os.getpid(), signal.SIGSEGV)
        if request.picture == b"exit":
            os._exit(7)
        if request.picture == b"raise":
            return ChildError("fault", "RuntimeError: broken")
        if request.picture.startswith(b"flaky:"):
            _fail_once(request.picture.removeprefix(b"flaky:").decode())
        results.append(Refusal(DeadLetterReason.CORRUPT_PICTURE, request.picture.decode()))
    return ChildAnswer(results, MadeBy("fake", "f32", "t", 0.0))


def _fail_once(marker: str) -> None:
    if not os.path.exists(marker):  # noqa: PTH110
        with open(marker, "w"):  # noqa: PTH123
            pass
        os._exit(9)
