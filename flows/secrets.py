"""What a Prefect Secret block holds, looked up when a run needs it; prefect is imported only then."""

from __future__ import annotations

from typing import Any

from pipeline.errors import ConfigError


def prefect_secret(name: str) -> str:
    """Return the text of a Secret block; give this to `resolve`, `resolved` and `deliver`.

    It needs no flow, only a Prefect API that answers.

    Raises:
        ConfigError: there is no such block, it holds no text, or no API answers.
    """
    value = _load(name)
    if not isinstance(value, str):
        remedy = "save the block again with a text"
        raise ConfigError(f'the secret block "{name}" must hold text', actual=type(value).__name__, remedy=remedy)
    return value


def _load(name: str) -> object:
    from prefect.blocks.system import Secret
    from prefect.exceptions import ObjectNotFound

    blocks: Any = Secret  # its annotations leave out that `_sync` keeps it from giving a coroutine
    try:
        return blocks.load(name, _sync=True).get()
    except Exception as error:  # noqa: BLE001 - prefect and its client raise what they like; the text may hold a URL
        missing = isinstance(error.__cause__, ObjectNotFound)
        raise _missing(name) if missing else _unreachable(name, type(error).__name__) from None


def _missing(name: str) -> ConfigError:
    remedy = f'save one in the Prefect UI (Blocks, Secret), or with Secret(value=...).save("{name}") in Python'
    return ConfigError(f'the secret block "{name}" must exist', actual="none", remedy=remedy)


def _unreachable(name: str, error: str) -> ConfigError:
    remedy = "start it, set PREFECT_API_URL, or name an environment variable in the config: ${NAME}"
    return ConfigError(f'a Prefect API must answer for the secret block "{name}"', actual=error, remedy=remedy)
