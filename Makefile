# Two commands on a fresh machine: `make quickstart` and `make test`.
VENV ?= .venv
PYTHON ?= $(shell command -v python3.11 || command -v python3)
SEED ?= 0
RUN ?= runs/quickstart
REPORT ?= report
PY := $(VENV)/bin/python
DEPTH := --config=configs/readout.py:task=depth,data=world,seed=$(SEED)

.PHONY: quickstart seeds test test-slow lint

# Pretrain, read depth from the frozen features and from a backbone that was
# never trained, compare. Each line goes on where it was stopped.
quickstart: $(VENV)/.installed
	$(PY) -m train --config=configs/quickstart.py:seed=$(SEED) --workdir=$(RUN)
	$(PY) -m evals $(DEPTH) --checkpoint=$(RUN) --workdir=$(RUN)/readouts/depth
	$(PY) -m evals $(DEPTH) --checkpoint=$(RUN) --workdir=$(RUN)/readouts/depth-random --random_init
	$(PY) -m evals.report $(RUN) --out=$(REPORT)

# The quickstart three times, with three seeds: the figures of README.md.
seeds: $(VENV)/.installed
	$(MAKE) quickstart SEED=0
	$(MAKE) quickstart SEED=1 RUN=runs/quickstart-1
	$(MAKE) quickstart SEED=2 RUN=runs/quickstart-2
	$(PY) -m evals.report $(RUN) runs/quickstart-1 runs/quickstart-2 --out=$(REPORT)

test: lint
	$(PY) -m pytest --numprocesses 2

test-slow: $(VENV)/.installed-dev
	$(PY) -m pytest -m slow

lint: $(VENV)/.installed-dev
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .

$(VENV)/.installed: requirements.txt
	$(PYTHON) -m venv $(VENV)
	$(PY) -m pip install --quiet --upgrade 'pip>=25.1'
	$(PY) -m pip install --quiet --requirement requirements.txt
	touch $@

$(VENV)/.installed-dev: $(VENV)/.installed pyproject.toml
	$(PY) -m pip install --quiet --group dev
	touch $@
