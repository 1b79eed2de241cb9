# Needs Go, make and git. Only interop, page-test and compose-test need more, and install it.
GO  ?= go
BIN := $(CURDIR)/.bin
MODULES := . etcdtest test cmd/micro-etcd tools $(patsubst %/go.mod,%,$(wildcard test/bench/go.mod test/page/go.mod test/interop/go.mod test/interop/*/*/go.mod))

# The race detector needs a C compiler.
CC_FOUND := $(shell [ "$$($(GO) env CGO_ENABLED)" = 1 ] && command -v $$($(GO) env CC))
RACE     := $(if $(CC_FOUND),-race)

.DEFAULT_GOAL := help
.PHONY: help
help: ## show this
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# Both build an etcd. With the same flags they build it once.
demo demo-failover command: export CGO_ENABLED := 0

.PHONY: demo
demo: ## watch services find each other, one of them being killed
	@echo 'Building etcd and the demo; the first time this takes minutes.'
	@$(GO) build -C test -o $(BIN)/demo ./demo
	@cd test && $(BIN)/demo

.PHONY: demo-failover
demo-failover: ## watch a data center lose its services, and a client that goes to another one
	@echo 'Building etcd and the demo; the first time this takes minutes.'
	@$(GO) build -C test -o $(BIN)/demo ./demo
	@cd test && $(BIN)/demo failover

.PHONY: command
command: ## build the command micro-etcd into .bin, as a single static binary
	@echo 'Building etcd and the command; the first time this takes minutes.'
	$(GO) build -C cmd/micro-etcd -o $(BIN)/micro-etcd .

# The tests in test and cmd wait more than they compute: hence -p and -parallel. The longest ones begin first.
# vet compiles dependencies too, so it does as the tests do.
.PHONY: test
test: ## vet and test everything that needs only Go
	@$(if $(RACE),,echo 'No C compiler, so this runs without the race detector.')
	$(GO) vet -C . $(RACE) ./...
	$(GO) vet -C etcdtest $(RACE) ./...
	$(GO) vet -C test $(RACE) ./...
	$(GO) vet -C cmd/micro-etcd $(RACE) ./...
	$(GO) test -C . $(RACE) ./...
	$(GO) test -C etcdtest $(RACE) ./...
	$(GO) test -C test $(RACE) -p 3 -parallel 4 ./promises ./conformance ./selector ./...
	$(GO) test -C cmd/micro-etcd $(RACE) -parallel 4 ./...

# For a 32-bit int, and for what only other systems compile. Nothing is run there.
PLATFORMS := linux/386 windows/amd64 darwin/arm64

.PHONY: cross
cross: ## vet and build the registry and the command for PLATFORMS='linux/386 windows/amd64 darwin/arm64'
	@for platform in $(PLATFORMS); do for module in . cmd/micro-etcd; do \
		echo "$$platform: $$module"; \
		export CGO_ENABLED=0 GOOS=$${platform%/*} GOARCH=$${platform#*/}; \
		$(GO) vet -C $$module ./... && $(GO) build -C $$module ./... || exit; \
	done; done

# Go 1.26 sometimes ends a target with "context deadline exceeded" and no failing input: golang/go#75804.
.PHONY: fuzz
fuzz: ## fuzz every target for FUZZTIME=1m; an input that fails is kept in its package's testdata/fuzz
	@grep -rE --include='*_test.go' '^func Fuzz[A-Za-z0-9_]*\(' . | sed 's|/[^/]*:func | |; s|(.*||' | { \
		failed=0; \
		while read -r dir target; do \
			echo "$$dir: $$target"; \
			$(GO) test -C "$$dir" -run '^$$' -fuzz "^$$target\$$" -fuzztime $(or $(FUZZTIME),1m) </dev/null || failed=1; \
		done; \
		exit $$failed; \
	}

# One package after the other: fifty processes beside the rules on a bad network make etcd too slow for their timeouts.
.PHONY: chaos
chaos: ## real processes under faults, and every rule on a bad network; MINUTES=30 only goes on at random for so long
	cd test && CHAOS=ci CHAOS_MINUTES=$(MINUTES) $(GO) test $(RACE) -count=1 -p 1 -parallel 5 -v \
		-timeout $$(($(or $(MINUTES),0) + 15))m $(if $(MINUTES),-run TestRandom ./chaos,\
		-run '^(TestScenario|TestMassSickness|TestRandom|TestRegistryOnABadNetwork)$$' ./chaos ./conformance)

