# Each target makes the virtual environment .venv at first use. Needs Python 3.11, 3.12 or 3.13
# (on Debian: apt install python3-venv make); another interpreter: make PYTHON=python3.12 test
PYTHON ?= python3
comma := ,
BIN := .venv/bin
# peers: what the fit is compared with (JAX, cvxpy, ...): make EXTRAS=test,peers test
EXTRAS ?= test
INSTALLED := .venv/installed-$(subst $(comma),-,$(EXTRAS))
TEST := $(BIN)/python -m pytest -n auto --maxprocesses 8 --dist worksteal

SLOW := $(addprefix tests/, benchmarks/test_certificate.py benchmarks/test_peers.py biofacenet/test_processes.py \
  biofacenet/test_training.py io/test_fuzz.py io/test_issa.py skin/test_calibrated.py solve/test_proximal_newton.py \
  solve/test_robust.py solve/test_routes.py solve/test_solver.py test_channels.py test_design.py test_plot.py)

.PHONY: demo dist docs links lint test test-all test-random test-slow clean

demo: .venv/installed-all     ## fit the facial spectra that come with the library; table, result file, figure
	$(BIN)/msfit demo

lint: $(INSTALLED)    ## style, types, and which room may import which
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

test: $(INSTALLED)    ## the fast tests
	$(TEST)

test-random: $(INSTALLED) ## the same in an order that changes; its seed is printed, -p randomly -p "randomly_seed=N" repeats it
	$(TEST) -p randomly

test-slow: $(INSTALLED) ## of the slow tests those of seconds: larger sets of what the fast ones ask for
	$(TEST) -m slow $(SLOW) -k "not best_of_twenty and not gpus"

docs: .venv/installed-docs-all    ## the site, in build/docs: warnings are errors, examples are run
	$(BIN)/python -m sphinx -W --keep-going -b html docs build/docs

links: .venv/installed-docs-all    ## asks every other machine that the site links to; needs the internet
	$(BIN)/python -m sphinx -b linkcheck docs build/links

test-all: $(INSTALLED) ## the slow tests too
	HYPOTHESIS_PROFILE=thorough $(TEST) -m ""

dist: .venv/installed-docs-all    ## wheel and source archive, checked as the package index checks them
	rm -rf dist
	$(BIN)/python -m build
	$(BIN)/python -m twine check --strict dist/*

clean:
	rm -rf .venv build dist

.venv/installed-%: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[$(subst -,$(comma),$*)]'
	touch $@
