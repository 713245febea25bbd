"""Where the accuracy benchmarks lay out pictures and leave bundles: a folder of their own, or one that is kept.

With SIGHTLINE_BENCH_FOLDER set, what one benchmark has laid out and trained there the next one takes as it is, so that
`table` and `accuracy` together train every case once. Empty it when the code or the pictures change.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def work_folder() -> Iterator[Path]:
    """The folder; removed afterwards unless it is kept."""
    kept = os.environ.get("SIGHTLINE_BENCH_FOLDER")
    if kept:
        folder = Path(kept)
        folder.mkdir(parents=True, exist_ok=True)
        yield folder
        return
    with tempfile.TemporaryDirectory(prefix="sightline-bench-") as made:
        yield Path(made)
