"""start: bring the cluster up."""

import time
from dataclasses import fields
from typing import Any

import click

from minikube_py import KUBERNETES_VERSION, __version__
from minikube_py.cli.lifecycle import since, start_cluster
from minikube_py.cli.main import Failure
from minikube_py.cli.session import Session, with_session
from minikube_py.config import DURABILITIES, LOG_LEVELS, BadSetting, Settings, settings, words

SEVERAL = ("registry_mirror", "insecure_registry")
"""Settings whose option can be given more than once."""


def _joined(ctx: click.Context, _: click.Parameter, values: tuple[str, ...]) -> str | None:
    return ",".join(values) if values else None


def settings_options(command: Any) -> Any:
    """One option for each setting."""
    choices = {"durability": DURABILITIES, "log_level": LOG_LEVELS}
    for field in reversed(fields(Settings)):
        kind = click.Choice(choices[field.name]) if field.name in choices else None
        more: dict[str, Any] = {"multiple": True, "callback": _joined} if field.name in SEVERAL else {}
        if isinstance(field.default, bool):
            more = {"is_flag": True}
        name = f"--{field.name.replace('_', '-')}"
        command = click.option(name, field.name, type=kind, default=None, **more)(command)
    return command


@click.command("start")
@settings_options
@click.option("--set-context/--no-set-context", default=True, help="Make it the kubeconfig's current context.")
@with_session
def command(session: Session, /, set_context: bool, **flags: Any) -> None:
    """Start the cluster, or say that it runs. Every setting is told in docs/settings.md."""
    profile, begin = session.profile, time.monotonic()
    try:
        chosen = settings(flags, file=profile.home / "config.yaml")
    except BadSetting as error:
        raise Failure(str(error)) from error
    session.say(f"minikube-py v{__version__}: Kubernetes {KUBERNETES_VERSION}, profile {profile.name}")
    started = start_cluster(profile, flags, lambda step: session.say(f"  * {step}"))
    if not started.fresh:
        session.say(f"  * the cluster runs already (pid {started.pid})")
        if any(flags.get(name) is not None for name in SEVERAL):
            _write_registries(session, chosen)
    if set_context:
        _write_kubeconfig(session)
    session.say(f"Done in {since(begin)}: https://127.0.0.1:{session.api_port}, pid {started.pid}")


def _write_registries(session: Session, chosen: Settings) -> None:
    """What containerd reads at each pull, and so needs no restart."""
    from minikube_py.cluster import registries

    files = registries.hosts_files(words(chosen.registry_mirror), words(chosen.insecure_registry))
    registries.write(session.profile.containerd / registries.CERTS, files)
    session.say("  * mirrors and insecure registries are as told from now on")


def _write_kubeconfig(session: Session) -> None:
    from minikube_py.cluster import kubeconfig
    from minikube_py.cluster.pki import Pki

    path = kubeconfig.path()
    try:
        keys = Pki(session.profile.pki)
        kubeconfig.add(kubeconfig.administrator(session.profile.name, session.api_port, keys), path)
    except kubeconfig.BadKubeconfig as error:
        raise Failure(str(error), "mend the file, or start with --no-set-context") from error
    session.say(f'  * kubectl uses the context "{session.profile.name}" ({path})')
