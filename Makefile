# Everything from nothing but Python and pip:   make demo   make test
# Variables:  PYTHON=python3.12   VENV=/elsewhere   TORCH_INDEX=URL

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# Where the CPU build of torch lies that constraints.txt pins on Linux. Asked for torch alone, and only where pip finds it
# nowhere else (a local folder, a mirror, PyPI on macOS).
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu
# More words for pytest, for instance  make test PYTEST="-n 2 tests/data". Several processes are not the default: two were
# no faster than one when last measured, on two busy cores (torch uses both by itself), and tests that measure time lose by it.
PYTEST ?=
# Steps of the benchmark of training: enough to see that it runs; a number to quote needs 100.
STEPS ?= 10
# Images of the benchmark of evaluation: a number to quote needs all 233 of CamVid's test split.
IMAGES ?= 30

PIP := $(BIN)/python -m pip --disable-pip-version-check
INPUTS := pyproject.toml constraints.txt
USER_READY := $(VENV)/.pixelwise-user
DEV_READY := $(VENV)/.pixelwise-dev

.PHONY: help setup demo test test-slow check format bench
.DELETE_ON_ERROR:

help:
	@echo "make demo       segment the photographs of examples/photographs and say where the pictures are"
	@echo "make test       the tests that take minutes"
	@echo "make test-slow  the long ones: reproductions, full-size parities, built packages"
	@echo "make check      format, lint, types, architecture"
	@echo "make format     let ruff put the files in order"
	@echo "make bench      the benchmarks"
	@echo "make setup      only the virtual environment ($(VENV)) with everything in it; the others call it"

setup: $(DEV_READY)

demo: $(USER_READY)
	$(BIN)/pixelwise predict animals examples/photographs --out demo --overlay
	@echo "The pictures are in $(CURDIR)/demo"

test: $(DEV_READY)
	$(BIN)/python -m pytest -m "not slow" $(PYTEST)

test-slow: $(DEV_READY)
	$(BIN)/python -m pytest -m slow $(PYTEST)

check: $(DEV_READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q tests/test_architecture.py

format: $(DEV_READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(DEV_READY)
	$(BIN)/python benchmarks/import_time.py
	$(BIN)/python benchmarks/train.py --steps $(STEPS)
	$(BIN)/python benchmarks/evaluate.py --images $(IMAGES)
	$(BIN)/python benchmarks/crf.py --runs 3
	$(BIN)/python benchmarks/crf_tiles.py --images 1

# The stamps lie in the environment, so that removing it removes them; they are older than a changed INPUT, so that a new
# dependency is installed and nothing is installed twice.
$(USER_READY): $(BIN)/python $(INPUTS)
	$(install_torch)
	@$(PIP) install -qq -c constraints.txt -e '.[all]'
	@touch $@

$(DEV_READY): $(BIN)/python $(INPUTS)
	$(install_torch)
	@$(PIP) install -qq -c constraints.txt -e '.[all,dev]'
	@touch $(USER_READY) $@

define install_torch
@echo "installing into $(VENV) (once; some minutes) ..."
@$(PIP) install -qq --no-deps -c constraints.txt torch >/dev/null 2>&1 || \
	$(PIP) install -qq --no-deps -c constraints.txt --index-url $(TORCH_INDEX) torch
endef

# Some distributions ship `venv` without pip in it; then the pip outside fills the environment.
$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "pixelwise needs Python 3.11 or newer; name one:  make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) 2>/dev/null || \
		{ $(PYTHON) -m venv --clear --without-pip $(VENV) && $(PYTHON) -m pip --python $(BIN)/python install -qq pip; }
