"""Settings: what a user may choose, from flags > environment MINIKUBE_PY_* > config file > defaults.

The config file is `config.yaml` in the home folder (MINIKUBE_PY_HOME or ~/.minikube-py), with the settings'
names as keys; docs/settings.md lists them all.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

LOG_LEVELS = ("debug", "info", "warning", "error")
DURABILITIES = ("full", "normal")


class BadSetting(ValueError):
    """A setting that is unknown or has a value that cannot be used; the message says where it came from."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Choices for one cluster process."""

    listen_address: str = ""
    """A further address at which the API server listens; it always does on loopback and the pod bridge."""
    container_runtime_endpoint: str = ""
    """The socket of a containerd to use in place of one of our own, such as /run/containerd/containerd.sock."""
    durability: str = "full"
    """full: an acknowledged write survives power loss; normal: it survives a crash of the process only."""
    log_level: str = "info"
    """debug, info, warning or error."""
    max_pods: int = 110
    """How many pods the node takes."""
    audit_log: str = ""
    """Where the API server's audit log is written; empty: nowhere, unless there is an audit policy."""
    audit_policy: str = ""
    """A file with the audit policy (audit.k8s.io/v1); empty: writes with their bodies, no secrets."""


def settings(
    flags: Mapping[str, Any], environment: Mapping[str, str] | None = None, file: Path | None = None
) -> Settings:
    """The settings by their precedence; flags that are None are not given. Errors: BadSetting."""
    environment = os.environ if environment is None else environment
    values: dict[str, Any] = {}
    for field in fields(Settings):
        variable = f"MINIKUBE_PY_{field.name.upper()}"
        if flags.get(field.name) is not None:
            values[field.name] = _checked(field.name, flags[field.name], f"--{field.name.replace('_', '-')}")
        elif variable in environment:
            values[field.name] = _checked(field.name, environment[variable], variable)
    from_file = _from_file(file) if file and file.exists() else {}
    return Settings(**(from_file | values))


def _from_file(file: Path) -> dict[str, Any]:
    from minikube_py.meta import yaml  # only where there is a file to read

    try:
        found = yaml.load(file.read_bytes()) or {}
    except yaml.YamlError as error:
        raise BadSetting(f"{file}: {error}") from error
    if not isinstance(found, dict):
        raise BadSetting(f"{file} is no map of settings")
    known = {field.name for field in fields(Settings)}
    if unknown := set(found) - known:
        raise BadSetting(f'{file}: there is no setting "{min(unknown)}"; there are {", ".join(sorted(known))}')
    return {name: _checked(name, value, f"{file}, {name}") for name, value in found.items()}


def _checked(name: str, value: Any, origin: str) -> Any:
    if name == "max_pods":
        try:
            number = int(value)
        except (TypeError, ValueError):
            number = 0
        if number < 1:
            raise BadSetting(f"{origin}: {value!r} is no number of pods")
        return number
    text = str(value)
    choices = {"log_level": LOG_LEVELS, "durability": DURABILITIES}.get(name)
    if choices and text not in choices:
        raise BadSetting(f"{origin}: {text!r} is none of {', '.join(choices)}")
    return text
