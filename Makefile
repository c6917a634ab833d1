# Two targets do all: `make` runs the study, `make test` the tests. Each sets up what it needs, once, in .venv/.
PYTHON ?= python3
VENV := .venv
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)

.PHONY: study sweep test test-slow bench help
.DEFAULT_GOAL := study

study: $(VENV)/study ## set up the study and run it; what has not changed is skipped
	@echo "== dvc repro: run every stage whose data, parameters or code changed"
	dvc repro
	dvc metrics show
	@echo "== the pictures are in plots/images/; dvc plots show draws them for the browser"

sweep: $(VENV)/pretrained ## every dense embedding as an experiment, in a queue, and all of them in a table
	dvc exp run --queue -S featurize_dense.embedding=learned,word2vec,static,encoder,finetuned
	dvc exp run --run-all
	dvc exp show --only-changed --drop '.*/.*'

test: $(VENV)/dev ## set up the tests and run them: lint, types, pytest
	@echo "== ruff, mypy, pytest"
	ruff check
	ruff format --check
	mypy
	pytest -n 2 --dist loadfile

test-slow: $(VENV)/dev ## the slow cases: a thousand simulated studies; plots in a real browser (needs Chromium and npm)
	pytest -m slow

bench: $(VENV)/bench ## set up the peers and run them beside both arms on real posts (see benchmarks/)
	python benchmarks/compare.py

help: ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

$(VENV)/bin/pip:
	@echo "== a virtual environment in $(VENV)/"
	$(PYTHON) -m venv $(VENV)

$(VENV)/study: requirements.txt | $(VENV)/bin/pip
	@echo "== installing what the study needs: $<"
	pip install --quiet --disable-pip-version-check -r $<
	@touch $@

$(VENV)/pretrained: requirements-pretrained.txt requirements.txt | $(VENV)/bin/pip
	@echo "== installing what pretrained embeddings need: $<"
	pip install --quiet --disable-pip-version-check -r $<
	@touch $@

$(VENV)/dev: requirements-dev.txt requirements-pretrained.txt requirements.txt | $(VENV)/bin/pip
	@echo "== installing what the tests need: $<"
	pip install --quiet --disable-pip-version-check -r $<
	@touch $@

$(VENV)/bench: requirements-bench.txt requirements.txt | $(VENV)/bin/pip
	@echo "== installing what the benchmarks need: $<"
	pip install --quiet --disable-pip-version-check -r $<
	@touch $@
