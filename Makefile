# What there is to do with this project; `make` alone lists it.

PYTHON ?= python3
PORT ?= 4566
PRIVATE_ORIGINS ?=
WEBHOOK_TIME_SCALE ?= 1
RUNS ?= 200
ARGS ?= list
STACK ?=

BIN := .venv/bin
# Stamps: each is newer than the requirements that were installed last.
LOCAL := .venv/local.installed
DEV := .venv/dev.installed
# Apart: it pins what our own packages need in other versions.
CHECKOV := .venv-checkov/installed

export SAM_CLI_TELEMETRY := 0

.DEFAULT_GOAL := help
.PHONY: help demo run verify redrive tokens build test e2e test-web screenshots check bench bench-codec bench-sandbox bench-scale cost long reliability security-report doc-tables openapi clean lock

help: ## List the targets
	@grep -E '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z0-9-]+):[^#]*## /  make \1\t/' | expand -t 24

demo: $(LOCAL) ## One sample CSV through the whole service, then stop
	@exec $(BIN)/python -m local demo

run: $(LOCAL) ## Keep the service running; PORT=, PRIVATE_ORIGINS=host:port,…, WEBHOOK_TIME_SCALE=
	@exec $(BIN)/python -m local run --port $(PORT) --private-origins '$(PRIVATE_ORIGINS)' \
		--webhook-time-scale $(WEBHOOK_TIME_SCALE)

verify: $(LOCAL) ## Check on the running service that nothing was lost or done twice
	@PYTHONPATH=layers/imagejobs/python $(BIN)/python -m operations.verify

redrive: $(LOCAL) ## Give what the running service gave up another chance; DRY_RUN=1 only lists it
	@PYTHONPATH=layers/imagejobs/python $(BIN)/python -m operations.redrive $(if $(DRY_RUN),--dry-run)

tokens: $(LOCAL) ## Who may call: ARGS='list', 'create NAME', 'revoke ID', 'rotate-secret ID'; STACK= of a deployed one
	@PYTHONPATH=layers/imagejobs/python $(BIN)/python -m operations.tokens $(if $(STACK),--stack-name $(STACK)) $(ARGS)

build: $(DEV) ## What `sam deploy` uploads, for both processors, with its sizes beside Lambda's limits
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/sam build
	@$(BIN)/python -m benchmarks.package_sizes .aws-sam/build

test: $(DEV) $(CHECKOV) ## All tests but the long ones
	$(BIN)/pytest -n 3 --dist loadgroup -m 'not long'

e2e: $(DEV) ## The end-to-end tests against a deployed stack: STACK=; E2E_TOKEN and E2E_WEBHOOK_URL in the environment
	E2E_STACK=$(or $(STACK),$(error Which stack? make e2e STACK=imagejobs-dev)) $(BIN)/pytest tests/e2e

test-web: $(DEV) ## The page in Chromium: from a CSV to the gallery, errors, keyboard, axe; part of `make test` and `make check`
	$(BIN)/pytest tests/e2e/web

screenshots: $(DEV) ## Pictures of the page for the documentation, docs/images/page-*.png
	PYTHONPATH=layers/imagejobs/python $(BIN)/python -m tests.e2e.web.screenshots

