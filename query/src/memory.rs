//! The memory of the process. What sorts, joins and groups keep is bounded by the engine; this module bounds everything else,
//! such as the result of `repeat('x', 1000000000)` or the plan of a statement, so that no statement takes the memory of the
//! machine.

use std::alloc::{GlobalAlloc, Layout, System};
use std::ffi::CString;
use std::io::{self, Cursor, Write};
use std::path::Path;
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};

/// Bytes for the program itself, the stacks of its threads, and batches that pass through a query.
const OTHER_BYTES: usize = 1 << 30;

/// Bytes of the stack of a thread that parses and plans statements.
const DEEP_STACK_BYTES: usize = 256 << 20;

/// Does `work` in a thread with a deep stack: syntax trees and plans are as deep as a statement's chains of operators are long,
/// and are dropped recursively. The inner result is an error if `work` panics.
///
/// # Errors
/// The thread cannot be started.
pub(crate) fn on_deep_stack<T: Send>(
    work: impl FnOnce() -> T + Send,
) -> io::Result<std::thread::Result<T>> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(DEEP_STACK_BYTES);
        Ok(thread.spawn_scoped(scope, work)?.join())
    })
}

/// The limit in bytes; 0: there is no limit.
static LIMIT_BYTES: AtomicUsize = AtomicUsize::new(0);

/// The allocator of the system, with an error message when there is no memory. Rust would abort the process.
struct Allocator;

#[global_allocator]
static ALLOCATOR: Allocator = Allocator;

/// Bounds the memory of this process, for queries with a memory of `query_bytes`: half as much again and [`OTHER_BYTES`].
#[cfg(target_os = "linux")]
pub(crate) fn bound(query_bytes: usize) {
    let bytes = query_bytes.saturating_add(query_bytes / 2);
    let bytes = bytes.saturating_add(OTHER_BYTES);
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: `limit` is a valid `rlimit` that the call writes.
    if unsafe { libc::getrlimit(libc::RLIMIT_DATA, &mut limit) } != 0 {
        return;
    }
    // A lower limit of the user stays.
    limit.rlim_cur = limit.rlim_cur.min(bytes as libc::rlim_t);
    // SAFETY: `limit` is a valid `rlimit` that the call only reads.
    if unsafe { libc::setrlimit(libc::RLIMIT_DATA, &limit) } == 0 {
        LIMIT_BYTES.store(limit.rlim_cur as usize, Ordering::Relaxed);
    }
}

/// Bounds nothing: other systems do not count the memory of a process in the same way.
#[cfg(not(target_os = "linux"))]
pub(crate) fn bound(_: usize) {}

/// The path of a file that is not complete, or null.
static UNFINISHED: AtomicPtr<libc::c_char> = AtomicPtr::new(std::ptr::null_mut());

/// Sets the file that is removed if the process ends at once, when memory or time is up; `None`: there is no such file.
pub(crate) fn set_unfinished(path: Option<&Path>) {
    let path = path.and_then(|path| CString::new(path.as_os_str().as_encoded_bytes()).ok());
    let path = path.map_or(std::ptr::null_mut(), CString::into_raw);
    let before = UNFINISHED.swap(path, Ordering::AcqRel);
    if !before.is_null() {
        // SAFETY: the pointer is from `CString::into_raw`, and the swap has given it to this thread alone.
        drop(unsafe { CString::from_raw(before) });
    }
}

/// Removes the file that is not complete, before the process ends without running destructors. Allocates nothing.
pub(crate) fn remove_unfinished() {
    let path = UNFINISHED.swap(std::ptr::null_mut(), Ordering::AcqRel);
    if !path.is_null() {
        // SAFETY: the pointer is a text that ends with a zero byte, and no other thread has it.
        unsafe { libc::unlink(path) };
    }
}

/// A function that puts the terminal in order before the process ends at once, or null.
static BEFORE_END: AtomicPtr<()> = AtomicPtr::new(std::ptr::null_mut());

/// Sets what is done before the process ends at once, when memory is up; `None`: nothing. `work` should need little memory.
pub(crate) fn set_before_end(work: Option<fn()>) {
    let work = work.map_or(std::ptr::null_mut(), |work| work as *mut ());
    BEFORE_END.store(work, Ordering::Release);
}

/// Does what [`set_before_end`] has set, once.
fn before_end() {
    let work = BEFORE_END.swap(std::ptr::null_mut(), Ordering::AcqRel);
    if !work.is_null() {
        // SAFETY: the pointer is from a `fn()` of `set_before_end`, the only place that stores one.
        let work = unsafe { std::mem::transmute::<*mut (), fn()>(work) };
        work();
    }
}

/// Writes an error, and ends the process as errors do. Allocates nothing, unless a program has the whole terminal.
fn exhausted(bytes: usize) -> ! {
    let mut text = [0; 256];
    let mut cursor = Cursor::new(&mut text[..]);
    let _ = match LIMIT_BYTES.load(Ordering::Relaxed) / 1_000_000 {
        0 => write!(
            cursor,
            "error: the system has no memory left (the program asked for {bytes} bytes more)\n\
             Select less.\n"
        ),
        limit_mb => write!(
            cursor,
            "error: this needs more memory than the {limit_mb} MB that the program may use (it asked for {bytes} bytes more)\n\
             Allow more with --memory, or select less.\n"
        ),
    };
    let written = cursor.position() as usize;
    before_end();
    let _ = io::stderr().write_all(&text[..written]);
    remove_unfinished();
    // SAFETY: `_exit` ends the process, and runs no code of the program that could need memory.
    unsafe { libc::_exit(2) }
}

// SAFETY: all methods pass their arguments on to the allocator of the system, which fulfils the contract of the trait, and
// return its pointers.
unsafe impl GlobalAlloc for Allocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's layout is passed on.
        let memory = unsafe { System.alloc(layout) };
        match memory.is_null() {
            true => exhausted(layout.size()),
            false => memory,
        }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's layout is passed on.
        let memory = unsafe { System.alloc_zeroed(layout) };
        match memory.is_null() {
            true => exhausted(layout.size()),
            false => memory,
        }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: the caller's pointer is from `System`, and was allocated with this layout.
        unsafe { System.dealloc(memory, layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: as in `dealloc`; `size` is the caller's.
        let memory = unsafe { System.realloc(memory, layout, size) };
        match memory.is_null() {
            true => exhausted(size),
            false => memory,
        }
    }
}
