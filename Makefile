# Targets for building, testing, measuring and installing. CARGO_TARGET_DIR selects the build directory, as for cargo.

PREFIX ?= /usr/local
CARGO ?= cargo
MILLIONS ?= 5
C_FILES := $(wildcard bpf/*.c bpf/*.h benches/*.c benches/*.h tests/programs/*.[ch])
TARGET := $(or $(CARGO_TARGET_DIR),target)
# The directory of the programs to package: those of a release, unless one is given; and what packages are made of.
ifeq ($(origin PROGRAMS),undefined)
PROGRAMS := $(TARGET)/release
PACKAGED := $(TARGET)/programs
stage: programs
else
PACKAGED := $(PROGRAMS)
endif
STAGE := $(TARGET)/stage
DIST ?= $(TARGET)/dist
# Programs for this machine, which write the man pages.
RUN ?= $(PROGRAMS)
# The programs of cargo that packaging/setup.sh installs.
TOOLS := $(abspath $(TARGET))/tools/bin
HOST := $(shell rustc -vV 2>/dev/null | sed -n 's/^host: //p' | tr 'a-z-' 'A-Z_')

# Packed relocations make ctrace-query 4 MB smaller. glibc loads them since version 2.36.
PACKED := $(shell getconf GNU_LIBC_VERSION 2>/dev/null | awk '$$2 >= 2.36 { print "-C link-arg=-Wl,-z,pack-relative-relocs" }')

# nextest, if it is installed, runs each test as a process, in parallel.
RUN_TESTS := $(if $(shell command -v cargo-nextest),nextest run,test)
# Cargo runs test binaries through this script, because those that record containers need root.
export CARGO_TARGET_$(HOST)_RUNNER := $(CURDIR)/tests/scripts/as-root.sh

.PHONY: help build static programs stage packages image wheel release demo fuzz fuzz-minute fuzz-sql test test-all test-query test-recording test-privileged test-truth test-kernels test-packages setup fmt fmt-check lint deny advisories sbom docs features check bench bench-query bench-replay bench-report bench-rules bench-diff install install-service clean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand -t 17

build: ## build both programs with optimisation
	@packaging/setup.sh build
	for program in ctrace-rec ctrace-query; do $(CARGO) rustc --release --locked --bin $$program -- $(PACKED) || exit; done

static: ## build ctrace-rec as one static binary for any Linux of this architecture, and test it
	@packaging/setup.sh build
	CFLAGS=-fno-asynchronous-unwind-tables LIBSQLITE3_FLAGS="$(addprefix -USQLITE_ENABLE_,FTS3 FTS3_PARENTHESIS FTS5 RTREE STAT4)" \
		$(CARGO) rustc --profile static --locked --no-default-features --features record --bin ctrace-rec -- \
		-C target-feature=+crt-static -C link-arg=-Wl,-z,pack-relative-relocs
	$$([ "$$(id -u)" -eq 0 ] || echo sudo) tests/scripts/static.sh $(TARGET)/static/ctrace-rec

demo: ## record two containers, answer four questions about them, keep the recording
	@packaging/demo.sh

test: setup fmt-check lint deny docs features check fuzz-minute ## install missing tools, check format, lints and docs, run every test, fuzz for some minutes

test-all: test static ## the same, and the tests that take minutes more: packages on Debian 13, a release made twice, the static recorder
	$(CARGO) test --locked --workspace --test packages -- --ignored
	CTRACE_TEST_RECORDER=$(abspath $(TARGET))/static/ctrace-rec $(CARGO) $(RUN_TESTS) --locked --workspace --test privileged

test-query: ## test the query program over small recordings
test-recording: ## test recordings of replayed captures, and the answers over them
test-privileged: ## as root: test recordings of real containers under Docker, podman and runc
test-truth: ## as root: compare each recorded call of real workloads with strace
test-kernels: ## as root: boot Debian's kernels 5.10, 6.1, 6.12 and 7.2 in QEMU, record in each and compare with strace
test-packages: ## as root: make packages, images, a wheel and manifests of debug programs, and install and run them
test-query test-recording test-privileged test-truth test-kernels test-packages: setup
	$(CARGO) $(RUN_TESTS) --locked --test $(@:test-%=%)

fuzz: setup ## run each fuzz target for an hour, two at a time, as before a release (SECONDS=N)
	CARGO_TARGET_DIR=$(abspath $(TARGET)) fuzz/run.sh $(or $(SECONDS),3600)

fuzz-minute: setup ## run each fuzz target for a minute, two at a time, and see that planted faults are found
	CARGO_TARGET_DIR=$(abspath $(TARGET)) fuzz/planted.sh
	CARGO_TARGET_DIR=$(abspath $(TARGET)) fuzz/run.sh 60

fuzz-sql: setup ## compare random statements with other ways to answer them, until a difference (SEED=N, SECONDS=N)
	$(CARGO) build --release --locked
	$(TARGET)/python/bin/python -B tests/scripts/fuzz_sql.py $(TARGET)/release/ctrace-query $(TARGET)/release/ctrace-rec \
		$(TARGET) --seed $(or $(SEED),$$RANDOM) $(if $(SECONDS),--seconds $(SECONDS))

setup:
	@packaging/setup.sh test

fmt: ## format Rust and C
	$(CARGO) fmt --all
	$(CARGO) fmt --manifest-path fuzz/Cargo.toml
	clang-format -i $(C_FILES)

fmt-check:
	$(CARGO) fmt --all --check
	$(CARGO) fmt --manifest-path fuzz/Cargo.toml --check
	clang-format --dry-run -Werror $(C_FILES)

lint: ## run clippy with warnings denied, and check that each program builds alone
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings
	$(CARGO) check --locked --no-default-features --features record --bins
	@# The query program must build without clang, which this PATH replaces by a script that fails.
	PATH="$(CURDIR)/tests/scripts/no-clang:$$PATH" \
		$(CARGO) check --locked --no-default-features --features query --bins

deny: setup ## check licences, sources, duplicates and bans of all crates (deny.toml)
	PATH="$(TOOLS):$$PATH" $(CARGO) deny --locked --workspace check licenses bans sources

advisories: setup ## check all crates against the RustSec database, which is fetched
	PATH="$(TOOLS):$$PATH" $(CARGO) deny --locked --workspace check advisories

programs: build static ## collect the programs of a release in TARGET/programs: the static recorder, and the query program
	install -D -t $(TARGET)/programs $(TARGET)/static/ctrace-rec $(TARGET)/release/ctrace-query

stage:
	@packaging/setup.sh packages
	packaging/stage.sh $(PACKAGED) $(STAGE)

packages: stage ## make a deb and an rpm of each program in TARGET/dist (PROGRAMS=DIR takes built programs, ARCH=aarch64)
	packaging/packages.sh $(STAGE) $(DIST)

image: stage ## make an image of each program in TARGET/dist
	packaging/image.sh $(STAGE) $(DIST)

wheel: stage ## make a wheel of the query program in TARGET/dist, which pip installs as a command
	packaging/wheel.sh $(STAGE) $(DIST)

release: stage ## make tarballs, packages, images, a wheel, checksums and their signature (KEY=FILE) in TARGET/dist
	packaging/release.sh $(STAGE) $(DIST)

sbom: setup ## write what each program is built of to TARGET/sbom (CycloneDX)
	CARGO_TARGET_DIR=$(TARGET) packaging/sbom.sh $(TARGET)/sbom

docs: ## build the API documentation with warnings denied
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --workspace --no-deps --document-private-items

features: ## prove that each program builds without what the other needs
	@tests/scripts/features.sh

check: ## run every test, with root for tests that record
	$(CARGO) $(RUN_TESTS) --locked --workspace

bench: ## measure the cost of recording, as root, and print the tables of docs/benchmarks.md
	$(CARGO) build --release --locked --no-default-features --features record
	$$([ "$$(id -u)" -eq 0 ] || echo sudo) benches/run.py $(TARGET)/release/ctrace-rec

bench-query: build ## measure query times, compared with other engines (installed by pip)
	python3 -m venv $(TARGET)/python-bench && $(TARGET)/python-bench/bin/pip install -q -r benches/query/requirements.txt
	$(TARGET)/python-bench/bin/python benches/query/run.py $(TARGET)/release --millions $(MILLIONS) --keep $(TARGET)/bench-query

bench-replay: build ## measure replay and cut, compared with DuckDB (installed by pip)
	python3 -m venv $(TARGET)/python-bench && $(TARGET)/python-bench/bin/pip install -q -r benches/query/requirements.txt
	$(TARGET)/python-bench/bin/python benches/query/replay.py $(TARGET)/release --keep $(TARGET)/bench-query

bench-report: build ## measure the page of a report, in Chromium (chromium-driver)
	python3 -m venv $(TARGET)/python-bench && $(TARGET)/python-bench/bin/pip install -q -r benches/query/requirements.txt
	$(TARGET)/python-bench/bin/python benches/query/report.py $(TARGET)/release --keep $(TARGET)/bench-query

bench-rules: build ## measure the default rules over 50 million events
	python3 -m venv $(TARGET)/python-bench && $(TARGET)/python-bench/bin/pip install -q -r benches/query/requirements.txt
	$(TARGET)/python-bench/bin/python benches/query/rules.py $(TARGET)/release --keep $(TARGET)/bench-query

bench-diff: build ## measure diff over 50 million events
	benches/query/diff.py $(TARGET)/release --keep $(TARGET)/bench-query

install: install-service ## install programs, man pages, completions and the service below PREFIX (/usr/local)
	install -D -t $(DESTDIR)$(PREFIX)/bin $(PROGRAMS)/ctrace-rec $(PROGRAMS)/ctrace-query
	share=$(DESTDIR)$(PREFIX)/share && \
	mkdir -p $$share/man/man1 $$share/bash-completion/completions $$share/zsh/site-functions $$share/fish/vendor_completions.d && \
	for program in ctrace-rec ctrace-query; do \
		run=$(RUN)/$$program && \
		$$run man >$$share/man/man1/$$program.1 && \
		$$run completions bash >$$share/bash-completion/completions/$$program && \
		$$run completions zsh >$$share/zsh/site-functions/_$$program && \
		$$run completions fish >$$share/fish/vendor_completions.d/$$program.fish || exit 1; \
	done

install-service: ## install only the systemd unit and its configuration
	install -d $(DESTDIR)$(PREFIX)/lib/systemd/system
	sed 's|/usr/local/bin/|$(PREFIX)/bin/|' packaging/ctrace-rec.service >$(DESTDIR)$(PREFIX)/lib/systemd/system/ctrace-rec.service
	@# Keeps an existing configuration: somebody may have edited it.
	test -e $(DESTDIR)/etc/ctrace/ctrace-rec.toml || install -D -m 644 -t $(DESTDIR)/etc/ctrace packaging/ctrace-rec.toml

clean: ## remove build results
	$(CARGO) clean
