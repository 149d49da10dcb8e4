# Everything runs from .venv, made from constraints.txt. `make help` is made from the comments behind the targets.
PYTHON ?= python3
BIN := .venv/bin
SWEEP := $(BIN)/hybrid-sweep
DATA ?= debian
.DEFAULT_GOAL := help
# Compiled files are kept, wherever the environment says otherwise: a test starts many processes.
export PYTHONDONTWRITEBYTECODE :=
.PHONY: help install reproduce smoke test test-slow test-gpu bench experiments site lint format clean
# uv installs the same versions in a fraction of the time, where it is there.
UV := $(shell command -v uv 2>/dev/null)
PIP := $(if $(UV),$(UV) pip install --python $(BIN)/python,$(BIN)/python -m pip install)

help:  ## Show the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | awk -F'\t' '{printf "make %-12s %s\n", $$1, $$2}'

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(if $(UV),,$(PIP) --quiet --upgrade pip)
	$(PIP) --quiet -c constraints.txt -e '.[cpu,dev]'
	@touch $@

install: .venv/installed  ## Make .venv with the pinned versions (about two minutes)

reproduce: install  ## Draw the first curve: corpus, 7 ratios x 3 seeds on the CPU, report (DATA=synthetic needs no network)
	@$(SWEEP) run -m experiment=reproduce $(if $(filter-out debian,$(DATA)),data=$(DATA) sweep.name=reproduce-$(DATA)) \
	  && $(SWEEP) report outputs/sweeps/reproduce$(if $(filter-out debian,$(DATA)),-$(DATA))

smoke: install  ## The whole path on generated text: 3 ratios x 2 seeds, under a minute
	@$(SWEEP) run -m experiment=smoke && $(SWEEP) report outputs/sweeps/smoke

test: install  ## The test suite, two tests at a time, no network, about 7 minutes
	$(BIN)/python -m pytest -n 2 --dist loadfile

test-slow: install  ## The long tests, three at a time (many wait for processes of their own), about 30 minutes on two cores
	$(BIN)/python -m pytest -m slow -n 3 --dist worksteal

test-gpu: install  ## The tests that need a GPU; skipped elsewhere
	$(BIN)/python -m pytest tests/test_gpu.py tests/test_gpu_runs.py

bench: install  ## Training and ranking beside sentence-transformers, memory, sizes (ME5=FOLDER, XQUAD_R=FOLDER: the real ones)
	$(PIP) --quiet -c constraints.txt -e '.[cpu,dev,bench]'
	$(BIN)/python benchmarks/train.py --model tiny
	$(if $(ME5),$(BIN)/python benchmarks/train.py --model $(ME5) --layers 4)
	$(if $(ME5),$(BIN)/python benchmarks/train.py --model $(ME5))
	$(BIN)/python benchmarks/memory.py
	$(BIN)/python benchmarks/loss.py
	$(BIN)/python benchmarks/size.py
	$(BIN)/python benchmarks/engine.py
	$(BIN)/python benchmarks/digests.py
	$(BIN)/python benchmarks/report.py
	$(BIN)/python benchmarks/languages.py
	$(BIN)/python benchmarks/ranking.py --share 10
	$(BIN)/python benchmarks/ranking.py --passages 1000000 --queries 7000
	$(if $(ME5),$(if $(XQUAD_R),$(BIN)/python benchmarks/evaluate.py --model $(ME5) --data $(XQUAD_R)))

lint: install  ## Style, types and the order of the rooms
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy && $(BIN)/lint-imports --no-cache

format: install  ## Put the code into its one form
	$(BIN)/ruff check --fix . && $(BIN)/ruff format .

experiments: install  ## Make each published table of experiments/ anew from its published per-query rows, and compare
	$(SWEEP) freeze --check $(patsubst %/runs.json,%,$(wildcard experiments/*/runs.json))

site: install  ## The site in build/site/html: docs, notebook, published reports; links are checked
	$(PIP) --quiet -c constraints.txt -e '.[cpu,dev,site]'
	$(BIN)/python docs/make/site.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

clean:  ## Remove .venv and caches; outputs and built collections stay
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis build dist *.egg-info
	find . -name __pycache__ -prune -exec rm -rf {} +
