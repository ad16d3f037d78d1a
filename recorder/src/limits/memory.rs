//! `--memory`: the recorder's memory limit, and the share of each consumer.
//!
//! Consumers seldom need their whole share, so the shares add up to more than the limit. The consumers that can work
//! with less, batches and rollups, check the available memory and shrink if others have used it.

use std::fs;
use std::str::FromStr;

use ctrace_common::sizes::parse_bytes;
use ctrace_schema::human;
use rustix::param::page_size;

/// The memory limit of a recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Memory {
    max_bytes: usize,
    /// The limit without the program's own memory and without a ring. The shares are fractions of this number.
    shared_bytes: usize,
    /// True if the available memory is measured.
    watched: bool,
}

/// The smallest limit: less is not enough to load the BPF programs and to hold one batch.
const MIN_BYTES: usize = 80_000_000;

/// The memory of the program itself: its code and the data of libbpf.
const PROGRAM_BYTES: usize = 26 << 20;

/// The memory that a batch may always use. Each batch becomes a row group, whose 60 kB in the footer are in memory several times
/// when the file ends: with 1 MiB, a recording of half a minute had 128 row groups, and its end took 25 MB.
const MIN_BATCH_BYTES: usize = 4 << 20;

/// The least memory that is left to what grows between two readings of the available memory. With four containers that make
/// calls on both CPUs, the growth was 2 to 8 MB.
const MIN_RESERVED_BYTES: usize = 8 << 20;

/// The smallest useful ring.
const MIN_RING_BYTES: u64 = 1_000_000;

/// Allocations of at least this size return to the kernel as soon as they are freed. glibc would raise this threshold
/// by itself up to 32 MiB, and then retain twice as much for each thread.
///
/// The same number of bytes may be free at the end of the heap before the heap shrinks. With glibc's default of 128 kB,
/// each page of a column was returned to the kernel and allocated again.
#[cfg(target_env = "gnu")]
const TRIM_BYTES: i32 = 1 << 20;

/// Configures the allocator to retain little freed memory. To be called before other threads start.
pub(crate) fn limit_retained() {
    #[cfg(target_env = "gnu")]
    // SAFETY: mallopt only sets parameters of the allocator, and no other thread allocates yet.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, TRIM_BYTES);
        libc::mallopt(libc::M_TRIM_THRESHOLD, TRIM_BYTES);
    }
}

/// Returns freed memory inside the heap to the kernel.
pub(crate) fn trim() {
    #[cfg(target_env = "gnu")]
    // SAFETY: malloc_trim does not change memory that is in use.
    unsafe {
        libc::malloc_trim(0)
    };
}

/// Returns the resident set size of this process in bytes, from the second number of /proc/self/statm, which is in
/// pages (proc_pid_statm(5)). Returns `None` if the file cannot be read.
pub(crate) fn resident_bytes() -> Option<usize> {
    let text = fs::read_to_string("/proc/self/statm").ok()?;
    let pages: usize = text.split_whitespace().nth(1)?.parse().ok()?;
    Some(pages * page_size())
}

const HUGE_PAGE_BYTES: usize = 2 << 20;

/// Allocates a list for `len` items, in huge pages if the kernel has them.
///
/// A batch fills fresh memory, and the page faults for small pages took a tenth of the recorder's CPU time. Reusing the
/// memory for the next batch would cost 10 MB.
pub(crate) fn with_huge_pages<T>(len: usize) -> Vec<T> {
    let list: Vec<T> = Vec::with_capacity(len);
    let start = (list.as_ptr() as usize).next_multiple_of(HUGE_PAGE_BYTES);
    let end = list.as_ptr() as usize + list.capacity() * size_of::<T>();
    if start < end {
        // SAFETY: madvise only gives advice about the memory of `list`. A kernel without huge pages refuses the advice,
        // which changes nothing.
        unsafe { libc::madvise(start as *mut libc::c_void, end - start, libc::MADV_HUGEPAGE) };
    }
    list
}

impl Memory {
    /// The value of `--memory` without the flag.
    pub(crate) const DEFAULT: &str = "128MB";

    /// Reserves `ring` bytes for a ring; without a size, half of the memory or less. Returns the remaining memory and the
    /// bytes of the ring.
    ///
    /// # Errors
    /// The ring does not fit; the error is a sentence for the user.
    pub(crate) fn reserve_ring(self, ring: Option<u64>) -> Result<(Memory, u64), String> {
        let max_ring = self.max_bytes.saturating_sub(MIN_BYTES);
        let ring = ring.unwrap_or(max_ring.min(self.max_bytes / 2) as u64);
        if ring > max_ring as u64 || ring < MIN_RING_BYTES {
            let needed = (MIN_BYTES as u64).saturating_add(ring.max(MIN_RING_BYTES));
            return Err(format!(
                "--ring is part of --memory, of which the recorder itself needs 80MB: a ring of {} needs `--memory {}MB` or more",
                human::bytes(ring.max(MIN_RING_BYTES)),
                needed.div_ceil(1_000_000)
            ));
        }
        let shared_bytes = self.shared_bytes - ring as usize;
        Ok((
            Memory {
                shared_bytes,
                ..self
            },
            ring,
        ))
    }

