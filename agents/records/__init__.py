"""Writers: each turns records into rows inside the caller's transaction, and every write is an upsert.

Call them with a connection of `agents.database.connect`, commit when they return, roll back when they raise.
"""

from agents.records.alerts import record_alerts
from agents.records.dead_letters import record_dead_letters
from agents.records.outbox import Claimed, claim_outbox, mark_outbox, prune_outbox
from agents.records.partitions import ensure_partitions
from agents.records.root_cause import StoredRootCause, load_root_cause, save_root_cause
from agents.records.stations import register_stations
from agents.records.verdicts import Recorded, record_verdicts

__all__ = [
    "Claimed",
    "Recorded",
    "StoredRootCause",
    "claim_outbox",
    "ensure_partitions",
    "load_root_cause",
    "mark_outbox",
    "prune_outbox",
    "record_alerts",
    "record_dead_letters",
    "record_verdicts",
    "register_stations",
    "save_root_cause",
]
