# Everything a contributor types; `make` alone lists it.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
# `make -j` must not mix the outputs: pytest's closing line comes last.
.NOTPARALLEL:

JOBS ?= 2
VENV := .venv
BIN := $(VENV)/bin
# The tool alone, which the demo needs, and on top of it what developers need.
TOOL := $(VENV)/.installed
STAMP := $(VENV)/.installed-dev

# ONNX Runtime's training build shares the import name `onnxruntime` with the stock package, so it has an environment of its own.
# BACKEND=cuda takes its build for NVIDIA GPUs.
BACKEND ?= cpu
BUILD_cpu := onnxruntime-training-cpu
BUILD_cuda := onnxruntime-training
TRAINING := .venv-training
TRAINING_STAMP := $(TRAINING)/.installed-$(BACKEND)

PIP := -m pip install --quiet --disable-pip-version-check -c constraints.txt

# $(call python,END): the first Python from 3.11 up to 3.END that can make virtual environments.
python = $(shell for p in python3.11 python3 python3.12 python3.13 python3.14; do \
	"$$p" -c 'import ensurepip, sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, $(1)))' 2>/dev/null && echo "$$p" && break; done)
PYTHON ?= $(call python,14)
# The training build ends with Python 3.12, and there is none but for Linux on x86-64.
TRAINING_PYTHON ?= $(if $(filter Linux-x86_64,$(shell uname -s)-$(shell uname -m)),$(call python,12))

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: venv
venv: $(STAMP) ## make .venv and install the pinned versions into it (the other targets do this themselves)

# cmake and setuptools come first, so that the editable install builds with the pinned ones and not with the newest.
# Without its stamp the environment starts empty: an interrupted installation is not worth mending.
$(TOOL): pyproject.toml setup.py constraints.txt
	@test -n "$(PYTHON)" || { echo "No Python 3.11 to 3.14 with the venv module found: install python3-venv or set PYTHON=..." >&2; exit 2; }
	@test -e $@ || $(PYTHON) -m venv --clear $(VENV)
	@echo "Installing the versions of constraints.txt into $(VENV) (half a minute) ..."
	$(BIN)/python $(PIP) cmake setuptools
	$(BIN)/python $(PIP) --no-build-isolation -e .
	@touch $@

# torch comes first and with its exact version: a looser request lets the resolver fetch a CUDA build of gigabytes.
$(STAMP): $(TOOL)
	@echo "Installing what the tests need into $(VENV) (a minute or two) ..."
	$(BIN)/python $(PIP) "$$(grep '^torch==' constraints.txt)"
	$(BIN)/python $(PIP) --no-build-isolation -e '.[dev]'
	@touch $@

.PHONY: venv-training
venv-training: $(TRAINING_STAMP) ## make .venv-training, with ONNX Runtime's training build in the place of the stock package

# Always from nothing: taking one of the two packages out takes files of the other along.
$(TRAINING_STAMP): pyproject.toml setup.py constraints.txt
	@test -n "$(TRAINING_PYTHON)" || { echo "ONNX Runtime's training build needs Linux on x86-64 and Python 3.11 or 3.12 with the" \
		"venv module: install one or set TRAINING_PYTHON=..." >&2; exit 2; }
	$(TRAINING_PYTHON) -m venv --clear $(TRAINING)
	@echo "Installing the versions of constraints.txt and $(BUILD_$(BACKEND)) into $(TRAINING) (a minute or two) ..."
	$(TRAINING)/bin/python $(PIP) cmake setuptools "$$(grep '^torch==' constraints.txt)"
	$(TRAINING)/bin/python $(PIP) --no-build-isolation -e '.[dev]'
	$(TRAINING)/bin/python -m pip uninstall --quiet --yes --disable-pip-version-check onnxruntime
	$(TRAINING)/bin/python $(PIP) "$$(grep '^$(BUILD_$(BACKEND))==' constraints.txt)"
	@touch $@

.PHONY: demo
demo: $(TOOL) ## compile a small model at sparsity 0.8 and let it learn five tasks of handwritten digits
	rm -rf build/digits.sparcl
	$(BIN)/sparcl-compile models/digits_cnn.onnx -o build/digits.sparcl --sparsity 0.8
	$(BIN)/sparcl-inspect build/digits.sparcl
	$(BIN)/sparcl-run build/digits.sparcl --data digits --tasks 5 --epochs 20 --json build/digits.json

