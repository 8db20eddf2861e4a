"""A session with the profile's API server: plain HTTPS with the standard library, so that commands start fast.

Knows resources by discovery, as kubectl does: any kind the server has, by plural, singular, short name, or
`plural.group`.
"""

import http.client
import json
import ssl
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, wraps
from typing import Any, Concatenate, ParamSpec, TypeVar
from urllib.parse import urlencode

import click

from minikube_py.cli.main import Failure
from minikube_py.cluster.profile import Profile
from minikube_py.errors import ApiError, NotFound, from_status

P = ParamSpec("P")
R = TypeVar("R")
Obj = dict[str, Any]

AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io, application/json"


@dataclass(frozen=True, slots=True)
class Resource:
    """One resource of discovery."""

    group: str
    version: str
    plural: str
    kind: str
    singular: str
    namespaced: bool
    short_names: tuple[str, ...]
    categories: tuple[str, ...]
    subresources: tuple[str, ...]
    verbs: tuple[str, ...]

    @property
    def full_name(self) -> str:
        """`deployment.apps`, as kubectl prints an object's type."""
        return f"{self.singular}.{self.group}" if self.group else self.singular

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(self, namespace: str = "", name: str = "", subresource: str = "") -> str:
        """The URL path of the collection, an object or a subresource."""
        root = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        scope = f"/namespaces/{namespace}" if self.namespaced and namespace else ""
        return "/".join(part for part in (f"{root}{scope}/{self.plural}", name, subresource) if part)


