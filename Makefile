# Two commands matter: `make demo` and `make test`. Both do their own set-up on a fresh clone.
# Any Python from 3.11 to 3.13: the first that uv finds, or else one that it brings. `make PYTHON=3.12 …` names one.
PYTHON ?= >=3.11,<3.14
PYTHONS := 3.11 3.12 3.13
VENV := .venv
BIN := $(VENV)/bin
RUN := $(VENV)/.run
DEV := $(VENV)/.dev
PYTEST := $(BIN)/pytest --durations=30 --durations-min=5
UV := $(or $(shell command -v uv),.uv/bin/uv)
INSTALL = VIRTUAL_ENV="$(CURDIR)/$(VENV)" $(UV) pip install --compile-bytecode

.DEFAULT_GOAL := help
.PHONY: help demo demo-telecom demo-half-hourly demo-utility notebooks test test-all test-pythons check format lint types unit model spark integration chaos bench fetch up down status lock generate clean

help: ## show this
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-16s %s\n", $$1, $$2}'

# uv, where it is not on the PATH: the version of the lock, checked by its hash.
.uv/bin/uv: requirements.lock
	@echo "set-up: uv, into .uv"
	@python3 -m venv .uv || { echo "Neither uv nor a python3 with its venv module is here. Install one: https://docs.astral.sh/uv, or apt-get install python3-venv."; exit 1; }
	@awk '/^[a-z]/ {keep = /^uv==/} keep' requirements.lock > .uv/requirements.txt
	@.uv/bin/pip install --disable-pip-version-check --quiet --require-hashes --requirement .uv/requirements.txt
	@touch $@

# What runs. An environment of a Python that does not fit is made again.
$(RUN): requirements.lock setup.cfg pyproject.toml | $(UV)
	@echo "set-up: $$(grep -c '^[a-z]' requirements.lock) packages that run, into $(VENV)"
	@$(BIN)/python -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' 2>/dev/null || $(UV) venv --clear --python "$(PYTHON)" $(VENV) || { echo "Python 3.11, 3.12 or 3.13 is needed: none is here, and uv could not bring one."; exit 1; }
	@$(INSTALL) --require-hashes --requirement requirements.lock
	@$(INSTALL) --quiet --no-deps --editable .
	@touch $@

# What develops, on top.
$(DEV): requirements-dev.lock $(RUN)
	@echo "set-up: packages for tests and lint"
	@$(INSTALL) --require-hashes --requirement requirements-dev.lock
	@touch $@

demo: $(RUN) ## the whole system on real servers, with progress; leaves the stack up
	$(BIN)/meterlake demo

demo-telecom: $(RUN) ## events of three minutes become facts, are corrected, computed again, taken back
	$(BIN)/meterlake demo telecom --out out/demo-telecom

demo-half-hourly: $(RUN) ## files of meters and a database of agreements become tables, estimates and a bill
	$(BIN)/meterlake demo half-hourly --out out/demo-half-hourly

demo-utility: $(RUN) ## databases of two years and a month more become facts, figures and predictions, are taken back
	$(BIN)/meterlake demo utility --out out/demo-utility

notebooks: $(DEV) ## run the notebooks on the utility's lakehouse (make demo-utility fills one), into out/notebooks
	$(BIN)/python notebooks

test: check model spark integration ## all that a change must pass: lint, types, unit, the model, Spark and the real servers

test-pythons: fetch $(PYTHONS:%=.pythons/%) ## unit and Spark tests on every Python that is supported
	@for python in $(PYTHONS); do echo "Python $$python"; \
	.pythons/$$python/bin/pytest -m unit -n auto tests/unit && .pythons/$$python/bin/pytest -m "spark and not slow" -n 2 --dist worksteal tests/spark || exit 1; done

.pythons/%: requirements-dev.lock setup.cfg | $(UV)
	@echo "set-up: Python $*, into $@"
	@$(UV) venv --quiet --clear --python $* $@
	@VIRTUAL_ENV="$(CURDIR)/$@" $(UV) pip install --quiet --compile-bytecode --require-hashes --requirement requirements-dev.lock
	@VIRTUAL_ENV="$(CURDIR)/$@" $(UV) pip install --quiet --no-deps --editable .
	@touch $@

test-all: check model fetch ## the same and the slow tests
	$(PYTEST) -m spark -n 2 --dist worksteal tests/spark
	$(PYTEST) -m "integration and alone and (short or not chaos)" tests/integration
	$(PYTEST) -m "integration and not alone and (short or not chaos)" -n 2 --dist loadfile tests/integration

check: lint types unit ## lint, types and unit tests, in under a minute

lint: $(DEV)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --config setup.cfg

types: $(DEV)
	$(BIN)/mypy
	$(BIN)/mypy benchmarks/*.py
	$(BIN)/mypy benchmarks/peers/*.py

unit: $(DEV)
	$(PYTEST) -m unit -n auto tests/unit

model: $(DEV) ## random faults on a model of the whole system; METERLAKE_MODEL_SCHEDULES=10000 for more
	$(PYTEST) -m model --timeout 0 tests/model

spark: $(DEV) fetch ## the tests on a local Spark, but for the long ones, which are in `make test-all`
	$(PYTEST) -m "spark and not slow" -n 2 --dist worksteal tests/spark

integration: $(DEV) fetch ## the tests on the real servers, which they start and stop
	$(PYTEST) -m "integration and alone and not slow and (short or not chaos)" tests/integration
	$(PYTEST) -m "integration and not alone and not slow and (short or not chaos)" -n 2 --dist loadfile tests/integration

chaos: $(DEV) fetch ## every fault on the real servers; a short form of it is in `make integration`
	$(PYTEST) -m chaos tests/integration

bench: $(DEV) ## measurements, some hours; NAMES="producing binding" some of them, SMALL=1 whether they work
	$(BIN)/python -m benchmarks $(NAMES) $(if $(SMALL),--small)

fetch: $(RUN) ## download all servers into the cache, once
	$(BIN)/meterlake up --fetch-only

up down status: $(RUN) ## start, stop or show the servers
	$(BIN)/meterlake $@

format: $(DEV) ## format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

generate: $(DEV) ## write all generated files: DDL, schemas, dashboards, compose configuration, settings reference
	$(BIN)/meterlake ddl
	$(BIN)/meterlake dashboards
	$(BIN)/meterlake dags
	$(BIN)/meterlake powerbi telecom --write
	$(BIN)/meterlake dremio utility --write
	$(BIN)/python -m meterlake.reference
	$(BIN)/python -m meterlake.plan.coefficients
	$(BIN)/python -m stack.compose

COMPILE = $(UV) pip compile setup.cfg --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --quiet

lock: $(DEV) ## pin all versions again, for all Pythons: packages, jars, Java runtimes
	$(COMPILE) --upgrade --extra dev -o requirements-dev.lock
	cp requirements-dev.lock requirements.lock
	$(COMPILE) -o requirements.lock
	$(BIN)/python -m stack.runtime.lock

clean: ## stop the servers and remove the environment; data in .meterlake is kept
	-$(BIN)/meterlake down
	rm -rf $(VENV) .uv .pythons build dist *.egg-info .*_cache
