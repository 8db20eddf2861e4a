"""Asks a server how it is, by the gRPC health checking protocol (grpc.health.v1.Health/Check).

One connection per question, without TLS, as Kubernetes' probes do; grpc's errors end here.
"""

import asyncio
import time
from dataclasses import dataclass

import grpc
import grpc.aio

from minikube_py.runtime.proto import health_pb2 as health

METHOD = "/grpc.health.v1.Health/Check"

_OPTIONS = (
    ("grpc.use_local_subchannel_pool", 1),  # no memory of earlier failures
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 200),
    ("grpc.enable_retries", 0),
    ("grpc.enable_http_proxy", 0),
)


@dataclass(frozen=True, slots=True)
class Health:
    """An answer. `status` is SERVING, NOT_SERVING, UNKNOWN or SERVICE_UNKNOWN; where there is none, `code` is
    the gRPC code (such as NOT_FOUND) with its message, or empty where no connection came about."""

    status: str = ""
    code: str = ""
    message: str = ""


async def check(address: str, service: str, timeout: float, agent: str) -> Health:
    """Ask the server at `address` (host:port) about `service` ('': all of it), within `timeout` seconds."""
    began = time.monotonic()
    options = (*_OPTIONS, ("grpc.primary_user_agent", agent))
    async with grpc.aio.insecure_channel(address, options=options) as channel:
        try:
            async with asyncio.timeout(timeout):
                await channel.channel_ready()
        except TimeoutError:
            return Health()
        call = channel.unary_unary(
            METHOD,
            health.HealthCheckRequest.SerializeToString,
            health.HealthCheckResponse.FromString,
        )
        left = max(0.001, timeout - (time.monotonic() - began))
        try:
            answer = await call(health.HealthCheckRequest(service=service), timeout=left)
        except grpc.aio.AioRpcError as error:
            return Health(code=error.code().name, message=error.details() or "")
        names = health.HealthCheckResponse.ServingStatus
        known = answer.status in names.values()
        return Health(status=names.Name(answer.status) if known else str(answer.status))
