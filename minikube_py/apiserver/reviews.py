"""Reviews: questions about users and permissions that are answered and not stored.

TokenReview, SelfSubjectReview, SubjectAccessReview and its local and self forms, SelfSubjectRulesReview: what
`kubectl auth can-i`, `kubectl auth whoami` and extension servers ask.
"""

from collections.abc import Callable

from aiohttp import web

from minikube_py.apiserver import bodies, responses
from minikube_py.apiserver.authn import Authenticator
from minikube_py.apiserver.authz import Authorizer
from minikube_py.apiserver.call import Call
from minikube_py.apiserver.handlers import context_of, not_allowed
from minikube_py.apiserver.rbac import Attributes
from minikube_py.apiserver.tokens import ISSUER, InvalidToken
from minikube_py.errors import BadRequest, Cause, Invalid
from minikube_py.meta.kind import Kind
from minikube_py.meta.objects import Obj
from minikube_py.meta.validation import decode
from minikube_py.registry.base import User

_AUTHENTICATION, _AUTHORIZATION = "authentication.k8s.io/v1", "authorization.k8s.io/v1"


def _review(kind: str, api_version: str, *, namespaced: bool = False) -> Kind:
    return Kind(kind, api_version, f"{kind.lower()}s", namespaced=namespaced, verbs=("create",))


TOKEN = _review("TokenReview", _AUTHENTICATION)
SELF = _review("SelfSubjectReview", _AUTHENTICATION)
ACCESS = _review("SubjectAccessReview", _AUTHORIZATION)
LOCAL_ACCESS = _review("LocalSubjectAccessReview", _AUTHORIZATION, namespaced=True)
SELF_ACCESS = _review("SelfSubjectAccessReview", _AUTHORIZATION)
SELF_RULES = _review("SelfSubjectRulesReview", _AUTHORIZATION)
KINDS = (TOKEN, SELF, ACCESS, LOCAL_ACCESS, SELF_ACCESS, SELF_RULES)
"""Kinds that are served but not stored."""


class Reviews:
    """Answers reviews."""

    def __init__(self, authenticator: Authenticator, authorizer: Authorizer) -> None:
        self._authenticator = authenticator
        self._authorizer = authorizer
        self._kinds = {(kind.group, kind.version, kind.plural): kind for kind in KINDS}
        self._answers: dict[Kind, Callable[[Call, Obj], Obj]] = {
            TOKEN: self._token,
            SELF: self._self,
            ACCESS: self._access,
            LOCAL_ACCESS: self._local_access,
            SELF_ACCESS: self._self_access,
            SELF_RULES: self._self_rules,
        }

    def kind_at(self, group: str, version: str, plural: str) -> Kind | None:
        """The kind of review served at a path, or None."""
        return self._kinds.get((group, version, plural))

    async def answer(self, call: Call, kind: Kind) -> web.StreamResponse:
        """The review with its status. Errors: BadRequest, Invalid, MethodNotAllowed."""
        if call.info.verb != "create" or call.info.name:
            raise not_allowed()
        context = context_of(call, "CreateOptions")
        data, content_type = await bodies.read(call.request), bodies.media_type(call.request)
        obj = bodies.decode_object(data, content_type, kind, context)
        obj = decode(kind, obj, context.field_validation, context.warnings)
        status = self._answers[kind](call, obj)
        response = responses.json_object(obj | {"status": status}, 201)
        responses.add_warnings(response, context.warnings)
        return response

    def _token(self, call: Call, review: Obj) -> Obj:
        spec = review.get("spec") or {}
        token = spec.get("token") or ""
        if not token:
            raise BadRequest("token is required for TokenReview in authentication")
        audiences = spec.get("audiences") or [ISSUER]
        try:
            user, shared = self._authenticator.by_token(token, audiences)
        except InvalidToken:
            return {"user": {}, "error": "invalid bearer token"}
        return {"authenticated": True, "user": _shown(user), "audiences": shared}

    def _self(self, call: Call, review: Obj) -> Obj:
        return {"userInfo": _shown(call.user)}

    def _access(self, call: Call, review: Obj) -> Obj:
        spec = review.get("spec") or {}
        if not spec.get("user") and not spec.get("groups"):
            raise _invalid(
                review, "spec.user", 'Invalid value: "": at least one of user or group must be specified'
            )
        extra = {key: tuple(values) for key, values in (spec.get("extra") or {}).items()}
        user = User(spec.get("user") or "", spec.get("uid") or "", tuple(spec.get("groups") or ()), extra)
        return self._decision(review, user)

    def _local_access(self, call: Call, review: Obj) -> Obj:
        asked = (review.get("spec") or {}).get("resourceAttributes") or {}
        if asked.get("namespace", "") != call.info.namespace:
            raise BadRequest(f"spec.resourceAttributes.namespace must match namespace: {call.info.namespace}")
        return self._access(call, review)

    def _self_access(self, call: Call, review: Obj) -> Obj:
        return self._decision(review, call.user)

    def _decision(self, review: Obj, user: User) -> Obj:
        asked = _asked(review)
        if self._authorizer.allows(user, asked):
            return {"allowed": True}
        reason = self._authorizer.reason(user, asked)
        return {"allowed": False} | ({"reason": reason} if reason else {})

    def _self_rules(self, call: Call, review: Obj) -> Obj:
        namespace = (review.get("spec") or {}).get("namespace") or ""
        if not namespace:
            raise BadRequest("no namespace on request")
        index = self._authorizer.index
        rules = [rule for role in index.roles_of(call.user, namespace) for rule in index.raw_rules(role)]
        return {
            "resourceRules": [rule for rule in rules if rule.get("resources")],
            "nonResourceRules": [rule for rule in rules if rule.get("nonResourceURLs")],
            "incomplete": False,
        }


def _asked(review: Obj) -> Attributes:
    spec = review.get("spec") or {}
    resource, path = spec.get("resourceAttributes"), spec.get("nonResourceAttributes")
    if (resource is None) == (path is None):
        raise _invalid(
            review,
            "spec.resourceAttributes",
            "Invalid value: null: exactly one of nonResourceAttributes or resourceAttributes must be specified",
        )
    if path is not None:
        return Attributes(path.get("verb") or "", path=path.get("path") or "/")
    fields = ("verb", "group", "resource", "subresource", "namespace", "name")
    return Attributes(*((resource or {}).get(field) or "" for field in fields))


def _invalid(review: Obj, field: str, message: str) -> Invalid:
    kind = review["kind"]
    return Invalid(
        f'{kind}.authorization.k8s.io "" is invalid: {field}: {message}',
        details={"group": "authorization.k8s.io", "kind": kind},
        causes=(Cause("FieldValueInvalid", message, field),),
    )


def _shown(user: User) -> Obj:
    shown: Obj = {"username": user.name}
    if user.uid:
        shown["uid"] = user.uid
    if user.groups:
        shown["groups"] = list(user.groups)
    if user.extra:
        shown["extra"] = {key: list(values) for key, values in user.extra.items()}
    return shown
