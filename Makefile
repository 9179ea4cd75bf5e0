# Everything a contributor types; `make` alone lists it. BACKEND=cuda takes the CUDA build of ONNX Runtime's training package.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
# `make -j` must not mix the outputs: pytest's closing line comes last.
.NOTPARALLEL:

BACKEND ?= cpu
JOBS ?= 2
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed-$(BACKEND)

# The first Python of a supported version that can make virtual environments.
PYTHON ?= $(shell for p in python3.11 python3 python3.12; do \
	"$$p" -c 'import ensurepip, sys; sys.exit(not (3, 11) <= sys.version_info < (3, 13))' 2>/dev/null && echo "$$p" && break; done)

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: venv
venv: $(STAMP) ## make .venv and install the pinned versions into it (the other targets do this themselves)

# torch comes first and with its exact version: a looser request lets the resolver fetch a CUDA build of gigabytes.
# cmake and setuptools come with it, so that the editable install builds with the pinned ones and not with the newest.
# Without this backend's stamp the environment starts empty: the two backends share one import name and must never meet,
# and an interrupted installation is not worth mending.
$(STAMP): pyproject.toml setup.py constraints.txt
	@test -n "$(PYTHON)" || { echo "No Python 3.11 or 3.12 with the venv module found: install python3.11-venv or set PYTHON=..." >&2; exit 2; }
	@test -e $@ || $(PYTHON) -m venv --clear $(VENV)
	@echo "Installing the versions of constraints.txt into $(VENV) (a minute or two) ..."
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt "$$(grep '^torch==' constraints.txt)" cmake setuptools
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt --no-build-isolation -e '.[$(BACKEND),dev]'
	@touch $@

.PHONY: demo
demo: $(STAMP) ## compile a small model at sparsity 0.8 and let it learn five tasks of handwritten digits
	rm -rf build/digits.sparcl
	$(BIN)/sparcl-compile models/digits_cnn.onnx -o build/digits.sparcl --sparsity 0.8
	$(BIN)/sparcl-inspect build/digits.sparcl
	$(BIN)/sparcl-run build/digits.sparcl --data digits --tasks 5 --epochs 20 --json build/digits.json

.PHONY: bench
bench: $(STAMP) ## time a training step against dense PyTorch and dense ONNX Runtime (ARGS=--quick for a short look)
	$(BIN)/python -m benchmarks.step $(ARGS)

.PHONY: test
test: lint types unit ## lint, types and all tests

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

.PHONY: unit
unit: $(STAMP) ## pytest (JOBS=2 processes; ARGS="-k walls" and the like are handed on)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS) $(ARGS)

# What a commit most often breaks: the walls, the style, the contract and the passes as text. `test` has the rest.
QUICK := tests/test_walls.py tests/test_style.py tests/test_driver_size.py tests/interface/test_schema.py tests/plan \
	tests/targets tests/passes/core tests/passes/sparsifying tests/passes/scheduling tests/conformance/test_replay.py

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
		$(BIN)/python -m pytest tests/kernels $(ARGS)

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
parity: $(STAMP) ## one artifact and one seed in every ONNX Runtime that this machine can have; build/parity.json has the rows
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.parity $(ARGS)

.PHONY: test-android
test-android: $(STAMP) ## the artifacts' graphs and learning in ONNX Runtime's Android library, x86-64 and arm64
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.android

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
clean: ## remove what was built, the caches included; .venv stays
	rm -rf build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +
