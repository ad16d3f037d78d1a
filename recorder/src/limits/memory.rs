//! `--memory`: how much the recorder may take, and who may have how much of it.
//!
//! Each has a share, which it seldom needs, and all of them together are more than there is. So what can do with less,
//! batches and sums, looks at what is left, and does with less where others have taken it.

use std::fs;
use std::str::FromStr;

use ctrace_schema::human;
use rustix::param::page_size;

/// How much there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// The bound, bytes.
    bound: usize,
    /// What of it is neither the program's own nor a ring's, bytes: shares are of this.
    shared: usize,
    /// Whether what is left is looked at.
    watched: bool,
}

/// Less is not enough for the programs' set-up and one batch.
const LEAST: usize = 80_000_000;

/// What the program itself takes, its code and what libbpf keeps, bytes.
const OWN: usize = 24 << 20;

/// What a batch may take in any case, bytes.
const LEAST_BATCH: usize = 1 << 20;

/// The least that a ring is worth having for.
const LEAST_RING: u64 = 1_000_000;

/// What is allocated in one piece of this size or more is given back to the kernel as soon as it is free, bytes. glibc
/// raises this by itself up to 32 MiB, and then keeps twice as much for each thread. Of smaller pieces so much may be free
/// at the end of the heap: with the 128 kB that glibc has, each page of a column was given back and taken again.
#[cfg(target_env = "gnu")]
const GIVEN_BACK: i32 = 1 << 20;

/// Has the allocator keep little of what is freed. To be called before there are threads.
pub fn keep_little() {
    #[cfg(target_env = "gnu")]
    // SAFETY: it sets numbers of the allocator's, while nobody else allocates.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, GIVEN_BACK);
        libc::mallopt(libc::M_TRIM_THRESHOLD, GIVEN_BACK);
    }
}

/// Gives back to the kernel what has been freed in between.
pub fn give_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: it changes nothing that is in use.
    unsafe {
        libc::malloc_trim(0)
    };
}

/// Bytes of memory that this process holds: the second number of /proc/self/statm, in pages (proc_pid_statm(5)). None: the
/// kernel does not say.
pub fn resident() -> Option<usize> {
    let text = fs::read_to_string("/proc/self/statm").ok()?;
    let pages: usize = text.split_whitespace().nth(1)?.parse().ok()?;
    Some(pages * page_size())
}

/// A page of the large ones that kernels have, bytes.
const LARGE_PAGE: usize = 2 << 20;

/// A list with room for `len`, in large pages where the kernel has them. A batch touches fresh memory throughout, and a
/// fault for each small page took a tenth of the recorder's CPU time; to keep the memory for the next would cost 10 MB.
pub fn roomy<T>(len: usize) -> Vec<T> {
    let list: Vec<T> = Vec::with_capacity(len);
    let start = (list.as_ptr() as usize).next_multiple_of(LARGE_PAGE);
    let end = list.as_ptr() as usize + list.capacity() * size_of::<T>();
    if start < end {
        // SAFETY: advice about memory that is ours. A kernel without large pages refuses it, and nothing is lost.
        unsafe { libc::madvise(start as *mut libc::c_void, end - start, libc::MADV_HUGEPAGE) };
    }
    list
}

impl Memory {
    /// Of a recorder on which nobody has set one.
    pub const DEFAULT: &str = "128MB";

    /// What is left beside a ring of `ring` bytes, None: of half of it; and the bytes of the ring.
    ///
    /// # Errors
    /// A sentence for the user: there is not so much.
    pub fn beside(self, ring: Option<u64>) -> Result<(Memory, u64), String> {
        let most = self.bound.saturating_sub(LEAST);
        let ring = ring.unwrap_or(most.min(self.bound / 2) as u64);
        if ring > most as u64 || ring < LEAST_RING {
            let needed = (LEAST as u64).saturating_add(ring.max(LEAST_RING));
            return Err(format!(
                "--ring counts in --memory, of which the recorder itself needs 80MB: a ring of {} needs `--memory {}MB` or more",
                human::bytes(ring.max(LEAST_RING)),
                needed.div_ceil(1_000_000)
            ));
        }
        let shared = self.shared - ring as usize;
        Ok((Memory { shared, ..self }, ring))
    }

    /// The same for a replay, which keeps to the shares and does not look at what is left: it comes out the same each time.
    pub fn unwatched(self) -> Memory {
        Memory {
            watched: false,
            ..self
        }
    }

    /// What is left now, bytes.
    pub fn left(self) -> usize {
        match self.watched {
            true => self.bound.saturating_sub(resident().unwrap_or(0)),
            false => usize::MAX,
        }
    }

    /// All rings together.
    pub fn rings(self) -> usize {
        self.shared / 4
    }

    /// Files, and as much again for sockets.
    pub fn definitions(self) -> usize {
        self.shared / 16
    }

    /// Threads.
    pub fn threads(self) -> usize {
        self.shared / 32
    }

    /// Requests of io_uring in flight. A replay knows them for at least as long as its recorder did.
    pub fn requests(self) -> usize {
        match self.watched {
            true => self.shared / 32,
            false => usize::MAX,
        }
    }

    /// A batch. It is in memory twice as it is encoded, so where little is left it takes no more than a third of that: by half of
    /// what it leaves it is full.
    pub fn batch(self) -> usize {
        let share = self.shared / 8;
        share.min(self.left() / 2).max(LEAST_BATCH)
    }

    /// Sums by which questions are answered; of those that are in memory until a file ends, half as much again.
    pub fn sums(self) -> usize {
        // Fewer lose the sums by path of a recording of 50 million events.
        self.shared / 8 * 3
    }

    /// What sums leave to batches and to what comes and goes.
    pub fn kept_from_sums(self) -> usize {
        self.shared / 5
    }

    /// What cannot be written because the disk is full.
    pub fn spill(self) -> usize {
        self.shared / 16
    }

    /// Of that, rows that are unpacked at once when there is room again. The sums grow then, too.
    pub fn unpacked(self) -> usize {
        self.shared / 32
    }

    /// All batches that wait for the encoder or are in it.
    pub fn batches(self) -> usize {
        self.shared / 5
    }
}

#[cfg(test)]
impl Memory {
    /// The default, whatever else is in this process.
    pub fn of_tests() -> Memory {
        let memory: Result<Memory, _> = Memory::DEFAULT.parse();
        memory.expect("is a size").unwatched()
    }
}

impl FromStr for Memory {
    type Err = String;

    fn from_str(text: &str) -> Result<Memory, String> {
        let bytes = bytes(text)?;
        if bytes < LEAST as f64 {
            return Err("at least 80MB".to_string());
        }
        Ok(Memory {
            bound: bytes as usize,
            shared: bytes as usize - OWN,
            watched: true,
        })
    }
}

/// A number and a unit, as 128MB (of 1000) or 128MiB (of 1024).
///
/// # Errors
/// A sentence for the user: it is none.
pub fn bytes(text: &str) -> Result<f64, String> {
    let at = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(at);
    let unit = match unit.trim().to_ascii_lowercase().as_str() {
        "k" | "kb" => 1e3,
        "m" | "mb" => 1e6,
        "g" | "gb" => 1e9,
        "kib" => 1024.0,
        "mib" => 1024.0 * 1024.0,
        "gib" => 1024.0 * 1024.0 * 1024.0,
        _ => return Err("a size, such as 128MB or 1GiB".to_string()),
    };
    Ok(number.parse::<f64>().map_err(|e| e.to_string())? * unit)
}
