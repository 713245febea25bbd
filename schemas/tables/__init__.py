"""The tables of schema `sightline`, column by column; deploy/migrations creates them, docs/sql.md explains them.

Identity lives in `frame`: one row per (station, frame_id). `verdict`, `defect` and `field_reading` are written in the
same transaction as the frame row they hang on, and only when that row was won, so they carry no foreign keys: old
months of `verdict` can be detached without a scan.
"""

from schemas.tables.alerts import AlertEventRow, AlertRow, OutboxRow, WindowSlotRow, WindowStateRow
from schemas.tables.base import READER_ROLE, SCHEMA, WRITER_ROLE, Base
from schemas.tables.decisions import DefectRow, FieldReadingRow, FrameRow, ReviewRow, VerdictKind, VerdictRow
from schemas.tables.letters import DeadLetterRow
from schemas.tables.recipes import BundleRow, ProductRow, RecipeRow, StationRow

__all__ = [
    "READER_ROLE",
    "SCHEMA",
    "WRITER_ROLE",
    "AlertEventRow",
    "AlertRow",
    "Base",
    "BundleRow",
    "DeadLetterRow",
    "DefectRow",
    "FieldReadingRow",
    "FrameRow",
    "OutboxRow",
    "ProductRow",
    "RecipeRow",
    "ReviewRow",
    "StationRow",
    "VerdictKind",
    "VerdictRow",
    "WindowSlotRow",
    "WindowStateRow",
]
