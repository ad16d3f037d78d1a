#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use super::*;

#[test]
fn numbers_are_the_kernels() {
    for (abi, nr, call) in [
        (Abi::X86_64, 0, "read"),
        (Abi::X86_64, 257, "openat"),
        (Abi::X86_64, 262, "newfstatat"),
        (Abi::X86, 5, "open"),
        (Abi::X86, 102, "socketcall"),
        (Abi::Aarch64, 56, "openat"),
        (Abi::Aarch64, 79, "newfstatat"),
        (Abi::Arm, 322, "openat"),
        (Abi::Arm, 0xf0005, "set_tls"),
    ] {
        assert_eq!(name(abi, nr), Some(call), "{abi:?} {nr}");
        assert_eq!(number(abi, call), Some(nr), "{abi:?} {call}");
    }
    assert_eq!(name(Abi::X86_64, 9999), None);
    assert_eq!(number(Abi::Aarch64, "open"), None);
    assert_eq!(number(Abi::Aarch64, "clock_gettime64"), None);
}

#[test]
fn the_last_call_is_found() {
    for abi in Abi::ALL {
        assert!(iter(abi).any(|(nr, name)| (nr, name) == (469, "file_setattr")));
        assert!((600..0xf0000).all(|nr| name(abi, nr).is_none()));
    }
}

#[test]
fn every_call_has_a_spec() {
    let missing: Vec<_> = names().iter().filter(|n| spec(n).name != **n).collect();
    assert!(missing.is_empty(), "no spec: {missing:?}");
}

#[test]
fn every_spec_is_of_a_call_and_unique() {
    let known: BTreeSet<_> = names().iter().copied().collect();
    let mut seen = BTreeSet::new();
    for s in TABLES.iter().copied().flatten() {
        assert!(known.contains(s.name), "{}: no such call", s.name);
        assert!(seen.insert(s.name), "{}: twice", s.name);
    }
}

#[test]
fn specs_are_well_formed() {
    let differing = [abi32::X86, abi32::ARM];
    for s in TABLES.iter().chain(&differing).copied().flatten() {
        assert!(s.args.len() <= 6, "{}: too many arguments", s.name);
        for (i, &(_, arg)) in s.args.iter().enumerate() {
            let next = s.args.get(i + 1).map(|a| a.1);
            match arg {
                Arg::DirFd => assert_eq!(next, Some(Arg::Path), "{}", s.name),
                Arg::Low => assert_eq!(next, Some(Arg::High), "{}", s.name),
                Arg::SockAddrIn => assert_eq!(next, Some(Arg::Int), "{}", s.name),
                Arg::SockAddrOut => assert_eq!(next, Some(Arg::Ptr), "{}", s.name),
                Arg::MmsgIn | Arg::MmsgOut => assert_eq!(next, Some(Arg::UInt), "{}", s.name),
                _ => {}
            }
        }
        let texts = s.args.iter().filter(|a| a.1 == Arg::Text).count();
        assert!(
            s.paths().count() + texts <= 2,
            "{}: no column for a third path",
            s.name
        );
    }
}

#[test]
fn differing_specs_keep_name_class_and_result() {
    for (abi, table) in [(Abi::X86, abi32::X86), (Abi::Arm, abi32::ARM)] {
        for own in table {
            let nr = number(abi, own.name).unwrap();
            assert!(
                std::ptr::eq(spec_of(abi, nr), own),
                "{}: shadowed",
                own.name
            );
            let common = spec(own.name);
            assert_eq!(
                (own.class, own.ret),
                (common.class, common.ret),
                "{}",
                own.name
            );
        }
    }
}

#[test]
fn helpers_return_the_right_arguments() {
    let openat = spec("openat");
    assert_eq!(openat.paths().collect::<Vec<_>>(), [(Some(0), 1)]);
    assert_eq!(
        (openat.fd_arg(), openat.flags_arg(), openat.mode_arg()),
        (None, Some(2), Some(3))
    );
    let pointers = openat.args.iter().map(|(_, arg)| arg.is_pointer());
    assert_eq!(pointers.collect::<Vec<_>>(), [false, true, false, false]);
    let renameat = spec("renameat2");
    assert_eq!(
        renameat.paths().collect::<Vec<_>>(),
        [(Some(0), 1), (Some(2), 3)]
    );
    let symlinkat = spec("symlinkat");
    assert_eq!(symlinkat.paths().collect::<Vec<_>>(), [(Some(1), 2)]);
    assert_eq!(symlinkat.text_arg(), Some(0));
    let mmap = spec("mmap");
    assert_eq!((mmap.fd_arg(), mmap.flags_arg()), (Some(4), Some(3)));
    let watch = spec("inotify_add_watch");
    assert_eq!((watch.fd_arg(), watch.object_arg()), (Some(0), None));
    assert_eq!(watch.paths().collect::<Vec<_>>(), [(None, 1)]);
    assert_eq!(
        spec_of(Abi::X86, 339).paths().collect::<Vec<_>>(),
        [(Some(4), 5)]
    );
    assert_eq!(spec("mprotect").flags_arg(), Some(2));
}

#[test]
fn an_unknown_call_has_a_generic_spec() {
    let s = spec("no_such_call");
    assert_eq!((s.name, s.class, s.args.len()), ("", Class::Other, 0));
    assert!(std::ptr::eq(spec_of(Abi::X86_64, 9999), s));
}

#[test]
fn classes_have_long_and_short_names() {
    for class in Class::ALL {
        assert_eq!(Class::from_name(class.as_str()), Some(class));
        assert_eq!(Class::ALL[class as usize], class);
    }
    assert_eq!(Class::from_name("fs"), Some(Class::File));
    assert_eq!(Class::from_name("cred"), Some(Class::Credential));
    assert_eq!(Class::from_name("files"), None);
}