.PHONY: rounds
rounds: ## one member of three fails, and no record is missing; SEED=1 ROUNDS=6 FIRST=0, LANES=6 at a time, SLACK=1s
	cd test && CHAOS_ROUNDS=$(or $(ROUNDS),200) CHAOS_SEED=$(SEED) CHAOS_ROUND=$(FIRST) CHAOS_LANES=$(LANES) CHAOS_SLACK=$(SLACK) \
		$(GO) test $(RACE) -count=1 -parallel 64 -v -timeout 2h ./chaos -run TestRounds

.PHONY: models
models: ## random schedules in virtual time, COUNT=10 times a hundred of each model
	$(GO) test -C . $(RACE) -count=$(or $(COUNT),10) -v -timeout 1h \
		-run '^(TestWhateverHappensAllIsWellAfterwards|TestNoEventIsLostWhateverWasShownFromWhere)$$' ./registry/etcd

.PHONY: interop
interop: ## beside other registries, and under etcd's versions, tools, TLS and roles
	test/interop/run

.PHONY: interop-build
interop-build: ## only build what interop runs
	test/interop/run build

.PHONY: page-test
page-test: ## the web page in a real Chromium, which is installed if it is missing; PICTURES=1 renews those in docs
	test/page/run $(if $(PICTURES),-pictures $(CURDIR)/docs)

.PHONY: bench
bench: ## measure beside the peers and write docs/benchmarks.md; BENCH='-rows list' only prints
	@$(GO) build -C test/bench -o $(BIN)/bench .
	$(BIN)/bench $(or $(BENCH),-out docs -save $(BIN)/bench.json)

.PHONY: bench-check
bench-check: ## what needs no clock: allocations, requests at etcd, and that every benchmark runs
	cd test/bench && $(GO) vet ./... && $(GO) test -count=1 -bench . -benchtime 1x ./...
	@$(GO) build -C test/bench -o $(BIN)/bench .
	$(BIN)/bench -quick

.PHONY: lint
lint: $(BIN)/golangci-lint ## what the compiler doesn't say
	cd . && $(BIN)/golangci-lint run
	cd etcdtest && $(BIN)/golangci-lint run
	cd test && $(BIN)/golangci-lint run
	cd cmd/micro-etcd && $(BIN)/golangci-lint run
	cd test/interop && $(BIN)/golangci-lint run
	cd test/bench && $(BIN)/golangci-lint run
	cd test/page && $(BIN)/golangci-lint run

.PHONY: scripts
scripts: ## run shellcheck on every script
	shellcheck .ci/run .githooks/pre-commit test/*/run

.PHONY: fmt
fmt: $(BIN)/golangci-lint ## format every Go file
	$(BIN)/golangci-lint fmt . etcdtest test cmd

.PHONY: tidy
tidy: ## tidy every module
	@for module in $(MODULES); do $(GO) mod tidy -C $$module || exit; done

.PHONY: tidy-check
tidy-check: ## fail if a module isn't tidy
	@for module in $(MODULES); do $(GO) mod tidy -C $$module -diff || exit; done

# The peers and servers of interop are as old as they must be: what they have is only shown.
.PHONY: vuln
vuln: $(BIN)/govulncheck ## look for known vulnerabilities in what every module calls
	@failed=0; for module in $(MODULES); do \
		echo "$$module:"; \
		$(BIN)/govulncheck -C $$module ./... tool || case $$module in test/interop/*/*) ;; *) failed=1 ;; esac; \
	done; exit $$failed

.PHONY: consumer-test
consumer-test: ## import the registry from a module of its own
	test/consumer/run

.PHONY: compose-test
compose-test: ## run docker-compose.yml for real, with Docker
	test/compose/run

.PHONY: tools
tools: $(BIN)/golangci-lint ## build the pinned tools into .bin

$(BIN)/golangci-lint: tools/go.mod tools/go.sum
	$(GO) build -C tools -o $(BIN)/ tool
	@touch $@

$(BIN)/govulncheck: tools/go.mod tools/go.sum
	$(GO) build -C tools -o $(BIN)/ golang.org/x/vuln/cmd/govulncheck
	@touch $@

.PHONY: clean
clean: ## remove what was built here
	rm -rf $(BIN)
