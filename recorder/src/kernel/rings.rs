//! The rings between the kernel side and the recorder: one per CPU that is online, and one for records about cgroups.
//! With a single ring the CPUs would wait for each other (measured: a call costs four times as much when two CPUs are
//! busy).
//!
//! The rings are mapped, and records are read in place: a copy would cost time and as much memory again.

use std::os::fd::{AsFd, AsRawFd};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::{io, ptr};

use anyhow::{Context, Result};
use libbpf_rs::{MapCore, MapFlags, MapHandle, MapType};
use rustix::param::page_size;

use crate::kernel::cpus::CpuRings;
use crate::records::merge::{self, Source};

/// Limits of a CPU's ring. Measured on 2 CPUs: rings of 1 MiB lose half of a flood of calls, rings of 4 MiB lose
/// nothing. The smallest ring holds several of the longest records (20 KiB).
const LARGEST_RING_BYTES: usize = 8 << 20;
const SMALLEST_RING_BYTES: usize = 128 << 10;
const CGROUP_RING_BYTES: usize = 1 << 20;

/// Space in each ring reserved for records that must be lost last (`RANK_LAST`): 1/16 of the ring, at least 32 KiB, at
/// most 1/4.
const RESERVE_DIVISOR: usize = 16;
const SMALLEST_RESERVE_BYTES: usize = 32 << 10;
const LARGEST_RESERVE_DIVISOR: usize = 4;

/// The read position is published after this many bytes. The kernel side reads the position for each record, so more
/// frequent updates would move its cache line back and forth between CPUs.
const PUBLISH_BYTES: u64 = 64 << 10;

/// Layout of include/uapi/linux/bpf.h: each record is preceded by its length, with these two bits, and by four bytes
/// for the kernel's own use.
const HEADER_BYTES: u64 = 8;
const BUSY_BIT: u32 = 1 << 31;
const DISCARDED_BIT: u32 = 1 << 30;

/// A mapped ring with the layout of kernel/bpf/ringbuf.c: one page with the read position, one page with the write
/// position, and the data.
pub(crate) struct KernelRing {
    _map: MapHandle,
    consumer_page: *mut libc::c_void,
    /// The page with the write position, followed by the data.
    producer_pages: *mut libc::c_void,
    data: *const u8,
    data_bytes: usize,
    /// Position of the next record. Positions count bytes from the ring's creation.
    read_pos: u64,
    /// The read position that the kernel side knows.
    published_pos: u64,
    /// The write position at the last [`KernelRing::update`].
    write_pos: u64,
    /// End of the records that [`KernelRing::append_unread`] has copied.
    copied_pos: u64,
    /// Length of the record at `read_pos`, if it is complete.
    record_bytes: Option<usize>,
    /// Copy of the current record if it wraps around the end of the ring.
    wrapped_record: Vec<u8>,
}

/// Returns the size of a CPU's ring, a power of two, so that all rings together use at most `memory_bytes`.
///
/// The environment variable `CTRACE_RING_BYTES` overrides the size, in bytes, rounded up to a power of two. Tests use
/// it to force or to avoid losses, benchmarks to avoid them.
pub(super) fn ring_bytes(cpus: usize, memory_bytes: usize) -> usize {
    if let Some(bytes) = std::env::var("CTRACE_RING_BYTES")
        .ok()
        .and_then(|b| b.parse::<usize>().ok())
    {
        return bytes.next_power_of_two();
    }
    let for_cpus = memory_bytes.saturating_sub(CGROUP_RING_BYTES);
    let per_cpu = (for_cpus / cpus.max(1)).clamp(SMALLEST_RING_BYTES, LARGEST_RING_BYTES);
    1 << per_cpu.ilog2()
}

fn create_map(bytes: usize) -> Result<MapHandle> {
    let opts = libbpf_rs::libbpf_sys::bpf_map_create_opts {
        sz: size_of::<libbpf_rs::libbpf_sys::bpf_map_create_opts>() as _,
        ..Default::default()
    };
    MapHandle::create(
        MapType::RingBuf,
        Some("ctrace_ring"),
        0,
        0,
        bytes as u32,
        &opts,
    )
    .context("the kernel has no memory for a ring")
}

