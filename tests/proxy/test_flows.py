"""UDP flows: which are stale."""

import pytest

from minikube_py.proxy.flows import Flow, stale, touches_udp
from minikube_py.proxy.rules import Place

VIP, NODE, POD, GONE = "10.96.0.7", "192.0.2.1", ("10.244.0.5", 80), ("10.244.0.4", 80)
ELEMENTS = {
    Place("services", f"{VIP} . udp . 53"): "goto pick-1",
    Place("endpoints", f"{VIP} . udp . 53 . 0"): "10.244.0.5 . 80",
    Place("endpoints", f"{VIP} . tcp . 54 . 0"): "10.244.0.5 . 80",
    Place("node-endpoints", "udp . 30053 . 0"): "10.244.0.5 . 80",
    Place("hostports-at", f"{NODE} . udp . 99"): "10.244.0.5 . 80",
    Place("hostports", "udp . 98"): "10.244.0.5 . 80",
    Place("refused", f"{VIP} . udp . 55"): "goto refuse",
}


@pytest.mark.parametrize(
    ("called", "answers", "expected"),
    [
        ((VIP, 53), POD, False),
        ((VIP, 53), GONE, True),
        ((VIP, 53), (VIP, 53), True),
        ((VIP, 54), GONE, False),
        ((VIP, 55), GONE, False),
        ((NODE, 30053), POD, False),
        ((NODE, 30053), GONE, True),
        (("8.8.8.8", 30053), ("8.8.8.8", 30053), False),
        ((NODE, 99), (NODE, 99), True),
        ((NODE, 98), GONE, True),
        ((NODE, 97), GONE, False),
    ],
)
def test_stale_flows(called: tuple[str, int], answers: tuple[str, int], expected: bool) -> None:
    """A flow to a UDP port of a Service, the node or a pod is stale where none of its endpoints answers."""
    flow = Flow(called, answers, b"")
    assert expected == (list(stale([flow], ELEMENTS, lambda address: address == NODE)) == [flow])


def test_udp_is_seen_in_changes() -> None:
    """Only changes of UDP ports look at flows."""
    udp, tcp = Place("endpoints", f"{VIP} . udp . 53 . 0"), Place("node-endpoints", "tcp . 30053 . 0")
    assert (touches_udp([tcp, udp]), touches_udp([tcp]), touches_udp([])) == (True, False, False)
