"""ReviewAccess: asks an API server who a token is and whether they may, as a kubelet elsewhere has to.

A TokenReview and a SubjectAccessReview for each request, whose answers are kept as a kubelet keeps them: two
minutes for who a token is, five for what is allowed, half a minute for what is not. A failure is not kept.
Source: KubeletConfiguration v1beta1, authentication.webhook and authorization.webhook.
"""

import hashlib
import logging
from typing import Generic, TypeVar

from minikube_py.aio.clock import Clock
from minikube_py.client.base import Client
from minikube_py.errors import ApiError, InternalError, Unauthorized
from minikube_py.kubelet.server.access import AccessRequest, Decision
from minikube_py.meta.kind import Kind
from minikube_py.meta.objects import Obj, dig

TOKEN_REVIEW = Kind(
    "TokenReview", "authentication.k8s.io/v1", "tokenreviews", namespaced=False, verbs=("create",)
)
ACCESS_REVIEW = Kind(
    "SubjectAccessReview",
    "authorization.k8s.io/v1",
    "subjectaccessreviews",
    namespaced=False,
    verbs=("create",),
)
TOKEN_SECONDS, ALLOWED_SECONDS, DENIED_SECONDS = 120.0, 300.0, 30.0
MOST = 4096
"""Answers of one sort that are kept."""

log = logging.getLogger(__name__)
Answer = TypeVar("Answer")


class Answers(Generic[Answer]):
    """Answers that are good for a while; the oldest goes where there are too many."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._kept: dict[tuple[str, ...], tuple[float, Answer]] = {}

    def get(self, question: tuple[str, ...]) -> Answer | None:
        """The answer, if it is still good."""
        until, answer = self._kept.get(question, (0.0, None))
        if answer is not None and self._clock.monotonic() < until:
            return answer
        self._kept.pop(question, None)
        return None

    def keep(self, question: tuple[str, ...], answer: Answer, seconds: float) -> None:
        """Keep an answer for `seconds`."""
        self._kept.pop(question, None)
        if len(self._kept) >= MOST:
            del self._kept[next(iter(self._kept))]
        self._kept[question] = (self._clock.monotonic() + seconds, answer)


class ReviewAccess:
    """The Access that goes by reviews; `client` may create them (the role system:node may)."""

    def __init__(self, client: Client, clock: Clock) -> None:
        self._client = client
        self._users: Answers[Obj] = Answers(clock)
        self._decisions: Answers[bool] = Answers(clock)

    async def decide(self, request: AccessRequest) -> Decision:
        """Who asks, and whether they may. Errors: Unauthorized; InternalError where nobody decides."""
        user: Obj = {"username": request.user, "groups": list(request.groups)}
        if request.token:
            user = await self._user(request.token)
        name, groups = user.get("username", ""), sorted(user.get("groups") or ())
        question = (name, request.verb, request.subresource, request.node, *groups)
        known = self._decisions.get(question)
        if known is None:
            known = await self._reviewed(user, request)
            self._decisions.keep(question, known, ALLOWED_SECONDS if known else DENIED_SECONDS)
        return Decision(known, name)

    async def _user(self, token: str) -> Obj:
        question = (hashlib.sha256(token.encode()).hexdigest(),)
        user = self._users.get(question)
        if user is None:
            try:
                review = await self._client.create(TOKEN_REVIEW, {"spec": {"token": token}})
            except ApiError as error:
                log.warning("unable to authenticate a request: %s", error)
                raise Unauthorized("Unauthorized") from error
            user = (dig(review, "status.user") or {}) if dig(review, "status.authenticated") else {}
            self._users.keep(question, user, TOKEN_SECONDS)
        if not user:
            raise Unauthorized("Unauthorized")
        return user

    async def _reviewed(self, user: Obj, request: AccessRequest) -> bool:
        asked = {
            "verb": request.verb,
            "version": "v1",
            "resource": "nodes",
            "subresource": request.subresource,
            "name": request.node,
        }
        spec = {
            "user": user.get("username", ""),
            "groups": user.get("groups") or [],
            "resourceAttributes": asked,
        }
        spec |= {field: user[field] for field in ("uid", "extra") if user.get(field)}
        try:
            review = await self._client.create(ACCESS_REVIEW, {"spec": spec})
        except ApiError as error:
            who = f"user={spec['user']}, verb={request.verb}, resource=nodes, subresource={request.subresource}"
            log.warning("unable to authorize a request (%s): %s", who, error)
            raise InternalError(f"Authorization error ({who})") from error
        return bool(dig(review, "status.allowed"))
