"""The user's kubeconfig: our cluster, user and context merged into it, and taken out again.

Everything else in the file is kept as it is (comments are not: YAML readers drop them). Written atomically
under a lock beside it (the `.lock` file that kubectl uses too); certificates are embedded.
"""

import base64
import contextlib
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from minikube_py.cluster.pki import Pki

LOCK_WITHIN = 5.0  # seconds to wait for another writer
STALE_LOCK = 30.0  # seconds after which a lock file was left behind by a writer that died


class BadKubeconfig(ValueError):
    """The kubeconfig cannot be read or changed; the message names the file and the reason."""


@dataclass(frozen=True, slots=True)
class Access:
    """How to reach a cluster as a user; all three entries get `name`."""

    name: str
    server: str  # https://127.0.0.1:8443
    ca: bytes  # PEM
    certificate: bytes  # PEM
    key: bytes  # PEM
    namespace: str = ""

    def document(self) -> dict[str, Any]:
        """A kubeconfig of its own."""
        return merged({}, self)


def path(environment: Mapping[str, str] = os.environ) -> Path:
    """The file that kubectl would write to: the first of $KUBECONFIG, or ~/.kube/config."""
    for entry in environment.get("KUBECONFIG", "").split(os.pathsep):
        if entry:
            return Path(entry)
    return Path.home() / ".kube" / "config"


def merged(document: Mapping[str, Any], access: Access) -> dict[str, Any]:
    """`document` with the entries of `access` added or replaced, its context the current one."""
    context = {"cluster": access.name, "user": access.name}
    if access.namespace:
        context["namespace"] = access.namespace
    cluster = {"server": access.server, "certificate-authority-data": _text(access.ca)}
    user = {"client-certificate-data": _text(access.certificate), "client-key-data": _text(access.key)}
    kept = {"apiVersion": "v1", "kind": "Config", "preferences": {}} | dict(document)
    return kept | {
        "clusters": _put(kept, "clusters", access.name, "cluster", cluster),
        "users": _put(kept, "users", access.name, "user", user),
        "contexts": _put(kept, "contexts", access.name, "context", context),
        "current-context": access.name,
    }


def without(document: Mapping[str, Any], name: str) -> dict[str, Any]:
    """`document` without the cluster, user and context `name`; it is no longer the current context."""
    kept = dict(document)
    for section in ("clusters", "users", "contexts"):
        if section in kept:
            kept[section] = [entry for entry in _entries(kept, section) if entry.get("name") != name]
    if kept.get("current-context") == name:
        kept["current-context"] = ""
    return kept


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _entries(document: Mapping[str, Any], section: str) -> list[dict[str, Any]]:
    entries = document.get(section) or []
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise BadKubeconfig(f"`{section}` is not a list of entries")
    return entries


def _put(
    document: Mapping[str, Any], section: str, name: str, key: str, value: Mapping[str, str]
) -> list[dict[str, Any]]:
    entries = _entries(document, section)
    ours = {"name": name, key: dict(value)}
    if any(entry.get("name") == name for entry in entries):
        return [ours if entry.get("name") == name else entry for entry in entries]
    return [*entries, ours]


def add(access: Access, file: Path) -> None:
    """Merge `access` into `file`, which is made (0600) where it is missing. Errors: BadKubeconfig, OSError."""
    with _locked(file):
        document = _read(file)
        fresh = _checked(file, lambda: merged(document, access))
        if fresh != document:
            _write(file, fresh)


def remove(name: str, file: Path) -> None:
    """Take the entries `name` out of `file`, if they are there. Errors: BadKubeconfig, OSError."""
    if not file.exists():
        return
    with _locked(file):
        document = _read(file)
        fresh = _checked(file, lambda: without(document, name))
        if fresh != document:
            _write(file, fresh)


def write_own(access: Access, file: Path) -> None:
    """Write a kubeconfig that holds `access` only."""
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    _write(file, access.document())


def _checked(file: Path, change: Any) -> dict[str, Any]:
    try:
        changed: dict[str, Any] = change()
    except BadKubeconfig as error:
        raise BadKubeconfig(f"{file}: {error}") from error
    return changed


def _read(file: Path) -> dict[str, Any]:
    try:
        text = file.read_text()
    except FileNotFoundError:
        return {}
    try:
        document = yaml.load(text, Loader=_TextLoader)
    except yaml.YAMLError as error:
        raise BadKubeconfig(f"{file} is no YAML: {error}") from error
    if document is None:
        return {}
    if not isinstance(document, dict):
        raise BadKubeconfig(f"{file} is no kubeconfig: it holds no mapping")
    return document


class _TextLoader(yaml.SafeLoader):
    """Timestamps stay text: others' entries (an OIDC token's expiry, say) come back as they were."""


_TextLoader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def _write(file: Path, document: Mapping[str, Any]) -> None:
    target = file.resolve()  # a kubeconfig may be a link; what it points to is replaced, not the link
    fresh = target.with_name(f".{target.name}.{os.getpid()}")
    mode = target.stat().st_mode & 0o777 if target.exists() else 0o600
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        with os.fdopen(descriptor, "w") as output:
            os.fchmod(descriptor, mode)
            yaml.safe_dump(dict(document), output, sort_keys=False, allow_unicode=True)
            output.flush()
            os.fsync(descriptor)
        if target.exists() and os.geteuid() == 0:
            owner = target.stat()
            os.chown(fresh, owner.st_uid, owner.st_gid)
        fresh.replace(target)
    except BaseException:
        fresh.unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def _locked(file: Path) -> Iterator[None]:
    """Hold the lock file that kubectl and other clients honour: made exclusively, removed afterwards."""
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = file.with_name(f"{file.name}.lock")
    deadline = time.monotonic() + LOCK_WITHIN
    while True:
        try:
            os.close(os.open(lock, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
            break
        except FileExistsError as error:
            with contextlib.suppress(FileNotFoundError):
                if time.time() - lock.stat().st_mtime > STALE_LOCK:
                    lock.unlink()
                    continue
            if time.monotonic() > deadline:
                raise BadKubeconfig(
                    f"{file} is locked by another program: remove {lock} if none runs"
                ) from error
            time.sleep(0.02)
    try:
        yield
    finally:
        lock.unlink(missing_ok=True)


def administrator(name: str, port: int, keys: Pki) -> Access:
    """The administrator's access to the cluster `name` on loopback. Errors: OSError without its PKI."""
    return Access(
        name=name,
        server=f"https://127.0.0.1:{port}",
        ca=keys.ca.certificate.read_bytes(),
        certificate=keys.admin.certificate.read_bytes(),
        key=keys.admin.key.read_bytes(),
    )


def contexts(file: Path) -> list[str]:
    """The names of the contexts in `file`; none where it is missing. Errors: BadKubeconfig."""
    return [entry["name"] for entry in _entries(_read(file), "contexts") if "name" in entry]
