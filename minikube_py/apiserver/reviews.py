"""Reviews: questions about users and permissions that are answered and not stored.

TokenReview, SelfSubjectReview, SubjectAccessReview and its local and self forms, SelfSubjectRulesReview: what
`kubectl auth can-i`, `kubectl auth whoami` and extension servers ask.
"""

from collections.abc import Callable

import orjson
from aiohttp import web

from minikube_py.apiserver import bodies, responses
from minikube_py.apiserver.access_reviews import asked, faults
from minikube_py.apiserver.admission.node_restriction import node_of
from minikube_py.apiserver.audit import shown_user
from minikube_py.apiserver.authn import Authenticator
from minikube_py.apiserver.authz import Authorizer
from minikube_py.apiserver.call import Call
from minikube_py.apiserver.handlers import context_of, not_allowed
from minikube_py.apiserver.negotiate import negotiate_answer
from minikube_py.apiserver.rbac import Attributes
from minikube_py.apiserver.tokens import ISSUER, InvalidToken
from minikube_py.errors import BadRequest
from minikube_py.meta.kind import Kind
from minikube_py.meta.objects import Obj
from minikube_py.meta.validation import decode
from minikube_py.meta.violations import invalid_error
from minikube_py.registry.base import Attributes as Admitted
from minikube_py.registry.base import User
from minikube_py.registry.resource import Registry

_RESOURCE_FIELDS = ("verbs", "apiGroups", "resources", "resourceNames")
_PATH_FIELDS = ("verbs", "nonResourceURLs")
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

    def __init__(self, authenticator: Authenticator, authorizer: Authorizer, registry: Registry) -> None:
        self._registry = registry
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
        """The review with its status. Errors: BadRequest, Invalid, MethodNotAllowed, NotAcceptable."""
        if call.info.verb != "create" or call.info.name:
            raise not_allowed()
        form = negotiate_answer(call.accept)
        context = context_of(call, "CreateOptions")
        data, content_type = await bodies.read(call.request), bodies.media_type(call.request)
        obj = bodies.decode_object(data, content_type, kind, context)
        obj = decode(kind, obj, context.field_validation, context.warnings)
        asked = Admitted("CREATE", kind, call.info.namespace, "", obj, None, context)
        await self._registry.admission.mutate(asked)
        await self._registry.admission.validate(asked)
        status = self._answers[kind](call, obj)
        body = orjson.dumps(obj | {"status": status})
        response = responses.yaml_bytes(body, 201) if form.yaml else responses.json_bytes(body, 201)
        responses.add_warnings(response, context.warnings)
        return response

    def _token(self, call: Call, review: Obj) -> Obj:
        spec = review.get("spec") or {}
        token = spec.get("token") or ""
        if not token:
            raise BadRequest("token is required for TokenReview in authentication")
        try:
            user, shared = self._authenticator.by_token(token.strip(), spec.get("audiences") or [ISSUER])
        except InvalidToken as error:
            of_account = "service account" in str(error) or "audiences" in str(error)
            told = f"[invalid bearer token, {error}]" if of_account else "invalid bearer token"
            return {"user": {}, "error": told}
        return {"authenticated": True, "user": shown_user(user), "audiences": shared}

    def _self(self, call: Call, review: Obj) -> Obj:
        return {"userInfo": shown_user(call.user)}

    def _access(self, call: Call, review: Obj) -> Obj:
        _check(review, ACCESS)
        return self._decision(review, _subject(review))

    def _local_access(self, call: Call, review: Obj) -> Obj:
        metadata = review.get("metadata") or {}
        if metadata.get("namespace", call.info.namespace) != call.info.namespace:
            raise BadRequest(
                "the namespace of the provided object does not match the namespace sent on the request"
            )
        review["metadata"] = {**metadata, "namespace": call.info.namespace}
        _check(review, LOCAL_ACCESS)
        return self._decision(review, _subject(review))

    def _self_access(self, call: Call, review: Obj) -> Obj:
        _check(review, SELF_ACCESS)
        return self._decision(review, call.user)

    def _decision(self, review: Obj, user: User) -> Obj:
        allowed, reason = self._authorizer.decide(user, asked(review.get("spec") or {}))
        return {"allowed": allowed} | ({"reason": reason} if reason else {})

    def _self_rules(self, call: Call, review: Obj) -> Obj:
        namespace = (review.get("spec") or {}).get("namespace") or ""
        if not namespace:
            raise BadRequest("no namespace on request")
        index = self._authorizer.index
        rules = [rule for role in index.roles_of(call.user, namespace) for rule in index.raw_rules(role)]
        missing = [self._authorizer.reason(call.user, Attributes("", namespace=namespace))]
        # The Node authorizer cannot list its rules: they depend on the pods.
        if is_node := node_of(call.user) is not None:
            missing = ["node authorizer does not support user rule resolution", *missing]
        status: Obj = {
            "resourceRules": [
                {field: rule[field] for field in _RESOURCE_FIELDS if rule.get(field)}
                for rule in rules
                if rule.get("resources")
            ],
            "nonResourceRules": [
                {field: rule[field] for field in _PATH_FIELDS if rule.get(field)}
                for rule in rules
                if rule.get("nonResourceURLs")
            ],
            "incomplete": is_node,
        }
        told = "; ".join(reason for reason in missing if reason)
        return status | ({"evaluationError": told} if told else {})


def allowed(authorizer: Authorizer, spec: Obj) -> bool:
    """Whether what the spec of a SubjectAccessReview asks is allowed."""
    return authorizer.allows(_subject({"spec": spec}), asked(spec))


def _subject(review: Obj) -> User:
    spec = review.get("spec") or {}
    extra = {key: tuple(values or ()) for key, values in (spec.get("extra") or {}).items()}
    return User(spec.get("user") or "", spec.get("uid") or "", tuple(spec.get("groups") or ()), extra)


def _check(review: Obj, kind: Kind) -> None:
    """Refuse an access review that asks wrongly. Errors: Invalid."""
    found = list(faults(review, of_self=kind is SELF_ACCESS, local=kind is LOCAL_ACCESS))
    if found:
        raise invalid_error(kind, "", found)
