# make book   the book, built from clean, warnings as errors
# make test   the same build, then every check and test
# make test-all   what takes longer: a second clean build, and everything under other matrix kernels
# The environment is .venv; it is installed again when a requirements file changes.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
SHELL := /bin/bash

# The first Python that is new enough. `make book PYTHON=/path/to/python3` chooses another one.
PYTHON ?= $(firstword $(foreach p,python3 python3.13 python3.12 python3.11 python3.14 python,\
	$(shell $(p) -c 'import sys; sys.version_info >= (3, 11) and print("$(p)")' 2>/dev/null)))

VENV := .venv
BIN := $(VENV)/bin
VENV_BENCH := .venv-bench
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
HTML := _build/html
# A build that counts: -W warnings are errors, -n undefined references are warnings, --keep-going reports them all.
BUILD := $(BIN)/jupyter-book build -W -n --keep-going

.PHONY: help book test test-all lab bench picture lock clean distclean

help: ## say what there is to make
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /make \1 /' \
		| while read -r make goal words; do printf '  make %-10s %s\n' "$$goal" "$$words"; done

book: $(VENV)/.book ## build the book from clean, warnings as errors
	rm -rf _build
	$(BUILD) .
	@echo
	@echo "The book: $(CURDIR)/$(HTML)/index.html"

test: $(VENV)/.test ## check style and types, build the book, run every test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(MAKE) book
	$(BIN)/python -m pytest

test-all: $(VENV)/.test ## after make test: build a second time, run chapters and package under other matrix kernels
	@test -e $(HTML)/index.html || $(MAKE) book
	$(BIN)/python -m pytest -m everywhere

lab: $(VENV)/.lab ## open the chapters in JupyterLab
	$(BIN)/jupyter lab --LabApp.default_url=/lab/tree/book/forward.ipynb

bench: $(VENV)/.test $(VENV_BENCH)/.bench ## measure everything again (PART=step|memory|startup|depth|sweeps|book, QUICK=1)
	$(BIN)/python -m benchmarks --python $(VENV_BENCH)/bin/python $(if $(QUICK),--quick) $(PART)

picture: $(VENV)/.test ## photograph the built book for the README
	@test -e $(HTML)/index.html || $(MAKE) book
	$(BIN)/python scripts/picture.py $(HTML) docs-picture.png

lock: $(VENV)/.python ## write constraints.txt anew from the requirements
	$(PIP) uv==0.13.8
	{ echo "# Every package of the environment at the version that is tested, for Python 3.11 and newer. Written by \`make lock\`."; \
	  grep -hv '^-' requirements.txt requirements-test.txt requirements-lab.txt \
	  | $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --all-extras --strip-extras \
	    --no-emit-package mlp --no-annotate --no-header --no-emit-index-url pyproject.toml - ; } > constraints.new
	mv constraints.new constraints.txt

clean: ## remove what was built
	rm -rf _build build .pytest_cache .mypy_cache .ruff_cache .hypothesis

distclean: clean ## remove the environment too
	rm -rf $(VENV) $(VENV_BENCH) mlp.egg-info

# ---- the environment -----------------------------------------------------------------------------------------

$(VENV)/.python:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed: none of python3, python3.11 ... is." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.book: requirements.txt constraints.txt pyproject.toml | $(VENV)/.python
	$(PIP) -r requirements.txt
	@touch $@

$(VENV)/.test: requirements-test.txt requirements-lab.txt scripts/browser.sh $(VENV)/.book
	$(PIP) -r requirements-test.txt
	bash scripts/browser.sh $(BIN)/python
	@touch $@

# JupyterLab keeps the views of a saved notebook, and nbconvert shows their figures: settings of this environment alone.
$(VENV)/.lab: requirements-lab.txt $(shell find jupyter -type f) $(VENV)/.book
	$(PIP) -r requirements-lab.txt
	cp -R jupyter/. $(VENV)
	@touch $@

$(VENV_BENCH)/.bench: requirements-bench.txt constraints.txt pyproject.toml
	$(PYTHON) -m venv $(VENV_BENCH)
	$(VENV_BENCH)/bin/python -m pip install --quiet --disable-pip-version-check -r requirements-bench.txt
	@touch $@
