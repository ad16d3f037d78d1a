//! Calls on the address space.

use super::Arg::*;
use super::{Arg, Class, Names::*, Ret, Spec};

const fn memory(name: &'static str, args: &'static [(&'static str, Arg)], ret: Ret) -> Spec {
    super::call(name, Class::Memory, args, ret)
}

#[rustfmt::skip]
pub(super) static CALLS: &[Spec] = &[
    memory("mmap", &[("addr", Ptr), ("length", Size), ("prot", Flags(Prot)), ("flags", Flags(Map)), ("fd", Fd), ("offset", Hex)], Ret::Ptr),
    memory("munmap", &[("addr", Ptr), ("length", Size)], Ret::Num),
    memory("mremap", &[("old_address", Ptr), ("old_size", Size), ("new_size", Size), ("flags", Flags(Mremap)), ("new_address", Ptr)], Ret::Ptr),
    memory("remap_file_pages", &[("addr", Ptr), ("size", Size), ("prot", Flags(Prot)), ("pgoff", Size), ("flags", Flags(Map))], Ret::Num),
    memory("brk", &[("addr", Ptr)], Ret::Ptr),
    memory("mprotect", &[("addr", Ptr), ("size", Size), ("prot", Flags(Prot))], Ret::Num),
    memory("pkey_mprotect", &[("addr", Ptr), ("size", Size), ("prot", Flags(Prot)), ("pkey", Int)], Ret::Num),
    memory("pkey_alloc", &[("flags", Hex), ("access_rights", Hex)], Ret::Num),
    memory("pkey_free", &[("pkey", Int)], Ret::Num),
    memory("mseal", &[("addr", Ptr), ("size", Size), ("flags", Hex)], Ret::Num),
    memory("map_shadow_stack", &[("addr", Ptr), ("size", Size), ("flags", Bits)], Ret::Ptr),
    memory("msync", &[("addr", Ptr), ("length", Size), ("flags", Flags(Msync))], Ret::Num),
    memory("mincore", &[("addr", Ptr), ("length", Size), ("vec", Ptr)], Ret::Num),
    memory("madvise", &[("addr", Ptr), ("length", Size), ("advice", Const(Madvise))], Ret::Num),
    memory("process_madvise", &[("pidfd", Fd), ("iovec", Ptr), ("vlen", Size), ("advice", Const(Madvise)), ("flags", Bits)], Ret::Num),
    memory("process_mrelease", &[("pidfd", Fd), ("flags", Bits)], Ret::Num),
    memory("process_vm_readv", &[("pid", Pid), ("local_iov", Ptr), ("liovcnt", Size), ("remote_iov", Ptr), ("riovcnt", Size), ("flags", Hex)], Ret::Bytes),
    memory("process_vm_writev", &[("pid", Pid), ("local_iov", Ptr), ("liovcnt", Size), ("remote_iov", Ptr), ("riovcnt", Size), ("flags", Hex)], Ret::Bytes),
    memory("mlock", &[("addr", Ptr), ("size", Size)], Ret::Num),
    memory("mlock2", &[("addr", Ptr), ("size", Size), ("flags", Flags(Mlock))], Ret::Num),
    memory("munlock", &[("addr", Ptr), ("size", Size)], Ret::Num),
    memory("mlockall", &[("flags", Flags(Mlockall))], Ret::Num),
    memory("munlockall", &[], Ret::Num),
    memory("mbind", &[("addr", Ptr), ("size", Size), ("mode", Hex), ("nodemask", Ptr), ("maxnode", Size), ("flags", Bits)], Ret::Num),
    memory("set_mempolicy", &[("mode", Bits), ("nodemask", Ptr), ("maxnode", Size)], Ret::Num),
    memory("get_mempolicy", &[("mode", Ptr), ("nodemask", Ptr), ("maxnode", Size), ("addr", Ptr), ("flags", Hex)], Ret::Num),
    memory("set_mempolicy_home_node", &[("start", Ptr), ("size", Size), ("home_node", Size), ("flags", Hex)], Ret::Num),
    memory("migrate_pages", &[("pid", Pid), ("maxnode", Size), ("old_nodes", Ptr), ("new_nodes", Ptr)], Ret::Num),
    memory("move_pages", &[("pid", Pid), ("count", Size), ("pages", Ptr), ("nodes", Ptr), ("status", Ptr), ("flags", Bits)], Ret::Num),
    memory("membarrier", &[("cmd", Const(Membarrier)), ("flags", Bits), ("cpu_id", Int)], Ret::Num),
    memory("memfd_create", &[("name", Ptr), ("flags", Flags(Memfd))], Ret::Fd),
    memory("memfd_secret", &[("flags", Flags(FdOpen))], Ret::Fd),
    memory("userfaultfd", &[("flags", Flags(FdOpen))], Ret::Fd),
    memory("cacheflush", &[("start", Ptr), ("end", Ptr), ("flags", Hex)], Ret::Num),
];
