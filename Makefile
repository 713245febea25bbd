# `make demo` needs Python 3.11 to 3.13 and make, nothing else: everything is installed into .venv.
# `make help` lists the targets.

VENV := .venv
BIN := $(VENV)/bin
PY := $(BIN)/python
PIP := $(PY) -m pip --disable-pip-version-check --no-input
UV ?= uv
ARGS ?=
NAME ?=

.DEFAULT_GOAL := help
.PHONY: help demo setup test test-slow test-gpu lint format bench lock clean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile

demo: $(VENV)/.runtime ## install the runtime into .venv, then run the demo line (ARGS="--seconds 60")
	@$(BIN)/sightline demo $(ARGS)

setup: $(VENV)/.all ## install every extra but the GPU's and the peers' into .venv

test: $(VENV)/.all ## run the tests that CI runs (ARGS="tests/agents -k ack")
	@$(PY) -m pytest -m "not slow" $(ARGS)

test-slow: $(VENV)/.all ## run the slow tests as well: minutes to hours
	@$(PY) -m pytest $(ARGS)

test-gpu: $(VENV)/.all ## install the extra gpu and run the tests that need an NVIDIA GPU: TensorRT in every precision, CUDA
	@$(PIP) install --no-deps --require-hashes -r requirements/gpu.lock
	@$(PY) -m pytest -m gpu $(ARGS)

lint: $(VENV)/.all ## check style, types and the arrows between the rooms
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .
	@$(PY) -m mypy
	@$(BIN)/lint-imports

format: $(VENV)/.all ## put the code into the one style
	@$(PY) -m ruff check --fix .
	@$(PY) -m ruff format .

bench: $(VENV)/.all ## run the benchmarks (NAME=line for one)
	@$(BIN)/sightline bench $(NAME) $(ARGS)

lock: ## pin every package again (needs uv)
	$(UV) pip compile $(LOCK) pyproject.toml requirements/build.in --upgrade \
	  --extra train --extra ocr --extra boost --extra s3 --extra test -o requirements/all.lock
	$(UV) pip compile $(LOCK) pyproject.toml requirements/build.in -c requirements/all.lock -o requirements/runtime.lock
	$(UV) pip compile $(LOCK) pyproject.toml requirements/build.in -c requirements/all.lock --extra gpu -o requirements/gpu.lock

LOCK := --universal --python-version 3.11 --no-emit-index-url --generate-hashes --overrides requirements/overrides.in \
  --no-header --quiet

clean: ## remove .venv, caches and build leftovers; state folders stay
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .grimp_cache build *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Stamps: a second run installs nothing unless a lock file or pyproject.toml changed since.
$(VENV)/.made:
	@python=$$(/bin/sh requirements/find-python.sh "$(PYTHON)") && echo "making $(VENV) with $$python" && "$$python" -m venv $(VENV)
	@: > $@

$(VENV)/.runtime: requirements/runtime.lock pyproject.toml | $(VENV)/.made
	@echo "installing the runtime into $(VENV), about 300 MB the first time"
	@$(PIP) install --no-deps --require-hashes -r requirements/runtime.lock
	@$(PIP) install --quiet --no-deps --no-build-isolation -e .
	@: > $@

$(VENV)/.all: requirements/all.lock pyproject.toml | $(VENV)/.made
	@echo "installing every extra but gpu into $(VENV), about 3 GB the first time (most of it is torch)"
	@$(PIP) install --no-deps --require-hashes -r requirements/all.lock
	@$(PIP) install --quiet --no-deps --no-build-isolation -e .
	@: > $@ && : > $(VENV)/.runtime
