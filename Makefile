# minikube-py: `make start` brings up a cluster that runs a web application. `make help` lists the rest.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

VENV ?= .venv
BIN := $(VENV)/bin
ARGS ?=
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

# Tests that own the machine's containers, bridges and nft tables run one after the other.
MACHINE := containerd or e2e

.PHONY: help system deps dev kubectl start stop lint test check fuzz chaos bench binary clean

help: ## What can be made
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

system:
	@hack/system.sh

$(BIN)/python: | system
	@python="$$(hack/python.sh)"; echo "Making $(VENV) with $$("$$python" --version)"; "$$python" -m venv --clear $(VENV)

$(VENV)/.installed: pyproject.toml | $(BIN)/python
	@echo "Installing the Python packages into $(VENV)"
	@$(PIP) --editable .
	@$(BIN)/python -m compileall -q minikube_py
	@touch $@

$(VENV)/.installed-dev: pyproject.toml | $(BIN)/python
	@echo "Installing the Python packages for development into $(VENV)"
	@$(PIP) --editable '.[dev]'
	@touch $@ $(VENV)/.installed

$(VENV)/.installed-binary: pyproject.toml | $(BIN)/python
	@echo "Installing PyInstaller into $(VENV)"
	@$(PIP) --editable '.[binary]'
	@touch $@ $(VENV)/.installed

deps: system $(VENV)/.installed ## Install what is missing: system packages, .venv, the package

dev: system $(VENV)/.installed-dev

kubectl: dev
	@command -v kubectl >/dev/null || $(BIN)/python hack/kubectl.py

start: deps ## Start a cluster and a demo web application in it
	@$(BIN)/minikube-py start
	@$(BIN)/python examples/demo.py

stop: ## Stop the cluster; its state is kept (to delete it: .venv/bin/minikube-py delete)
	@if [[ -x $(BIN)/minikube-py ]]; then $(BIN)/minikube-py stop; else echo "nothing was started from here"; fi

lint: dev ## The static part of check: format, lint, types, import rules
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

test: dev ## Run every test; root is needed for those with real containers (ARGS='-k pods' chooses)
	@command -v kubectl >/dev/null || $(BIN)/python hack/kubectl.py || true
	@export PATH="$$PATH:/usr/sbin:/sbin:$(abspath $(BIN))"; failed=0; \
	 run() { $(BIN)/pytest "$$@" $(ARGS) || { code=$$?; [[ $$code == 5 && -n "$(ARGS)" ]] || failed=$$code; }; }; \
	 run -n 2 -m "not ($(MACHINE))"; \
	 run -rs -m "$(MACHINE)"; \
	 exit $$failed

check: lint test ## What a change must pass: lint and test

fuzz: dev ## Send 10,000 made-up requests to the API server (FUZZ_CASES and FUZZ_SEED choose others)
	@FUZZ_CASES="$${FUZZ_CASES:-10000}" $(BIN)/pytest tests/fuzz -n 2 $(ARGS)

chaos: dev ## Kill each process of a cluster 20 times while pods come and go (CHAOS_CYCLES, CHAOS_SEED; root)
	@PATH="$$PATH:/usr/sbin:/sbin:$(abspath $(BIN))" CHAOS_CYCLES="$${CHAOS_CYCLES:-20}" \
	 CHAOS_ABSENT="$${CHAOS_ABSENT:-60}" $(BIN)/pytest tests/e2e/test_recovery.py $(ARGS)

bench: dev ## Print the figures of README.md for this machine
	@PATH="$$PATH:/usr/sbin:/sbin" hack/bench.sh $(BIN)/python

binary: $(VENV)/.installed-binary ## Build dist/minikube-py, the program in one file
	@command -v objdump >/dev/null || { echo "PyInstaller needs objdump: apt-get install -y binutils"; exit 1; }
	@$(BIN)/pyinstaller --log-level WARN --noconfirm --distpath dist --workpath build/binary hack/binary.spec
	@ls -sh dist/minikube-py

clean: ## Remove build output and caches (.venv stays)
	@rm -rf build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find minikube_py tests benchmarks examples hack -name __pycache__ -prune -exec rm -rf {} +
