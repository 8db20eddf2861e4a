"""The subresources that are not a part of their object: scale, binding, eviction, token.

status, finalize and ephemeralcontainers are parts, and are written by `writing`. Which object has which
subresource is said by its Kind.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from minikube_py.errors import BadRequest, NotFound, ServiceUnavailable
from minikube_py.meta.kind import Kind
from minikube_py.meta.objects import (
    Key,
    Obj,
    annotations_of,
    copy,
    dig,
    is_deleting,
    timestamp,
    uid_of,
    with_condition,
)
from minikube_py.meta.selectors import from_label_selector
from minikube_py.meta.violations import NOT_NEGATIVE, invalid, invalid_error, required
from minikube_py.registry import faults
from minikube_py.registry.base import Attributes, TokenSigner
from minikube_py.registry.deletion import Deleter, delete_options
from minikube_py.registry.entries import decoded, imagined
from minikube_py.registry.pipeline import Pipeline, Write
from minikube_py.store.base import Entry, RevisionMismatch

SCALE_VERSION = "autoscaling/v1"
TOKEN_SECONDS, MIN_TOKEN_SECONDS, MAX_TOKEN_SECONDS = 3600, 600, 1 << 32
BOUND_PREFIXES = {
    "Pod": "/registry/pods/{}/{}",
    "Secret": "/registry/secrets/{}/{}",
    "Node": "/registry/nodes/{1}",
}
RETRIES = 10
CREATED: Obj = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}


def scale_of(obj: Obj) -> Obj:
    """The Scale (autoscaling/v1) of an object: its replicas wanted, seen, and its selector as text."""
    meta = obj["metadata"]
    shown = {
        key: meta[key]
        for key in ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
        if key in meta
    }
    selector = dig(obj, "spec.selector")
    is_selector = isinstance(selector, Mapping) and (
        "matchLabels" in selector or "matchExpressions" in selector
    )
    text = str(from_label_selector(selector)) if is_selector else dig(obj, "status.selector", "")
    return {
        "kind": "Scale",
        "apiVersion": SCALE_VERSION,
        "metadata": shown,
        "spec": {"replicas": replicas} if (replicas := dig(obj, "spec.replicas", 0)) else {},
        "status": {"replicas": dig(obj, "status.replicas", 0)} | ({"selector": text} if text else {}),
    }


def scale_entry(entry: Entry) -> Entry:
    """The entry of an object's Scale."""
    return imagined(entry.key, scale_of(decoded(entry)), entry.revision)


def scaled(obj: Obj, scale: Obj) -> Obj:
    """A copy of `obj` with the replicas and preconditions of `scale`. Errors: BadRequest, Invalid."""
    if scale.get("kind", "Scale") != "Scale":
        raise BadRequest(f"the kind in the data ({scale['kind']}) does not match the expected kind (Scale)")
    replicas = (scale.get("spec") or {}).get("replicas") or 0
    name = obj["metadata"]["name"]
    if type(replicas) is not int:
        raise BadRequest(
            f'Scale in version "v1" cannot be handled as a Scale: spec.replicas is no integer: {replicas!r}'
        )
    if replicas < 0:
        raise invalid_error(SCALE, name, [invalid("spec.replicas", replicas, NOT_NEGATIVE)])
    changed: Obj = copy(obj)
    changed["spec"] = {**(changed.get("spec") or {}), "replicas": replicas}
    given = scale.get("metadata") or {}
    changed["metadata"].pop("resourceVersion", None)
    for key in ("resourceVersion", "uid"):
        if given.get(key):
            changed["metadata"][key] = given[key]
    return changed


SCALE = Kind("Scale", SCALE_VERSION, "scales")
TOKEN_REQUEST = Kind("TokenRequest", "authentication.k8s.io/v1", "tokenrequests")
"""The kinds of what is stored nowhere, for their faults."""


