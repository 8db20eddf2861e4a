"""Registries: the mirrors of Docker Hub and the registries without (good) TLS, as containerd reads them.

containerd looks into `certs.d/<host>/hosts.toml` at every pull, so that a change needs no restart. Files that
are not ours are left alone. A registry that is told to be insecure is asked by HTTPS first, whatever its
certificate, and by HTTP where it does not speak TLS. Pure but for `write`.
"""

import ipaddress
import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

CERTS = "certs.d"
DOCKER_HUB = "docker.io"
DOCKER_SERVER = "https://registry-1.docker.io"
MARK = "# Written by minikube-py from its settings. Without this line it is yours, and is left alone.\n"
_PATH = re.compile(r"[A-Za-z0-9._/-]*")
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?(:[0-9]{1,5})?|\[[0-9A-Fa-f:]+\](:[0-9]{1,5})?")


class BadRegistry(ValueError):
    """A registry or mirror that cannot be used; the message says why."""


class Endpoint(NamedTuple):
    """Where a registry is reached: scheme://host[:port], and whether its certificate must be good."""

    url: str
    verify: bool = True


def hosts_files(mirrors: Sequence[str], insecure: Sequence[str]) -> dict[str, str]:
    """The text of hosts.toml by registry host. Errors: BadRegistry."""
    open_hosts = [_insecure_host(text) for text in insecure]
    files = {host: _file(f"http://{host}", [_entry(f"https://{host}", verify=False)]) for host in open_hosts}
    urls = [_mirror(text) for text in mirrors]
    if urls:
        entries = [_entry(url, verify=urlsplit(url).netloc not in open_hosts, push=False) for url in urls]
        files[DOCKER_HUB] = _file(DOCKER_SERVER, entries)
    return files


def _mirror(text: str) -> str:
    url = text if "://" in text else f"https://{text}"
    parts = urlsplit(url)
    sound = parts.scheme in ("http", "https") and _PATH.fullmatch(parts.path) and not parts.query
    if not sound or not _HOST.fullmatch(parts.netloc):
        raise BadRegistry(f'"{text}" is no URL of a registry mirror, such as https://mirror.example.com')
    return url.rstrip("/")


def _insecure_host(text: str) -> str:
    host = text.removeprefix("https://").removeprefix("http://").rstrip("/")
    try:
        network = ipaddress.ip_network(host)
    except ValueError:
        network = None
    if network is not None and "/" in host:
        raise BadRegistry(f'"{text}" is a range of addresses: name each insecure registry as HOST[:PORT]')
    if not _HOST.fullmatch(host):
        raise BadRegistry(f'"{text}" is no registry, such as registry.example.com:5000')
    return host


def _entry(url: str, *, verify: bool, push: bool = True) -> str:
    capabilities = ["pull", "resolve", *(["push"] if push else [])]
    lines = [f"[host.{json.dumps(url)}]", f"  capabilities = {json.dumps(capabilities)}"]
    return "\n".join([*lines, *([] if verify else ["  skip_verify = true"]), ""])


def _file(server: str, entries: Sequence[str]) -> str:
    return "\n".join([f"{MARK}server = {json.dumps(server)}\n", *entries])


def write(folder: Path, files: Mapping[str, str]) -> None:
    """Make certs.d hold `files` and none that an earlier setting made; what others wrote stays. Blocking."""
    for path in folder.glob("*/hosts.toml"):
        if path.parent.name not in files and path.read_text(errors="replace").startswith(MARK):
            path.unlink()
    for host, text in files.items():
        path = folder / host / "hosts.toml"
        if path.exists() and not path.read_text(errors="replace").startswith(MARK):
            continue
        path.parent.mkdir(mode=0o711, parents=True, exist_ok=True)
        fresh = path.with_suffix(".fresh")
        fresh.write_text(text)
        fresh.replace(path)


def push_endpoints(folder: Path, host: str) -> list[Endpoint]:
    """Where to push what is named by a registry's host, in the order to try. Errors: BadRegistry."""
    path = folder / host / "hosts.toml"
    found: list[Endpoint] = []
    if path.exists():
        try:
            told = tomllib.loads(path.read_text())
            entries: dict[str, Any] = told.get("host") or {}
            found = [
                Endpoint(url, not entry.get("skip_verify", False))
                for url, entry in entries.items()
                if "push" in entry.get("capabilities", ["push"])
            ]
            found += [Endpoint(told["server"], not told.get("skip_verify", False))] if "server" in told else []
        except (tomllib.TOMLDecodeError, AttributeError, TypeError) as error:
            raise BadRegistry(f"{path} is damaged: {error}") from error
    if found:
        return [endpoint._replace(url=endpoint.url.rstrip("/").removesuffix("/v2")) for endpoint in found]
    return [Endpoint(DOCKER_SERVER if host == DOCKER_HUB else f"{_scheme(host)}://{host}")]


def _scheme(host: str) -> str:
    """http for this machine's own registries, as containerd and docker have it."""
    name = urlsplit(f"//{host}").hostname or ""
    return "http" if name in ("localhost", "::1") or name.startswith("127.") else "https"