.PHONY: bench
bench: $(TRAINING_STAMP) ## time a training step against dense PyTorch and dense ONNX Runtime (ARGS=--quick for a short look)
	$(TRAINING)/bin/python -m benchmarks.step $(ARGS)

# The whole suite comes last, and so does its closing line.
.PHONY: test
test: lint types $(if $(TRAINING_PYTHON),test-training,no-training) unit ## lint, types and all tests, in both environments

.PHONY: no-training
no-training:
	@echo "The tests of ONNX Runtime's training build are left out: it needs Linux on x86-64 and Python 3.11 or 3.12."

.PHONY: lint
lint: $(STAMP) ## ruff: rules and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

.PHONY: types
types: $(STAMP) ## mypy --strict over the three packages
	$(BIN)/mypy -p sparcl_compile

.PHONY: schema
schema: $(STAMP) ## write the manifest's JSON Schema anew, after a change of its dataclasses
	$(BIN)/python -m sparcl_compile.interface.schema

.PHONY: pages
pages: $(STAMP) ## write the pages of docs/ anew that are made from the code, after a change of options, passes or the manifest
	$(BIN)/python -m docs.generate

.PHONY: docs
docs: pages ## make the site in build/site; a dead link or a page without a way to it fails
	$(BIN)/python -m docs.generate.site

.PHONY: unit
unit: $(STAMP) ## pytest with the stock ONNX Runtime (JOBS=2 processes; ARGS="-k walls" and the like are handed on)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS) $(ARGS)

.PHONY: test-training
test-training: $(TRAINING_STAMP) ## the tests that need or consult ONNX Runtime's training build, in .venv-training
	OMP_NUM_THREADS=1 SPARCL_TRAINING_REQUIRED=1 $(TRAINING)/bin/python -m pytest -n $(JOBS) -m "training_build or builder_too" $(ARGS)

# What a commit most often breaks: the walls, the style, the contract and the passes as text. `test` has the rest.
QUICK := tests/test_walls.py tests/test_style.py tests/test_driver_size.py tests/interface/test_schema.py tests/plan \
	tests/targets tests/passes/core tests/passes/sparsifying tests/passes/scheduling tests/conformance/test_replay.py \
	tests/docs/test_generated.py

.PHONY: quick
quick: $(STAMP) ## the tests that take less than a minute, which also run before a commit
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n $(JOBS) $(QUICK)

.PHONY: kernels
kernels: $(STAMP) ## build the kernel library again (docs/kernels.md)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .

# The sanitizers' run-time libraries must be there before Python. Leaks are Python's own.
.PHONY: sanitize
sanitize: $(STAMP) ## test the kernels under the address and undefined-behaviour sanitizers
	$(BIN)/cmake -S runtime/kernels -B build/sanitize -DSPARCL_SANITIZE=address,undefined
	$(BIN)/cmake --build build/sanitize
	LD_PRELOAD="$$($(CXX) -print-file-name=libasan.so) $$($(CXX) -print-file-name=libubsan.so)" ASAN_OPTIONS=detect_leaks=0 \
		UBSAN_OPTIONS=halt_on_error=1 SPARCL_KERNELS=build/sanitize/libsparcl_kernels.so SPARCL_KERNELS_REQUIRED=1 \
		$(BIN)/python -m pytest tests/runtime/kernels $(ARGS)
	$(MAKE) --no-print-directory sanitize-threads

# ONNX Runtime is not built for the thread sanitizer, which would take its hand-overs for races: a stand-in runs the ops.
.PHONY: sanitize-threads
sanitize-threads: $(STAMP) ## run every op with eight threads under the thread sanitizer
	$(BIN)/cmake -S runtime/kernels -B build/sanitize-threads -DSPARCL_SANITIZE=thread
	$(BIN)/cmake --build build/sanitize-threads
	$(CXX) -std=c++17 -g -O1 -Wall -Wextra -fsanitize=thread -I runtime/kernels tests/runtime/kernels/native/run.cc \
		-o build/sanitize-threads/run -ldl -pthread
	TSAN_OPTIONS=halt_on_error=1 build/sanitize-threads/run build/sanitize-threads/libsparcl_kernels.so threads