/// Returns the part of a ring that records of other ranks than `RANK_LAST` may fill.
pub(super) fn usual_bytes(ring_bytes: usize) -> usize {
    let reserve = (ring_bytes / RESERVE_DIVISOR).max(SMALLEST_RESERVE_BYTES);
    ring_bytes - reserve.min(ring_bytes / LARGEST_RESERVE_DIVISOR)
}

/// Creates and maps the rings of the CPUs, of `cpu_ring_bytes` each, and then the ring for cgroups. Puts them into the
/// map of maps `outer`, by CPU.
///
/// # Errors
/// The kernel has no memory for a ring.
pub(super) fn create_rings(
    outer: &impl MapCore,
    cpus: &CpuRings,
    cpu_ring_bytes: usize,
) -> Result<Vec<KernelRing>> {
    let bytes = |index| match index < cpus.rings {
        true => cpu_ring_bytes,
        false => CGROUP_RING_BYTES,
    };
    let maps: Vec<MapHandle> = (0..=cpus.rings)
        .map(|index| create_map(bytes(index)))
        .collect::<Result<_>>()?;
    let indices = cpus.ring_of.iter().copied().chain([cpus.rings]);
    let by_cpu: Vec<&MapHandle> = indices.filter_map(|index| maps.get(index)).collect();
    insert_maps(outer, &by_cpu).context("cannot set the rings")?;
    let rings = maps.into_iter().enumerate();
    rings
        .map(|(index, map)| KernelRing::new(map, bytes(index)))
        .collect()
}

/// Puts `maps` into `outer` in this order: with a single system call if the kernel supports it (Linux 5.19), because
/// each update waits about 10 ms until no program runs that could see the previous content.
fn insert_maps(outer: &impl MapCore, maps: &[&MapHandle]) -> libbpf_rs::Result<()> {
    let keys: Vec<[u8; 4]> = (0..maps.len() as u32).map(u32::to_ne_bytes).collect();
    let fds: Vec<[u8; 4]> = maps
        .iter()
        .map(|map| map.as_fd().as_raw_fd().to_ne_bytes())
        .collect();
    let batch = outer.update_batch(
        keys.as_flattened(),
        fds.as_flattened(),
        maps.len() as u32,
        MapFlags::ANY,
        MapFlags::ANY,
    );
    batch.or_else(|_| {
        let mut entries = keys.iter().zip(&fds);
        entries.try_for_each(|(key, fd)| outer.update(key, fd, MapFlags::ANY))
    })
}

impl KernelRing {
    fn new(map: MapHandle, bytes: usize) -> Result<KernelRing> {
        let page = page_size();
        // If the second mapping fails, the first is unmapped here: `drop` unmaps both or does not run.
        let consumer_page = map_at(&map, libc::PROT_READ | libc::PROT_WRITE, 0, page)?;
        let producer_pages =
            map_at(&map, libc::PROT_READ, page, page + bytes).inspect_err(|_| {
                // SAFETY: the page was mapped above, and no reference to it exists.
                unsafe { libc::munmap(consumer_page, page) };
            })?;
        Ok(KernelRing {
            _map: map,
            consumer_page,
            producer_pages,
            data: producer_pages.cast::<u8>().wrapping_add(page),
            data_bytes: bytes,
            read_pos: 0,
            published_pos: 0,
            write_pos: 0,
            copied_pos: 0,
            record_bytes: None,
            wrapped_record: vec![],
        })
    }

    /// Reads the write position. Later records stay for the next update, so that the records of all rings can be put
    /// into one order.
    pub(super) fn update(&mut self) {
        // SAFETY: the page is mapped for the ring's lifetime and begins with the write position.
        let position = unsafe { &*self.producer_pages.cast::<AtomicU64>() };
        self.write_pos = position.load(Ordering::Acquire);
        self.load();
    }

    /// Publishes the read position to the kernel side, which frees the space before it.
    fn publish_position(&mut self) {
        if self.published_pos != self.read_pos {
            self.published_pos = self.read_pos;
            // SAFETY: the page is mapped for the ring's lifetime, begins with the read position, and is writable.
            let position = unsafe { &*self.consumer_page.cast::<AtomicU64>() };
            position.store(self.read_pos, Ordering::Release);
        }
    }