class Session:
    """A connection to one cluster; made by `with_session`."""

    def __init__(self, profile: Profile, verbose: int = 0) -> None:
        self.profile = profile
        self.verbose = verbose
        self._connection: http.client.HTTPSConnection | None = None

    @cached_property
    def tls(self) -> ssl.SSLContext:
        pki = self.profile.pki
        context = ssl.create_default_context(cafile=str(pki / "ca.crt"))
        context.load_cert_chain(str(pki / "admin.crt"), str(pki / "admin.key"))
        return context

    @property
    def api_port(self) -> int:
        """The port on loopback where the API server answers. Errors: FileNotFoundError where there is none."""
        network = self.profile.network()
        if network is None:
            raise FileNotFoundError(self.profile.config_file)
        return network.api_port

    def connect(self, timeout: float | None = 60.0) -> http.client.HTTPSConnection:
        """A new connection to the API server."""
        port = self.api_port
        return http.client.HTTPSConnection("127.0.0.1", port, context=self.tls, timeout=timeout)

    def send(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> tuple[int, bytes]:
        """The status and body of a response. Errors: ApiError, Failure where the cluster does not run."""
        data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        sent = {"Accept": "application/json", "User-Agent": "minikube-py"}
        if data is not None:
            sent["Content-Type"] = "application/json"
        sent |= headers or {}
        try:
            connection = self._connection or self.connect()
            connection.request(method, path, data, sent)
            response = connection.getresponse()
            content = response.read()
        except FileNotFoundError as error:
            raise Failure(
                f'there is no cluster "{self.profile.name}"', "make one with: minikube-py start"
            ) from error
        except (OSError, http.client.HTTPException) as error:
            self._connection = None
            raise Failure(
                f'the cluster "{self.profile.name}" does not answer: {error}',
                "start it with: minikube-py start   (what runs: minikube-py status)",
            ) from error
        self._connection = connection
        if response.status >= 400:
            raise _refusal(response.status, content)
        return response.status, content

    def get(self, path: str, accept: str = "application/json", **query: Any) -> Obj:
        """GET as an object; None and empty query values are left out."""
        return json.loads(self.send("GET", with_query(path, query), headers={"Accept": accept})[1])

    def patch(self, path: str, body: Any, type: str = "application/merge-patch+json", **query: Any) -> Obj:
        """PATCH as an object."""
        return json.loads(self.send("PATCH", with_query(path, query), body, {"Content-Type": type})[1])

    def stream(self, path: str, accept: str = "application/json", **query: Any) -> Iterator[bytes]:
        """The lines of a response as they come (a watch, a log), on a connection of its own."""
        connection = self.connect(timeout=None)
        try:
            connection.request("GET", with_query(path, query), headers={"Accept": accept})
            response = connection.getresponse()
            if response.status >= 400:
                raise _refusal(response.status, response.read())
            while line := response.readline():
                yield line
        finally:
            connection.close()

    @cached_property
    def resources(self) -> list[Resource]:
        """Every resource the server has, core first."""
        groups = [g for path in ("/api", "/apis") for g in self.get(path, AGGREGATED)["items"]]
        return [
            _resource(group["metadata"].get("name", ""), version["version"], entry)
            for group in groups
            for version in group["versions"][:1]
            for entry in version["resources"]
        ]

    def find(self, word: str) -> Resource:
        """The resource that a user names: plural, singular, kind, short name, or any with `.group`."""
        name, _, group = word.lower().partition(".")
        for resource in self.resources:
            names = (resource.plural, resource.singular, resource.kind.lower(), *resource.short_names)
            if name in names and (not group or resource.group.startswith(group)):
                return resource
        raise Failure(
            f'the server doesn\'t have a resource type "{word}"',
            "what it has: minikube-py kubectl api-resources",
        )

    def find_kind(self, api_version: str, kind: str) -> Resource:
        """The resource of an object. Errors: Failure that names it."""
        for resource in self.resources:
            if resource.kind == kind and resource.api_version == api_version:
                return resource
        raise Failure(
            f'no matches for kind "{kind}" in version "{api_version}"',
            "check apiVersion and kind; install the CustomResourceDefinition first if it is one",
        )

    def category(self, word: str) -> list[Resource]:
        """The resources of a category such as `all`."""
        return [r for r in self.resources if word in r.categories and "list" in r.verbs]

    def say(self, text: str) -> None:
        click.echo(text)


def _resource(group: str, version: str, entry: Obj) -> Resource:
    return Resource(
        group=group,
        version=version,
        plural=entry["resource"],
        kind=entry["responseKind"]["kind"],
        singular=entry.get("singularResource") or entry["responseKind"]["kind"].lower(),
        namespaced=entry["scope"] == "Namespaced",
        short_names=tuple(entry.get("shortNames") or ()),
        categories=tuple(entry.get("categories") or ()),
        subresources=tuple(s["subresource"] for s in entry.get("subresources") or ()),
        verbs=tuple(entry.get("verbs") or ()),
    )


def _refusal(status: int, content: bytes) -> ApiError:
    try:
        return from_status(json.loads(content))
    except ValueError:
        return from_status({"code": status, "message": content.decode(errors="replace")})


def with_query(path: str, query: Mapping[str, Any]) -> str:
    """`path` with the query values that are set."""
    given = {k: str(v).lower() if isinstance(v, bool) else v for k, v in query.items() if v not in (None, "")}
    return f"{path}?{urlencode(given)}" if given else path


def with_session(command: Callable[Concatenate[Session, P], R]) -> Callable[P, R]:
    """Hands a click command the session of the chosen profile as its first argument."""

    @wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        chosen = click.get_current_context().find_root().obj
        return command(Session(Profile(chosen["profile"]), chosen["verbose"]), *args, **kwargs)

    return run


def parse_targets(session: Session, words: tuple[str, ...]) -> list[tuple[Resource, str]]:
    """`pod web`, `pod/web svc/db`, `pods,svc`, `all`: resources with names (empty: every object)."""
    if not words:
        raise click.UsageError("say what: TYPE, TYPE NAME or TYPE/NAME")
    if "/" in words[0]:
        pairs = [word.partition("/") for word in words]
        return [(session.find(type), name) for type, _, name in pairs]
    found: list[Resource] = []
    for word in words[0].split(","):
        found += session.category(word) or [session.find(word)]
    return [(resource, name) for resource in found for name in (words[1:] or ("",))]


def must_exist(session: Session, resource: Resource, namespace: str, name: str) -> Obj:
    """The object. Errors: NotFound as ApiError."""
    if not name:
        raise NotFound("a name is needed")
    return session.get(resource.path(namespace, name))
