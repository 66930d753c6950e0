# The targets of newel, one command each. The Makefile that includes this file says what BIN and STAMP are.
# Variables reach newel through the environment, as they were typed: make would expand a $ in them. Those from NAME on
# are taken from make's command line alone: a shell has an ENV or a NAME of its own.

NEWEL = $(BIN)/newel

export MIGRATION_ENV MIGRATION_DEBUG BACKUP_DIR VERSION APPROVE COUNT NAME TYPE ENV TO FILE TABLE YES DIR
override VERSION := $(value VERSION)
override APPROVE := $(value APPROVE)
override COUNT := $(value COUNT)
override NAME := $(if $(filter command,$(origin NAME)),$(value NAME))
override TYPE := $(if $(filter command,$(origin TYPE)),$(value TYPE))
override ENV := $(if $(filter command,$(origin ENV)),$(value ENV))
override TO := $(if $(filter command,$(origin TO)),$(value TO))
override FILE := $(if $(filter command,$(origin FILE)),$(value FILE))
override TABLE := $(if $(filter command,$(origin TABLE)),$(value TABLE))
override YES := $(if $(filter command,$(origin YES)),$(value YES))
override DIR := $(if $(filter command,$(origin DIR)),$(value DIR))

.PHONY: db-migrate-up db-migrate-down db-migrate-goto db-migrate-status db-migrate-list db-migration-generate \
	db-migrate-generate db-migration-renumber db-migration-show db-migration-doc db-migration-deps \
	db-migration-diagram db-validate db-drift db-seed db-seed-enhanced db-clean db-tables db-schema db-counts \
	db-diagram db-connect db-status db-health db-create db-drop db-setup db-fresh db-reset-dev db-backup \
	db-restore db-start db-stop

db-migrate-up: $(STAMP) ## apply all pending revisions; APPROVE=000012,000013 approves them
	@$(NEWEL) up $${APPROVE:+--approve="$$APPROVE"}

db-migrate-down: $(STAMP) ## roll back the revision applied last; COUNT=1 counts what it loses
	@$(NEWEL) down $${COUNT:+--count} $${APPROVE:+--approve="$$APPROVE"}

db-migrate-goto: $(STAMP) ## go up or down to VERSION=000002
	@$(NEWEL) goto $${COUNT:+--count} $${APPROVE:+--approve="$$APPROVE"} -- "$$VERSION"

db-migrate-status: $(STAMP) ## applied, pending and failed revisions
	@$(NEWEL) status

db-migrate-list: $(STAMP) ## executions: revision, direction, when, how long, result
	@$(NEWEL) log

db-migration-generate: $(STAMP) ## write a new revision: NAME=add_user_profiles TYPE=table [ENV=development]
	@$(NEWEL) generate --type="$${TYPE:-table}" $${ENV:+--branch="$$ENV"} -- "$$NAME"

db-migrate-generate: db-migration-generate ## the same

db-migration-renumber: $(STAMP) ## give revision VERSION=000009 a free number, or TO=000012
	@$(NEWEL) renumber -- "$$VERSION" $${TO:+"$$TO"}

db-migration-show: $(STAMP) ## show what revision VERSION=000005 does
	@$(NEWEL) show -- "$$VERSION"

db-migration-doc: $(STAMP) ## write docs/migrations/000005.md for VERSION=000005
	@$(NEWEL) show --write -- "$$VERSION"

db-migration-deps: $(STAMP) ## the revisions and what each stands on
	@$(NEWEL) history

db-migration-diagram: $(STAMP) ## the revisions as a Mermaid diagram
	@$(NEWEL) diagram revisions

db-validate: $(STAMP) ## check files, pairs, numbers, scripts, environments and SQL syntax
	@$(NEWEL) validate

db-drift: $(STAMP) ## show what was changed by hand in the database
	@$(NEWEL) drift

db-seed: $(STAMP) ## run the seed files: base, then the environment's
	@$(NEWEL) seed

db-seed-enhanced: $(STAMP) ## the same for ENV=development
	@$(NEWEL) seed $${ENV:+--env="$$ENV"}

db-clean: $(STAMP) ## empty the service's tables; asks, YES=1 does not
	@$(NEWEL) clean $(if $(filter 1,$(YES)),--yes)

db-tables: $(STAMP) ## tables with columns, types, constraints and foreign keys; TABLE=users alone
	@$(NEWEL) tables -- $${TABLE:+"$$TABLE"}

db-schema: $(STAMP) ## relations and indexes with their sizes
	@$(NEWEL) schema

db-counts: $(STAMP) ## rows and size of each table
	@$(NEWEL) counts

db-diagram: $(STAMP) ## the tables as a Mermaid diagram
	@$(NEWEL) diagram

db-connect: $(STAMP) ## open psql on the database
	@$(NEWEL) connect

db-status: $(STAMP) ## server version, connections, size of the database
	@$(NEWEL) info

db-health: $(STAMP) ## whether the database is reached, and how long connecting takes
	@$(NEWEL) health

db-create: $(STAMP) ## create the database, if it is not there
	@$(NEWEL) create

db-drop: $(STAMP) ## drop the database; asks, YES=1 does not
	@$(NEWEL) drop $(if $(filter 1,$(YES)),--yes)

db-setup: $(STAMP) ## create the database, apply all revisions, run the seeds
	@$(NEWEL) setup

db-fresh: $(STAMP) ## drop the database, create it and apply all revisions; asks, YES=1 does not
	@$(NEWEL) fresh $(if $(filter 1,$(YES)),--yes)

db-reset-dev: $(STAMP) ## db-fresh and seeds, for development; asks, YES=1 does not
	@$(NEWEL) reset $(if $(filter 1,$(YES)),--yes)

db-backup: $(STAMP) ## dump the database into BACKUP_DIR
	@$(NEWEL) backup

db-restore: $(STAMP) ## put backup FILE= in the database's place; asks, YES=1 does not
	@$(NEWEL) restore $(if $(filter 1,$(YES)),--yes) -- "$$FILE"

db-start: $(STAMP) ## start the embedded server
	@$(NEWEL) server start

db-stop: $(STAMP) ## stop the embedded server
	@$(NEWEL) server stop
