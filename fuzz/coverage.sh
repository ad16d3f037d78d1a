#!/bin/sh
# A wrapper of rustc (RUSTC_WRAPPER) that compiles this project's crates with libFuzzer's coverage, and their dependencies as ever.
# These are flags of LLVM, which every rustc accepts; cargo-fuzz passes the same.
case " $* " in
*" --crate-name ctrace_"* | *"fuzz_targets/"*)
	exec "$@" -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
		-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
		-Cllvm-args=-sanitizer-coverage-trace-compares --cfg fuzzing --check-cfg 'cfg(fuzzing)'
	;;
*) exec "$@" ;;
esac
