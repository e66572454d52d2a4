# make test: set everything up and run the tests, on a machine that has only Python 3.11 and make
#
# Tools run as `python -m`, not by their scripts: a script's first line breaks where the path of the
# clone has a space, or once the clone is moved.
PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python
READY := $(VENV)/ready

CLIENTS := .venv-clients
RUN_CLIENTS := $(CLIENTS)/bin/python

# modules are compiled when they are first loaded: most never are
INSTALL := -m pip install --quiet --no-compile

# each core has a process: threads of BLAS beside them only wait
PYTEST := OMP_NUM_THREADS=1 $(RUN) -m pytest -n 2 --dist loadfile

.PHONY: test quick test-clients test-browser demo real lint types bench bench-quick docs notebook pages picture psf validation fuzz mutants dist clean

test: $(READY)  ## all tests
	$(PYTEST)

quick: $(READY)  ## all that is not marked slow, laws on fewer examples; PATHS="tests/sky" for some
	HYPOTHESIS_PROFILE=quick $(PYTEST) -q -m "not slow" $(PATHS)

demo: $(VENV)/installed  ## make up a field, do the whole job on it, compare it with the truth
	$(RUN) -m hstcube demo hstcube_demo --overwrite

real: $(READY)  ## only what needs real images: HSTCUBE_XDF=FOLDER HSTCUBE_SURVEYS=FOLDER make real
	$(RUN) -m pytest -m real tests

test-clients: $(CLIENTS)/ready  ## the SED-fitting codes themselves on our exports: EAZY, bagpipes, LePHARE, Prospector
	HSTCUBE_CLIENTS="$(CURDIR)/$(CLIENTS)/templates" $(RUN_CLIENTS) -m pytest -p no:cacheprovider -o addopts= -o filterwarnings=default -q tests/clients

test-browser: $(READY)  ## the pages of reports in headless Chromium, which must be there
	$(RUN) $(INSTALL) "playwright>=1.50"
	HSTCUBE_BROWSER=required $(PYTEST) -q tests/report/test_browser.py

lint: $(READY)
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .

types: $(READY)
	$(RUN) -m mypy

pages: $(READY)  ## docs/errors.md and docs/catalogue.md, from the codes and the table of cases
	$(RUN) docs/make_errors.py

docs: $(READY)  ## the site, in docs/_build/html, notebooks run; every warning is an error
	$(RUN) $(INSTALL) --group docs
	$(RUN) -m sphinx -q -W --keep-going docs docs/_build/html

notebook: $(READY)  ## open the first notebook in Jupyter
	$(RUN) $(INSTALL) "jupyterlab>=4"
	$(RUN) -m jupyter lab notebooks/01_first_cube.ipynb

bench: $(READY)
	$(RUN) benchmarks/run.py
	$(RUN) benchmarks/numerics.py

bench-quick: $(READY)  ## whole runs, the recipe, kernels, noise and bins: below three minutes
	$(RUN) benchmarks/run.py --quick
	$(RUN) benchmarks/numerics.py

picture: $(READY)  ## the picture of the README, from the XDF stamps in HSTCUBE_XDF
	$(RUN) docs/make_picture.py docs/images/galaxy.png

psf: $(READY)  ## docs/psf.md and its pictures, from the XDF stars in HSTCUBE_XDF
	$(RUN) docs/make_psf.py

validation: $(READY)  ## docs/validation.md: scenes by GalSim, photutils, vorbin, exact operators
	$(RUN) $(INSTALL) galsim vorbin
	$(RUN) docs/make_truth.py
	$(RUN) docs/make_validation.py

fuzz: $(READY)  ## one way in: make fuzz DOOR=levels RUNS=3000; without: headers, by coverage, for ten minutes
ifdef DOOR
	$(RUN) tests/fuzz/doors.py $(DOOR) $(if $(RUNS),--runs $(RUNS)) $(if $(SEED),--seed $(SEED)) --jobs 2
else
	$(RUN) $(INSTALL) atheris
	$(RUN) tests/fuzz/fuzz_headers.py --atheris --seconds 600
endif

mutants: $(READY)  ## break the code by hand's mistakes, 60 for each of three seeds; write docs/mutants.md
	$(RUN) tests/mutants.py

dist: $(READY)  ## wheel and source archive, in dist/
	rm -rf dist
	$(RUN) $(INSTALL) --group dist
	$(RUN) -m build

$(VENV)/installed: pyproject.toml
	"$(PYTHON)" -m venv $(VENV)
	$(RUN) $(INSTALL) --upgrade "pip>=25.1"
	$(RUN) $(INSTALL) --editable .
	touch $@

$(READY): $(VENV)/installed
	$(RUN) $(INSTALL) --editable . --group test --group lint
	touch $@

$(CLIENTS)/ready: pyproject.toml
	"$(PYTHON)" -m venv $(CLIENTS)
	$(RUN_CLIENTS) $(INSTALL) --upgrade "pip>=25.1"
	$(RUN_CLIENTS) $(INSTALL) --editable . pytest eazy bagpipes lephare astro-prospector astro-sedpy matplotlib
	$(RUN_CLIENTS) -m pip download --quiet --no-deps --no-binary grizli -d $(CLIENTS)/sdist grizli
	mkdir -p $(CLIENTS)/templates
	tar -xzf $(CLIENTS)/sdist/grizli-*.tar.gz -C $(CLIENTS)/templates --strip-components=5 --wildcards '*/data/templates/fsps/fsps_QSF_12_v3[._]*'
	touch $@

clean:
	rm -rf $(VENV) $(CLIENTS) build docs/_build docs/_made docs/jupyter_execute dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage
