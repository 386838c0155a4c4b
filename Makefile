# make demo   the core in .venv, and what it says of the recordings in examples/
# make test   everything in .venv, and the test suite

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
CORE := $(VENV)/.core-installed
ALL := $(VENV)/.all-installed

.PHONY: demo test test-long check bench benchmark-archives benchmark-service benchmark-systems clean

demo: $(CORE)
	$(BIN)/voxtrait predict examples
	@echo
	$(BIN)/voxtrait predict examples/interview.m4a --segments --speakers

test: $(ALL)
	$(BIN)/python -m pytest -m "not long"

test-long: $(ALL)
	$(BIN)/python -m pytest -m long

check: $(ALL)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Needs the labelled speech in ../shared/data. Training and accuracy take a quarter of an hour each.
bench: $(ALL)
	$(BIN)/voxtrait train recipes/base.yaml
	$(BIN)/python benchmarks/accuracy.py recipes/base.yaml runs/base
	$(BIN)/python benchmarks/baselines.py recipes/base.yaml
	$(BIN)/python benchmarks/speed.py --ten-hours

# Archives: half an hour on two cores.
benchmark-archives: $(ALL)
	$(BIN)/python benchmarks/annotate.py
	$(BIN)/python benchmarks/stages.py -o docs/stages.md

# The service: some minutes on two cores.
benchmark-service: $(ALL)
	$(BIN)/python benchmarks/serve_load.py
	$(BIN)/python benchmarks/live_latency.py -o docs/live-latency.md

# Every system on the Common Voice releases in ../shared/data, two and a half minutes of processor time a task.
benchmark-systems: $(ALL)
	$(BIN)/python benchmarks/systems.py ../shared/data
	$(BIN)/python benchmarks/systems_page.py

clean:
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find src tests benchmarks examples -name __pycache__ -prune -exec rm -rf {} +

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(CORE): pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) install --constraint constraints.txt --editable .
	touch $@

# Torch first and by its exact version: a loose range takes a CUDA build of several GB. Resemblyzer only
# lends the starting weights of a training: nothing that it asks for is used.
$(ALL): pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) install --constraint constraints.txt torch==2.13.0
	$(PIP) install --constraint constraints.txt --editable '.[dev]'
	$(PIP) install --no-deps Resemblyzer==0.1.4
	touch $@ $(CORE)
