"""Requests for other servers' group versions: passed on with the user's identity, whatever they are.

All methods, watches and upgraded connections are streamed. While the backend is not available the answer is
503; a redirect of the backend becomes 502. Failures are told as plain text, as Kubernetes does here.
"""

import aiohttp
from aiohttp import web
from multidict import CIMultiDict

from minikube_py.apiserver import dialing
from minikube_py.apiserver.aggregation.backend import Backend, identity_headers
from minikube_py.apiserver.aggregation.services import Remote
from minikube_py.apiserver.call import Call
from minikube_py.apiserver.proxy import forward_for, passed_back, relay, sent_body
from minikube_py.apiserver.streams import Streams, is_upgrade, passed_on
from minikube_py.apiserver.targets import Target
from minikube_py.apiserver.webhook_client import WebhookFailed
from minikube_py.errors import ApiError

_DROPPED = frozenset(("connection", "upgrade", "expect", "host"))
_CORS = "access-control-allow-"
REDIRECTED = "the backend attempted to redirect this request, which is not permitted"


class Forwarding:
    """Passes requests on to backends."""

    def __init__(self, backend: Backend, streams: Streams) -> None:
        self._backend = backend
        self._streams = streams

    async def answer(self, call: Call, remote: Remote) -> web.StreamResponse:
        """The backend's answer."""
        if not remote.available:
            return failure("service unavailable", 503)
        request = call.request
        if is_upgrade(request):
            return await self._upgrade(call, remote)
        headers = _headers(call)
        headers["Host"] = request.headers.get("Host", remote.server_name)
        headers["X-Forwarded-Uri"] = request.raw_path.partition("?")[0]
        forward_for(headers, request)
        data = sent_body(request) if request.body_exists else None
        try:
            answer = await self._backend.open(remote, request.method, request.raw_path, headers, data=data)
        except ApiError:
            return failure("service unavailable", 503)  # it cannot be resolved
        except WebhookFailed as error:
            return failure(error.message, 500)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            why = dialing.words(error, remote.server_name)
            return failure(f"error trying to reach service: {why}", 503)
        async with answer:
            if 300 <= answer.status < 400 and answer.headers.get("Location"):
                return failure(REDIRECTED, 502)
            kept = passed_back(answer)
            for name in [name for name in kept if name.lower().startswith(_CORS)]:
                kept.popall(name, None)
            return await relay(request, answer, kept)

    async def _upgrade(self, call: Call, remote: Remote) -> web.StreamResponse:
        try:
            context = await self._backend.context(remote)
            host, port = self._backend.address(remote)
        except ApiError:
            return failure("service unavailable", 503)
        except WebhookFailed as error:
            return failure(error.message, 500)
        target = Target(
            "https",
            host,
            port,
            call.request.raw_path,
            tls=context,
            server_name=remote.server_name,
            headers=tuple(identity_headers(call.user).items()),
        )
        return await self._streams.answer(call.request, target)


def _headers(call: Call) -> CIMultiDict[str]:
    headers = CIMultiDict(
        (name, value) for name, value in passed_on(call.request.headers.items()) if name.lower() not in _DROPPED
    )
    headers.extend(identity_headers(call.user))
    return headers


def failure(text: str, code: int) -> web.Response:
    """A refusal as plain text."""
    headers = {"X-Content-Type-Options": "nosniff", "Cache-Control": "no-cache, private"}
    return web.Response(text=text + "\n", status=code, headers=headers)
