"""Every operation of the served OpenAPI, with made-up input, as an administrator and as a user without rights.

FUZZ_CASES is how many requests are made in all (2,000 unless it says otherwise).
"""

import json
import multiprocessing
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fuzz_server
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings

CASES = int(os.environ.get("FUZZ_CASES", "2000"))
SEED = int(os.environ.get("FUZZ_SEED", "1"))
CHUNKS = 16
"""Parts of the operations, each fuzzed by a test of its own for each user."""
MAX_STALL = 0.1
UNREACHABLE = ("proxy", "log", "exec", "attach", "portforward")
"""Subresources whose backend is missing here, which is a 5xx in Kubernetes too."""
OPEN_TO_ALL = ("selfsubjectaccessreviews", "selfsubjectrulesreviews", "selfsubjectreviews")


@dataclass
class Server:
    """The API server under test."""

    url: str
    ca: str
    sessions: dict[str, requests.Session]

    def stall(self) -> float:
        """The worst stall since the last call, in seconds."""
        return float(self.sessions["admin"].get(self.url + fuzz_server.STALLS, verify=self.ca).json())

    def operations(self) -> list[Any]:
        """Every operation of every group and version, in their order."""
        admin, found = self.sessions["admin"], []
        index = admin.get(f"{self.url}/openapi/v3", verify=self.ca).json()["paths"]
        for root in sorted(index):
            document = admin.get(f"{self.url}/openapi/v3/{root}", verify=self.ca).json()
            found += [one.ok() for one in schemathesis.openapi.from_dict(document).get_all_operations()]
        return found


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server process with one object of most kinds."""
    folder = tmp_path_factory.mktemp("fuzz")
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=fuzz_server.main, args=(str(folder), theirs), daemon=True)
    process.start()
    told = ours.recv()
    sessions = {user: _session(Path(path)) for user, path in told["kubeconfigs"].items()}
    yield Server(told["url"], told["ca"], sessions)
    ours.send("stop")
    process.join(10)
    assert process.exitcode == 0


@pytest.fixture(scope="module")
def operations(server: Server) -> list[Any]:
    """What is fuzzed."""
    return server.operations()


def _session(kubeconfig: Path) -> requests.Session:
    user = json.loads(kubeconfig.read_text())["users"][0]["user"]
    session = requests.Session()
    session.cert = (user["client-certificate"], user["client-key"])
    session.trust_env = False
    return session


def _aim(case: Any) -> None:
    """Half of the cases are aimed at what exists, so that they get further than 404."""
    if "namespace" in (case.path_parameters or {}) and len(case.path_parameters["namespace"]) % 2 == 0:
        case.path_parameters["namespace"] = "default"
    if "name" in (case.path_parameters or {}) and len(case.path_parameters["name"]) % 2 == 0:
        case.path_parameters["name"] = "fuzz"


def _fault(user: str, operation: Any, answer: requests.Response) -> str:
    """What is wrong with an answer, or nothing."""
    segments = operation.path.strip("/").split("/")
    if answer.status_code >= 500 and segments[-1] not in UNREACHABLE and "proxy" not in segments:
        return f"{answer.status_code}: {answer.text[:500]}"
    if user == "weak" and answer.ok and "{" + "path}" not in operation.path:
        depth = {"api": 2, "apis": 3}.get(segments[0], len(segments))
        if len(segments) > depth and segments[-1] not in OPEN_TO_ALL:
            return f"{answer.status_code}: a user without rights was let in"
    return ""


def fuzz(server: Server, user: str, operation: Any, examples: int) -> tuple[Counter[int], list[str]]:
    """Send made-up requests of one operation: how often each status code came, and what was wrong."""
    codes: Counter[int] = Counter()
    faults: list[str] = []

    @seed(SEED)
    @settings(
        max_examples=examples,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate],
    )
    @given(case=operation.as_strategy())
    def send(case: Any) -> None:
        _aim(case)
        how: dict[str, Any] = {"verify": server.ca, "timeout": 30, "stream": True, "allow_redirects": False}
        asked = case.as_transport_kwargs(base_url=server.url)
        with server.sessions[user].request(**asked, **how) as answer:
            codes[answer.status_code] += 1
            what = f"{operation.method.upper()} {answer.request.url}"
            if fault := _fault(user, operation, answer):
                faults.append(f"{what} {fault}")
            if (stall := server.stall()) > MAX_STALL:
                faults.append(f"{what} held the loop {stall:.3f} s")

    send()
    return codes, faults


@pytest.mark.timeout(600)
@pytest.mark.parametrize("user", ["admin", "weak"])
@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_no_input_breaks_the_server(server: Server, operations: list[Any], chunk: int, user: str) -> None:
    """Made-up requests never get a 5xx, nor anything they may not have, and never hold up the loop."""
    chosen = operations[chunk::CHUNKS]
    examples = max(1, -(-CASES // (2 * len(operations))))
    found = [fuzz(server, user, operation, examples) for operation in chosen]
    assert [fault for _, faults in found for fault in faults] == []
    assert len(chosen) <= sum(codes.total() for codes, _ in found)
