"""Conversion of custom resources between their versions by the webhook that their definition names.

A webhook may change everything but what tells an object: kind, name, namespace, uid; of its metadata only
labels and annotations are taken. See "Webhook conversion" in the documentation of CustomResourceDefinitions.
"""

import uuid
from collections.abc import Sequence
from typing import Any

from minikube_py.apiserver.webhook_client import WebhookClient, WebhookFailed
from minikube_py.errors import InternalError, NotFound
from minikube_py.kinds.apiextensions.customresourcedefinition import CustomResourceDefinition
from minikube_py.meta.kind import Kind
from minikube_py.meta.object_meta import validate_annotations, validate_labels
from minikube_py.meta.objects import Obj, copy
from minikube_py.registry.resource import Registry

TIMEOUT = 30.0
"""Seconds that a webhook is given."""
GROUP = "apiextensions.k8s.io"
_TYPES = {dict: "map[string]interface {}", list: "[]interface {}", str: "string", bool: "bool", int: "int64"}


class WebhookConverter:
    """The registry's Converter."""

    def __init__(self, registry: Registry, client: WebhookClient) -> None:
        self._registry = registry
        self._client = client

    async def convert(self, kind: Kind, objects: Sequence[Obj], api_version: str) -> list[Obj]:
        """Copies of `objects` in `api_version`. Errors: InternalError."""
        asked = [obj for obj in objects if obj.get("apiVersion") != api_version]
        if not asked:
            return [copy(obj) for obj in objects]
        what = f"{asked[0].get('apiVersion')}, Kind={kind.kind if len(objects) == 1 else kind.list_kind}"
        review = await self._review(kind, asked, api_version, what)
        made = converted(review, asked, api_version, what)
        answers = iter(made)
        return [copy(obj) if obj.get("apiVersion") == api_version else next(answers) for obj in objects]

    async def _review(self, kind: Kind, asked: Sequence[Obj], api_version: str, what: str) -> list[Any]:
        webhook = self._webhook(kind)
        version = next((v for v in webhook.get("conversionReviewVersions") or () if v in ("v1", "v1beta1")), "")
        if not version:
            raise InternalError("no supported conversion review versions")
        uid = str(uuid.uuid4())
        request = {"uid": uid, "desiredAPIVersion": api_version, "objects": list(asked)}
        body = {"kind": "ConversionReview", "apiVersion": f"{GROUP}/{version}", "request": request}
        try:
            answer = await self._client.call(webhook["clientConfig"], body, TIMEOUT)
            return objects_of(answer, version, uid)
        except (WebhookFailed, ValueError) as error:
            raise InternalError(f"conversion webhook for {what} failed: {error}") from error

    def _webhook(self, kind: Kind) -> Obj:
        try:
            entry = self._registry.get(CustomResourceDefinition, "", kind.resource)
        except NotFound as error:
            raise InternalError(f"no definition of {kind.resource} is left") from error
        found: Obj = self._registry.decoded(entry)["spec"]["conversion"].get("webhook") or {}
        return found


def objects_of(answer: Any, version: str, uid: str) -> list[Any]:
    """The converted objects of a ConversionReview that was answered. Errors: ValueError."""
    response = answer.get("response") if isinstance(answer, dict) else None
    if version == "v1":
        given = (
            (answer.get("apiVersion") or "", answer.get("kind") or "") if isinstance(answer, dict) else ("", "")
        )
        if given != (f"{GROUP}/v1", "ConversionReview"):
            told = f"expected webhook response of {GROUP}/v1, Kind=ConversionReview"
            raise ValueError(f"{told}, got {given[0] or '/'}, Kind={given[1]}")
    if not isinstance(response, dict):
        raise ValueError("no response provided")
    if version == "v1" and response.get("uid") != uid:
        raise ValueError(f'expected response.uid="{uid}", got "{response.get("uid") or ""}"')
    result = response.get("result") or {}
    if result.get("status") != "Success":
        told = f"response.result.status was '{result.get('status') or ''}', not 'Success'"
        raise ValueError(result.get("message") or told)
    return list(response.get("convertedObjects") or ())


def converted(answers: Sequence[Any], asked: Sequence[Obj], api_version: str, what: str) -> list[Obj]:
    """The answers as objects with the metadata of those asked for. Errors: InternalError."""
    prefix = f"conversion webhook for {what} returned"
    if len(answers) != len(asked):
        raise InternalError(f"{prefix} {len(answers)} objects, expected {len(asked)}")
    made = []
    for at, (answer, original) in enumerate(zip(answers, asked, strict=True)):
        try:
            _check(answer, original, api_version)
        except ValueError as error:
            raise InternalError(f"{prefix} invalid converted object at index {at}: {error}") from error
        try:
            made.append({**answer, "metadata": _metadata(answer, original)})
        except ValueError as error:
            raise InternalError(f"{prefix} invalid metadata in object at index {at}: {error}") from error
    return made


def _check(answer: Any, original: Obj, api_version: str) -> None:
    if not isinstance(answer, dict):
        raise ValueError("it is no object")
    if answer.get("apiVersion") != api_version:
        given = answer.get("apiVersion") or ""
        raise ValueError(f"invalid groupVersion (expected {api_version}, received {given})")
    if answer.get("kind") != original.get("kind"):
        given = answer.get("kind") or ""
        raise ValueError(f"invalid kind (expected {original.get('kind')}, received {given})")
    before, after = original.get("metadata") or {}, answer.get("metadata")
    after = after if isinstance(after, dict) else {}
    for field, shown in (("name", "name"), ("namespace", "namespace"), ("uid", "UID")):
        if (before.get(field) or "") != (after.get(field) or ""):
            told = f"{before.get(field) or ''} != {after.get(field) or ''}"
            raise ValueError(f"must have the same {shown}: {told}")


def _metadata(answer: Obj, original: Obj) -> Obj:
    """The original's metadata with the labels and annotations of the answer."""
    if "metadata" not in answer:
        raise ValueError("missing metadata in converted object")
    given = answer["metadata"]
    if not isinstance(given, dict):
        raise ValueError(f"invalid metadata of type {_type(given)} in converted object")
    meta: Obj = copy(original.get("metadata") or {})
    for field, judge in (("labels", validate_labels), ("annotations", validate_annotations)):
        new = given.get(field)
        if new is None:
            meta.pop(field, None)
            continue
        if not isinstance(new, dict):
            raise ValueError(f"invalid metadata.{field} of type {_type(new)} in converted object")
        for key, value in new.items():
            if not isinstance(value, str):
                told = f"must be a string, but is {_type(value)} in converted object"
                raise ValueError(f"metadata.{field}[{key}] {told}")
        if new != meta.get(field) and (faults := list(judge(new, f"metadata.{field}"))):
            raise ValueError("; ".join(f"{fault.field}: {fault.message}" for fault in faults))
        meta[field] = new
    return meta


def _type(value: Any) -> str:
    return _TYPES.get(value.__class__, "<nil>")