    /// Returns the same limit for a replay, which uses fixed shares and never measures the available memory, so that
    /// each replay gives the same result.
    pub(crate) fn unwatched(self) -> Memory {
        Memory {
            watched: false,
            ..self
        }
    }

    /// Returns the bytes that are available now. A sixteenth of the limit, and at least [`MIN_RESERVED_BYTES`], is left to
    /// what grows between two readings: a file's metadata, the state of containers, pages of the program's code.
    pub(crate) fn available_bytes(self) -> usize {
        let watched_bytes = self.max_bytes - (self.max_bytes / 16).max(MIN_RESERVED_BYTES);
        match self.watched {
            true => watched_bytes.saturating_sub(resident_bytes().unwrap_or(0)),
            false => usize::MAX,
        }
    }

    /// Returns the share of the rows about live containers and processes, with which the next segment begins.
    pub(crate) fn alive(self) -> usize {
        self.shared_bytes / 64
    }

    /// Returns the share of the kernel's rings, all CPUs together.
    pub(crate) fn rings_bytes(self) -> usize {
        self.shared_bytes / 4
    }

    /// Returns the share of the definitions of files. Sockets have the same share.
    pub(crate) fn definitions_bytes(self) -> usize {
        self.shared_bytes / 16
    }

    /// Returns the share of the known threads.
    pub(crate) fn threads_bytes(self) -> usize {
        self.shared_bytes / 32
    }

    /// Returns the share of io_uring requests in flight. The share is unlimited for a replay, which must remember
    /// requests for at least as long as the original recorder did.
    pub(crate) fn requests_bytes(self) -> usize {
        match self.watched {
            true => self.shared_bytes / 32,
            false => usize::MAX,
        }
    }

    /// Returns the share of the owners of TCP connections.
    pub(crate) fn connections_bytes(self) -> usize {
        self.shared_bytes / 32
    }

    /// Returns the share of the queries to name servers that wait for an answer.
    pub(crate) fn dns_queries_bytes(self) -> usize {
        self.shared_bytes / 64
    }

    /// Returns the size at which a batch is full.
    ///
    /// The encoding needs as much memory again. So if memory is short, a batch uses at most a third of it: the batch is
    /// full at half of the memory that is still available beside it.
    pub(crate) fn batch_bytes(self) -> usize {
        let share = self.shared_bytes / 8;
        share.min(self.available_bytes() / 2).max(MIN_BATCH_BYTES)
    }

    /// Returns the share of the rollups that are growing. Finished streams, which stay in memory until the file ends,
    /// have half of that again.
    pub(crate) fn rollups_bytes(self) -> usize {
        // With less, a recording of 50 million events loses the rollup by path.
        self.shared_bytes / 8 * 3
    }

    /// Returns the memory that rollups leave free for batches and for short-lived data.
    pub(crate) fn reserved_from_rollups_bytes(self) -> usize {
        self.shared_bytes / 5
    }

    /// Returns the share of the events that wait while the disk is full.
    pub(crate) fn spill_bytes(self) -> usize {
        self.shared_bytes / 16
    }

    /// Returns the uncompressed bytes of waiting events that are written at a time when the disk has room again. The
    /// rollups grow at that time too.
    pub(crate) fn spill_batch_bytes(self) -> usize {
        self.shared_bytes / 32
    }

    /// Returns the share of all batches that wait for the encoder or are being encoded.
    pub(crate) fn batches_bytes(self) -> usize {
        self.shared_bytes / 5
    }
}

#[cfg(test)]
impl Memory {
    /// Returns the default limit, independent of the memory that this process uses.
    pub(crate) fn for_tests() -> Memory {
        let memory: Result<Memory, _> = Memory::DEFAULT.parse();
        memory.expect("is a size").unwatched()
    }
}

impl FromStr for Memory {
    type Err = String;

    fn from_str(text: &str) -> Result<Memory, String> {
        let bytes = parse_bytes(text)?;
        if bytes < MIN_BYTES as f64 {
            return Err("at least 80MB".to_string());
        }
        Ok(Memory {
            max_bytes: bytes as usize,
            shared_bytes: bytes as usize - PROGRAM_BYTES,
            watched: true,
        })
    }
}
