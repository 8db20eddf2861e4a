"""Who may ask a kubelet elsewhere: decided by reviews of a real API server, and remembered for a while."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from client_worlds import Server

from minikube_py.aio.clock import VirtualClock
from minikube_py.client.http import HttpClient
from minikube_py.errors import InternalError, Unauthorized
from minikube_py.kinds.core.serviceaccount import ServiceAccount
from minikube_py.kinds.rbac.clusterrole import ClusterRole
from minikube_py.kinds.rbac.clusterrolebinding import ClusterRoleBinding
from minikube_py.kubelet.server.access import AccessRequest, Decision
from minikube_py.kubelet.server.reviews import MOST, Answers, ReviewAccess
from minikube_py.meta.kind import Kind
from minikube_py.meta.objects import Key, Obj

READER = "system:serviceaccount:default:reader"


class Counting:
    """A client that counts what it creates, by kind."""

    def __init__(self, client: HttpClient) -> None:
        self._client = client
        self.asked: list[str] = []

    async def create(self, kind: Kind, obj: Obj) -> Obj:
        self.asked.append(kind.kind)
        return await self._client.create(kind, obj)


@pytest.fixture
async def client(server: Server) -> AsyncIterator[HttpClient]:
    """An administrator's client; the account `reader` may see nodes' metrics."""
    async with server.clients() as clients:
        made = clients.named("test")
        await made.create(ServiceAccount, {"metadata": {"name": "reader", "namespace": "default"}})
        rule = {"apiGroups": [""], "resources": ["nodes/metrics"], "verbs": ["get"]}
        await made.create(ClusterRole, {"metadata": {"name": "reader"}, "rules": [rule]})
        role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "reader"}
        subject = {"kind": "ServiceAccount", "name": "reader", "namespace": "default"}
        await made.create(
            ClusterRoleBinding, {"metadata": {"name": "reader"}, "roleRef": role, "subjects": [subject]}
        )
        yield made


async def token_of(client: HttpClient) -> str:
    """A token of the account."""
    answer = await client.post(ServiceAccount, Key("default", "reader"), "token", {"spec": {}})
    return str(answer["status"]["token"])


def request(subresource: str, **who: Any) -> AccessRequest:
    """A GET of something of the node."""
    return AccessRequest("n1", "get", subresource, f"/{subresource}", **who)


async def test_tokens_and_certificates(client: HttpClient) -> None:
    """A token's user may what RBAC says, and so may a certificate's; nobody else may anything."""
    access = ReviewAccess(client, VirtualClock())
    token = await token_of(client)
    assert (await access.decide(request("metrics", token=token))).is_allowed
    assert await access.decide(request("proxy", token=token)) == Decision(False, READER)
    assert (await access.decide(request("metrics", user=READER, groups=("system:serviceaccounts",)))).is_allowed
    assert not (await access.decide(request("metrics", user="nobody"))).is_allowed
    with pytest.raises(Unauthorized):
        await access.decide(request("metrics", token="not one"))


async def test_answers_are_remembered(client: HttpClient) -> None:
    """Who a token is is asked every two minutes, what is allowed every five, what is not every half minute."""
    clock, counting = VirtualClock(), Counting(client)
    access = ReviewAccess(counting, clock)  # type: ignore[arg-type]
    token = await token_of(client)

    async def asked(subresource: str, after: float) -> list[str]:
        await clock.advance(after)
        counting.asked.clear()
        await access.decide(request(subresource, token=token))
        return list(counting.asked)

    assert await asked("metrics", 0) == ["TokenReview", "SubjectAccessReview"]
    assert await asked("metrics", 119) == []
    assert await asked("metrics", 2) == ["TokenReview"]
    assert await asked("metrics", 180) == ["TokenReview", "SubjectAccessReview"]
    assert await asked("proxy", 0) == ["SubjectAccessReview"]
    assert await asked("proxy", 29) == []
    assert await asked("proxy", 2) == ["SubjectAccessReview"]


async def test_failures_are_not_remembered(server: Server, client: HttpClient) -> None:
    """While the API server is away nothing new is allowed; afterwards all is as it was."""
    access, token = ReviewAccess(client, VirtualClock()), await token_of(client)
    assert (await access.decide(request("metrics", token=token))).is_allowed
    await server.stop()
    assert (await access.decide(request("metrics", token=token))).is_allowed
    with pytest.raises(InternalError, match="Authorization error"):
        await access.decide(request("proxy", token=token))
    with pytest.raises(Unauthorized):
        await access.decide(request("metrics", token="another"))
    await server.start()
    assert not (await access.decide(request("proxy", token=token))).is_allowed


def test_answers_are_bounded() -> None:
    """The oldest answer goes where there are too many."""
    answers: Answers[bool] = Answers(VirtualClock())
    for number in range(MOST + 1):
        answers.keep((str(number),), True, 10)
    assert (answers.get(("0",)), answers.get(("1",)), answers.get((str(MOST),))) == (None, True, True)
