"""version: which minikube-py, and which Kubernetes."""

import click

from minikube_py import KUBERNETES_VERSION, __version__


@click.command("version")
@click.option("-o", "--output", "form", type=click.Choice(["", "json"]), default="", help="json")
def command(form: str) -> None:
    """Show the versions of minikube-py and of the Kubernetes API it serves."""
    if form:
        from minikube_py.cli.output import as_json

        click.echo(as_json({"minikubePyVersion": f"v{__version__}", "kubernetesVersion": KUBERNETES_VERSION}))
    else:
        click.echo(f"minikube-py version: v{__version__}\nkubernetes version: {KUBERNETES_VERSION}")
