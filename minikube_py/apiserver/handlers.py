"""The verbs on resources, from a call to a response; stored bytes are answered as they are.

Which kind a path means comes from the catalogue, so custom resources are served like built-in ones.
"""

import asyncio
from collections.abc import Awaitable

from aiohttp import web

from minikube_py.aio.clock import Clock
from minikube_py.aio.haste import hasten
from minikube_py.apiserver import bodies, list_bodies, query, responses, status, table
from minikube_py.apiserver.authz import Authorizer, attributes_of
from minikube_py.apiserver.call import Call
from minikube_py.apiserver.negotiate import Form, negotiate
from minikube_py.apiserver.table import Stored
from minikube_py.errors import BadRequest, MethodNotAllowed, NotFound
from minikube_py.kinds.columns import AGE, NAME, integer
from minikube_py.meta.kind import Column, Kind
from minikube_py.meta.objects import Obj, name_of, uid_of
from minikube_py.registry.base import Context, Listing, Patch
from minikube_py.registry.metadata import check_name
from minikube_py.registry.resource import Registry

PATCHES = (
    bodies.JSON_PATCH,
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
    bodies.APPLY_PATCH,
)
SCALE = Kind(
    "Scale",
    "autoscaling/v1",
    "scales",
    columns=(
        NAME,
        Column("Desired", integer("spec.replicas"), "integer", description="Pods that should be"),
        Column("Available", integer("status.replicas"), "integer", description="Pods that there are"),
        AGE,
    ),
)
BINDING = Kind("Binding", "v1", "bindings", verbs=("create",))
"""What POSTs to a namespace's bindings; each is one to the binding of the pod that it names."""
POSTED = {
    "binding": BINDING,
    "eviction": Kind("Eviction", "policy/v1", "evictions"),
    "token": Kind("TokenRequest", "authentication.k8s.io/v1", "tokenrequests"),
}
"""Subresources that are created by POST, and the kind of their body."""


def not_served() -> NotFound:
    """The answer to a path at which nothing is served."""
    return NotFound("the server could not find the requested resource", details={})


def not_allowed() -> MethodNotAllowed:
    """The answer to a verb that the path does not know."""
    return MethodNotAllowed("the server does not allow this method on the requested resource", details={})


def being_removed(kind: Kind) -> MethodNotAllowed:
    """The answer to creating an object of a kind on its way out."""
    told = "create not allowed while custom resource definition is terminating"
    return MethodNotAllowed(told, details={"group": kind.group, "kind": kind.plural})


