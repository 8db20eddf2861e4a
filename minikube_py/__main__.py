"""`python -m minikube_py`: the same as the command `minikube-py`."""

from minikube_py.cli.main import main

main()
