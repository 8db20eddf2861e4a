"""Keyring: which credentials of the pull secrets (and of the node) are for an image. Pure.

Entries are matched as Kubernetes documents for image pull secrets: the host part by part with wildcards, the
port exactly, the path as a prefix; the more specific entry comes first. What docker calls its index serves
docker.io where nothing else matches.
"""

import binascii
import contextlib
import re
from base64 import b64decode
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase

import orjson

from minikube_py.meta.objects import Obj
from minikube_py.runtime.base import Credentials

DOCKER_INDEX = "index.docker.io"
JSON_TYPE, JSON_KEY = "kubernetes.io/dockerconfigjson", ".dockerconfigjson"
OLD_TYPE, OLD_KEY = "kubernetes.io/dockercfg", ".dockercfg"


class BadAuth(Exception):
    """A pull secret whose `auth` is no credentials, in Go's words: no image is pulled with it."""


def credentials_for(image: str, secrets: Sequence[Obj], node_config: bytes = b"") -> list[Credentials]:
    """The credentials to try one after another for `image` (`docker.io/library/web`: without tag and digest):
    those of the secrets, then those of the node's own docker config.json. Errors: BadAuth of a secret."""
    found = _matching(image, [entry for secret in secrets for entry in _of_secret(secret)])
    with contextlib.suppress(BadAuth):
        found += _matching(image, list(_entries(node_config, nested=True)))
    return list(dict.fromkeys(found))


def _matching(image: str, entries: Sequence[tuple[str, Credentials]]) -> list[Credentials]:
    keyed: dict[str, list[Credentials]] = {}
    for server, credentials in entries:
        keyed.setdefault(registry_key(server), []).append(credentials)
    found = [one for key in sorted(keyed, reverse=True) if serves(key, image) for one in keyed[key]]
    return found or (keyed.get(DOCKER_INDEX, []) if image.startswith("docker.io/") else [])


def registry_key(server: str) -> str:
    """Host and path of a docker config's key; `/v1/` and `/v2/` of old registries are no path."""
    host, slash, path = server.removeprefix("https://").removeprefix("http://").partition("/")
    if path.startswith(("v1/", "v2/")):
        path = path[3:]
    return f"{host}{slash}{path}" if path else host


def serves(key: str, image: str) -> bool:
    """Whether an entry's key stands for an image."""
    host, _, path = key.partition("/")
    image_host, _, image_path = image.partition("/")
    name, _, port = host.partition(":")
    image_name, _, image_port = image_host.partition(":")
    parts, image_parts = name.split("."), image_name.split(".")
    return (
        port == image_port
        and len(parts) == len(image_parts)
        and image_path.startswith(path)
        and all(map(fnmatchcase, image_parts, parts))
    )


def _of_secret(secret: Obj) -> Iterator[tuple[str, Credentials]]:
    data = secret.get("data") or {}
    for type, key, nested in ((JSON_TYPE, JSON_KEY, True), (OLD_TYPE, OLD_KEY, False)):
        if secret.get("type") == type and data.get(key):
            try:
                content = b64decode(data[key])
            except binascii.Error:
                return
            yield from _entries(content, nested=nested)


def _entries(content: bytes, *, nested: bool) -> Iterator[tuple[str, Credentials]]:
    """(server, credentials) of a docker config; nothing where it is not well formed: it cannot help."""
    if not content:
        return
    try:
        config = orjson.loads(content)
        servers = (config.get("auths") or {}) if nested else config
        read = [(str(server), _credentials(entry or {})) for server, entry in servers.items()]
    except (ValueError, AttributeError, TypeError):
        return
    yield from read


def _credentials(entry: Obj) -> Credentials:
    auth = (entry.get("auth") or "").strip()
    if not auth:
        return Credentials(entry.get("username") or "", entry.get("password") or "")
    if wrong := re.search("[^A-Za-z0-9+/\r\n=]", auth):
        raise BadAuth(f"illegal base64 data at input byte {wrong.start()}")
    try:
        decoded = b64decode(auth + "=" * (-len(auth) % 4)).decode(errors="replace")
    except binascii.Error as error:
        raise BadAuth(f"illegal base64 data at input byte {len(auth)}") from error
    user, colon, password = decoded.partition(":")
    if not colon:
        raise BadAuth("unable to parse auth field, must be formatted as base64(username:password)")
    return Credentials(user, password)
