# The main targets: `make` runs the study, `make test` the tests. Each sets up what it needs, once, in .venv/.
PYTHON ?= python3
VENV := .venv
AUDIT := .venv-audit
UV := .venv-uv
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)

.PHONY: study sweep tune ship test test-slow bench requirements audit help
.DEFAULT_GOAL := study

study: $(VENV)/study ## run the study; what has not changed is skipped (requirements.txt; a minute)
	@echo "== dvc repro: run every stage whose data, parameters or code changed"
	dvc repro
	dvc metrics show
	@echo "== the pictures are in plots/images/; dvc plots show makes a web page of them"

sweep: $(VENV)/pretrained ## all dense embeddings but glove, compared (requirements-pretrained.txt; an hour)
	dvc exp run --queue -S featurize_dense.embedding=learned,word2vec,static,encoder,finetuned
	dvc exp run --run-all
	python src/compare.py

tune: $(VENV)/tune ## search for training parameters, with the same budget for both arms (requirements-tune.txt; ten minutes)
	python src/tune.py

ship: study ## retrain both arms on all posts, into shipped/ (half a minute more)
	@echo "== src/ship.py: both arms trained again on all posts; the study's own models and scores stay as they are"
	python src/ship.py

test: $(VENV)/dev ## lint, types, pytest (requirements-dev.txt; five to ten minutes)
	@echo "== ruff, mypy, pytest"
	ruff check
	ruff format --check
	mypy
	pytest -n 2 --dist loadfile --no-loadscope-reorder

test-slow: $(VENV)/dev ## simulations, kills, fuzzing, a browser if there is one (requirements-dev.txt; an hour)
		pytest -m slow -o faulthandler_timeout=0

bench: $(VENV)/bench ## both arms and the baselines on the posts in DATA=folder (requirements-bench.txt; 45 minutes)
	@test -n "$(DATA)" || { echo "name the folder of the posts: make bench DATA=folder"; exit 1; }
	python benchmarks/bench.py --data "$(DATA)"

# What torch's build for NVIDIA's GPUs brings along is not pinned, so that the files work with each of its builds.
NVIDIA := cuda-bindings cuda-toolkit nvidia-cudnn-cu13 nvidia-cusparselt-cu13 nvidia-nccl-cu13 nvidia-nvshmem-cu13 triton
PIN = printf '%s\n' $(NVIDIA) | UV_CUSTOM_COMPILE_COMMAND="make requirements" $(UV)/bin/uv pip compile pyproject.toml \
	--quiet --universal --python-version 3.11 --no-annotate --excludes - $(UPGRADE) --output-file

requirements: $(UV)/bin/uv ## pin what pyproject.toml names; UPGRADE=--upgrade takes the newest (uv, in .venv-uv/; a minute)
	@echo "== pins that pyproject.toml still allows are kept; those of requirements-dev.txt hold in every file"
	@$(PIN) requirements-dev.txt --extra dev
	@$(PIN) requirements.txt --constraints requirements-dev.txt
	@$(PIN) requirements-pretrained.txt --constraints requirements-dev.txt --extra pretrained
	@$(PIN) requirements-onnx.txt --constraints requirements-dev.txt --extra onnx
	@$(PIN) requirements-serve.txt --constraints requirements-dev.txt --extra serve
	@$(PIN) requirements-tune.txt --constraints requirements-dev.txt --extra tune
	@$(PIN) requirements-ray.txt --constraints requirements-dev.txt --extra ray
	@$(PIN) requirements-bench.txt --constraints requirements-dev.txt --extra bench

audit: $(AUDIT)/bin/pip-audit ## check the pinned packages for known vulnerabilities (pip-audit, in .venv-audit/; a minute)
	$< --strict --no-deps --disable-pip $(patsubst %,--requirement %,$(wildcard requirements*.txt))

help: ## this list
	@echo "make TARGET (what it installs, once, in .venv/; how long it then takes, roughly, on two cores)"
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

# uv, where it is there, installs the same pins in seconds; UV_TORCH_BACKEND=cpu then takes torch's CPU build.
INSTALL := $(if $(shell command -v uv),uv pip install --quiet --compile-bytecode --python $(VENV),pip install --quiet --disable-pip-version-check)

# benchmarks/ and notebooks use an editable install of the library; the stages do not need it.
LIBRARY = $(INSTALL) --no-deps --no-build-isolation --editable .

$(VENV)/bin/pip:
	@echo "== a virtual environment in $(VENV)/"
	$(PYTHON) -m venv $(VENV)

$(VENV)/study: requirements.txt | $(VENV)/bin/pip
	@echo "== installing what the study needs: $<"
	$(INSTALL) -r $<
	@touch $@

$(VENV)/pretrained: requirements-pretrained.txt | $(VENV)/bin/pip
	@echo "== installing what pretrained embeddings need: $<"
	$(INSTALL) -r $<
	$(LIBRARY)
	@touch $@

$(VENV)/tune: requirements-tune.txt | $(VENV)/bin/pip
	@echo "== installing what the search for parameters needs: $<"
	$(INSTALL) -r $<
	@touch $@

$(VENV)/dev: requirements-dev.txt | $(VENV)/bin/pip
	@echo "== installing what the tests need: $<"
	$(INSTALL) -r $<
	$(LIBRARY)
	@touch $@

$(VENV)/bench: requirements-bench.txt | $(VENV)/bin/pip
	@echo "== installing what the benchmarks need: $<"
	$(INSTALL) -r $<
	$(LIBRARY)
	@touch $@

$(AUDIT)/bin/pip-audit:
	@echo "== installing pip-audit in $(AUDIT)/"
	$(PYTHON) -m venv $(AUDIT)
	$(AUDIT)/bin/pip install --quiet --disable-pip-version-check pip-audit==2.9.0

$(UV)/bin/uv:
	@echo "== installing uv in $(UV)/"
	$(PYTHON) -m venv $(UV)
	$(UV)/bin/pip install --quiet --disable-pip-version-check uv==0.13.9