check: $(DEV) $(CHECKOV) ## Everything that must be green: tests (sam build, checkov), ruff, mypy, cfn-lint, sam validate, pip check
	$(BIN)/python -m pip --disable-pip-version-check check
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/cfn-lint template.yaml $(wildcard templates/*.yaml)
	AWS_DEFAULT_REGION=$${AWS_DEFAULT_REGION:-us-east-1} $(BIN)/sam validate --lint --template template.yaml
	$(BIN)/pytest -n 3 --dist loadgroup -m 'not long'

bench: $(DEV) ## Images per second, CPU, cold starts, memory; IMAGES=, ROUNDS=, CHECK=1 fails on a missed target
	PYTHONPATH=layers/imagejobs/python $(BIN)/python -m benchmarks

# One thread: what else the machine does then falls on the encoders alike.
bench-codec: $(DEV) ## Bytes at equal seen quality and CPU of every encoder; CORPUS=, CHECK=1 fails over a target
	OPENBLAS_NUM_THREADS=1 PYTHONPATH=layers/imagejobs/python $(BIN)/python -m benchmarks.codec

bench-sandbox: $(DEV) ## CPU and memory of decoding in a process of its own; ROUNDS=, CHECK=1 fails over the target
	PYTHONPATH=layers/imagejobs/python $(BIN)/python -m benchmarks.sandbox

bench-scale: $(DEV) ## A million rows: memory, rates, kills, one hot job, query plans; ROWS=, CHECK=1 fails on a missed target
	PYTHONPATH=layers/imagejobs/python $(BIN)/python -m benchmarks.scale

cost: $(DEV) build/cost_measure.json ## USD a million images, and what is full first, after `make bench`; SET='name=number …'
	@PYTHONPATH=layers/imagejobs/python $(BIN)/python -m benchmarks.cost $(SET)

# What the codec takes and Postgres keeps; measured anew when the package has changed.
build/cost_measure.json: $(wildcard layers/imagejobs/python/imagejobs/*.py) benchmarks/cost_measure.py benchmarks/pictures.py | $(DEV)
	PYTHONPATH=layers/imagejobs/python $(BIN)/python -m benchmarks.cost_measure

long: $(DEV) ## Tests that take minutes: kills, faults, long runs, fuzzing; FUZZ_SECONDS=60 a target
	$(BIN)/pytest -s -m long

reliability: $(DEV) ## Kills, duplicates, faults: the table in docs/reliability.md; RUNS=200
	PYTHONPATH=layers/imagejobs/python $(BIN)/python -m reliability --runs $(RUNS)

security-report: $(DEV) ## Hostile URLs, files, sheets and origins, secrets: the table in docs/security.md
	PYTHONPATH=layers/imagejobs/python $(BIN)/python -m security

doc-tables: $(DEV) ## Write the tables of docs/deploy.md and docs/iam.md anew from the template
	PYTHONPATH=layers/imagejobs/python $(BIN)/python -m tests.template.doc_tables

openapi: $(DEV) ## Write the API's description anew from its handlers: openapi.json and docs.html of the shared package
	PYTHONPATH=layers/imagejobs/python $(BIN)/python -m openapi

clean: ## Forget the state of `make run`
	@if [ -e $(LOCAL) ]; then $(BIN)/python -m local clean; else rm -rf .local; fi

lock: $(DEV) ## Pin the newest versions that the files *.in of requirements and layers allow
	$(COMPILE) requirements/dev.in -o requirements/dev.txt
	$(COMPILE) requirements/local.in -c requirements/dev.txt -o requirements/local.txt
	$(COMPILE) requirements/cli.in -c requirements/dev.txt -o requirements/cli.txt
	$(COMPILE) requirements/checkov.in -o requirements/checkov.txt
	$(COMPILE) layers/dependencies/requirements.in -c requirements/dev.txt -o layers/dependencies/requirements.txt
	$(COMPILE) layers/codecs/requirements.in -c requirements/dev.txt -o layers/codecs/requirements.txt $(UNUSED)

# cffi needs it to compile, which was done where the wheels were built.
UNUSED = --no-emit-package pycparser

COMPILE = $(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-annotate --no-header
INSTALL = $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r

$(LOCAL): requirements/local.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=…")'
	@echo 'Installing what the local stack needs into .venv …'
	@$(PYTHON) -m venv .venv
	@$(INSTALL) $<
	@touch $@

$(DEV): requirements/dev.txt $(LOCAL)
	@echo 'Installing what the checks need into .venv …'
	@$(INSTALL) $<
	@touch $@

$(CHECKOV): requirements/checkov.txt | $(DEV)
	@echo 'Installing checkov into .venv-checkov …'
	@$(BIN)/uv venv --quiet --clear --python $(BIN)/python .venv-checkov
	@$(BIN)/uv pip install --quiet --python .venv-checkov --no-deps --require-hashes -r $<
	@touch $@
