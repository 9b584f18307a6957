# make demo   the main job on real footage, on the CPU
# make test   the tests
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/ready
SOURCES := pyproject.toml setup.py $(wildcard ext/*.pyx ext/*.pxd ext/*.pxi ext/c/*.c ext/c/*.h)

SANITIZE_TESTS := tests/test_bytetrack.py tests/test_tracker.py tests/test_matching.py tests/test_evidence.py tests/test_ground_plane.py \
	tests/test_handoff.py tests/test_lens.py tests/test_stature.py tests/test_gallery.py tests/test_impostors.py tests/test_detector.py tests/test_letterbox.py

.DEFAULT_GOAL := help
.PHONY: help setup demo demo-site test lint format bench bench-tracker sanitize soak clean test-clients bench-predecessor bench-deployment bindings test-gpu deb

help:  ## Show what can be made
	@grep -hE '^[a-z-]+:.*  ## ' $(MAKEFILE_LIST) | awk -F ':.*  ## ' '{printf "  make %-16s %s\n", $$1, $$2}'

setup: $(READY)  ## Make .venv and build the compiled core

$(READY): $(SOURCES)
	@.ci/prerequisites $(PYTHON)
	@echo "setting up $(VENV) (a minute or two, once)"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=24' 'setuptools>=77' 'Cython>=3.1'
	@PYTHONWARNINGS=ignore $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-build-isolation --editable '.[test]'
	@# Without its requirements: they name the desktop's OpenCV, which would take the place of the headless one.
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps 'trackeval>=1.3'
	@touch $@

bindings: build/bindings/ready  ## Fetch TensorRT's bindings, whose signatures a test checks; 3 MB

build/bindings/ready: $(READY)
	@rm -rf build/bindings
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --target build/bindings/10 'tensorrt-cu12-bindings==10.*'
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --target build/bindings/11 'tensorrt-cu13-bindings==11.*'
	@touch $@

demo: $(READY)  ## Follow people across two cameras of a real clip; writes demo-map.png
	@$(BIN)/spoton-edge demo $(DEMO_ARGS)

demo-site: $(READY)  ## The same on two boxes, with a simulated third and a hub; writes demo-site-map.png
	@$(BIN)/spoton-edge demo-site $(DEMO_ARGS)

test: $(READY)  ## Run the tests, in two processes; TEST_ARGS='-n 0 tests/test_wire.py': some, in one
	@$(BIN)/python -m pytest -n 2 $(TEST_ARGS)

test-clients: $(READY)  ## Read a recording in Python, JavaScript and C, with the same outcome (needs npm; as root: apt-get)
	@npm install --silent --no-fund --no-audit --prefix build/clients zeromq@6
	@echo '#include <zmq.h>' | cc -E - >/dev/null 2>&1 && echo '#include <cjson/cJSON.h>' | cc -E - >/dev/null 2>&1 || \
		apt-get install -qq -y --no-install-recommends libzmq3-dev libcjson-dev >/dev/null
	@$(BIN)/python -m pytest -v tests/e2e/test_clients.py

lint: $(READY)  ## Check style and types
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(CC) -fsyntax-only -Wall -Wextra -Wconversion -Werror -Iext/c ext/c/*.c

format: $(READY)  ## Format the Python sources
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

bench: $(READY)  ## Print the accuracy and speed figures that README quotes
	@$(BIN)/python -m tests.bench

bench-tracker: $(READY)  ## Measure ByteTrack beside its floor and against the others on PyPI, which it installs
	@$(BIN)/python -m tests.bench.tracker
	@$(BIN)/python -m tests.bench.tracker_rivals

sanitize: $(READY)  ## Run the compiled core's tests under the address and undefined-behaviour sanitizers
	@SPOTON_DEBUG=1 $(BIN)/python setup.py --quiet build --build-base build/sanitized --build-lib build/sanitized/lib
	@LD_PRELOAD="$$($(CC) -print-file-name=libasan.so) $$($(CC) -print-file-name=libstdc++.so)" ASAN_OPTIONS=detect_leaks=0 \
		PYTHONPATH=build/sanitized/lib $(BIN)/pytest --import-mode=append -p no:cacheprovider $(SANITIZE_TESTS) $(TEST_ARGS)

soak: $(READY)  ## Run the minutes-long tests
	@$(BIN)/python -m pytest -m soak --timeout=3600 $(TEST_ARGS)

test-gpu: $(READY)  ## Run the tests that need an NVIDIA GPU
	@$(BIN)/python -m pytest -m gpu $(TEST_ARGS)

bench-predecessor: $(READY)  ## Print the strategy table: a session a camera against one batched call, and the savings
	@$(BIN)/python -m tests.bench.predecessor

bench-deployment: $(READY)  ## Compare the embedded engine with an HTTP model server; DEPLOYMENT_ARGS='--costs 300 400': your prices
	@$(BIN)/python -m tests.bench.deployment $(DEPLOYMENT_ARGS)

EXTRAS := cpu,systemd,view
deb: $(READY)  ## Build the Debian package, with everything in it (EXTRAS=gpu,systemd,view: for an NVIDIA GPU)
	@systemd/debian/build $(EXTRAS) $(WHEEL)

clean:  ## Remove .venv and everything built
	rm -rf $(VENV) build dist *.egg-info demo-map.png demo-site-map.png .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find spoton_edge ext tests -name '*.so' -delete -o -name __pycache__ -type d -prune -exec rm -rf {} +
