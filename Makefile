# make help lists what there is. Everything is fetched into .tools and built into .build;
# both are ignored by git and may be deleted at any time.

SHELL        := bash
.SHELLFLAGS  := -euo pipefail -c
.DEFAULT_GOAL := help
export CGO_ENABLED ?= 0

# golangci-lint is built from its module, as every tool here is got by its own language's
# package manager and pinned.
GOLANGCI_VERSION := v2.15.0
GOLANGCI         := .tools/golangci-lint-$(GOLANGCI_VERSION)/golangci-lint
PYTHON           := .tools/python
# A function is a folder with a main; functions/internal is what they share.
FUNCTIONS        := $(notdir $(patsubst %/main.go,%,$(wildcard functions/*/main.go)))
RELEASE          := -trimpath -tags lambda.norpc -ldflags "-s -w"
# A test that needs tables gets them from this command, which starts and stops them; one that
# needs more starts a whole stack itself.
WITH_SERVICES    := go run ./infra/local/services --

.PHONY: help
help: ## Show this
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: run
run: ## Run everything on this machine: API, queues, schedules, tables, simulators
	@command -v go >/dev/null || { echo "Go 1.26 is missing: it builds and runs everything"; exit 1; }
	@go run ./infra/local

.PHONY: sim
sim: ## Tell a simulator something: make sim EVENT=toss.decline CODE=REJECT_CARD_PAYMENT
	@go run ./infra/sim/control $(EVENT) $(if $(CODE),code=$(CODE)) $(WITH)

.PHONY: rebuild
rebuild: ## Compute from their events what the running stack's customers hold, and compare
	@go run ./infra/local/rebuild

.PHONY: prerequisites
prerequisites:
	@missing=; need() { command -v "$$1" >/dev/null || { echo "$$2 is missing: $$3"; missing=1; }; }; \
	need go "Go 1.26" "it builds and tests everything"; \
	need java "Java 17" "DynamoDB Local and ElasticMQ run on it"; \
	need mvn "Maven" "it fetches them, once"; \
	need python3 "Python 3" "SAM and cfn-lint check the template with it"; \
	need "$${CC:-cc}" "A C compiler" "go test -race needs one"; \
	python3 -c 'import venv, ensurepip' 2>/dev/null || { echo "Python's venv is missing: on Debian, python3-venv"; missing=1; }; \
	test -z "$$missing"

.PHONY: test
test: prerequisites format-check lint test-go template ## All checks: format, linters, tests with -race, template

.PHONY: check
check: tidy-check build test ## What CI runs

.PHONY: test-go
test-go: ## Unit, contract and journey tests, on real tables and queues
	CGO_ENABLED=1 $(WITH_SERVICES) go test -race -shuffle=on -timeout 40m ./...

.PHONY: test-fast
test-fast: ## The tests that need no Java, in under a minute
	go test -short -shuffle=on ./shared/... ./infra/sim/...

.PHONY: fmt
fmt: $(GOLANGCI) ## Format
	$(GOLANGCI) fmt ./...

.PHONY: format-check
format-check: $(GOLANGCI)
	$(GOLANGCI) fmt --diff ./...

.PHONY: lint
lint: $(GOLANGCI) ## Linters, for the release and the local build
	$(GOLANGCI) run ./...
	$(GOLANGCI) run --build-tags lambda.norpc,local ./...

.PHONY: template
template: $(PYTHON)/done ## Lint and build template.yaml
	$(PYTHON)/bin/cfn-lint template.yaml
	SAM_CLI_TELEMETRY=0 AWS_DEFAULT_REGION=ap-northeast-2 $(PYTHON)/bin/sam validate --lint
	SAM_CLI_TELEMETRY=0 GOFLAGS="-trimpath -tags=lambda.norpc '-ldflags=-s -w'" $(PYTHON)/bin/sam build --no-cached

.PHONY: build
build: ## Build each function as it is deployed, into .build/release
	@for f in $(FUNCTIONS); do \
	  GOOS=linux GOARCH=arm64 go build $(RELEASE) -o .build/release/$$f/bootstrap ./functions/$$f; done
	@ls -l .build/release/*/bootstrap | awk '{printf "%6.1f MB  %s\n", $$5/1e6, $$9}'

.PHONY: fuzz
fuzz: ## Fuzz everything that reads bytes from outside, FUZZ_TIME each (default 5m)
	@for t in $$(grep -rlE '^func Fuzz' --include='*_test.go' shared | xargs -n1 dirname | sort -u); do \
	  for f in $$(grep -hoE '^func Fuzz[A-Za-z0-9_]+' $$t/*_test.go | sed 's/func //'); do \
	    echo "$$t $$f"; go test -run '^$$' -fuzz "^$$f$$" -fuzztime $${FUZZ_TIME:-5m} ./$$t; done; done

.PHONY: differential
differential: ## Compare with Apple's own library, 20,000 tokens; needs Node 20 (DIFFERENTIAL_SEED)
	@command -v npm >/dev/null || { echo "Node 20 with npm is missing: Apple's own library runs on it"; exit 1; }
	cd infra/differential && npm ci --silent
	DIFFERENTIAL_SEED=$${DIFFERENTIAL_SEED:-} go test -count=1 -v -tags 'differential local' -timeout 60m ./infra/differential

.PHONY: consumers
consumers: ## Show what we tell others to their own servers from npm; needs Node 20
	@command -v npm >/dev/null || { echo "Node 20 with npm is missing: the servers that are told run on it"; exit 1; }
	cd infra/consumers && npm ci --silent
	go test -count=1 -v -tags consumers -timeout 20m ./infra/consumers

.PHONY: client
client: ## Test the mini-app client on a running stack; needs Node 20
	@command -v npm >/dev/null || { echo "Node 20 with npm is missing: the mini-app client is TypeScript"; exit 1; }
	cd infra/clients/apps-in-toss && npm ci --silent
	go test -count=1 -v -tags client -timeout 20m ./infra/clients/apps-in-toss

.PHONY: bench
bench: ## Benchmarks, for ratios within one run
	go test -run '^$$' -bench . -benchmem ./shared/...

.PHONY: bench-fanout
bench-fanout: ## 1,000, 10,000 and 100,000 due in one minute, on real tables and queues
	$(WITH_SERVICES) go test -run '^$$' -bench Fanout -benchtime 3x -timeout 60m ./infra/bench

.PHONY: simulate
simulate: ## Live through years of charges, sales and telling in bad weather (SEEDS, default 1000)
	go run ./shared/simulate/cmd/simulate -world charging -seeds 1-$${SEEDS:-1000}
	go run ./shared/simulate/cmd/simulate -world selling -people 8 -years 0.5 -seeds 1-$$(( $${SEEDS:-1000} / 10 + 1 ))
	go run ./shared/simulate/cmd/simulate -world all -people 5 -years 0.25 -seeds 1-$$(( $${SEEDS:-1000} / 50 + 1 ))

.PHONY: exhaust
exhaust: ## All orders of two or three handlers with a crash at each step (PATHS of each set, default all)
	go test -count=1 -v -timeout 6h -run TestSets ./shared/simulate/exhaust -paths=$${PATHS:--1}

.PHONY: teeth
teeth: ## Plant each fault that the simulation has to find, and switch each layer off; about an hour
	go run ./shared/simulate/teeth/cmd/teeth
	go run ./shared/simulate/teeth/cmd/teeth -layers

.PHONY: upgrade
upgrade: ## Let code of an older commit and this one work side by side: make upgrade FROM=<commit> (SEEDS, default 20)
	@test -n "$(FROM)" || { echo "FROM is missing: the commit whose code is the older version"; exit 1; }
	go test -count=1 -tags upgrade ./shared/simulate/upgrade
	go run ./shared/simulate/upgrade/cmd/upgrade -from $(FROM) -seeds 1-$${SEEDS:-20}
	go run ./shared/simulate/upgrade/cmd/upgrade -from $(FROM) -seeds 1-$$(( $${SEEDS:-20} / 4 + 1 )) -world all -people 5 -years 0.25

.PHONY: histories
histories: ## What many do at once on real tables, explained by one order or found impossible (HISTORY_ROUNDS)
	CGO_ENABLED=1 HISTORY_ROUNDS=$${HISTORY_ROUNDS:-60} $(WITH_SERVICES) go test -race -count=1 -v -timeout 60m -run Linearizable ./shared/dbtest/history

.PHONY: kill-consumers
kill-consumers: ## Kill consumers at random for 10 minutes under 500 due subscriptions (KILL_SECONDS, KILL_SUBSCRIPTIONS, KILL_MILLISECONDS, KILL_SEED)
	KILL_SECONDS=$${KILL_SECONDS:-600} KILL_SUBSCRIPTIONS=$${KILL_SUBSCRIPTIONS:-500} KILL_MILLISECONDS=$${KILL_MILLISECONDS:-300} \
	  go test -count=1 -v -run TestWhoeverKillsConsumers -timeout 60m ./infra/local/journeys | grep -v '_test.go:[0-9]*: [a-z-]* *|'

.PHONY: journeys
journeys: ## The journeys in their long forms, each fault and each kill
	GRANTLINE_LONG=1 go test -race -count=1 -timeout 90m ./infra/local/journeys

.PHONY: race-claims
race-claims: ## Two customers claim one purchase at once, 1,000 rounds on real tables (CLAIM_ROUNDS)
	CGO_ENABLED=1 CLAIM_ROUNDS=$${CLAIM_ROUNDS:-1000} $(WITH_SERVICES) go test -race -count=1 -v -run TestOfTwoWhoClaim ./shared/purchase

.PHONY: outages
outages: ## Outages of gateways, scheduler and tables, six hours each
	GRANTLINE_LONG=1 go test -count=1 -run Outage -timeout 60m ./infra/local/journeys

.PHONY: bench-fulfil
bench-fulfil: ## 200 mini-apps a second on the running stack, for 10 s (FULFIL_RATE)
	go test -count=1 -run '^$$' -bench Fulfil -benchtime 1x -timeout 10m ./infra/bench

.PHONY: cover
cover: ## Where tests do not reach
	go test -short -coverprofile=.build/cover.out ./shared/... && go tool cover -func=.build/cover.out | sort -k3 -n | head -40

.PHONY: tidy-check
tidy-check:
	go mod tidy -diff

$(GOLANGCI):
	GOBIN=$(abspath $(dir $@)) go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_VERSION)

$(PYTHON)/done: infra/tools/requirements.txt
	rm -rf $(PYTHON)
	python3 -m venv $(PYTHON)
	$(PYTHON)/bin/pip install --quiet --disable-pip-version-check -r $<
	@touch $@
