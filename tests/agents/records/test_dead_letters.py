from __future__ import annotations

import pytest

from agents.database import Connection
from agents.records import record_dead_letters
from agents.records.dead_letters import original_headers
from tests.verdicts import a_dead_letter


@pytest.mark.parametrize("n", [1, 150])
def test_a_dead_letter_keeps_every_byte(conn: Connection, n: int) -> None:
    letters = [a_dead_letter(offset) for offset in range(n)]
    record_dead_letters(conn, letters)
    query = 'SELECT key, value, headers, reason, detail, at FROM sightline.dead_letter ORDER BY "offset"'
    stored = conn.execute(query).fetchall()
    assert len(stored) == n
    for letter, (key, value, headers, reason, detail, at) in zip(letters, stored, strict=True):
        assert (key, value, reason, detail, at) == (letter.key, letter.value, letter.reason, letter.detail, letter.at)
        assert tuple(original_headers(headers)) == letter.headers


def test_the_same_record_refused_twice_is_one_row_and_the_first_reason_stands(conn: Connection) -> None:
    record_dead_letters(conn, [a_dead_letter(5), a_dead_letter(5, reason="engine_fault")])
    record_dead_letters(conn, [a_dead_letter(5, reason="oversized"), a_dead_letter(6)])
    query = 'SELECT "offset", reason FROM sightline.dead_letter ORDER BY 1'
    assert conn.execute(query).fetchall() == [(5, "corrupt_picture"), (6, "corrupt_picture")]


def test_a_value_kept_as_evidence_is_not_stored_again(conn: Connection) -> None:
    record_dead_letters(conn, [a_dead_letter(1), a_dead_letter(2)], ["file:///evidence/ab/abcd", None])
    query = 'SELECT value IS NULL, evidence, size_bytes FROM sightline.dead_letter ORDER BY "offset"'
    assert conn.execute(query).fetchall() == [(True, "file:///evidence/ab/abcd", 10), (False, None, 10)]


def test_a_letter_without_key_value_and_headers_is_kept(conn: Connection) -> None:
    record_dead_letters(conn, [a_dead_letter(key=None, value=None, headers=(), detail="empty\x00")])
    query = "SELECT key, value, headers, size_bytes, detail FROM sightline.dead_letter"
    assert conn.execute(query).fetchone() == (None, None, [], 0, "empty\ufffd")
