# Thin wrappers; every target is one or two plain commands.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
PY := .venv/bin/python
export PATH := $(CURDIR)/.venv/bin:$(PATH)

.PHONY: help root setup setup-test lab lab-up lab-down lab-clean lab-status drift test unit lint molecule bench-dns

help: ## List the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## / {printf "  %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## The Python environment of the controller, from hash-pinned requirements
	@tools/setup.sh controller

setup-test:
	@tools/setup.sh test

# Said before anything is installed, which takes a while.
root:
	@test "$$(id -u)" = 0 || { echo 'The lab makes networks and namespaces, which needs root. Run: sudo make $(MAKECMDGOALS)' >&2; exit 3; }

lab: root setup ## Rebuild the home-lab mail server in the built-in lab and prove that mail flows
	@$(PY) -m lab site

lab-up: root setup ## Only start the lab's machines
	@$(PY) -m lab up

lab-down: root setup ## Remove everything of the lab but its images
	@$(PY) -m lab down

lab-clean: root setup ## Remove the lab's images as well
	@$(PY) -m lab clean

lab-status: setup ## What is up, and how to log in to each host
	@$(PY) -m lab status

drift: setup ## Compare planned, live and served DNS: make drift INVENTORY=inventory/mine
	@tools/drift.sh -i $(or $(INVENTORY),inventory/example)

test: setup-test ## All tests: unit, contract, lint, and the whole path by molecule
	@tools/test.sh

unit: setup-test ## Unit and contract tests only
	@$(PY) -m pytest

lint: setup-test ## Linters and type checks, warnings are errors
	@tools/lint.sh

molecule: setup-test ## Each system: create, converge, idempotence, check, verify, destroy
	@molecule test --scenario-name self_hosted
	@molecule test --scenario-name email_routing
	@molecule test --scenario-name hosted

bench-dns: setup ## Measure the keeping of DNS records against other tools, side by side
	@$(PY) -m bench.dns