    /// Appends the unread records to `out`, framed, without consuming them. Records of an earlier call are not
    /// repeated.
    pub(crate) fn append_unread(&mut self, out: &mut Vec<u8>) {
        let read_pos = self.read_pos;
        self.read_pos = self.copied_pos.max(read_pos);
        self.load();
        while let Some(record) = self.peek() {
            merge::append_framed(out, record);
            self.skip_record();
        }
        self.copied_pos = self.read_pos;
        self.read_pos = read_pos;
        self.load();
    }

    /// Returns up to `bytes` bytes at a position; fewer if the end of the ring is nearer.
    fn slice(&self, pos: u64, bytes: usize) -> &[u8] {
        let offset = pos as usize & (self.data_bytes - 1);
        let bytes = bytes.min(self.data_bytes - offset);
        // SAFETY: `offset` and `bytes` lie within the data, which is mapped after the producer page. Between the read
        // and the write position the kernel changes only the flags of headers, and `header` reads these atomically.
        unsafe { std::slice::from_raw_parts(self.data.add(offset), bytes) }
    }

    fn header(&self) -> u32 {
        let offset = self.read_pos as usize & (self.data_bytes - 1);
        // SAFETY: `offset` lies within the data, and records begin at multiples of eight bytes.
        let header = unsafe { &*self.data.add(offset).cast::<AtomicU32>() };
        header.load(Ordering::Acquire)
    }

    /// Finds the record at the read position, past records that the kernel side has discarded. There is none if the
    /// kernel side is still writing it.
    fn load(&mut self) {
        self.record_bytes = None;
        while self.read_pos < self.write_pos {
            let header = self.header();
            if header & BUSY_BIT != 0 {
                return;
            }
            let bytes = (header & !DISCARDED_BIT) as usize;
            if header & DISCARDED_BIT != 0 {
                self.read_pos += record_span(bytes);
                continue;
            }
            let start = self.read_pos + HEADER_BYTES;
            let until_end = self.slice(start, bytes).len();
            if until_end < bytes {
                let mut wrapped = std::mem::take(&mut self.wrapped_record);
                wrapped.clear();
                wrapped.extend_from_slice(self.slice(start, until_end));
                wrapped.extend_from_slice(self.slice(start + until_end as u64, bytes - until_end));
                self.wrapped_record = wrapped;
            }
            self.record_bytes = Some(bytes);
            return;
        }
    }

    fn skip_record(&mut self) {
        if let Some(bytes) = self.record_bytes {
            self.read_pos += record_span(bytes);
            self.load();
        }
    }
}

/// Maps `bytes` bytes of a ring's map from the offset `from`.
fn map_at(map: &MapHandle, access: i32, from: usize, bytes: usize) -> Result<*mut libc::c_void> {
    let fd = map.as_fd().as_raw_fd();
    // SAFETY: the kernel chooses the address, so no existing mapping is replaced.
    let address = unsafe {
        libc::mmap(
            ptr::null_mut(),
            bytes,
            access,
            libc::MAP_SHARED,
            fd,
            from as libc::off_t,
        )
    };
    if address == libc::MAP_FAILED {
        return Err(io::Error::last_os_error()).context("cannot map a ring");
    }
    Ok(address)
}

/// Returns the number of bytes that a record of `bytes` bytes occupies in the ring.
fn record_span(bytes: usize) -> u64 {
    (bytes as u64 + HEADER_BYTES).next_multiple_of(8)
}

impl Source for KernelRing {
    fn peek(&self) -> Option<&[u8]> {
        let bytes = self.record_bytes?;
        let slice = self.slice(self.read_pos + HEADER_BYTES, bytes);
        Some(if slice.len() < bytes {
            &self.wrapped_record
        } else {
            slice
        })
    }

    fn advance(&mut self) {
        self.skip_record();
        if self.read_pos - self.published_pos >= PUBLISH_BYTES {
            self.publish_position();
        }
    }

    fn release(&mut self) {
        self.publish_position();
    }
}

impl Drop for KernelRing {
    fn drop(&mut self) {
        // SAFETY: both were mapped in `new` with these lengths, and no reference to them outlives the ring.
        unsafe {
            libc::munmap(self.consumer_page, page_size());
            libc::munmap(self.producer_pages, page_size() + self.data_bytes);
        }
    }
}
