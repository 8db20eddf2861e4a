"""exec: run a command in a container."""

import sys

import click

from minikube_py.cli.commands.logs import pod_of
from minikube_py.cli.options import namespace_option
from minikube_py.cli.session import Session, with_query, with_session


@click.command("exec", context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.option("-i", "--stdin", is_flag=True, help="Pass this terminal's input.")
@click.option("-t", "--tty", is_flag=True, help="Give the command a terminal.")
@click.option("-c", "--container", default="", help="The container (default: the first).")
@namespace_option
@click.argument("target", metavar="POD | TYPE/NAME")
@click.argument("words", nargs=-1, required=True, type=click.UNPROCESSED, metavar="[--] COMMAND [ARG...]")
@with_session
def command(
    session: Session,
    stdin: bool,
    tty: bool,
    container: str,
    namespace: str,
    target: str,
    words: tuple[str, ...],
) -> None:
    """Run a command in a container; the exit code is the command's."""
    from minikube_py.client.exec import run_exec  # aiohttp: imported only here

    pod = pod_of(session, target, namespace)
    path = session.find("pods").path(namespace, pod["metadata"]["name"], "exec")
    query = {
        "container": container or pod["spec"]["containers"][0]["name"],
        "stdin": stdin or None,
        "stdout": True,
        "stderr": not tty or None,
        "tty": tty or None,
    }
    line = words[1:] if words[0] == "--" else words
    command = "&".join(with_query("", {"command": word})[1:] for word in line)
    url = f"https://127.0.0.1:{session.api_port}{with_query(path, query)}&{command}"
    sys.exit(run_exec(url, session.tls, stdin=stdin, tty=tty))
