"""An upsert: one INSERT ... ON CONFLICT of a table, for one row or for thousands."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from psycopg import sql

from agents.database import Connection
from schemas.tables import SCHEMA

COPY_ABOVE_ROWS = 100
"""Up to here rows go by a pipeline of INSERTs, above by COPY; `benchmarks/records.py` measures both."""

Row = tuple[Any, ...]


@dataclass(frozen=True)
class Upsert:
    """How rows of `columns` enter `table` and what comes back.

    Args:
        conflict: the clause after ON CONFLICT; the row already there is `held`, the new one `excluded`.
        key: columns by which rows are put in order, so that two writers lock them the same way round.
        returning: expressions over `held`, one tuple for each row inserted or updated, in any order.
    """

    table: str
    columns: tuple[str, ...]
    conflict: str
    key: tuple[str, ...]
    returning: str = ""

    def run(self, conn: Connection, rows: Sequence[Row]) -> list[Row]:
        """Write `rows` (values in the order of `columns`) inside the caller's transaction."""
        if not rows:
            return []
        at = [self.columns.index(name) for name in self.key]
        ordered = sorted(rows, key=lambda row: [row[index] for index in at])
        return self._copy(conn, ordered) if len(ordered) > COPY_ABOVE_ROWS else self._pipeline(conn, ordered)

    @cached_property
    def _target(self) -> sql.Identifier:
        return sql.Identifier(SCHEMA, self.table)

    @cached_property
    def _columns(self) -> sql.Composed:
        return sql.SQL(", ").join(map(sql.Identifier, self.columns))

    @cached_property
    def _tail(self) -> sql.Composed:
        tail = f" ON CONFLICT {self.conflict}" + (f" RETURNING {self.returning}" if self.returning else "")
        return sql.Composed([sql.SQL(tail)])

    @cached_property
    def _insert(self) -> sql.Composed:
        marks = sql.SQL(", ").join(sql.Placeholder() * len(self.columns))
        head = sql.SQL("INSERT INTO {} AS held ({}) VALUES ({})").format(self._target, self._columns, marks)
        return head + self._tail

    def _pipeline(self, conn: Connection, rows: Sequence[Row]) -> list[Row]:
        with conn.cursor() as cursor:
            cursor.executemany(self._insert, rows, returning=bool(self.returning))
            if not self.returning:
                return []
            returned = cursor.fetchall()
            while cursor.nextset():
                returned.extend(cursor.fetchall())
        return returned

    def _copy(self, conn: Connection, rows: Sequence[Row]) -> list[Row]:
        staging = sql.Identifier(f"incoming_{self.table}")
        key = sql.SQL(", ").join(map(sql.Identifier, self.key))
        with conn.cursor() as cursor:
            cursor.execute(
                sql.SQL("CREATE TEMP TABLE IF NOT EXISTS {} (LIKE {} INCLUDING DEFAULTS) ON COMMIT DELETE ROWS").format(
                    staging, self._target
                )
            )
            cursor.execute(sql.SQL("TRUNCATE {}").format(staging))
            with cursor.copy(sql.SQL("COPY {} ({}) FROM STDIN").format(staging, self._columns)) as copy:
                for row in rows:
                    copy.write_row(row)
            cursor.execute(
                sql.SQL("INSERT INTO {} AS held ({}) SELECT {} FROM {} ORDER BY {}").format(
                    self._target, self._columns, self._columns, staging, key
                )
                + self._tail
            )
            return cursor.fetchall() if self.returning else []


def together(conn: Connection, n_rows: int) -> AbstractContextManager[object]:
    """One round trip for all that is sent within, as long as nothing in it is large enough for COPY."""
    return conn.pipeline() if n_rows <= COPY_ABOVE_ROWS else nullcontext()


def storable(text: str | None) -> str | None:
    """`text` as Postgres can hold it: NUL and lone surrogates become the replacement character."""
    if text is None or (text.isascii() and "\x00" not in text):
        return text
    return text.replace("\x00", "\ufffd").encode("utf-8", "replace").decode("utf-8")
