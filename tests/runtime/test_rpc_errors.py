"""What becomes of gRPC's errors."""

import grpc
import grpc.aio
import pytest

from minikube_py.runtime.base import RuntimeFailed, RuntimeNotFound, RuntimeUnavailable
from minikube_py.runtime.calls import AlreadyThere, translate

Code = grpc.StatusCode


@pytest.mark.parametrize(
    ("code", "type", "decorated"),
    [
        (Code.UNKNOWN, RuntimeFailed, "rpc error: code = Unknown desc = why"),
        (Code.RESOURCE_EXHAUSTED, RuntimeFailed, "rpc error: code = ResourceExhausted desc = why"),
        (Code.NOT_FOUND, RuntimeNotFound, "rpc error: code = NotFound desc = why"),
        (Code.ALREADY_EXISTS, AlreadyThere, "rpc error: code = AlreadyExists desc = why"),
    ],
)
def test_errors_keep_message_and_code(code: grpc.StatusCode, type: type, decorated: str) -> None:
    """The room's own error has the runtime's message, and tells the code as Go does where that is asked for."""
    error = translate(grpc.aio.AioRpcError(code, grpc.aio.Metadata(), grpc.aio.Metadata(), "why"))
    assert isinstance(error, type)
    assert isinstance(error, RuntimeFailed)
    assert (str(error), error.decorated) == ("why", decorated)


def test_what_the_runtime_never_said_is_not_decorated() -> None:
    """A refusal of the kubelet's own has no code."""
    assert RuntimeFailed("mine").decorated == "mine"
    error = translate(grpc.aio.AioRpcError(Code.UNAVAILABLE, grpc.aio.Metadata(), grpc.aio.Metadata(), "gone"))
    assert isinstance(error, RuntimeUnavailable)
