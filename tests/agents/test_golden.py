from __future__ import annotations

from pathlib import Path

import pytest

from agents.golden import GoldenReferences
from schemas.errors import SetupError


def test_a_bundle_that_left_the_store_is_a_set_up_error_that_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="activate that bundle again"):
        GoldenReferences(f"file://{tmp_path}").of_bundle("a" * 64)
