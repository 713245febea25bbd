"""Settings: sources, origins, refusals."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import SecretStr

from deploy.settings import (
    Settings,
    aiokafka_options,
    faust_credentials,
    kafka_python_options,
    settings_in_force,
    shown,
    sqlalchemy_url,
)
from schemas.errors import SetupError


def in_force(folder: Path, environ: dict[str, str] | None = None, **overrides: object) -> Settings:
    return settings_in_force(environ or {}, folder, overrides).settings


def test_command_line_wins_over_environment_over_file_over_default(tmp_path: Path) -> None:
    (tmp_path / "sightline.toml").write_text('partitions = 3\nworkers = 3\nlog_level = "DEBUG"\n')
    environ = {"SIGHTLINE_PARTITIONS": "4", "SIGHTLINE_WORKERS": "4"}
    found = settings_in_force(environ, tmp_path, {"workers": 5})
    assert (found.settings.log_level, found.settings.partitions, found.settings.workers) == ("DEBUG", 4, 5)
    assert found.settings.engine_retries == 2
    assert found.origins["log_level"] == str(tmp_path / "sightline.toml")
    assert found.origins["partitions"] == "SIGHTLINE_PARTITIONS"
    assert found.origins["workers"] == "command line"
    assert found.origins["engine_retries"] == "default"


@pytest.mark.parametrize(
    ("variable", "text", "said"),
    [
        ("SIGHTLINE_PARTITION", "4", r"no setting SIGHTLINE_PARTITION .*did you mean partitions\?"),
        ("SIGHTLINE_PARTITIONS", "many", r"partitions \(from SIGHTLINE_PARTITIONS\) is 'many'.*1 to 512"),
        ("SIGHTLINE_PARTITIONS", "0", r"greater than or equal to 1"),
        ("SIGHTLINE_KAFKA_URL", "broker", r"'broker' is not host:port"),
        ("SIGHTLINE_POSTGRES_URL", "mysql://host/db", r"begin with postgresql://"),
        ("SIGHTLINE_TOPIC_PREFIX", "a b", r"topic names have letters"),
        ("SIGHTLINE_EVIDENCE_MAX_BYTES", '{"passs": 1}', r"no such kind of evidence: passs"),
        ("SIGHTLINE_CONFIG", "/nowhere.toml", r"/nowhere.toml, which does not exist"),
        ("SIGHTLINE_KAFKA_SECURITY_PROTOCOL", "SASL_SSL", r"needs kafka_sasl_username and kafka_sasl_password"),
    ],
)
def test_a_wrong_setting_is_refused_with_its_name_and_a_remedy(
    tmp_path: Path, variable: str, text: str, said: str
) -> None:
    with pytest.raises(SetupError, match=said):
        in_force(tmp_path, {variable: text})


@pytest.mark.parametrize("text", ["partitions = ", "topics = 3", "[kafka]\nurl = 'a:1'"])
def test_a_wrong_file_is_refused_with_its_path(tmp_path: Path, text: str) -> None:
    (tmp_path / "sightline.toml").write_text(text)
    with pytest.raises(SetupError, match=r"sightline\.toml"):
        in_force(tmp_path)


def test_variables_that_only_benchmarks_read_are_no_unknown_settings(tmp_path: Path) -> None:
    environ = {"SIGHTLINE_WEIGHTS": "resnet18.npz", "SIGHTLINE_DATA": "data", "SIGHTLINE_BENCH_FOLDER": "kept"}
    assert in_force(tmp_path, environ) == in_force(tmp_path)


def test_a_secret_is_never_shown_even_when_it_is_refused(tmp_path: Path) -> None:
    environ = {
        "SIGHTLINE_KAFKA_SASL_PASSWORD": "hush1",
        "SIGHTLINE_POSTGRES_URL": "postgresql://user:hush2@host/db?sslmode=require",
    }
    settings = in_force(tmp_path, environ)
    everything = repr(settings) + str(settings) + "".join(shown(name, value) for name, value in settings)
    assert "hush" not in everything
    with pytest.raises(SetupError) as refused:
        in_force(tmp_path, {"SIGHTLINE_POSTGRES_URL": "mysql://user:hush3@host/db"})
    assert "hush" not in str(refused.value)


def test_a_child_process_gets_the_same_settings_through_its_environment(tmp_path: Path) -> None:
    settings = in_force(
        tmp_path,
        kafka_url="kafka://a:1, b:2",
        kafka_sasl_password=SecretStr("secret"),
        claim_urls=("s3://one", "s3://two"),
        evidence_max_age_days={"pass": None},
        state_dir=tmp_path / "elsewhere",
    )
    assert settings.kafka_url == "a:1,b:2"
    assert in_force(Path("/"), settings.to_environment()) == settings


def test_limits_of_evidence_that_are_not_given_keep_their_defaults(tmp_path: Path) -> None:
    settings = in_force(tmp_path, evidence_max_age_days={"pass": 1})
    assert settings.evidence_max_age_days == {"fail": 365, "review": 365, "pass": 1, "dead-letter": 90, "alert": None}


def test_stores_lie_in_the_state_folder_unless_told_otherwise(tmp_path: Path) -> None:
    settings = in_force(tmp_path, state_dir=tmp_path, bundles_url="s3://bundles")
    assert settings.evidence_url == f"file://{tmp_path}/evidence"
    assert settings.bundles_url == "s3://bundles"
    assert settings.claim_urls == (f"file://{tmp_path}/claims",)


def test_an_account_and_certificates_reach_every_kafka_client(tmp_path: Path) -> None:
    settings = in_force(
        tmp_path,
        kafka_url="a:1,b:2",
        kafka_security_protocol="SASL_SSL",
        kafka_sasl_mechanism="PLAIN",
        kafka_sasl_username="me",
        kafka_sasl_password="secret",
        kafka_ssl_check_hostname=False,
    )
    for options in (kafka_python_options(settings), aiokafka_options(settings)):
        assert options["security_protocol"] == "SASL_SSL"
        assert (options["sasl_plain_username"], options["sasl_plain_password"]) == ("me", "secret")
        assert options["ssl_context"].check_hostname is False
    credentials = faust_credentials(settings)
    assert (credentials.username, credentials.password, str(credentials.mechanism.value)) == ("me", "secret", "PLAIN")
    assert credentials.ssl_context.check_hostname is False


def test_a_certificate_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    settings = in_force(tmp_path, kafka_url="a:1", kafka_security_protocol="SSL", kafka_ssl_cafile="/nowhere.pem")
    with pytest.raises(SetupError, match=r"kafka_ssl_cafile /nowhere\.pem"):
        kafka_python_options(settings)


def test_a_postgres_url_keeps_its_tls_options_for_sqlalchemy() -> None:
    url = sqlalchemy_url("postgresql://u:p@h:1/d?sslmode=verify-full&sslrootcert=/ca.pem")
    assert url == "postgresql+psycopg://u:p@h:1/d?sslmode=verify-full&sslrootcert=/ca.pem"


def test_copies_are_three_on_a_broker_that_is_not_ours(tmp_path: Path) -> None:
    outside = in_force(tmp_path, kafka_url="a:1").replication()
    assert (outside.factor, outside.min_insync) == (3, 2)
    told = in_force(tmp_path, kafka_url="a:1", replication_factor=1).replication()
    assert (told.factor, told.min_insync) == (1, 1)
