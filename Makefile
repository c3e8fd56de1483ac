# What a person does with this repository, one command each. CI uses the same.
#
#   make demo       set up, index the documentation of Python's standard library, ask it questions
#   make test       set up, run all tests
#   make check      format, lint, types
#   make sanitize   the native module under AddressSanitizer and UndefinedBehaviorSanitizer
#   make neon       the kernels of 64-bit ARM in an emulator (needs a cross compiler and qemu)
#   make torture    the proofs of docs/reliability.md in full (hours): faults, kills, damage, fuzz
#   make bench      the figures of docs/log.md, from the collections in $COLXTR_DATA
#   make bench-peers  docs/benchmarks.md: other engines on the same embeddings (45 GB of disk)

PYTHON ?= python3
VENV ?= .venv
TRAIN_VENV ?= .venv-train
BIN := $(VENV)/bin
SOURCES := pyproject.toml CMakeLists.txt $(wildcard native/*)

.PHONY: demo test check sanitize neon format torture bench bench-peers clean

demo: $(VENV)/.installed
	$(BIN)/colxtr demo

# The first environment has no torch: what indexes and searches is proven to need none.
test: $(VENV)/.installed-dev $(TRAIN_VENV)/.installed-dev
	$(BIN)/python -m pytest
	$(TRAIN_VENV)/bin/python -m pytest tests/training

check: $(VENV)/.installed-dev $(TRAIN_VENV)/.installed-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy --python-executable $(TRAIN_VENV)/bin/python
	$(BIN)/clang-format --dry-run --Werror native/* tests/native/*

format: $(VENV)/.installed-dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	$(BIN)/clang-format -i native/* tests/native/*

# The interpreter is not instrumented, so the sanitizer's library is loaded before it, and libstdc++
# with it (exceptions); -S leaves the editable installation aside. Needs GCC on Linux.
SANITIZED := build/sanitize
SANITIZERS = $(shell $(CXX) -print-file-name=libasan.so)
SANITIZED_TESTS := tests/test_kernels.py tests/test_codec.py tests/test_search.py \
    tests/test_probing.py tests/test_shortlist.py tests/test_filtered_search.py \
    tests/test_life.py \
    --deselect tests/test_filtered_search.py::test_the_command_line_filters
ifneq ($(and $(filter Linux,$(shell uname -s)),$(findstring /,$(SANITIZERS))),)
sanitize: $(VENV)/.installed-dev
	$(BIN)/python -m pip install --quiet scikit-build-core nanobind cmake ninja
	rm -rf $(SANITIZED)/site
	CXXFLAGS="-fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer" \
	$(BIN)/python -m pip install --quiet --no-build-isolation --no-deps --target $(SANITIZED)/site \
	    -Cbuild-dir=$(SANITIZED)/build -Ccmake.build-type=RelWithDebInfo .
	ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=print_stacktrace=1 PYTHONMALLOC=malloc \
	LD_PRELOAD="$(SANITIZERS) $$($(CXX) -print-file-name=libstdc++.so.6)" \
	PYTHONPATH="$(SANITIZED)/site:$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("platlib"))')" \
	$(BIN)/python -S -m pytest -p no:cacheprovider $(SANITIZED_TESTS)
else
sanitize:
	@echo "make sanitize: skipped: $(CXX) brings no libasan.so (GCC on Linux does)"
endif

# The kernels of 64-bit ARM, without and with its dot products, against those in plain C++. With zig:
# make neon AARCH64_CXX="zig c++ -target aarch64-linux-musl" AARCH64_DOTPROD=-mcpu=generic+dotprod
AARCH64_CXX ?= aarch64-linux-gnu-g++
AARCH64_DOTPROD ?= -march=armv8.2-a+dotprod
AARCH64_RUN ?= qemu-aarch64-static
NEON_SOURCES := tests/native/agreement.cpp native/dispatch.cpp native/simd_scalar.cpp native/simd_neon.cpp
neon:
	mkdir -p build
	for flags in "" $(AARCH64_DOTPROD); do \
	    $(AARCH64_CXX) $$flags -std=c++17 -O2 -static -ffp-contract=off -Wall -Wextra -Inative \
	        $(NEON_SOURCES) -o build/agreement-neon && \
	    $(AARCH64_RUN) build/agreement-neon || exit 1; \
	done

# One proof, smaller: make torture PROOFS="kills=50 fuzz=1000" SEED=3
SEED ?= 0
torture: $(VENV)/.installed-dev
	$(BIN)/python -m torture $(PROOFS) --seed $(SEED)

bench: $(VENV)/.installed-dev
	$(BIN)/python bench/main_job.py

# Every step goes on where it was interrupted. $(PEERS) keeps environments, embeddings and indexes.
PEERS ?= bench/results/peers
PEERS_BIN = $(PEERS)/environments/colxtr/bin
COLXTR_DATA ?= ../shared/data
WHOLE := awsdocs,clapnq,covidqa,cranfield,fairytaleqa,pubmedqa,qamr,scifact,selqa,squadshifts,tldr,vaswani
bench-peers:
	$(PYTHON) -m bench.peers.setup --into $(PEERS)/environments
	$(PEERS_BIN)/python -m bench.peers.corpora $(PEERS)/scifact $(COLXTR_DATA) --sets scifact
	$(PEERS_BIN)/python -m bench.peers.corpora $(PEERS)/joined $(COLXTR_DATA) --document-length 66
	$(PEERS_BIN)/python -m bench.peers.corpora $(PEERS)/whole $(COLXTR_DATA) --sets $(WHOLE)
	test -d $(PEERS)/synthetic || $(PEERS_BIN)/python -m bench.synthetic $(PEERS)/synthetic
	$(PEERS_BIN)/python -m bench.peers.complete $(PEERS)/synthetic
	$(PEERS_BIN)/python -m bench.peers.compare --data $(PEERS) --environments $(PEERS)/environments
	$(PEERS_BIN)/python -m bench.peers.compare --data $(PEERS) --environments $(PEERS)/environments \
	  --corpora joined,whole,synthetic --engine 'colxtr, 2 bits' --engine 'colxtr, 4 bits' \
	  --engine TACHIOM --output $(PEERS)/joined.json
	$(PEERS_BIN)/python -m bench.scaling $(PEERS)/scaling --tokens 1000000,8000000 --truth \
	  --exact 100 > $(PEERS)/scaling.jsonl
	$(PEERS_BIN)/python -m bench.scaling $(PEERS)/scaling --tokens 100000000 --truth \
	  >> $(PEERS)/scaling.jsonl
	OMP_NUM_THREADS=1 $(PEERS_BIN)/python -m bench.peers.parts $(PEERS)/synthetic100 \
	  --scaling $(PEERS)/scaling/100000000 --environments $(PEERS)/environments --tokens 100000000
	$(PEERS_BIN)/python -m bench.peers.compare --data $(PEERS) --environments $(PEERS)/environments \
	  --corpora synthetic100 --engine 'colxtr, 2 bits' --engine TACHIOM --threads 1 --no-exact \
	  --output $(PEERS)/large.json
	$(PEERS_BIN)/python -m bench.peers.report $(PEERS)/results.json $(PEERS)/joined.json \
	  $(PEERS)/large.json --scaling $(PEERS)/scaling.jsonl

clean:
	rm -rf $(VENV) $(TRAIN_VENV) build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis

$(VENV)/.pip $(TRAIN_VENV)/.pip:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "colxtr needs Python 3.11 or newer; try: make PYTHON=python3.11 $(MAKECMDGOALS)")'
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip install --quiet --upgrade pip
	touch $@

$(VENV)/.installed: $(VENV)/.pip $(SOURCES)
	$(BIN)/python -m pip install --quiet --editable .
	touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $@

# constraints.txt: torch in the build for processors alone, where pip would take one of gigabytes.
$(TRAIN_VENV)/.installed-dev: $(TRAIN_VENV)/.pip $(VENV)/.installed-dev constraints.txt
	$(@D)/bin/python -m pip install --quiet --constraint constraints.txt --editable '.[dev,train]'
	touch $@
