"""Where compiled engines and the measured choice of a backend are kept: one place a user and machine."""

from __future__ import annotations

import os
from pathlib import Path

from deploy.embedded.jars import cache_dir


def engine_cache() -> Path:
    """`engines` in Sightline's cache folder. The command line and the workers share it, so they decide alike."""
    return cache_dir(os.environ) / "engines"
