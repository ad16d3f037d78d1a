//! The file or socket that a call is about: the object of its row.

use ctrace_schema::syscalls::rules::When;
use ctrace_schema::text::escape;

use crate::calls::CallInfo;
use crate::records::decode::StructFlags;
use crate::resolve::{Resolver, paths};
use crate::rows::batch::{Batch, CallDetail, NONE, Object, Row, StringIndex};
use crate::wire::types::sys_flag;

/// AT_FDCWD of linux/fcntl.h: the working directory stands for a directory fd.
const AT_FDCWD: i64 = -100;
/// RESOLVE_IN_ROOT of linux/openat2.h: the directory fd is the root.
const RESOLVE_IN_ROOT: u64 = 0x10;
/// IORING_SETUP_REGISTERED_FD_ONLY of linux/io_uring.h: the result is the index of a registered ring, not an fd.
const REGISTERED_FD_ONLY: u64 = 1 << 15;

/// Returns whether a flag is set in the record of the row's call.
fn has(row: &Row, flag: sys_flag) -> bool {
    u32::from(row.flags) & flag.0 != 0
}

/// Returns the value of an argument of the row's call.
pub(super) fn arg(batch: &Batch, call: &CallInfo, row: &Row, i: usize) -> Option<i64> {
    call.arg(i, batch.args_of(row))
}

impl Resolver {
    /// Returns the index in the batch of the file or socket with `key`, the object of `row`. NONE: `key` has no
    /// definition.
    pub(super) fn object(&mut self, key: u64, row: &Row) -> u32 {
        let (batch, generation) = (&mut self.batch, self.generation);
        if key == 0 {
            NONE
        } else if let Some(file) = self.files.get_mut(key) {
            file.batch_index.get_or_add(generation, || {
                batch.objects.push(Object {
                    path: match &file.path {
                        Some(path) => batch.strings.intern_shared(path),
                        None => NONE,
                    },
                    host_path: match &file.host_path {
                        Some(path) => batch.strings.intern_shared(path),
                        None => NONE,
                    },
                    dev: batch.strings.intern(&paths::dev_text(file.dev)),
                    inode: Some(file.inode),
                    endpoints: NONE,
                });
                batch.objects.len() - 1
            })
        } else if let Some(socket) = self.sockets.get_mut(key) {
            let (container, dns_names) = (batch.container(row), &self.dns_names);
            socket.resolve_peer(|peer| dns_names.name(container, peer, row.time));
            let mut batch_index = socket.batch_index;
            let index = batch_index.get_or_add(generation, || socket.push_to(batch));
            socket.batch_index = batch_index;
            index
        } else {
            NONE
        }
    }

    /// Sets the object of a row to the file or socket that the kernel side found for the call, unless the kernel
    /// ignores the argument that the kernel side has looked up.
    pub(super) fn set_object(&mut self, row: &mut Row, detail: &mut CallDetail, key: u64) {
        if has(row, sys_flag::SYS_RET_KEY) || self.has_used_fd(row, detail, key) {
            row.object = self.object(key, row);
        }
    }

    /// Returns whether the kernel used the fd of a call. A directory fd that is used because the path is null or empty
    /// becomes the fd of the row.
    fn has_used_fd(&self, row: &mut Row, detail: &mut CallDetail, key: u64) -> bool {
        let call = self.calls.get(has(row, sys_flag::SYS_COMPAT), row.call);
        let Some(call) = call else { return false };
        let value = |i| arg(&self.batch, call, row, i);
        if call.ignores_fd.holds(value) {
            row.flags |= sys_flag::SYS_NO_FD.0 as u8;
            return false;
        }
        // A call with a path has no other object at its entry than that of the directory fd.
        let [path, _] = &call.paths;
        let Some(dir) = path.dir.filter(|_| key != 0) else {
            return true;
        };
        let empty = has(row, sys_flag::SYS_EMPTY_PATH);
        let rule = if empty { path.empty } else { path.null };
        // EFAULT: the kernel is older than the rule, or another address was bad.
        let refused = !empty && rule != When::Always && row.ret == -i64::from(libc::EFAULT);
        let fd = value(dir).filter(|fd| *fd != i64::from(libc::AT_FDCWD));
        // Without an fd, a null path is the working directory only under a flag: see do_utimes() of fs/utimes.c.
        let has_file = fd.is_some() || empty || rule != When::Always;
        if !rule.holds(value) || !has_file || refused || call.ignores_path.holds(value) {
            return false;
        }
        detail.fd = fd.map(|fd| fd as i32);
        true
    }

