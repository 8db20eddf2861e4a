"""The Container Device Interface for runtimes that lack it: what the named devices change in a container.

Specs lie in /etc/cdi and /var/run/cdi, the latter's before the former's. Of their edits environment variables,
device nodes, bind mounts and additional groups can be told to any runtime by CRI; hooks, owners and modes of
device nodes, other mounts, network devices and Intel RDT cannot, and a device that has any is refused. Source:
the Container Device Interface specification.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from minikube_py.meta import yaml
from minikube_py.runtime.base import ContainerConfig, Device, Mount, RuntimeFailed

FOLDERS = (Path("/etc/cdi"), Path("/var/run/cdi"))
"""Where specs are, the strongest last."""
FIRST = (1, 7)
"""The first version of containerd that takes the names of devices itself."""
FAILED = "failed to create containerd container: CDI device injection failed"
BEYOND = ("hooks", "intelRdt", "netDevices")
OF_NODE = ("uid", "gid", "fileMode")
PROPAGATION = {"rslave": "HostToContainer", "rshared": "Bidirectional"}
Spec = Mapping[str, Any]


class _Refused(RuntimeFailed):
    code = "Unknown"


def is_needed(name: str, version: str) -> bool:
    """Whether the runtime of this name and version does not know of devices' names."""
    numbers = version.removeprefix("v").split(".")
    return name == "containerd" and tuple(int(number) for number in numbers[:2] if number.isdigit()) < FIRST


def applied(config: ContainerConfig, folders: Sequence[Path] = FOLDERS) -> ContainerConfig:
    """The container with what its CDI devices change, and none of their names. Blocking. Errors:
    RuntimeFailed where a device is not known, or cannot be given so."""
    specs = list(_specs(folders))
    found: list[tuple[str, Spec]] = []
    unknown: list[str] = []
    for name in dict.fromkeys(config.cdi_devices):
        edits = _edits(name, specs)
        unknown += [] if edits else [name]
        found += [(name, edit) for edit in edits or () if all(edit is not known for _, known in found)]
    if unknown:
        raise _Refused(f"{FAILED}: unresolvable CDI devices {', '.join(unknown)}")
    for name, edit in found:
        config = _edited(name, edit, config)
    return replace(config, cdi_devices=())


def _specs(folders: Iterable[Path]) -> Iterator[Spec]:
    """The specs that can be read, the strongest first."""
    for folder in reversed(list(folders)):
        for file in sorted(folder.glob("*")) if folder.is_dir() else ():
            if file.suffix in (".json", ".yaml", ".yml"):
                try:
                    spec = yaml.load(file.read_text())
                except (OSError, ValueError):
                    continue
                if isinstance(spec, dict):
                    yield spec


def _edits(name: str, specs: Iterable[Spec]) -> list[Spec]:
    """What a device changes: its spec's edits for all, and its own; nothing where no spec has it."""
    kind, _, device = name.partition("=")
    for spec in specs:
        if spec.get("kind") == kind:
            for one in spec.get("devices") or ():
                if one.get("name") == device:
                    return [spec.get("containerEdits") or {}, one.get("containerEdits") or {}]
    return []


def _edited(name: str, edit: Spec, config: ContainerConfig) -> ContainerConfig:
    beyond = [field for field in BEYOND if edit.get(field)]
    beyond += [
        f"deviceNodes.{field}" for one in edit.get("deviceNodes") or () for field in OF_NODE if field in one
    ]
    beyond += [f"mounts of type {one['type']}" for one in edit.get("mounts") or () if not _is_bind(one)]
    if beyond:
        told = f"{FAILED}: device {name} has {', '.join(beyond)}"
        raise _Refused(f"{told}, which only a runtime with CDI can do (containerd 1.7 and later)")
    env = [(name, value) for name, _, value in (one.partition("=") for one in edit.get("env") or ())]
    groups = [int(id) for id in edit.get("additionalGids") or ()]
    security = config.security
    return replace(
        config,
        env=[*config.env, *env],
        devices=[*config.devices, *(_device(one) for one in edit.get("deviceNodes") or ())],
        mounts=[*config.mounts, *(_mount(one) for one in edit.get("mounts") or ())],
        security=replace(security, supplemental_groups=[*security.supplemental_groups, *groups]),
    )


def _is_bind(mount: Spec) -> bool:
    return mount.get("type") in (None, "", "bind", "none")


def _device(node: Spec) -> Device:
    return Device(node.get("hostPath") or node["path"], node["path"], node.get("permissions") or "rwm")


def _mount(mount: Spec) -> Mount:
    options = mount.get("options") or ()
    propagation = next((PROPAGATION[option] for option in options if option in PROPAGATION), "None")
    return Mount(mount["hostPath"], mount["containerPath"], "ro" in options, propagation)
