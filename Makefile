# SPDX-License-Identifier: Apache-2.0
# gdzoo: `make demo` shows what it does, `make test` tests it. Both start from a bare Debian or Ubuntu with
# Python 3.11 or newer, make and git. PYTHON=python3.12 picks the interpreter that makes .venv.

SHELL := /bin/sh
BIN := .venv/bin
PINS := pyproject.toml constraints.txt
# At most four processes, each with whole files of tests, in the order that tests/conftest.py gives them.
PYTEST := $(BIN)/pytest -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder
MAKEFLAGS += --no-print-directory
export PYTHON
export PYTHONUNBUFFERED := 1
export OMP_NUM_THREADS ?= 1

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:
.PHONY: help install demo data test test-all slow lint pictures schema constraints clean chromium postgres datafiles

help: ## say what can be made
	@echo "make ..."
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  \1\t\2/p' Makefile | expand -t 15

install: .venv/.installed ## make .venv with the exact versions of constraints.txt

demo: install ## install, run specs/quickstart and build the page (minutes; the first row is there in one)
	@$(BIN)/gdzoo store init
	@$(BIN)/gdzoo run specs/quickstart --page
	@echo "Open that page in a browser. MLflow's own UI on the same runs: $(BIN)/gdzoo ui"

data: install datafiles ## bring the real Fashion-MNIST, 70,000 images, with no network but Debian's (a minute)
	@$(BIN)/gdzoo data prepare fashion_mnist --from /usr/share/datasets/fashion-mnist

test: .venv/.installed-test chromium postgres datafiles lint ## install all that the tests need, Chromium included, and run them
	@$(PYTEST)

test-all: test ## the same, then the larger cases of what they promise, as continuous integration does
	@$(PYTEST) -m "thorough and not slow"

slow: .venv/.installed-test chromium postgres datafiles ## run the tests that take minutes (hours together)
	@$(BIN)/pytest -m slow

lint: .venv/.installed-test ## check style and types
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy

pictures: .venv/.installed-test chromium ## take the pictures of the README, after make demo
	@$(BIN)/python scripts/pictures.py

schema: install ## write specs/schema.json, which editors read, from harness/config
	@$(BIN)/python -m harness.specs > specs/.schema.json.new
	@mv specs/.schema.json.new specs/schema.json

constraints: ## write constraints.txt anew from the lower bounds of pyproject.toml (needs the package index)
	@scripts/setup.sh constraints

clean: ## remove caches and the built site; runs, store and .venv stay
	@rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis build site gdzoo.egg-info
	@find . -name __pycache__ -type d -not -path './.venv/*' -prune -exec rm -rf {} +

chromium:
	@scripts/setup.sh chromium

postgres:
	@scripts/setup.sh postgres

datafiles:
	@scripts/setup.sh data

.venv/.installed: $(PINS)
	@scripts/setup.sh packages

.venv/.installed-test: $(PINS)
	@scripts/setup.sh packages test
