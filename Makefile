# The verbs of this repository. Everything is installed into .venv; see scripts/prepare.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
export PATH := $(CURDIR)/.venv/bin:$(PATH)
ENGINE := sfu/_core.pyi $(shell find sfu/core -name target -prune -o \( -name '*.rs' -o -name 'Cargo.*' \) -print)
PAGE := $(shell find web_client \( -name node_modules -o -name dist \) -prune -o -type f -print)
BROWSER_TESTS := tests/e2e tests/stranger tests/hostile

.PHONY: run build test lint types unit bench e2e network
run: build
	.venv/bin/kinguicall serve --dev
build: .venv/.engine web_client/dist/index.html

.venv/.python: pyproject.toml uv.lock scripts/prepare
	scripts/prepare build && touch $@
.venv/.tests: .venv/.python tests/e2e/package-lock.json
	scripts/prepare test && touch $@
.venv/.engine: .venv/.python $(ENGINE)
	maturin develop --uv --release --locked && touch $@
web_client/node_modules/.package-lock.json: web_client/package-lock.json .venv/.python
	npm --prefix web_client ci && touch $@
web_client/dist/index.html: web_client/node_modules/.package-lock.json $(PAGE)
	npm --prefix web_client run build && touch $@

test: lint types unit e2e
lint: build .venv/.tests
	scripts/check lint
types: build .venv/.tests
	scripts/check types
unit: build .venv/.tests
	scripts/check unit
e2e: build .venv/.tests
	pytest --timeout 180 $(BROWSER_TESTS)
network: build .venv/.tests
	pytest --timeout 180 -s -m 'network or not network' tests/e2e/test_narrow_network.py tests/e2e/test_data_spent.py \
		tests/e2e/test_files.py
bench: build
	scripts/check bench