class Subresources:
    """What a POST to an object's subresource does."""

    def __init__(self, pipeline: Pipeline, deleter: Deleter, signer: TokenSigner | None) -> None:
        self._pipeline = pipeline
        self._deleter = deleter
        self.signer = signer

    async def post(self, write: Write, key: Key, body: Obj) -> Obj:
        """The answer to a POST. Errors: NotFound, Conflict, BadRequest, Invalid."""
        if write.subresource not in write.kind.subresources:
            raise faults.no_subresource(write.kind)
        if write.subresource == "binding":
            return await self._bind(write, key, body)
        if write.subresource == "eviction":
            return await self._evict(write, key, body)
        if write.subresource == "token":
            return await self._token(write, key, body)
        raise faults.unsupported(write.kind, "create", write.subresource)

    async def _admit(self, write: Write, key: Key, body: Obj) -> None:
        request = Attributes(
            "CREATE", write.kind, *key, body, None, context=write.context, subresource=write.subresource
        )
        await self._pipeline.admission.mutate(request)
        await self._pipeline.admission.validate(request)

    async def _bind(self, write: Write, key: Key, body: Obj) -> Obj:
        for _ in range(RETRIES):
            entry = self._pipeline.stored(write.kind, *key)
            await self._admit(write, key, body)
            bound = bind(write.kind, decoded(entry), body, self._pipeline.clock.now())
            try:
                await self._pipeline.put(entry, bound, dry_run=write.context.dry_run)
                return dict(CREATED)
            except RevisionMismatch:
                continue
        raise faults.conflict(write.kind, key.name, subresource="binding")

    async def _evict(self, write: Write, key: Key, body: Obj) -> Obj:
        self._pipeline.stored(write.kind, *key)
        await self._admit(write, key, body)
        context, options = write.context, body.get("deleteOptions") or {}
        if options.get("dryRun"):
            context = replace(context, dry_run=True)
        await self._deleter.delete(write.kind, *key, delete_options(options), context)
        return dict(CREATED)

    async def _token(self, write: Write, key: Key, body: Obj) -> Obj:
        account = decoded(self._pipeline.stored(write.kind, *key))
        if self.signer is None:
            raise ServiceUnavailable("the cluster has no key to sign tokens with")
        await self._admit(write, key, body)
        spec = token_spec(body)
        token, expires = self.signer.issue(
            *key,
            uid_of(account),
            audiences=spec["audiences"],
            seconds=spec["expirationSeconds"],
            bound=self._bound_object(key, spec.get("boundObjectRef")),
        )
        return token_request(account, spec, token, expires)

    def _bound_object(self, account: Key, ref: Obj | None) -> Obj | None:
        """The reference with the uid of the object it names. Errors: NotFound, Conflict, BadRequest."""
        if not ref:
            return None
        kind, target = ref.get("kind", ""), ref.get("name", "")
        if kind not in BOUND_PREFIXES:
            raise BadRequest(f"cannot bind token to object of type {ref.get('apiVersion', '')}, Kind={kind}")
        entry = self._pipeline.store.get(BOUND_PREFIXES[kind].format(account.namespace, target))
        if entry is None:
            resource = f"{kind.lower()}s"
            raise NotFound(f'{resource} "{target}" not found', details={"name": target, "kind": resource})
        found = decoded(entry)
        if kind == "Pod" and dig(found, "spec.serviceAccountName", "default") != account.name:
            raise BadRequest(
                f'cannot bind token for serviceaccount "{account.name}" to pod running with different '
                "serviceaccount name."
            )
        if ref.get("uid") and ref["uid"] != uid_of(found):
            raise faults.conflict(
                Kind(kind, "v1", f"{kind.lower()}s"),
                target,
                f"the UID in the bound object reference ({ref['uid']}) does not match the UID in record. "
                "The object might have been deleted and then recreated",
            )
        return {**ref, "uid": uid_of(found)}


def bind(kind: Kind, pod: Obj, binding: Obj, now: datetime) -> Obj:
    """A copy of `pod` assigned as `binding` says. Errors: Conflict, Invalid, BadRequest."""
    meta, target = pod["metadata"], binding.get("target") or {}
    name = meta["name"]
    if target.get("kind", "Node") not in ("", "Node") or not target.get("name"):
        raise invalid_error(kind, name, [required("target.name")])
    wanted = (binding.get("metadata") or {}).get("uid")
    why = ""
    if wanted and wanted != uid_of(pod):
        why = f"Precondition failed: UID in precondition: {wanted}, UID in object meta: {uid_of(pod)}"
    elif is_deleting(pod):
        why = f"pod {name} is being deleted, cannot be assigned to a host"
    elif dig(pod, "spec.nodeName"):
        why = f'pod {name} is already assigned to node "{pod["spec"]["nodeName"]}"'
    elif dig(pod, "spec.schedulingGates"):
        why = f"pod {name} has non-empty .spec.schedulingGates"
    if why:
        raise faults.conflict(kind, name, why, subresource="binding")
    bound: Obj = copy(pod)
    bound["spec"]["nodeName"] = target["name"]
    if annotations := annotations_of(binding):
        bound["metadata"]["annotations"] = {**annotations_of(pod), **annotations}
    status = bound.setdefault("status", {})
    scheduled = {"type": "PodScheduled", "status": "True", "lastProbeTime": None}
    status["conditions"] = with_condition(status.get("conditions") or (), scheduled, now)
    return bound


def token_spec(body: Obj) -> dict[str, Any]:
    """The TokenRequest's spec with its defaults. Errors: Invalid."""
    spec = dict(body.get("spec") or {})
    seconds = spec.get("expirationSeconds")
    seconds = TOKEN_SECONDS if seconds is None else seconds
    problem = ""
    if type(seconds) is not int or seconds < MIN_TOKEN_SECONDS:
        problem = "may not specify a duration less than 10 minutes"
    elif seconds > MAX_TOKEN_SECONDS:
        problem = "may not specify a duration larger than 2^32 seconds"
    if problem:
        raise invalid_error(TOKEN_REQUEST, "", [invalid("spec.expirationSeconds", seconds, problem)])
    return {**spec, "audiences": list(spec.get("audiences") or ()), "expirationSeconds": seconds}


def token_request(account: Obj, spec: Obj, token: str, expires: datetime) -> Obj:
    """The TokenRequest as it is answered."""
    meta = account["metadata"]
    return {
        "kind": "TokenRequest",
        "apiVersion": TOKEN_REQUEST.api_version,
        "metadata": {key: meta[key] for key in ("name", "namespace", "creationTimestamp") if key in meta},
        "spec": spec,
        "status": {"token": token, "expirationTimestamp": timestamp(expires)},
    }
