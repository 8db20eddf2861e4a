#!/usr/bin/env bash
# Install the system packages that a cluster needs and this machine lacks; quick when none is missing.
#
# With apt-get they are installed (by sudo where this is not root); elsewhere the command to run is printed, and
# the exit code is 1. `hack/system.sh --list` only prints what is missing, one package a line.
set -euo pipefail

PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"

missing=() reasons=()
need() { missing+=("$1"); reasons+=("$2"); }

has_cni() {
    local folder plugin
    for folder in /opt/cni/bin /usr/lib/cni /usr/libexec/cni; do
        for plugin in bridge host-local loopback; do
            [[ -x "$folder/$plugin" ]] || continue 2
        done
        return 0
    done
    return 1
}

# The interpreter that hack/venv.sh will take; python3 where there is none yet.
python="$("$(dirname "$0")/python.sh" 2>/dev/null || true)"

command -v containerd >/dev/null || need containerd "it runs the containers"
command -v runc >/dev/null || need runc "containerd starts containers with it"
has_cni || need containernetworking-plugins "they connect pods to the bridge"
command -v nft >/dev/null || need nftables "Services are nftables rules"
command -v ip >/dev/null || need iproute2 "the pods' bridge is made with it"
command -v busybox >/dev/null || need busybox-static "the demo's image is made of it"
if [[ -z $python ]]; then
    command -v python3 >/dev/null || need python3 "minikube-py is a Python program"
    need python3-venv "minikube-py is installed into .venv"
elif ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    # Debian's own Python leaves ensurepip to a package of its own.
    need python3-venv "minikube-py is installed into .venv"
fi

if [[ ${1:-} == --list ]]; then
    ((${#missing[@]})) && printf '%s\n' "${missing[@]}"
    exit 0
fi
((${#missing[@]})) || exit 0

echo "This machine lacks:"
for number in "${!missing[@]}"; do
    echo "  * ${missing[number]}: ${reasons[number]}"
done

if ! command -v apt-get >/dev/null; then
    if command -v dnf >/dev/null; then install="dnf install -y"
    elif command -v zypper >/dev/null; then install="zypper install"
    elif command -v pacman >/dev/null; then install="pacman -S"
    elif command -v apk >/dev/null; then install="apk add"
    else install=""
    fi
    if [[ -n $install ]]; then
        echo "Install them, then try again (names may differ a little from Debian's):"
        echo "  $install ${missing[*]/busybox-static/busybox}"
    else
        echo "Install them with your system's package manager, then try again."
    fi
    exit 1
fi

sudo=()
if ((EUID != 0)); then
    command -v sudo >/dev/null || {
        echo "Install them as root, then try again:"
        echo "  apt-get install -y ${missing[*]}"
        exit 1
    }
    sudo=(sudo)
fi

log="$(mktemp)"
trap 'rm -f "$log"' EXIT
run() {
    "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive "$@" </dev/null >"$log" 2>&1 || {
        tail -n 20 "$log"
        echo "error: \`$*\` failed; mend what it says and try again"
        exit 1
    }
}
echo "Installing: apt-get install -y ${missing[*]}"
run apt-get update -q
run apt-get install -y -q --no-install-recommends "${missing[@]}"
