# make run    a demonstration: services, a sidecar in front of them, and what to try
# make test   every test
# make lint   ruff, mypy, the import contracts, every source file has its test
# make chaos  minutes of random faults under load, and an account of every call (ARGS="--seconds 60 --seed 7")
# make bench  the sidecar beside the peers that are installed
# make docs   write again what is made from the source
# make clean  take away everything that was made here
#
# PYTHON chooses the interpreter (make PYTHON=python3.13 test); ARGS is handed on (make test ARGS="-k drain").
# Tests run in two processes, since half of their time is waiting; WORKERS=0 runs them in one.
# The environment in .venv is made once and brought up to date when setup.cfg changes; otherwise no network is used.

PYTHON ?= python3
VENV ?= .venv
ARGS ?=
WORKERS ?= 2

BIN := $(VENV)/bin
# The stamps carry the interpreter's version, so that another PYTHON makes the environment anew.
VERSION := $(shell $(PYTHON) -c 'import sys; print(sys.implementation.name + "-%d.%d.%d" % sys.version_info[:3])')
READY_TO_RUN := $(VENV)/.run-$(VERSION)
READY_TO_TEST := $(VENV)/.test-$(VERSION)
READY_TO_BENCH := $(VENV)/.bench-$(VERSION)
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-input

.PHONY: run test lint chaos bench docs clean env
.DEFAULT_GOAL := test

run: $(READY_TO_RUN)
	@exec $(BIN)/python -m twisted_mesh.server.demo $(ARGS)

test: $(READY_TO_TEST)
	$(BIN)/python -m pytest --numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder $(ARGS)

lint: $(READY_TO_TEST)
	$(BIN)/python -m ruff check
	$(BIN)/python -m ruff format --check
	$(BIN)/python -m mypy
	$(BIN)/lint-imports
	$(BIN)/python .ci/sources.py

chaos: $(READY_TO_TEST)
	$(BIN)/python -m tests.chaos.run $(ARGS)

bench: $(READY_TO_BENCH)
	$(BIN)/python benchmarks/run.py $(ARGS)

docs: $(READY_TO_TEST)
	$(BIN)/python -m twisted_mesh.cli.main docs docs/configuration.md
	$(BIN)/python -m twisted_mesh.cli.main docs --of meshctl docs/meshctl.md

env: $(READY_TO_TEST)

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find twisted_mesh plugins tests benchmarks -name __pycache__ -prune -exec rm -rf {} +
	find plugins -name dropin.cache -exec rm -f {} +

$(READY_TO_RUN): setup.cfg pyproject.toml
	@sh .ci/environment $(PYTHON) $(VENV)
	$(INSTALL) --editable '.[embedded]'
	@touch $@

$(READY_TO_TEST): setup.cfg pyproject.toml
	@sh .ci/environment $(PYTHON) $(VENV)
	$(INSTALL) --editable '.[test,embedded]'
	@touch $@ $(READY_TO_RUN)

$(READY_TO_BENCH): $(READY_TO_TEST)
	$(INSTALL) --editable '.[test,embedded,bench]'
	@touch $@
