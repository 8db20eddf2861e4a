"""What a client sends wrongly gets Kubernetes' status and message, and nothing is stored."""

from typing import Any

import pytest
from api_bad_bodies import BODIES, CONFIG_MAPS, Case
from api_bad_requests import REQUESTS
from api_cluster import Client, Cluster


@pytest.mark.parametrize("case", [*BODIES, *REQUESTS], ids=lambda case: case[0])
async def test_refused(cluster: Cluster, admin: Client, case: Case) -> None:
    """The answer has the code, the reason and the message, and the store is as it was."""
    _, method, path, body, type, code, reason, message = case
    before = cluster.registry.revision
    answer = await admin.call(method, path, body, type=type)
    assert answer.code == code, answer.body
    found = (answer["kind"], answer["status"], answer["code"], answer["reason"])
    assert found == ("Status", "Failure", code, reason)
    assert answer["message"][: len(message)] == message
    assert "Traceback" not in str(answer.body)
    assert cluster.registry.revision == before


async def test_stale_resource_version(admin: Client) -> None:
    """An update of a state that is no longer current is a conflict."""
    made = await admin.post(CONFIG_MAPS, {"metadata": {"name": "x"}})
    await admin.call("PUT", f"{CONFIG_MAPS}/x", made.body | {"data": {"a": "1"}})
    answer = await admin.call("PUT", f"{CONFIG_MAPS}/x", made.body | {"data": {"a": "2"}})
    assert (answer.code, answer["reason"], answer["message"]) == (
        409,
        "Conflict",
        'Operation cannot be fulfilled on configmaps "x": the object has been modified; '
        "please apply your changes to the latest version and try again",
    )


@pytest.mark.parametrize(
    ("accept", "code"),
    [
        ("application/vnd.kubernetes.protobuf", 406),
        ("text/html", 406),
        ("application/vnd.kubernetes.protobuf, application/json", 200),
        ("*/*", 200),
        ("application/yaml", 200),
    ],
)
async def test_accept(admin: Client, accept: str, code: int) -> None:
    """What cannot be given is refused; JSON is given wherever it is accepted."""
    assert (await admin.get(CONFIG_MAPS, Accept=accept)).code == code


async def test_unexpected_failure_is_hidden(
    cluster: Cluster, admin: Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A bug becomes a 500 with an id, under which the log has the traceback."""

    def broken(*_: Any) -> None:
        raise ZeroDivisionError("secret detail")

    monkeypatch.setattr(cluster.registry, "get", broken)
    answer = await admin.get(f"{CONFIG_MAPS}/x")
    ident = answer["message"].rpartition(" ")[2]
    assert (answer.code, answer["reason"], "secret" in str(answer.body)) == (500, "InternalError", False)
    logged = [record for record in caplog.records if ident in record.getMessage()]
    assert [record.exc_info is not None for record in logged] == [True]
