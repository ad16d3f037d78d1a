//! Calls with any arguments, as lines in the format of strace.

#![no_main]

use ctrace_schema::strace::Call;
use ctrace_schema::syscalls;
use libfuzzer_sys::fuzz_target;

fuzz_target!(
    |input: ([Option<i64>; 6], Option<i64>, u8, bool, u16, &str, &str)| {
        let (args, ret, machine, compat, name, path, argv) = input;
        ctrace_fuzz::plant(path.as_bytes());
        let names = syscalls::events();
        let name = names.get(usize::from(name) % (names.len() + 1));
        let name = name.copied().unwrap_or(path);
        let machine = ["x86_64", "aarch64", "riscv64"][usize::from(machine) % 3];
        let mut call = Call::of_machine(name, machine, compat);
        (call.args, call.ret, call.denied) = (args, ret, compat && ret.is_none());
        (call.path, call.path_arg, call.path2, call.argv) =
            (Some(path), Some(argv), Some(path), Some(argv));
        let line = call.to_string();
        assert!(!line.chars().any(char::is_control), "{line:?}");
    }
);
