# Everything runs in .venv; an environment that is up to date is used again.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
DATA ?=
OUT ?= out/demo
JOBS ?= 2

.PHONY: help install demo test test-fast lint bench docs examples clean
help:
	@echo "make demo [DATA=folder]  the main job, from nothing to report.html"
	@echo "make test                the test suite, offline; JOBS=2 processes"
	@echo "make test-fast           the tests that take under two seconds each"
	@echo "make docs                the documentation site, into site/"
	@echo "make lint | bench | examples | install | clean"

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit("crossband needs Python 3.11 or newer; run make PYTHON=python3.11" if sys.version_info < (3, 11) else 0)'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

install: $(STAMP)

demo: install
	$(BIN)/crossband demo $(if $(DATA),--data "$(DATA)") --out "$(OUT)"

test: install
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS) --dist worksteal

test-fast: install
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS) --dist worksteal -m "not slow"

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: install
	$(BIN)/python -m benchmarks

docs: install
	$(BIN)/python docs/build.py
	$(BIN)/mkdocs build --quiet

examples: install
	$(BIN)/python -m pytest tests/test_examples.py

clean:
	rm -rf $(VENV) out build site
