from __future__ import annotations

import datetime as dt
from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from pipeline.credentials import mask, refuse_literal_options, refuse_literal_password, resolve, uri_secrets
from pipeline.errors import ConfigError
from pipeline.source import SourceConfig, for_date, read, resolved

PASSWORD = "p@ss:w/rd%#"
ENCODED = "p%40ss%3Aw%2Frd%25%23"
BLOCKS = {"warehouse": PASSWORD, "whole-uri": "postgresql://ada:p%40ss@host/db"}


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CANARY", PASSWORD)
    monkeypatch.setenv("DATABASE_URL", "postgresql://ada:p%40ss@host:5433/db?sslmode=require")
    monkeypatch.setenv("HOST_AND_PORT", "db.example:5433")
    monkeypatch.delenv("UNSET", raising=False)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", ""),
        ("nothing $HERE {to} $ replace", "nothing $HERE {to} $ replace"),
        ("${CANARY}", PASSWORD),
        ("${secret:warehouse}", PASSWORD),
        ("${DATABASE_URL}", "postgresql://ada:p%40ss@host:5433/db?sslmode=require"),
        ("${secret:whole-uri}", "postgresql://ada:p%40ss@host/db"),
        ("postgresql://ada:${CANARY}@host/db", "postgresql://ada:p%40ss%3Aw%2Frd%25%23@host/db"),
        ("postgresql://${CANARY}:${secret:warehouse}@host", f"postgresql://{ENCODED}:{ENCODED}@host"),
        ("postgresql://host/db?password=${CANARY}", "postgresql://host/db?password=p%40ss%3Aw%2Frd%25%23"),
        ("postgresql://ada@${HOST_AND_PORT}/db", "postgresql://ada@db.example:5433/db"),
        ("s3://${HOST_AND_PORT}/a@b", "s3://db.example:5433/a@b"),
        ("Bearer ${CANARY}", f"Bearer {PASSWORD}"),
    ],
)  # fmt: skip
def test_a_placeholder_becomes_its_value(text: str, found: str) -> None:
    assert resolve(text, BLOCKS.__getitem__) == found


