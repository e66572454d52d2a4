# make test: set everything up and run the tests, on a machine that has only Python 3.11 and make
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/ready

CLIENTS := .venv-clients

.PHONY: test test-clients demo real lint types bench pages picture psf fuzz clean

test: $(READY)
	$(BIN)/pytest -n 2 --dist loadfile
	$(BIN)/pytest --nbmake -p no:cacheprovider -o addopts= -o filterwarnings=default notebooks

demo: $(VENV)/installed  ## make up a field, do the whole job on it, compare it with the truth
	$(BIN)/hstcube demo hstcube_demo --overwrite

real: $(READY)  ## only what needs the XDF stamps: HSTCUBE_XDF=FOLDER make real
	$(BIN)/pytest -m real tests

test-clients: $(CLIENTS)/ready  ## the SED-fitting codes themselves on our exports: EAZY, bagpipes, Prospector
	HSTCUBE_CLIENTS=$(abspath $(CLIENTS)/templates) $(CLIENTS)/bin/pytest -p no:cacheprovider -o addopts= -o filterwarnings=default -q tests/clients

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY)
	$(BIN)/mypy

pages: $(READY)  ## docs/errors.md and docs/catalogue.md, from the codes and the table of cases
	$(BIN)/python docs/make_errors.py

bench: $(READY)
	$(BIN)/python benchmarks/run.py

picture: $(READY)  ## the picture of the README, from the XDF stamps in HSTCUBE_XDF
	$(BIN)/python docs/make_picture.py docs/images/galaxy.png

psf: $(READY)  ## docs/psf.md and its pictures, from the XDF stars in HSTCUBE_XDF
	$(BIN)/python docs/make_psf.py

fuzz: $(READY)  ## mutated headers, led by coverage, for ten minutes
	$(BIN)/pip install --quiet atheris
	$(BIN)/python tests/fuzz/fuzz_headers.py --atheris --seconds 600

$(VENV)/installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade "pip>=25.1"
	$(BIN)/pip install --quiet --editable .
	touch $@

$(READY): $(VENV)/installed
	$(BIN)/pip install --quiet --editable . --group test --group lint
	touch $@

$(CLIENTS)/ready: pyproject.toml
	$(PYTHON) -m venv $(CLIENTS)
	$(CLIENTS)/bin/pip install --quiet --upgrade "pip>=25.1"
	$(CLIENTS)/bin/pip install --quiet --editable . pytest eazy bagpipes astro-prospector astro-sedpy matplotlib
	$(CLIENTS)/bin/pip download --quiet --no-deps --no-binary grizli -d $(CLIENTS)/sdist grizli
	mkdir -p $(CLIENTS)/templates
	tar -xzf $(CLIENTS)/sdist/grizli-*.tar.gz -C $(CLIENTS)/templates --strip-components=5 --wildcards '*/data/templates/fsps/fsps_QSF_12_v3[._]*'
	touch $@

clean:
	rm -rf $(VENV) $(CLIENTS) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
