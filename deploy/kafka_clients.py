"""How the Kafka clients we use are told the broker's address, account and certificates."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Any

from schemas.errors import SetupError

if TYPE_CHECKING:
    from deploy.settings import Settings


def kafka_python_options(settings: Settings) -> dict[str, Any]:
    """Keyword arguments for kafka-python's clients: bootstrap servers and security."""
    options: dict[str, Any] = {
        "bootstrap_servers": settings.kafka_url.split(","),
        "security_protocol": settings.kafka_security_protocol,
    }
    return options | _account(settings) | _context(settings)


def aiokafka_options(settings: Settings) -> dict[str, Any]:
    """Keyword arguments for aiokafka's clients: bootstrap servers and security."""
    options: dict[str, Any] = {
        "bootstrap_servers": settings.kafka_url,
        "security_protocol": settings.kafka_security_protocol,
    }
    return options | _account(settings) | _context(settings)


def faust_credentials(settings: Settings) -> Any:
    """Faust's `broker_credentials`, or None for a plain connection."""
    import faust

    context = tls_context(settings)
    if settings.kafka_security_protocol.startswith("SASL"):
        return faust.SASLCredentials(
            username=settings.kafka_sasl_username,
            password=settings.kafka_sasl_password.get_secret_value(),
            ssl_context=context,
            mechanism=settings.kafka_sasl_mechanism,
        )
    return None if context is None else faust.SSLCredentials(context)


def tls_context(settings: Settings) -> ssl.SSLContext | None:
    """The TLS context of the settings; None when the protocol has no TLS.

    Raises: SetupError naming the file that cannot be used.
    """
    if not settings.kafka_security_protocol.endswith("SSL"):
        return None
    try:
        context = ssl.create_default_context(cafile=settings.kafka_ssl_cafile)
    except OSError as exc:
        raise SetupError(f"kafka_ssl_cafile {settings.kafka_ssl_cafile} cannot be used: {exc}") from exc
    context.check_hostname = settings.kafka_ssl_check_hostname
    if settings.kafka_ssl_certfile is not None:
        try:
            context.load_cert_chain(settings.kafka_ssl_certfile, settings.kafka_ssl_keyfile)
        except OSError as exc:
            raise SetupError(
                f"kafka_ssl_certfile {settings.kafka_ssl_certfile} with kafka_ssl_keyfile "
                f"{settings.kafka_ssl_keyfile} cannot be used: {exc}"
            ) from exc
    return context


def _account(settings: Settings) -> dict[str, Any]:
    if not settings.kafka_security_protocol.startswith("SASL"):
        return {}
    return {
        "sasl_mechanism": settings.kafka_sasl_mechanism,
        "sasl_plain_username": settings.kafka_sasl_username,
        "sasl_plain_password": settings.kafka_sasl_password.get_secret_value(),
    }


def _context(settings: Settings) -> dict[str, Any]:
    context = tls_context(settings)
    return {} if context is None else {"ssl_context": context}
