#!/usr/bin/env bash
# Print the first Python of this machine that minikube-py can run on (3.11 or newer). Exit code 1 without one.
# $PYTHON names another.
set -euo pipefail

for python in ${PYTHON:-python3 python3.11 python3.12 python3.13 python3.14}; do
    if command -v "$python" >/dev/null \
        && "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
        command -v "$python"
        exit 0
    fi
done
found="$( (python3 --version || echo "no python3") 2>/dev/null)"
{
    echo "error: minikube-py needs Python 3.11 or newer; this machine has ${found}"
    echo "  Debian 12, Ubuntu 24.04 and newer have one: apt-get install -y python3 python3-venv"
    echo "  or say which one to use: make PYTHON=/path/to/python3.11 ..."
} >&2
exit 1