# `test` has a fixed handful of its cases; this goes on from there (CONTRIBUTING.md).
.PHONY: fuzz
fuzz: $(STAMP) ## mutated files through every command, for a minute (ARGS="--seed 7 --seconds 600 --keep build/fuzz")
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.fuzz $(ARGS)

# Not part of `test`: it downloads 60 MB the first time, and the emulator takes a minute or two.
.PHONY: test-arm64
test-arm64: $(STAMP) ## build the kernels for arm64 and hold them against this machine's, under qemu (docs/kernels.md)
	$(BIN)/python -m tests.runtime.kernels.arm64

# Not part of `test`: both download (150 MB for Android), make environments below build/ and take minutes (docs/portability.md).
.PHONY: parity
parity: $(TRAINING_STAMP) ## one artifact and one seed in every ONNX Runtime that this machine can have; build/parity.json has the rows
	OMP_NUM_THREADS=1 $(TRAINING)/bin/python -m tests.parity $(ARGS)

.PHONY: test-android
test-android: $(STAMP) ## the artifacts' graphs and learning in ONNX Runtime's Android library, x86-64 and arm64
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.android

# `test` runs the same where the tools and ONNX Runtime for Java (150 MB) are at hand; here nothing is skipped in silence.
.PHONY: test-java
test-java: $(STAMP) ## the driver and the learner of runtime/java: linters, tests, conformance (docs/learner-java.md)
	OMP_NUM_THREADS=1 SPARCL_JAVA_FETCH=1 $(BIN)/python -m pytest tests/java $(ARGS)

# Node 20 and npm; Chromium where it is at hand. What is missing is said, and no failure. `test` runs the part that needs no
# download: the packages come with `make test-js` (580 MB, pinned by runtime/js/package-lock.json).
JS := runtime/js
JS_KITS := build/js/kits
SITE := build/web

.PHONY: js
js: $(STAMP) ## the JavaScript driver's linter, types and tests, where its packages are installed
	@if ! command -v node >/dev/null; then echo "js: skipped, node is missing (on Debian, apt install nodejs npm)"; \
	elif ! test -d $(JS)/node_modules/typescript; then echo "js: skipped, its packages are missing (make test-js installs them)"; \
	else $(BIN)/python -m tests.js.kits $(JS_KITS) && cd $(JS) && npm run --silent lint && npm run --silent build && npm test --silent; fi

.PHONY: js-packages
js-packages:
	@command -v npm >/dev/null || { echo "npm is missing (on Debian, apt install nodejs npm)" >&2; exit 2; }
	@cmp -s $(JS)/package-lock.json $(JS)/node_modules/.installed || { ONNXRUNTIME_NODE_INSTALL=skip npm ci --silent --prefix $(JS) && \
	cp $(JS)/package-lock.json $(JS)/node_modules/.installed; }

.PHONY: test-js
test-js: $(STAMP) ## the JavaScript driver: linter, types, tests, and the conformance kits in Node and in Chromium
	@if ! command -v npm >/dev/null; then echo "test-js: skipped, npm is missing (on Debian, apt install nodejs npm)"; \
	else export SPARCL_JS_ALL=1 OMP_NUM_THREADS=1; $(MAKE) --no-print-directory js-packages web js && \
	$(BIN)/python -m pytest -q tests/js $(ARGS); fi

.PHONY: web
web: $(STAMP) js-packages
	@sh examples/web/build.sh $(SITE) $(BIN)/sparcl-compile

.PHONY: teach
teach: web ## the page of examples/web, on http://localhost:8000
	@echo "Open http://localhost:8000 in a browser; Ctrl-C ends it."
	@$(BIN)/python -m http.server 8000 --bind 127.0.0.1 --directory $(SITE)

test: js

.PHONY: format
format: $(STAMP) ## let ruff mend what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.PHONY: clean
clean: ## remove what was built, the caches included; the environments stay
	rm -rf build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -not -path './.venv*/*' -prune -exec rm -rf {} +
