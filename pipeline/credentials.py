"""Credentials stand in a config as placeholders; they are resolved at the moment of use and masked in every message.

`${NAME}` is a variable of the environment, `${secret:block-name}` a secret block, looked up by the caller's function.
Nothing that holds a resolved text is ever recorded: what is recorded is the config, with its placeholders.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from pipeline.errors import ConfigError

Secret = Callable[[str], str]
"""Gives the text that a secret block of this name holds."""

UNRECORDED = "(not recorded)"
_PLACEHOLDER = re.compile(r"\$\{(?:([A-Za-z_][A-Za-z0-9_]*)|secret:([a-z0-9-]+))\}")
_CREDENTIAL_OPTION = re.compile(r"(?i)secret|token|passw|\bkey\b|_key\b")


def resolve(text: str, secret: Secret | None = None) -> str:
    """Return `text` with every placeholder replaced by its value.

    Within a URI, a value that stands for a user or password (before the "@") or in a setting (after the "?") is
    percent-encoded, so that `p@ss:w/rd` needs no care. Elsewhere, and where a placeholder is the whole text, such as
    `${DATABASE_URL}`, the value is taken as it is.

    Raises:
        ConfigError: a variable is not set, a block cannot be had, or a placeholder is malformed; tells no value.

    Example:
        >>> os.environ["EXAMPLE_PASSWORD"] = "p@ss:w/rd"
        >>> resolve("postgresql://ada:${EXAMPLE_PASSWORD}@host/db")
        'postgresql://ada:p%40ss%3Aw%2Frd@host/db'
        >>> resolve("${EXAMPLE_PASSWORD}")
        'p@ss:w/rd'
    """
    if "${" in _PLACEHOLDER.sub("", text):
        remedy = "write ${NAME} for a variable of the environment, or ${secret:block-name} for a Prefect Secret block"
        raise ConfigError("a placeholder must be well-formed", actual="another ${...}", remedy=remedy)

    def value(match: re.Match[str]) -> str:
        found = _from_environment(match[1]) if match[1] else _from_block(match[2], secret)
        return quote(found, safe="") if _is_credential(text, match) else found

    return _PLACEHOLDER.sub(value, text)


def _from_environment(name: str) -> str:
    value = os.environ.get(name)
    if value is None:
        remedy = f"set {name} where the run is started"
        raise ConfigError(f"the environment variable {name}, named in the config, must be set", remedy=remedy)
    return value


def _from_block(name: str, secret: Secret | None) -> str:
    if secret is None:
        remedy = "run it with the tabmint command, or name an environment variable: ${NAME}"
        raise ConfigError(f'the secret block "{name}" must be looked up', actual="no look-up", remedy=remedy)
    return secret(name)


def _is_credential(text: str, match: re.Match[str]) -> bool:
    """Return whether the placeholder stands before the "@" or after the "?" of a URI."""
    scheme, mark, before = text[: match.start()].partition("://")
    if not mark or not scheme:
        return False
    authority = re.split(r"[/?#]", text[match.end() :], maxsplit=1)[0]
    return "?" in before or ("/" not in before and "@" in authority)


def names_a_block(text: str) -> bool:
    """Return whether `text` holds a placeholder for a secret block.

    Example:
        >>> names_a_block("postgresql://ada:${secret:warehouse}@host/db"), names_a_block("${HOME}/people.csv")
        (True, False)
    """
    return any(match[2] for match in _PLACEHOLDER.finditer(text))


def uri_secrets(uri: str) -> set[str]:
    """Return every part of a resolved URI that a message must not repeat, encoded and not.

    Example:
        >>> sorted(uri_secrets("postgresql://ada:p%40ss@host/db"))[:3]
        ['ada', 'ada:p%40ss', 'ada:p@ss']
    """
    try:
        parts = urlsplit(uri)
    except ValueError:  # such as a bracket that does not end
        return {uri}
    secrets = {uri, parts.netloc.rpartition("@")[0], parts.username or "", parts.password or "", parts.query}
    secrets |= {value for _, value in parse_qsl(parts.query)}
    secrets |= {piece for piece in parts.query.split("&") if "=" not in piece}
    return {text for secret in secrets for text in (secret, unquote(secret)) if text}


def mask(text: str, secrets: Iterable[str]) -> str:
    """Return `text` with `***` in place of every secret, the longest first.

    Example:
        >>> mask("ada: wrong password s3cret", {"s3cret"})
        'ada: wrong password ***'
    """
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        text = text.replace(secret, "***")
    return text


def recorded_uri(uri: str | None) -> str | None:
    """Return what may be recorded of a config's URI: its scheme, where it has one.

    Example:
        >>> recorded_uri("postgresql://ada:s3cret@host/db"), recorded_uri("${DATABASE_URL}")
        ('postgresql:(not recorded)', '(not recorded)')
    """
    scheme, colon, _ = (uri or "").partition(":")
    return uri and (f"{scheme}:{UNRECORDED}" if colon and scheme.isalnum() else UNRECORDED)


def refuse_literal_password(uri: str) -> str:
    """Return a config's URI unchanged if its password is a placeholder or absent.

    A config is recorded by whoever runs it (a file in version control, the parameters of a flow), so a password that
    stands in it is known to more people than it should be.

    Raises:
        ConfigError: says what to write instead, and not what was found.

    Example:
        >>> refuse_literal_password("postgresql://ada:${PASSWORD}@host/db")
        'postgresql://ada:${PASSWORD}@host/db'
    """
    user = re.split(r"[/?#]", uri.partition("://")[2], maxsplit=1)[0].rpartition("@")[0]
    said = [user.partition(":")[2], *re.findall(r"(?i)[?&](?:ssl)?password=([^&]*)", uri)]
    if any(_PLACEHOLDER.sub("", password) for password in said):
        remedy = "write ${NAME} or ${secret:block-name} in its place"
        raise ConfigError("no password stands in a config", actual="one in the uri", remedy=remedy)
    return uri


def refuse_literal_options(options: Mapping[str, str]) -> Mapping[str, str]:
    """Return storage options unchanged if those that hold a credential, by their names, are placeholders.

    Raises:
        ConfigError: names the options, and not what they hold.

    Example:
        >>> dict(refuse_literal_options({"key": "${KEY_ID}", "endpoint_url": "https://objects.example"}))
        {'key': '${KEY_ID}', 'endpoint_url': 'https://objects.example'}
    """
    literal = [name for name, value in options.items() if _CREDENTIAL_OPTION.search(name) and "${" not in value]
    if literal:
        remedy = "write ${NAME} or ${secret:block-name} as their values"
        raise ConfigError("no credential stands in a config", actual=f"options {', '.join(literal)}", remedy=remedy)
    return options
