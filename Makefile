# Everything Coinop can be told to do. `make` alone lists it. Settings are environment variables: PORT=9000 make up

PYTHON ?= $(shell for each in python3 python3.14 python3.13 python3.12 python3.11; do \
	"$$each" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo "$$each"; break; }; done)
PY := .venv/bin/python
.DEFAULT_GOAL := help

# Recipes of one plain command are run without a shell between: a signal to make then reaches the command itself.

.PHONY: help
help: ## list what there is
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' $(firstword $(MAKEFILE_LIST)) | awk -F'|' '{ printf "%-20s%s\n", $$1, $$2 }'

.PHONY: up
up: .venv/.installed ## run everything on this machine: broker, web, workers, beat, Flower
	@$(PY) -m ops.up

.PHONY: demo
demo: .venv/.installed ## sign up, run a job and see its receipt; then one that fails, and its refund
	@$(PY) -m ops.demo $(ARGS)

.PHONY: test
test: .venv/.installed ## run the tests, on SQLite, a real PostgreSQL and a real broker (ARGS="-k ledger")
	@$(PY) -m pytest $(ARGS)

.PHONY: lint
lint: .venv/.installed ## check style and format
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .

.PHONY: types
types: .venv/.installed ## check types, strictly
	@$(PY) -m mypy

.PHONY: contracts
contracts: .venv/.installed ## check which package imports which
	@.venv/bin/lint-imports

.PHONY: migrate
migrate: .venv/.installed ## bring the tables and the catalog up to date
	@$(PY) -m flask --app wsgi migrate

.PHONY: doctor
doctor: .venv/.installed ## look at everything Coinop needs: what is wrong, and what to do (ARGS=--json)
	@$(PY) -m ops.doctor $(ARGS)

.PHONY: stripe-sync
stripe-sync: .venv/.installed ## show which prices of plans Stripe lacks; ARGS=--yes makes them
	@$(PY) -m ops.stripe sync $(ARGS)

.PHONY: stripe-doctor
stripe-doctor: .venv/.installed ## check the Stripe account: key, webhook, prices
	@$(PY) -m ops.stripe doctor

.PHONY: bench
bench: .venv/.installed ## measure speed beside a bare baseline
	@$(PY) -m bench $(ARGS)

.PHONY: chaos
chaos: .venv/.installed ## kill, freeze and restart things at random, then prove that no credit was lost
	@$(PY) -m chaos $(ARGS)

.PHONY: mail-preview
mail-preview: .venv/.installed ## write every e-mail with made-up facts to a folder, to look at (ARGS=folder)
	@$(PY) -m ops.mail_preview $(ARGS)

.PHONY: mutants
mutants: .venv/.installed ## take each guard out in turn and see the tests fail
	@$(PY) -m tests.mutants $(ARGS)

.venv/.installed: requirements.txt requirements-telemetry.txt requirements-dev.txt constraints.txt
	@test -n "$(PYTHON)" || { echo "Coinop needs Python 3.11 or newer; this machine's python3 is: $$(python3 --version \
	2>&1 | tail -n 1). Install a newer one, or name it: make PYTHON=/path/to/python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	@"$(PYTHON)" ops/install.py
	@touch $@
