# Each target makes the virtual environment .venv at first use. Needs Python 3.11, 3.12 or 3.13
# (on Debian: apt install python3-venv make); another interpreter: make PYTHON=python3.12 test
PYTHON ?= python3
BIN := .venv/bin
TEST := $(BIN)/python -m pytest -n auto --maxprocesses 8

.PHONY: demo lint test test-all test-random clean

demo: .venv/installed-all     ## fit the facial spectra that come with the library; table, result file, figure
	$(BIN)/msfit demo

lint: .venv/installed-test    ## style, types, and which room may import which
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

test: .venv/installed-test    ## the fast tests
	$(TEST)

test-random: .venv/installed-test ## the same in an order that changes; its seed is printed, -p randomly -p "randomly_seed=N" repeats it
	$(TEST) -p randomly

test-all: .venv/installed-test ## the slow tests too
	$(TEST) -m ""

clean:
	rm -rf .venv

.venv/installed-%: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[$*]'
	touch $@
