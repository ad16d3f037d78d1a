//! The files of container runtimes, which users can write in their home directories. The first line of the input names the file,
//! and the container.

#![no_main]

use ctrace_recorder::fuzzing;
use libfuzzer_sys::fuzz_target;
use std::fs;
use std::path::{Component, Path};

fuzz_target!(|bytes: &[u8]| {
    ctrace_fuzz::plant(bytes);
    let Some((line, content)) = ctrace_fuzz::first_line(bytes) else {
        return;
    };
    let Some((id, name)) = line.split_once(' ') else {
        return;
    };
    let is_plain = |part| matches!(part, Component::Normal(_));
    if name.is_empty()
        || name.len() > 250
        || name.contains('\0')
        || !Path::new(name).components().all(is_plain)
    {
        return;
    }
    let root = ctrace_fuzz::file("root");
    let _ = fs::remove_dir_all(&root);
    let own = "42 31 0:38 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n";
    ctrace_fuzz::write("root/proc/self/mountinfo", own.as_bytes());
    ctrace_fuzz::write(
        "root/etc/passwd",
        b"alice:x:1000:1000::/home/alice:/bin/sh\n",
    );
    let path = root.join(name);
    let made = path
        .parent()
        .is_some_and(|parent| fs::create_dir_all(parent).is_ok());
    if made && fs::write(&path, content).is_ok() {
        fuzzing::describe(&root, id);
    }
});
