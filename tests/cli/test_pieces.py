"""The pure pieces of commands: durations, goals, rollout progress, tables, descriptions, exit codes."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from minikube_py.cli import output
from minikube_py.cli.commands.apply import read_objects
from minikube_py.cli.commands.describe import event_lines, lines, short_duration
from minikube_py.cli.commands.logs import parse_duration
from minikube_py.cli.commands.rollout import progress
from minikube_py.cli.commands.status import exit_code, text
from minikube_py.cli.commands.wait import parse_goal
from minikube_py.cli.main import Failure, cli
from minikube_py.client.exec import exit_code as exec_exit_code


@pytest.mark.parametrize(("given", "expected"), [("90s", 90), ("10m", 600), ("1h30m", 5400), ("5", 5)])
def test_durations(given: str, expected: int) -> None:
    """Durations are read as kubectl's."""
    assert parse_duration(given) == expected


def test_bad_duration() -> None:
    """Another text is refused with an example."""
    with pytest.raises(click.UsageError, match="90s"):
        parse_duration("soon")


@pytest.mark.parametrize(
    ("goal", "obj", "expected"),
    [
        ("delete", None, True),
        ("delete", {"metadata": {}}, False),
        ("create", {"metadata": {}}, True),
        (
            "condition=Ready",
            {"metadata": {}, "status": {"conditions": [{"type": "Ready", "status": "True"}]}},
            True,
        ),
        ("condition=Ready=False", {"metadata": {}, "status": {}}, False),
        (
            "condition=Available",
            {
                "metadata": {"generation": 2},
                "status": {"observedGeneration": 1, "conditions": [{"type": "Available", "status": "True"}]},
            },
            False,
        ),
        ("jsonpath={.status.phase}=Running", {"status": {"phase": "Running"}}, True),
        ("jsonpath={.status.phase}", {"status": {}}, False),
    ],
)
def test_goals(goal: str, obj: Any, expected: bool) -> None:
    """wait's goals hold or do not, and stale conditions do not count."""
    assert parse_goal(goal)(obj) is expected


def deployment(**status: int) -> dict[str, Any]:
    return {
        "kind": "Deployment",
        "metadata": {"name": "web", "generation": 1},
        "spec": {"replicas": 3},
        "status": {"observedGeneration": 1, **status},
    }


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ({"observedGeneration": 0}, "Waiting for deployment spec update to be observed..."),
        ({"updatedReplicas": 1}, "1 out of 3 new replicas have been updated..."),
        ({"updatedReplicas": 3, "replicas": 4}, "1 old replicas are pending termination..."),
        (
            {"updatedReplicas": 3, "replicas": 3, "availableReplicas": 2},
            "2 of 3 updated replicas are available...",
        ),
        ({"updatedReplicas": 3, "replicas": 3, "availableReplicas": 3}, "successfully rolled out"),
    ],
)
def test_rollout_progress(status: dict[str, int], expected: str) -> None:
    """Each stage of a rollout is told as kubectl tells it."""
    message, done = progress(deployment(**status))
    assert message.endswith(expected)
    assert done == (expected == "successfully rolled out")


def test_tables_align() -> None:
    """Columns are as wide as their widest cell, three spaces apart."""
    assert output.table([["A", "B"], ["long", "x"]]) == "A      B\nlong   x"


def test_description_hides_secrets() -> None:
    """describe shows a Secret's values by their size only."""
    secret = {"kind": "Secret", "apiVersion": "v1", "metadata": {"name": "s"}, "data": {"key": "c2VjcmV0"}}
    shown = "\n".join(lines(secret))
    assert "Key:  6 bytes" in shown
    assert "c2VjcmV0" not in shown


def test_events_show_age_and_count() -> None:
    """The events of a description tell how old and how often."""
    event = {"type": "Normal", "reason": "Pulled", "message": "m", "count": 3, "metadata": {}}
    event["lastTimestamp"] = "2026-01-01T00:00:00Z"
    shown = list(event_lines([event], datetime(2026, 1, 1, 0, 5, tzinfo=UTC)))
    assert "5m (x3)" in shown[-1]
    assert list(event_lines([], datetime(2026, 1, 1, tzinfo=UTC))) == ["Events:  <none>"]


