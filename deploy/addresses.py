"""The address of each service, for commands that may be given none: the line that runs in the state folder."""

from __future__ import annotations

from deploy.embedded.running import running_kafka, running_postgres
from deploy.settings import Settings
from schemas.errors import SetupError


def with_kafka(settings: Settings) -> Settings:
    """`settings` with `kafka_url` set: as given, else that of the embedded broker running in `state_dir`.

    Raises: SetupError when there is neither.
    """
    if settings.kafka_url:
        return settings
    running = running_kafka(settings.state_dir)
    if running is None:
        raise SetupError(
            f"no kafka_url is set and no line runs in {settings.state_dir}: start `sightline up`, give --kafka "
            "HOST:PORT, or set SIGHTLINE_KAFKA_URL (SIGHTLINE_STATE_DIR names another state folder)"
        )
    return settings.model_copy(update={"kafka_url": running.url})


def with_postgres(settings: Settings) -> Settings:
    """`settings` with `postgres_url` set: as given, else that of the embedded database running in `state_dir`.

    Raises: SetupError when there is neither, or its password cannot be read.
    """
    if settings.postgres_url:
        return settings
    try:
        running = running_postgres(settings.state_dir)
    except PermissionError as exc:
        raise SetupError(f"the line in {settings.state_dir} was started by another account: {exc}") from exc
    if running is None:
        raise SetupError(
            f"no postgres_url is set and no line runs in {settings.state_dir}: start `sightline up`, give --postgres "
            "URL, or set SIGHTLINE_POSTGRES_URL (SIGHTLINE_STATE_DIR names another state folder)"
        )
    return settings.model_copy(update={"postgres_url": running.url})
