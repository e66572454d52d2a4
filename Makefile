# make test: set everything up and run the tests, on a machine that has only Python 3.11 and make
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/ready

.PHONY: test real lint types bench picture clean

test: $(READY)
	$(BIN)/pytest -n 2 --dist loadfile

real: $(READY)  ## only what needs the XDF stamps: HSTCUBE_XDF=FOLDER make real
	$(BIN)/pytest -m real tests

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY)
	$(BIN)/mypy

bench: $(READY)
	$(BIN)/python benchmarks/run.py

picture: $(READY)  ## the picture of the README, from the XDF stamps in HSTCUBE_XDF
	$(BIN)/python docs/make_picture.py docs/images/galaxy.png

$(READY): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade "pip>=25.1"
	$(BIN)/pip install --quiet --editable . --group test --group lint
	touch $@

clean:
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