@pytest.mark.parametrize(("seconds", "expected"), [(5, "5s"), (150, "2m"), (7200, "2h"), (200000, "2d")])
def test_short_durations(seconds: float, expected: str) -> None:
    """Ages are told in one unit."""
    assert short_duration(seconds) == expected


@pytest.mark.parametrize(
    ("host", "kubelet", "api", "expected"),
    [
        ("Running", "Running", "Running", 0),
        ("Stopped", "Stopped", "Stopped", 7),
        ("Running", "NotReady", "Running", 2),
        ("Running", "Stopped", "Stopped", 6),
    ],
)
def test_status_codes(host: str, kubelet: str, api: str, expected: int) -> None:
    """The exit code is minikube's bit mask."""
    state = {"Name": "n", "Host": host, "Kubelet": kubelet, "APIServer": api, "Kubeconfig": "Configured"}
    assert exit_code(state) == expected
    assert f"host: {host}" in text(state)


def test_files_are_read_whole(tmp_path: Path) -> None:
    """A folder's YAML and JSON files, Lists taken apart; a bad document names its file."""
    (tmp_path / "a.yaml").write_text("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n---\n")
    (tmp_path / "b.json").write_text(
        '{"apiVersion":"v1","kind":"List","items":[{"apiVersion":"v1","kind":"Pod"}]}'
    )
    (tmp_path / "c.txt").write_text("no")
    assert [obj["kind"] for obj in read_objects((str(tmp_path),))] == ["ConfigMap", "Pod"]
    (tmp_path / "d.yml").write_text("just: text")
    with pytest.raises(Failure, match=r"d\.yml: a document has no apiVersion and kind"):
        list(read_objects((str(tmp_path),)))


def test_exec_outcomes() -> None:
    """The exit code is read from the outcome's causes."""
    failed = {"status": "Failure", "details": {"causes": [{"reason": "ExitCode", "message": "7"}]}}
    assert (exec_exit_code({"status": "Success"}), exec_exit_code(failed)) == (0, 7)


def test_every_command_loads_and_helps() -> None:
    """Each file of the commands folder is a command with a help text."""
    context = click.Context(cli)
    names = cli.list_commands(context)
    assert {"start", "stop", "delete", "status", "apply", "get", "logs", "exec"} <= set(names)
    for name in names:
        command = cli.get_command(context, name)
        assert command is not None
        assert command.help, name


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["version"], "minikube-py"),
        (["-p", "one", "version"], "one"),
        (["version", "-p", "two"], "two"),
        (["-p", "one", "version", "--profile", "two"], "two"),
    ],
)
def test_the_profile_may_stand_behind_the_command(arguments: list[str], expected: str) -> None:
    """`minikube-py start -p NAME` means the same as `minikube-py -p NAME start`."""
    with cli.make_context("minikube-py", arguments) as context:
        cli.invoke(context)
        assert context.obj["profile"] == expected


def test_nodes_are_refused_unless_simulated(tmp_path: Path) -> None:
    """`start --nodes N` without --simulate ends before anything is started, and says what to add."""
    environment = {"MINIKUBE_PY_HOME": str(tmp_path)}
    done = CliRunner().invoke(cli, ["start", "--nodes", "3"], env=environment)
    assert done.exit_code == 1
    assert "3 nodes beside this machine's can only be simulated: add --simulate" in done.output
    assert not (tmp_path / "profiles").exists()


def test_options_of_simulated_nodes() -> None:
    """--nodes takes a number and --simulate none; what is not given is left to the environment and the file."""
    command = cli.get_command(click.Context(cli), "start")
    assert command is not None
    given = command.make_context("start", ["--nodes", "5", "--simulate"]).params
    assert (given["nodes"], given["simulate"], given["max_pods"]) == ("5", True, None)
    assert command.make_context("start", []).params["simulate"] is None
