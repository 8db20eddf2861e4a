"""Floods, and what those who define resources and webhooks can make of paths and headers."""

import asyncio

import pytest
from api_cluster import Client, Cluster
from custom_resources import CRDS, definition, until, version
from loop_time import LONGEST, fetched

from minikube_py.aio.tasks import Tasks
from minikube_py.apiserver import responses, strangers
from minikube_py.apiserver.strangers import BURST, LONGEST_SECONDS, RATE, Strangers

CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"
WIDGETS = "/apis/example.com/v1/namespaces/default/widgets"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"


def test_few_refusals_are_told_at_once() -> None:
    """What a quiet while has saved up, and then RATE a second."""
    found = Strangers()
    at_once = [found.delay(1000.0) for _ in range(int(BURST) + 1)]
    assert set(at_once) == {0.0}
    assert found.delay(1000.0) == pytest.approx(1 / RATE)
    assert found.delay(1000.0 + 3 / RATE) == 0.0


def test_no_refusal_waits_longer_than_that() -> None:
    """However many there are."""
    found = Strangers()
    delays = [found.delay(1000.0) for _ in range(10_000)]
    assert (sorted(delays), max(delays)) == (delays, LONGEST_SECONDS)


@pytest.mark.parametrize(("headers", "code"), [({"Authorization": "Bearer x"}, 401), ({}, 403)])
async def test_a_flood_of_strangers_waits(
    cluster: Cluster, admin: Client, monkeypatch: pytest.MonkeyPatch, headers: dict[str, str], code: int
) -> None:
    """Who has credentials is answered while those who have none, or bad ones, wait for their refusals."""
    monkeypatch.setattr(strangers, "BURST", 5.0)
    monkeypatch.setattr(strangers, "RATE", 5.0)
    nobody = cluster.client()
    async with Tasks("test") as tasks:
        flood = [tasks.spawn(nobody.get(CONFIG_MAPS, **headers), f"{n}") for n in range(20)]
        first = await next(asyncio.as_completed(flood))
        served = await admin.get(CONFIG_MAPS)
        assert (first.code, served.code) == (code, 200)
        assert len([task for task in flood if not task.done()]) > 5


LONG = "y" * 3000


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        (["a", "b", "a", ""], ["a", "b"]),
        (["a\r\nSet-Cookie: x", "b\u0085", "c\x00", "d\te", "fine"], ["fine"]),
        (['say "no"', "back\\slash", "ünïcödé"], ['say \\"no\\"', "back\\\\slash", "ünïcödé"]),
        ([LONG], [LONG]),
        ([LONG + "1", LONG + "2"], ["y" * 256] * 2),
        ([f"{n}" + LONG for n in range(50)], [(f"{n}" + LONG)[:256] for n in range(16)]),
    ],
    ids=["doubles", "controls", "quotes", "long", "longer", "many"],
)
def test_warnings_stay_within_their_header(given: list[str], shown: list[str]) -> None:
    """A warning is one header and no more, and all of them together are not endless."""
    response = responses.plain("x")
    responses.add_warnings(response, given)
    assert response.headers.getall("Warning", []) == [f'299 - "{text}"' for text in shown]


async def test_columns_that_multiply(admin: Client, callbacks: list[float]) -> None:
    """A table whose columns go over everything again and again is made without holding up the loop."""
    path = "." * 30 + "end"
    columns = [{"name": f"C{n}", "type": "string", "jsonPath": path} for n in range(5)]
    schema = {
        "type": "object",
        "properties": {"spec": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
    }
    made = definition("Widget", version(schema=schema, additionalPrinterColumns=columns))
    assert (await admin.post(CRDS, made)).code == 201
    await until(admin, CRDS, "widgets.example.com", "Established")
    spec: dict[str, object] = {"last": 1}
    for _ in range(8):
        spec = {"a": [spec, spec]}
    for number in range(30):
        body = {
            "apiVersion": "example.com/v1",
            "kind": "Widget",
            "metadata": {"name": f"w{number}"},
            "spec": spec,
        }
        assert (await admin.post(WIDGETS, body)).code == 201
    callbacks[0] = 0.0
    code, size = await asyncio.to_thread(fetched, admin, WIDGETS, {"Accept": TABLE})
    assert (code, size > 1000, callbacks[0] <= LONGEST) == (200, True, True)