class Resources:
    """Answers calls on stored kinds, except watches and streams."""

    def __init__(self, registry: Registry, clock: Clock, authorizer: Authorizer) -> None:
        self._registry = registry
        self._authorizer = authorizer
        self._clock = clock
        self._verbs = {
            "get": self._get,
            "list": self._list,
            "create": self._create,
            "update": self._update,
            "patch": self._patch,
            "delete": self._delete,
            "deletecollection": self._delete_collection,
        }

    def answer(self, call: Call, kind: Kind) -> Awaitable[web.StreamResponse]:
        """The response to a call on `kind`, to be awaited. Errors, here or there: what the registry raises,
        NotFound, MethodNotAllowed."""
        verb = self._verbs.get(call.info.verb)
        if verb is None:
            raise not_allowed()
        return verb(call, kind)

    # Reading

    async def _get(self, call: Call, kind: Kind) -> web.StreamResponse:
        info = call.info
        form = negotiate(call.accept)
        if info.subresource in POSTED:
            raise not_allowed()
        entry = await self._registry.read(
            kind, info.namespace, info.name, query.text(call.query, "resourceVersion"), info.subresource
        )
        return self._object(call, kind, entry, form)

    async def _list(self, call: Call, kind: Kind) -> web.StreamResponse:
        form = negotiate(call.accept)
        listing = await self._registry.read_list(kind, call.info.namespace, query.list_options(call.query))
        return await self._listed(call, kind, listing, form)

    def show(self, call: Call, kind: Kind, entry: Stored) -> web.StreamResponse:
        """The response to a get of an object that the server makes. Errors: NotAcceptable."""
        return self._object(call, kind, entry, negotiate(call.accept))

    async def show_all(self, call: Call, kind: Kind, listing: Listing) -> web.StreamResponse:
        """The response to a list of such objects. Errors: NotAcceptable."""
        return await self._listed(call, kind, listing, negotiate(call.accept))

    async def _listed(self, call: Call, kind: Kind, listing: Listing, form: Form) -> web.StreamResponse:
        if form.shape == "object":
            body = list_bodies.objects(kind, listing)
        elif form.shape == "table":
            include = query.include_object(call.query)
            body = await list_bodies.rows(kind, listing, self._clock.now(), include)
        else:
            body = await list_bodies.partial(listing)
        if form.yaml:
            return responses.yaml_text(await asyncio.to_thread(list_bodies.as_yaml, body))
        if self._pretty(call):
            body = await asyncio.to_thread(list_bodies.indented, body)
        return await list_bodies.send(call.request, body)

    def _pretty(self, call: Call) -> bool:
        return query.pretty(call.query, call.request.heading.agent)

    def _object(self, call: Call, kind: Kind, entry: Stored, form: Form, code: int = 200) -> web.StreamResponse:
        body = entry.data
        if form.shape == "table":
            include = query.include_object(call.query)
            shown = SCALE if call.info.subresource == "scale" else kind
            body = table.render_table(shown, [entry], now=self._clock.now(), include=include)
        elif form.shape == "metadata":
            body = table.render_metadata(entry)
        if form.yaml:
            return responses.yaml_bytes(body, code)
        return responses.json_bytes(responses.indented(body) if self._pretty(call) else body, code)

    # Writing

    async def _create(self, call: Call, kind: Kind) -> web.StreamResponse:
        form = negotiate(call.accept)
        context = context_of(call, "CreateOptions")
        if call.info.subresource:
            return await self._post(call, kind, context)
        if call.info.name:
            raise not_allowed()
        data, content_type = await bodies.read(call.request), bodies.media_type(call.request)
        obj = await hasten(bodies.decode_object, data, content_type, kind, context)
        entry = await self._registry.create(kind, call.info.namespace, obj, context)
        return _warned(self._object(call, kind, entry, form, 201), context)

    async def _post(self, call: Call, kind: Kind, context: Context) -> web.StreamResponse:
        info = call.info
        posted = POSTED.get(info.subresource)
        if posted is None or not info.name:
            raise not_allowed()
        data, content_type = await bodies.read(call.request), bodies.media_type(call.request)
        body = await hasten(bodies.decode_object, data, content_type, posted, context)
        made = await self._registry.post(kind, info.namespace, info.name, info.subresource, body, context)
        return _warned(responses.json_object(made, 201), context)

    async def bind(self, call: Call, pods: Kind) -> web.StreamResponse:
        """Bind the pod that a Binding names, as its own binding would. Errors: what the registry raises."""
        if call.info.verb != "create" or call.info.name or not call.info.namespace:
            raise not_allowed()
        context = context_of(call, "CreateOptions")
        data, content_type = await bodies.read(call.request), bodies.media_type(call.request)
        body = await hasten(bodies.decode_object, data, content_type, BINDING, context)
        made = await self._registry.post(pods, call.info.namespace, name_of(body), "binding", body, context)
        return _warned(responses.json_object(made, 201), context)

    async def _update(self, call: Call, kind: Kind) -> web.StreamResponse:
        info = call.info
        if info.subresource in POSTED or not info.name:
            raise not_allowed()
        form = negotiate(call.accept)
        context = self._creating(call, context_of(call, "UpdateOptions"))
        data, content_type = await bodies.read(call.request), bodies.media_type(call.request)
        body_kind = SCALE if info.subresource == "scale" else kind
        obj = await hasten(bodies.decode_object, data, content_type, body_kind, context)
        check_name(obj["metadata"], info.name)
        entry, created = await self._registry.update(
            kind, info.namespace, info.name, obj, context, info.subresource
        )
        return _warned(self._object(call, kind, entry, form, 201 if created else 200), context)

    async def _patch(self, call: Call, kind: Kind) -> web.StreamResponse:
        info = call.info
        if info.subresource in POSTED or not info.name:
            raise not_allowed()
        form = negotiate(call.accept)
        type = bodies.media_type(call.request)
        if type not in PATCHES:
            raise bodies.unsupported(PATCHES)
        is_apply = type == bodies.APPLY_PATCH
        if is_apply:
            query.apply_manager(call.query)
        context = self._creating(call, context_of(call, "PatchOptions"))
        body = await hasten(bodies.decode_patch, await bodies.read(call.request), type, context)
        patch = Patch(type, body, query.force(call.query, is_apply=is_apply))
        entry, created = await self._registry.patch(
            kind, info.namespace, info.name, patch, context, info.subresource
        )
        return _warned(self._object(call, kind, entry, form, 201 if created else 200), context)

    def _creating(self, call: Call, context: Context) -> Context:
        """`context`, in which what the write creates must be the user's to create."""
        context.creating = lambda: self._authorizer.require(
            call.user, attributes_of(call.info)._replace(verb="create")
        )
        return context

    # Deleting

    async def _delete(self, call: Call, kind: Kind) -> web.StreamResponse:
        info = call.info
        if info.subresource:
            raise not_allowed()
        form = negotiate(call.accept)
        body = await self._delete_body(call)
        options = query.delete_options(call.query, body)
        context = context_of(call, "DeleteOptions", body)
        done = await self._registry.delete(kind, info.namespace, info.name, options, context)
        if done.gone and not kind.returns_deleted:
            obj = self._registry.decoded(done.entry)
            response: web.StreamResponse = responses.json_object(
                status.success(name_of(obj), kind.group, kind.plural, uid_of(obj))
            )
            return _warned(response, context)
        accepted = not done.gone and options.orphan_dependents is False
        return _warned(self._object(call, kind, done.entry, form, 202 if accepted else 200), context)

    async def _delete_collection(self, call: Call, kind: Kind) -> web.StreamResponse:
        body = await self._delete_body(call)
        options = query.delete_options(call.query, body)
        selected = query.list_options(call.query)
        context = context_of(call, "DeleteOptions", body)
        form = negotiate(call.accept)
        listing = await self._registry.delete_collection(kind, call.info.namespace, selected, options, context)
        return await self._listed(call, kind, listing, form)

    async def _delete_body(self, call: Call) -> Obj:
        data = await bodies.read(call.request)
        if not data:
            return {}
        try:
            body = bodies.decode(data, bodies.media_type(call.request))
        except ValueError as error:
            raise BadRequest(f"couldn't get version/kind; {error}") from error
        if body is None:
            return {}
        if not isinstance(body, dict) or body.get("kind", "DeleteOptions") != "DeleteOptions":
            given = body.get("kind") if isinstance(body, dict) else type(body).__name__
            raise BadRequest(f"decoded object cannot be converted to DeleteOptions: {given}")
        return body


def context_of(call: Call, options: str, body: Obj | None = None) -> Context:
    """The registry's view of a write. Errors: Invalid."""
    agent = call.request.heading.agent
    call.dry_run = query.dry_run(call.query, options, body)
    return Context(
        user=call.user,
        field_manager=query.field_manager(call.query, agent, options),
        user_agent=agent,
        dry_run=call.dry_run,
        field_validation=query.field_validation(call.query, options),
        given=query.given(call.query),
        audit=call.notes,
        size=call.request.content_length or 0,
    )


def _warned(response: web.StreamResponse, context: Context) -> web.StreamResponse:
    if context.warnings:
        responses.add_warnings(response, context.warnings)
    return response
