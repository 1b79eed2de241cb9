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
demo command: export CGO_ENABLED := 0

.PHONY: demo
demo: ## watch services find each other, one of them being killed
	@echo 'Building etcd and the demo; the first time this takes minutes.'
	@$(GO) build -C test -o $(BIN)/demo ./demo
	@cd test && $(BIN)/demo

.PHONY: command
command: ## build the command micro-etcd into .bin, as a single static binary
	@echo 'Building etcd and the command; the first time this takes minutes.'
	$(GO) build -C cmd/micro-etcd -o $(BIN)/micro-etcd .

# The tests in test wait more than they compute: hence -p.
.PHONY: test
test: ## vet and test everything that needs only Go
	@$(if $(RACE),,echo 'No C compiler, so this runs without the race detector.')
	$(GO) vet -C . ./...
	$(GO) vet -C etcdtest ./...
	$(GO) vet -C test ./...
	$(GO) vet -C cmd/micro-etcd ./...
	$(GO) test -C . $(RACE) ./...
	$(GO) test -C etcdtest $(RACE) ./...
	$(GO) test -C test $(RACE) -p 3 ./...
	$(GO) test -C cmd/micro-etcd $(RACE) ./...

.PHONY: chaos
chaos: ## real processes under faults; MINUTES=30 goes on at random for so long
	cd test && CHAOS=ci CHAOS_MINUTES=$(MINUTES) $(GO) test $(RACE) -count=1 -parallel 5 -v \
		-timeout $$(($(or $(MINUTES),0) + 15))m ./chaos $(if $(MINUTES),-run TestRandom)

.PHONY: rounds
rounds: ## one member of three fails, and no record is missing; SEED=1 ROUNDS=6 FIRST=0, LANES=6 at a time, SLACK=1s
	cd test && CHAOS_ROUNDS=$(or $(ROUNDS),200) CHAOS_SEED=$(SEED) CHAOS_ROUND=$(FIRST) CHAOS_LANES=$(LANES) CHAOS_SLACK=$(SLACK) \
		$(GO) test $(RACE) -count=1 -parallel 64 -v -timeout 2h ./chaos -run TestRounds

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

.PHONY: fmt
fmt: $(BIN)/golangci-lint ## format every Go file
	$(BIN)/golangci-lint fmt . etcdtest test cmd

.PHONY: tidy
tidy: ## tidy every module
	@for module in $(MODULES); do $(GO) mod tidy -C $$module || exit; done

.PHONY: tidy-check
tidy-check: ## fail if a module isn't tidy
	@for module in $(MODULES); do $(GO) mod tidy -C $$module -diff || exit; done

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

.PHONY: clean
clean: ## remove what was built here
	rm -rf $(BIN)
