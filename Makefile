# Two commands matter: `make demo` and `make test`. Both do their own set-up on a fresh clone.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PYTEST := $(BIN)/pytest

.DEFAULT_GOAL := help
.PHONY: help demo test test-all check format lint types unit model spark integration chaos fetch up down status lock generate clean

help: ## show this
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

$(READY): requirements.lock setup.cfg pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "Python 3.11 is needed and '$(PYTHON)' is not on the PATH: install it, or name it: make PYTHON=/path/to/python3.11 …"; exit 1; }
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if v == (3, 11) else f"Python 3.11 is needed; $(PYTHON) is {v[0]}.{v[1]}: make PYTHON=/path/to/python3.11 …")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --require-hashes --requirement requirements.lock
	$(BIN)/pip install --quiet --no-deps --editable .
	@touch $(READY)

demo: $(READY) ## the whole system on real servers, with progress; leaves the stack up
	$(BIN)/meterlake demo

test: check model spark integration ## all that a change must pass: lint, types, unit, the model, Spark and the real servers

test-all: check model spark ## the same and the slow tests
	$(PYTEST) -m "integration and (short or not chaos)" tests/integration

check: lint types unit ## lint, types and unit tests, in under a minute

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --config setup.cfg

types: $(READY)
	$(BIN)/mypy

unit: $(READY)
	$(PYTEST) -m unit -n auto tests/unit

model: $(READY) ## random faults on a model of the whole system; METERLAKE_MODEL_SCHEDULES=10000 for more
	$(PYTEST) -m model --timeout 0 tests/model

spark: $(READY) fetch ## the tests on a local Spark
	$(PYTEST) -m spark tests/spark

integration: $(READY) fetch ## the tests on the real servers, which they start and stop
	$(PYTEST) -m "integration and not slow and (short or not chaos)" tests/integration

chaos: $(READY) fetch ## every fault on the real servers; a short form of it is in `make integration`
	$(PYTEST) -m chaos tests/integration

fetch: $(READY) ## download all servers into the cache, once
	$(BIN)/meterlake up --fetch-only

up down status: $(READY) ## start, stop or show the servers
	$(BIN)/meterlake $@

format: $(READY) ## format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

generate: $(READY) ## write all generated files anew: DDL, schemas, dashboards, compose configuration, settings reference
	$(BIN)/meterlake ddl
	$(BIN)/meterlake dashboards
	$(BIN)/python -m meterlake.reference
	$(BIN)/python -m stack.compose

lock: $(READY) ## pin all versions anew: Python packages, jars, Java runtimes
	$(BIN)/uv pip compile setup.cfg --extra dev --upgrade --generate-hashes --no-header --python-version 3.11 --quiet -o requirements.lock
	$(BIN)/python -m stack.runtime.lock

clean: ## stop the servers and remove the environment; data in .meterlake is kept
	-$(BIN)/meterlake down
	rm -rf $(VENV) build dist *.egg-info .*_cache
