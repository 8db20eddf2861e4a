"""CDI for runtimes that lack it: what named devices change in a container, and what is refused."""

from pathlib import Path
from typing import Any

import orjson
import pytest

from minikube_py.runtime.base import ContainerConfig, Device, Mount, RuntimeFailed, Security
from minikube_py.runtime.cdi import applied, is_needed

NODE = {"path": "/dev/dongle0", "hostPath": "/dev/null", "permissions": "rw"}
BIND = {"hostPath": "/lib/a", "containerPath": "/a", "options": ["ro", "rslave", "bind"]}
EDITS = {
    "env": ["ONE=1", "EMPTY="],
    "deviceNodes": [NODE, {"path": "/dev/zero"}],
    "mounts": [BIND],
    "additionalGids": [7],
}


def write(folder: Path, edits: dict[str, Any], name: str = "dongle.json") -> Path:
    devices = [{"name": "0", "containerEdits": edits}, {"name": "1", "containerEdits": {"env": ["TWO=2"]}}]
    whole = {"cdiVersion": "0.6.0", "kind": "example.com/dongle", "containerEdits": {"env": ["ALL=x"]}}
    folder.mkdir(exist_ok=True)
    (folder / name).write_bytes(orjson.dumps(whole | {"devices": devices}))
    return folder


def config(*names: str) -> ContainerConfig:
    security = Security(supplemental_groups=[1])
    return ContainerConfig("main", "image", env=[("OWN", "1")], cdi_devices=names, security=security)


def test_devices_are_applied(tmp_path: Path) -> None:
    """Variables, device nodes, mounts and groups of devices are added, what a spec has for all only once."""
    folder = write(tmp_path / "etc", EDITS)
    made = applied(config("example.com/dongle=0", "example.com/dongle=1"), [folder, tmp_path / "none"])
    assert made.env == [("OWN", "1"), ("ALL", "x"), ("ONE", "1"), ("EMPTY", ""), ("TWO", "2")]
    assert made.devices == [Device("/dev/null", "/dev/dongle0", "rw"), Device("/dev/zero", "/dev/zero", "rwm")]
    assert made.mounts == [Mount("/lib/a", "/a", True, "HostToContainer")]
    assert (made.security.supplemental_groups, made.cdi_devices) == ([1, 7], ())


def test_the_later_folder_wins(tmp_path: Path) -> None:
    """A spec that is made at run time comes before one of the system; YAML is read, nonsense passed over."""
    early = write(tmp_path / "etc", {"env": ["FROM=etc"]})
    late = tmp_path / "run"
    late.mkdir()
    text = "kind: example.com/dongle\ndevices: [{name: '0', containerEdits: {env: ['FROM=run']}}]\n"
    (late / "a.yaml").write_text(text)
    (late / "b.json").write_text("{")
    assert applied(config("example.com/dongle=0"), [early, late]).env == [("OWN", "1"), ("FROM", "run")]


@pytest.mark.parametrize(
    ("names", "edits", "why"),
    [
        (["example.com/dongle=9", "a/b=c"], {}, "unresolvable CDI devices example.com/dongle=9, a/b=c"),
        (
            ["example.com/dongle=0"],
            {"hooks": [{"hookName": "prestart"}]},
            "device example.com/dongle=0 has hooks,",
        ),
        (["example.com/dongle=0"], {"deviceNodes": [{**NODE, "uid": 1}]}, "has deviceNodes.uid,"),
        (["example.com/dongle=0"], {"mounts": [{**BIND, "type": "tmpfs"}]}, "has mounts of type tmpfs,"),
    ],
)
def test_what_cannot_be_given_is_refused(tmp_path: Path, names: list[str], edits: Any, why: str) -> None:
    """Devices that are not known, or that want what CRI cannot say, fail the container with the reason."""
    with pytest.raises(RuntimeFailed) as refused:
        applied(config(*names), [write(tmp_path / "etc", edits)])
    assert why in str(refused.value)


@pytest.mark.parametrize(
    ("name", "version", "expected"),
    [
        ("containerd", "1.6.20~ds1", True),
        ("containerd", "v1.7.27", False),
        ("containerd", "2.1.0", False),
        ("cri-o", "1.30.0", False),
    ],
)
def test_which_runtimes_lack_it(name: str, version: str, expected: bool) -> None:
    """containerd has it since 1.7."""
    assert is_needed(name, version) == expected
