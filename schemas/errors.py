"""The error tree. Foreign errors are wrapped once, at the edge, with ``raise ... from exc``."""

from __future__ import annotations

from enum import StrEnum


class DeadLetterReason(StrEnum):
    """Why a frame message became a dead letter (header ``dl_reason``); explained in docs/errors.md."""

    MISSING_HEADER = "missing_header"
    MALFORMED_HEADER = "malformed_header"
    UNSUPPORTED_CONTENT_TYPE = "unsupported_content_type"
    CONTENT_TYPE_MISMATCH = "content_type_mismatch"
    KEY_MISMATCH = "key_mismatch"
    EMPTY_VALUE = "empty_value"
    OVERSIZED = "oversized"
    CORRUPT_PICTURE = "corrupt_picture"
    DECOMPRESSION_BOMB = "decompression_bomb"
    CLAIM_MISSING = "claim_missing"
    CLAIM_MISMATCH = "claim_mismatch"
    ENGINE_FAULT = "engine_fault"
    MALFORMED_RECORD = "malformed_record"


class SightlineError(Exception):
    """Root of every error Sightline raises on purpose.

    ::

        SightlineError
        ├── SetupError        set-up is wrong: exit code 2, before anything is consumed
        │   └── MissingExtra  an optional package is not installed; names the extra
        ├── InputError        a picture, folder or argument given to a command is bad: exit code 1
        ├── PoisonFrame       one frame message can never be processed: becomes a dead letter
        ├── TransientError    something outside is away: retried with backoff, nothing acknowledged
        │   └── StaleWrite    another worker wrote first: roll back, load again, nothing was written
        └── EngineFault       an engine raised, hung or died: bounded retries, then a dead letter
    """


class SetupError(SightlineError):
    """The installation, a setting, a bundle or a service is wrong; says which, and the remedy."""


class MissingExtra(SetupError):
    """An optional package is needed for what was asked and is not installed."""

    def __init__(self, package: str, extra: str, purpose: str) -> None:
        super().__init__(
            f"{purpose} needs the package '{package}', which is not installed: pip install 'sightline[{extra}]'"
        )
        self.package = package
        self.extra = extra


class InputError(SightlineError):
    """What a person handed to a command cannot be used; says what, which value, and what to do."""


class PoisonFrame(SightlineError):
    """A frame message that no retry can save. It is kept, whole, as a dead letter.

    Args:
        reason: the class of fault, published as ``dl_reason``.
        detail: one sentence with the offending value, published as ``dl_detail``.
    """

    def __init__(self, reason: DeadLetterReason, detail: str) -> None:
        super().__init__(f"{reason.value}: {detail}")
        self.reason = reason
        self.detail = detail


class TransientError(SightlineError):
    """A service outside is away or refused for now; the caller retries and acknowledges nothing."""


class StaleWrite(TransientError):
    """Another worker saved the same state since it was loaded: nothing was written; roll back and load again."""


class EngineFault(SightlineError):
    """An engine raised, exceeded its deadline or took its process down."""
