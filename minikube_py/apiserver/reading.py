"""Reading: GET of an API path within the process, as a user of the cluster, wherever it is served.

For components that read other servers' APIs (the metrics of autoscalers): authorized like any request, and
passed on to the server that an APIService names.
"""

import aiohttp

from minikube_py.apiserver import dialing
from minikube_py.apiserver.aggregation.aggregator import Aggregator
from minikube_py.apiserver.authz import Authorizer, attributes_of
from minikube_py.apiserver.handlers import not_served
from minikube_py.apiserver.resolving import Resolver
from minikube_py.apiserver.resourcemetrics.api import ResourceMetrics, is_ours
from minikube_py.apiserver.webhook_client import WebhookFailed
from minikube_py.client.http import decode
from minikube_py.errors import ServiceUnavailable
from minikube_py.meta.objects import Obj
from minikube_py.registry.base import User

UNAVAILABLE = "the server is currently unable to handle the request"
FETCH_SECONDS = 30.0
AUTOSCALER = User(
    "system:serviceaccount:kube-system:horizontal-pod-autoscaler",
    groups=("system:serviceaccounts", "system:serviceaccounts:kube-system", "system:authenticated"),
)
"""As whom the metrics APIs are read for autoscalers."""


class Reading:
    """Reads what is served by `metrics` here, or by others."""

    def __init__(
        self, resolver: Resolver, authorizer: Authorizer, aggregator: Aggregator, metrics: ResourceMetrics
    ) -> None:
        self._resolver, self._authorizer = resolver, authorizer
        self._aggregator, self._metrics = aggregator, metrics

    async def read(self, path: str, user: User) -> Obj:
        """The object at a path, with its query. Errors: ApiError."""
        resolved = self._resolver.resolve("GET", path)
        info = resolved.info
        self._authorizer.require(user, attributes_of(info, resolved.query))
        remote = self._aggregator.remote(info)
        if remote is None:
            if not is_ours(info):
                raise not_served()
            return await self._metrics.document(info, resolved.query)
        if not remote.available:
            raise ServiceUnavailable(UNAVAILABLE)
        try:
            status, body = await self._aggregator.read(remote, path, user, FETCH_SECONDS)
        except (aiohttp.ClientError, OSError, TimeoutError, WebhookFailed) as error:
            why = error.message if isinstance(error, WebhookFailed) else dialing.words(error)
            raise ServiceUnavailable(f"{UNAVAILABLE}: {why}") from error
        return decode(status, body)
