# The habits of this repository. `make` alone lists them.
.DEFAULT_GOAL := help
.PHONY: help demo demo-kubernetes test test-crash test-hostile test-openapi test-kubernetes test-compatibility bench-kubernetes test-vm bench bench-witness oracles fuzz mutants mutants-whole doc fmt lint

help: ## this list
	@echo "Rust 1.95 or newer is needed; distributions ship older ones. scripts/setup checks and says how."
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 18

demo: ## build the four programs, then run scripts/demo
	@scripts/setup
	cargo build --release --locked --package zeuge-cli --package zeuge-sim --package zeuge-server --package zeuge-agent
	@scripts/demo

demo-kubernetes: ## nodes join, turn bad and come back; then 300 at once (KUBECONFIG, or a control plane built once)
	@scripts/setup
	@[ -n "$$KUBECONFIG" ] || scripts/kubernetes-control-plane build
	cargo build --release --locked --package zeuge-cli --package zeuge-sim --package zeuge-server --package zeuge-agent
	cargo build --release --locked --package zeuge-kube --bins --example kubelet
	@scripts/demo-kubernetes

test: ## all tests of the workspace
	@scripts/setup
	@if [ -n "$$ZEUGE_VECTORS" ]; then echo "captures: $$ZEUGE_VECTORS"; \
	 else echo "skipped: tests over real captures (ZEUGE_VECTORS is not set)"; fi
	@command -v chromium >/dev/null || echo "skipped: the report's page in a real browser (chromium)"
	@echo "skipped: the mutation loop (make mutants)"
	cargo test --workspace --locked
	cargo test --workspace --locked --features zeuge-server/traces --lib traces::

test-crash: ## kill and cut the power of a loaded witness 1,000 times each, and 1,000 releases around changes (CRASHES=n)
	ZEUGE_CRASHES=$(or $(CRASHES),1000) ZEUGE_RACES=$(or $(CRASHES),1000) cargo test --release --locked --package zeuge-server --test witness -- crash:: races:: --nocapture --test-threads 1

test-hostile: ## hostile clients by the 100,000 against a witness; honest ones keep half their rate
	ZEUGE_HOSTILE=whole cargo test --release --locked --package zeuge-server --test witness hostile:: -- --nocapture --test-threads 1

test-openapi: ## ask schemathesis whether the served description holds (installs it into target/)
	@scripts/test-openapi

test-kubernetes: ## nodes against a real control plane (builds Kubernetes with Go, once: 11 CPU minutes)
	@scripts/kubernetes-control-plane build
	@scripts/helm build || echo "skipped: the chart with the real Helm (scripts/helm build)"
	ZEUGE_KUBERNETES=1 cargo test --locked --workspace --test control_plane --test installation -- --nocapture

test-compatibility: ## the agent before with the witness of now, and the other way round (builds both)
	@scripts/test-compatibility

bench-kubernetes: ## what the controller costs with 5,000 nodes at a real control plane (10 minutes)
	@scripts/kubernetes-control-plane build
	ZEUGE_KUBERNETES=1 cargo bench --locked --package zeuge-kube --bench controller

test-vm: ## boot a real VM twice (QEMU, OVMF, swtpm) whose agent attests by its TPM
	@tests/vm/run

bench: ## what a verification and a replay cost, beside bare signatures, hashes, sev and dcap-qvl
	cargo run --release --locked --quiet --manifest-path tests/oracles/Cargo.toml --bin bench -- $(BENCH)
	cargo run --release --locked --quiet --manifest-path tests/oracles/Cargo.toml --bin bench_boot -- $(BENCH)
	cargo run --release --locked --quiet --manifest-path tests/oracles/Cargo.toml --bin bench_quote -- $(BENCH)

bench-witness: ## what the witness costs beside a bare server that verifies one signature (20 minutes)
	cargo bench --locked --package zeuge-server --bench witness -- $(BENCH)

oracles: ## ask other verifiers about captures, toys and a million mutations; goes on where it was stopped
	@mkdir -p target
	cargo run --release --locked --quiet --manifest-path tests/oracles/Cargo.toml -- --whole yes --state target/oracles.state $(ORACLES)

fuzz: ## libFuzzer over one boundary: make fuzz T=target [SECONDS=60]; alone: the targets
	@scripts/fuzz "$(T)" "$(or $(SECONDS),60)"

mutants: ## remove the body of every check, one by one: its lie must then go uncaught
	@set -e; found=; for package in verify appraise; do \
	 for file in crates/$$package/tests/*_mutants.rs; do \
	  [ -e "$$file" ] || continue; found=yes; \
	  RUSTC_WORKSPACE_WRAPPER="$$PWD/scripts/without-checks" \
	   cargo test --locked --package zeuge-$$package --test "$$(basename "$$file" .rs)"; \
	 done; done; \
	 if [ -z "$$found" ]; then echo "mutants: no crates/*/tests/*_mutants.rs" >&2; exit 1; fi

mutants-whole: ## change one expression of verify and appraise at a time; goes on where it was stopped (MUTANTS="--files snp")
	cargo run --locked --quiet --manifest-path tests/mutants/Cargo.toml -- $(MUTANTS)

doc: ## documentation, private items included; warnings are errors
	RUSTDOCFLAGS=-Dwarnings cargo doc --workspace --no-deps --locked --document-private-items

fmt: ## format the source
	cargo fmt --all

lint: ## formatting, clippy, arrows, tidiness, dependencies
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	cargo xtask arch
	cargo xtask tidy
	cargo xtask deps
	cargo xtask specs