    /// Sets the path of a row to an argument of the call, joined to the directory with the key `base`. `slot` is 0 for
    /// the column `path` and 1 for `path2`.
    pub(super) fn set_path(
        &mut self,
        row: &mut Row,
        detail: &mut CallDetail,
        slot: u16,
        base: u64,
        path_arg: &[u8],
    ) {
        let arg_text = self.batch.strings.intern(&escape(path_arg));
        let compat = has(row, sys_flag::SYS_COMPAT);
        let call = self.calls.get(compat, row.call);
        let value = |i| arg(&self.batch, call?, row, i);
        let rule = call.and_then(|call| call.paths.get(usize::from(slot)));
        let is_first = slot == 0;
        if is_first {
            detail.path_arg = arg_text;
        }
        let ignored = is_first && call.is_some_and(|call| call.ignores_path.holds(value));
        if ignored || path_arg.is_empty() && !rule.is_some_and(|rule| rule.empty.holds(value)) {
            return;
        }
        let fd = rule.and_then(|rule| value(rule.dir?));
        if path_arg.is_empty() && is_first && row.object == NONE {
            // readlinkat(2) has no flag that permits an empty path, and refuses it for a file that is no link.
            if row.ret != -i64::from(libc::ENOENT) {
                detail.fd = fd.filter(|fd| *fd != AT_FDCWD).map(|fd| fd as i32);
                row.object = self.object(base, row);
            }
            return;
        }
        let path = self.joined_path(base, arg_text, path_arg);
        if is_first {
            detail.path = path;
        } else {
            detail.path2 = path;
        }
    }

    fn joined_path(&mut self, base: u64, arg_text: StringIndex, arg: &[u8]) -> StringIndex {
        if let Some(path) = self.joined_paths.get(&(base, arg_text)) {
            return *path;
        }
        let Some(base_path) = self.files.get(base).and_then(|file| file.path.as_ref()) else {
            return NONE;
        };
        let path = self.batch.strings.intern(&paths::join(base_path, arg));
        self.joined_paths.insert((base, arg_text), path);
        path
    }

    /// Sets the fields that a call received in a struct open_how or clone_args, and applies those of a struct
    /// io_uring_params.
    pub(super) fn set_struct_flags(
        &mut self,
        row: &mut Row,
        detail: &mut CallDetail,
        fields: &StructFlags,
    ) {
        let call = self.calls.get(has(row, sys_flag::SYS_COMPAT), row.call);
        let Some(call) = call else { return };
        if &*call.name == "io_uring_setup" {
            // The flags are the third number of 32 bits in struct io_uring_params.
            if fields.mode & REGISTERED_FD_ONLY != 0 {
                row.flags &= !(sys_flag::SYS_RET_KEY.0 as u8);
                row.flags |= sys_flag::SYS_NO_FD.0 as u8;
                row.object = NONE;
            }
            return;
        }
        (detail.flags, detail.mode) = call.struct_flags(fields.flags, fields.mode);
        // The kernel side has joined an absolute path to the root of the process.
        let strings = &self.batch.strings.list;
        let passed = strings.get(detail.path_arg as usize);
        if call.receives_open_how()
            && fields.resolve & RESOLVE_IN_ROOT != 0
            && passed.is_some_and(|path| path.starts_with('/'))
        {
            detail.path = NONE;
        }
    }

    /// Handles the second fd of a call. If a call moves bytes between a file and a socket, the row is about the socket,
    /// whichever the first fd is.
    pub(super) fn set_second_fd(&mut self, row: &mut Row, detail: &mut CallDetail, key: u64) {
        if let Some(file) = self.files.get(key) {
            let strings = &mut self.batch.strings;
            if let Some(path) = &file.path {
                detail.path2 = strings.intern_shared(path);
            }
            detail.dev2 = strings.intern(&paths::dev_text(file.dev));
            detail.inode2 = Some(file.inode);
            return;
        }
        let call = self.calls.get(has(row, sys_flag::SYS_COMPAT), row.call);
        let Some(call) = call.filter(|call| call.moves_bytes) else {
            return;
        };
        let first = self.batch.objects.get(row.object as usize);
        if self.sockets.get(key).is_none() || first.is_some_and(|first| first.endpoints != NONE) {
            return;
        }
        if let Some(first) = first {
            (detail.path2, detail.dev2, detail.inode2) = (first.path, first.dev, first.inode);
        }
        let fd = call.second_fd.and_then(|i| arg(&self.batch, call, row, i));
        detail.fd = fd.map(|fd| fd as i32);
        row.object = self.object(key, row);
    }

    /// Removes the argument as the path of a call that has opened or executed a file: the path is that of the file,
    /// even if the file has none.
    pub(super) fn drop_argument_path(&self, row: &Row, detail: &mut CallDetail, executed: bool) {
        let object = self.batch.objects.get(row.object as usize);
        let is_file = object.is_some_and(|object| object.dev != NONE);
        if is_file && (executed || has(row, sys_flag::SYS_RET_KEY)) {
            detail.path = NONE;
        }
    }
}