@given(st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1))
def test_any_password_stays_in_its_part_of_the_uri(password: str) -> None:
    uri = resolve("postgresql://ada:${secret:any}@host:5432/db?sslmode=require", lambda _: password)
    parts = urlsplit(uri)
    assert (parts.username, parts.hostname, parts.port, parts.path) == ("ada", "host", 5432, "/db")
    assert unquote(parts.password or "") == password


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("postgresql://ada:${CANARY}@${UNSET}/db", "the environment variable UNSET, named in the config, must be set"),
        ("${secret:warehouse}", 'the secret block "warehouse" must be looked up'),
        ("${CANARY} ${}", "a placeholder must be well-formed"),
        ("${CANARY} ${1A}", "a placeholder must be well-formed"),
        ("${CANARY", "a placeholder must be well-formed"),
        ("${secret:Upper Case}", "a placeholder must be well-formed"),
        ("${file:/etc/passwd}", "a placeholder must be well-formed"),
    ],
)
def test_what_cannot_be_resolved_is_refused_without_a_value(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as refused:
        resolve(text)
    assert refused.value.remedy
    assert "p@ss" not in str(refused.value)


def test_a_value_that_looks_like_a_placeholder_is_not_resolved_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NESTED", "${CANARY}")
    assert resolve("${NESTED}") == "${CANARY}"


def test_every_form_of_a_uris_secrets_is_masked() -> None:
    uri = resolve("postgresql://ada:${CANARY}@host/db?sslpassword=${secret:warehouse}", BLOCKS.__getitem__)
    text = f"cannot use {uri}: ada with {PASSWORD} or p%40ss%3Aw%2Frd%25%23 is refused by host"
    assert mask(text, uri_secrets(uri)) == "cannot use ***: *** with *** or *** is refused by host"


@pytest.mark.parametrize("uri", ["postgresql://[s3cret/db", "postgresql://h/db?a=b&s3cret", "s3cret"])
def test_a_malformed_uri_has_its_secrets_too(uri: str) -> None:
    assert "s3cret" not in mask(f"cannot use {uri}", uri_secrets(uri))


def test_a_resolved_source_shows_nothing_and_the_config_keeps_its_placeholders() -> None:
    options = {"secret": "${secret:warehouse}", "endpoint_url": "https://${HOST_AND_PORT}"}
    config = SourceConfig(
        path="s3://bucket/${HOST_AND_PORT}.csv", uri="postgresql://ada:${CANARY}@host/db", options=options
    )
    found = resolved(config, BLOCKS.__getitem__)
    assert found.options == {"secret": PASSWORD, "endpoint_url": "https://db.example:5433"}
    assert found.path == "s3://bucket/db.example:5433.csv"
    assert unquote(urlsplit(found.uri or "").password or "") == PASSWORD
    assert config.options == options
    assert config.uri == "postgresql://ada:${CANARY}@host/db"
    for said in (repr(found), str(found), str(found.recorded()), f"{found!r}"):
        assert "p@ss" not in said
        assert "p%40ss" not in said


def test_no_validation_error_repeats_a_source() -> None:
    with pytest.raises(ValidationError) as refused:
        SourceConfig.model_validate({"uri": [PASSWORD], "options": {"key": [PASSWORD]}, "query": "SELECT 1"})
    assert PASSWORD not in str(refused.value)


def test_a_path_holds_no_secret_block() -> None:
    with pytest.raises(ConfigError, match="a path holds no secret"):
        resolved(SourceConfig(path="s3://${secret:warehouse}/people.csv"), BLOCKS.__getitem__)


def test_what_may_be_recorded_of_a_source() -> None:
    config = SourceConfig(path="s3://bucket/people/day.csv", options={"key": PASSWORD})
    recorded = config.recorded()
    assert (recorded["path"], recorded["uri"], recorded["options"]) == ("day.csv", None, {"key": "(not recorded)"})
    assert recorded.keys() == config.model_dump().keys()
    for uri in ("${DATABASE_URL}", "${secret:whole-uri}"):
        assert SourceConfig(uri=uri, query="q").recorded()["uri"] == "(not recorded)"
    assert SourceConfig(uri="sqlite:people.db", query="q").recorded()["uri"] == "sqlite:(not recorded)"


def test_the_date_stands_for_its_own_token_alone() -> None:
    config = SourceConfig(path="${date}/{date}/b-{date}.csv", query="SELECT '{date}', '{\"k\": {}}', {Date}, {{date}}")
    dated = for_date(config, dt.date(2026, 1, 2))
    assert dated.path == "${date}/2026-01-02/b-2026-01-02.csv"
    assert dated.query == "SELECT '2026-01-02', '{\"k\": {}}', {Date}, {2026-01-02}"
    assert for_date(SourceConfig(path="x.csv"), dt.date(2026, 1, 2)) == SourceConfig(path="x.csv")


def test_options_without_a_url_are_refused(tmp_path) -> None:
    with pytest.raises(ConfigError, match="options are for the file system of a URL"):
        read(SourceConfig(path=str(tmp_path / "people.csv"), options={"key": "${CANARY}"}))


@pytest.mark.parametrize(
    "uri",
    [
        "postgresql://ada:s3cret@host/db",
        "postgresql://ada:x${CANARY}@host/db",
        "postgresql://host/db?a=b&password=s3cret",
    ],
)
def test_a_literal_password_is_refused_and_not_told(uri: str) -> None:
    with pytest.raises(ConfigError, match="no password stands in a config") as refused:
        refuse_literal_password(uri)
    assert "s3cret" not in str(refused.value)


@pytest.mark.parametrize(
    "uri",
    ["${DATABASE_URL}", "postgresql://${CANARY}@host/db", "postgresql://ada:${secret:a}@h/db", "sqlite:a:b.db", "postgresql://ada@h/db"],
)  # fmt: skip
def test_a_uri_without_a_literal_password_is_fine(uri: str) -> None:
    assert refuse_literal_password(uri) == uri


def test_literal_credentials_among_options_are_refused_by_name() -> None:
    fine = {"key": "${CANARY}", "endpoint_url": "https://objects.example", "anon": "true", "monkey": "x"}
    assert refuse_literal_options(fine) == fine
    for name in ("key", "secret", "token", "account_key", "sas_token", "Password", "secret_access_key"):
        with pytest.raises(ConfigError, match=f"options {name}") as refused:
            refuse_literal_options({name: "s3cret"})
        assert "s3cret" not in str(refused.value)
