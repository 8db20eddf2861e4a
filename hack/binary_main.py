"""What the one-file program runs: the command line."""

from minikube_py.cli.main import main

if __name__ == "__main__":
    main()
