# Two commands on a fresh machine: `make quickstart` and `make test`.
VENV ?= .venv
PYTHON ?= $(shell command -v python3.11 || command -v python3)
# Exact versions, by which `make` installs the same on every day.
LOCK ?= requirements.lock
SEED ?= 0
RUN ?= runs/quickstart
REPORT ?= report
LAYOUT ?= free
LR ?= 3e-3
STEPS ?= 300
PY := $(VENV)/bin/python
READOUTS := --config=configs/readout.py:task=all,data=world,seed=$(SEED),lr=$(LR),steps=$(STEPS),cache=runs/features

TRACKS := --config=configs/readout.py:task=points+boxes,data=world,seed=$(SEED),steps=1200,cache=runs/features
SCALING ?= runs/scaling
MOOG = runs/moog-$(LAYOUT)-$(SEED)

.PHONY: quickstart seeds scaling moog pods test test-slow test-newest drills mutants lint lock xpk

# Pretrain, read depth, pose, points, boxes and class from the frozen features
# and from a backbone that was never trained, compare. Each line goes on where
# it was stopped.
quickstart: $(VENV)/.installed
	$(PY) -m train --config=configs/quickstart.py:seed=$(SEED) --workdir=$(RUN)
	$(PY) -m evals $(READOUTS) --checkpoint=$(RUN) --workdir=$(RUN)/readouts/all
	$(PY) -m evals $(READOUTS) --checkpoint=$(RUN) --workdir=$(RUN)/readouts/all-random --random_init
	$(PY) -m evals.report $(RUN) --out=$(REPORT)

# The quickstart with three seeds, and readouts of its recipe's whole length, with
# a learning rate chosen on validation clips.
seeds: $(VENV)/.installed
	$(MAKE) quickstart LR=3e-3+1e-2 STEPS=600 SEED=0 RUN=runs/seed-0
	$(MAKE) quickstart LR=3e-3+1e-2 STEPS=600 SEED=1 RUN=runs/seed-1
	$(MAKE) quickstart LR=3e-3+1e-2 STEPS=600 SEED=2 RUN=runs/seed-2
	$(PY) -m evals.report runs/seed-0 runs/seed-1 runs/seed-2 --out=$(REPORT)

# The scaling study: five sizes, the largest forecast before it is started, read
# from frozen features and fine-tuned; it goes on where it was stopped.
scaling: $(VENV)/.installed
	$(PY) -m launch.sweep --config=configs/sweeps/world.py --sweep=ladder \
	  --at_once=2 --workdir=$(SCALING) \
	  --readouts=configs/readout.py:task=all,data=world,cache=$(SCALING)/features \
	  --readouts=configs/readout.py:task=all,data=world,finetune=0.1,steps=300
	$(PY) -m launch.scaling $(SCALING)/clips-* $(SCALING)/flops-* \
	  --out=$(SCALING)/study \
	  --forecast=$(SCALING)/forecast-clips-264-0.json \
	  --report=$(SCALING)/report/index.html

# MooG, or one of its baselines on a grid: pretraining, then points and boxes from
# frozen tokens, and from tokens that were never trained.
moog: $(VENV)/.installed
	$(PY) -m train --config=configs/moog.py:data=world,seed=$(SEED),layout=$(LAYOUT) --workdir=$(MOOG)
	$(PY) -m evals $(TRACKS) --checkpoint=$(MOOG) --workdir=$(MOOG)/readouts/tracks
	$(PY) -m evals $(TRACKS) --checkpoint=$(MOOG) --workdir=$(MOOG)/readouts/tracks-random --random_init
	$(PY) -m evals.report $(MOOG) --out=$(REPORT)

# Compiles every size for slices of TPU pods and writes the table of
# docs/pods.md; hours, and it goes on where it was stopped.
pods: $(VENV)/.installed-tpu
	$(PY) -m launch.ladder

# Each worker has one half of the files, and helps the other when it is done:
# what tests of a file share is made once, not by both.
test: lint
	$(PY) -m pytest --numprocesses 2 --dist worksteal

test-slow: $(VENV)/.installed-oracle
	$(PY) -m pytest -m slow

# The tests on the newest versions of all packages, which a user may have.
test-newest:
	$(MAKE) test VENV=.venv-newest LOCK=/dev/null

# Takes the versions of that environment, once its tests pass.
lock:
	$(MAKE) .venv-newest/.installed-dev VENV=.venv-newest LOCK=/dev/null
	grep '^#' requirements.lock > .venv-newest/lock
	.venv-newest/bin/pip freeze >> .venv-newest/lock
	mv .venv-newest/lock requirements.lock

# Whole drills: runs that are killed, stopped, damaged and started again, by hand
# and by each launcher; writes what was found into docs/reliability.md.
drills: $(VENV)/.installed-dev
	$(PY) -m launch.drill all --report=docs/reliability.md
	$(PY) -m pytest -m drill

# Makes the mistakes of tests/mutants.toml, one after another, in copies of the
# last commit, and runs their tests; most of an hour, and it goes on where it was
# stopped. Fails if fewer than 95% are noticed.
mutants: $(VENV)/.installed-dev
	$(PY) -m tests.mutants

# What tests of launch.gke compare a manifest with; without it they skip.
xpk: $(VENV)/xpk/.installed

lint: $(VENV)/.installed-dev
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .

$(VENV)/.installed: requirements.txt $(LOCK)
	$(PYTHON) -m venv $(VENV)
	$(PY) -m pip install --quiet --upgrade 'pip>=25.1'
	$(PY) -m pip install --quiet --requirement requirements.txt --constraint $(LOCK)
	touch $@

$(VENV)/.installed-dev: $(VENV)/.installed pyproject.toml
	$(PY) -m pip install --quiet --group dev --constraint $(LOCK)
	touch $@

# Without what they depend on, see pyproject.toml.
$(VENV)/.installed-oracle: $(VENV)/.installed-dev
	$(PY) -m pip install --quiet --no-deps --group oracle
	touch $@

$(VENV)/.installed-tpu: $(VENV)/.installed-dev
	$(PY) -m pip install --quiet --group tpu
	touch $@

# An environment of its own, since xpk wants older packages.
$(VENV)/xpk/.installed:
	$(PYTHON) -m venv $(VENV)/xpk
	$(VENV)/xpk/bin/pip install --quiet xpk==1.16.0
	touch $@
