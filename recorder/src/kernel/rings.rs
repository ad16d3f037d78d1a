//! One ring per CPU, and one for cgroups: with one ring for all of them they wait for each other (measured: four times
//! the cost of a call when two CPUs are busy).
//!
//! What the kernel side writes is read where it stands: a copy would take as much memory again, and time.

use std::os::fd::{AsFd, AsRawFd};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::{io, ptr};

use anyhow::{Context, Result};
use libbpf_rs::{MapCore, MapFlags, MapHandle, MapType};
use rustix::param::page_size;

use crate::records::merge::{self, Source};

/// The largest and the smallest ring of a CPU, bytes, and that for cgroups. Measured on 2 CPUs: 1 MiB loses half of a
/// flood, 4 MiB loses nothing. The smallest holds the longest record (20 KiB) several times.
const LARGEST: usize = 8 << 20;
const SMALLEST: usize = 128 << 10;
const FOR_CGROUPS: usize = 1 << 20;
/// What is kept of a ring for what is the last to be lost: a part of it, bytes at least, and a part of a tiny one.
const RESERVE_PART: usize = 16;
const SMALLEST_RESERVE: usize = 32 << 10;
const LARGEST_RESERVE_PART: usize = 4;

/// The kernel side is told what has been read after so many bytes: it looks there for each record, and the CPUs would
/// pass the line to and fro.
const TOLD_EVERY: u64 = 64 << 10;

/// Of include/uapi/linux/bpf.h: before each record its length, with these bits, and four bytes for the kernel itself.
const HEADER: u64 = 8;
const BUSY: u32 = 1 << 31;
const DISCARDED: u32 = 1 << 30;

/// A ring that is mapped, as kernel/bpf/ringbuf.c lays it out.
pub struct KernelRing {
    _map: MapHandle,
    /// The page with our position.
    consumer: *mut libc::c_void,
    /// The page with the kernel side's position, and behind it the data.
    producer: *mut libc::c_void,
    data: *const u8,
    bytes: usize,
    /// Where the next record begins, what of it the kernel side knows, and where what was there ends, as it was looked at
    /// last.
    at: u64,
    told: u64,
    end: u64,
    /// Up to where records have been copied.
    copied: u64,
    /// Bytes of the record at `at`, if there is one.
    record: Option<usize>,
    /// The record, where it goes on at the ring's beginning.
    wrapped: Vec<u8>,
}

/// Bytes of the ring of a CPU, a power of two, where all rings may take `memory` together.
pub fn ring_bytes(cpus: usize, memory: usize) -> usize {
    if let Some(bytes) = std::env::var("CTRACE_RING_BYTES")
        .ok()
        .and_then(|b| b.parse::<usize>().ok())
    {
        return bytes.next_power_of_two();
    }
    let all = memory.saturating_sub(FOR_CGROUPS);
    let each = (all / cpus.max(1)).clamp(SMALLEST, LARGEST);
    1 << each.ilog2()
}

fn create(bytes: usize) -> Result<MapHandle> {
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
    .context("the kernel gives no memory for a ring")
}

/// Bytes of a ring that others than what is the last to be lost may fill.
pub fn usual_bytes(ring: usize) -> usize {
    let reserve = (ring / RESERVE_PART).max(SMALLEST_RESERVE);
    ring - reserve.min(ring / LARGEST_RESERVE_PART)
}

/// Makes the rings of the CPUs, of `each` bytes, then that for cgroups, and puts them into `outer`.
///
/// # Errors
/// The kernel has no memory for them.
pub fn rings(outer: &impl MapCore, cpus: usize, each: usize) -> Result<Vec<KernelRing>> {
    let bytes = |index| if index < cpus { each } else { FOR_CGROUPS };
    let maps: Vec<MapHandle> = (0..=cpus)
        .map(|index| create(bytes(index)))
        .collect::<Result<_>>()?;
    put(outer, &maps).context("cannot set the rings")?;
    let rings = maps.into_iter().enumerate();
    rings
        .map(|(index, map)| KernelRing::new(map, bytes(index)))
        .collect()
}

/// Puts `maps` into `outer`, in this order, and all at once where the kernel can (Linux 5.19): it waits until no program
/// runs that could see what was there, some 10 ms, each time that it is asked.
fn put(outer: &impl MapCore, maps: &[MapHandle]) -> libbpf_rs::Result<()> {
    let keys: Vec<[u8; 4]> = (0..maps.len() as u32).map(u32::to_ne_bytes).collect();
    let fds: Vec<[u8; 4]> = maps
        .iter()
        .map(|map| map.as_fd().as_raw_fd().to_ne_bytes())
        .collect();
    let at_once = outer.update_batch(
        keys.as_flattened(),
        fds.as_flattened(),
        maps.len() as u32,
        MapFlags::ANY,
        MapFlags::ANY,
    );
    at_once.or_else(|_| {
        let mut each = keys.iter().zip(&fds);
        each.try_for_each(|(key, fd)| outer.update(key, fd, MapFlags::ANY))
    })
}

impl KernelRing {
    fn new(map: MapHandle, bytes: usize) -> Result<KernelRing> {
        let page = page_size();
        // Its own page first: what `drop` unmaps is there, or nothing is.
        let consumer = map_at(&map, libc::PROT_READ | libc::PROT_WRITE, 0, page)?;
        let producer = map_at(&map, libc::PROT_READ, page, page + bytes).inspect_err(|_| {
            // SAFETY: mapped above, and nobody has it.
            unsafe { libc::munmap(consumer, page) };
        })?;
        Ok(KernelRing {
            _map: map,
            consumer,
            producer,
            data: producer.cast::<u8>().wrapping_add(page),
            bytes,
            at: 0,
            told: 0,
            end: 0,
            copied: 0,
            record: None,
            wrapped: vec![],
        })
    }

    /// Looks how much is there by now. What comes later is for the next time, so that the order of records of several
    /// rings can be told.
    pub fn look(&mut self) {
        // SAFETY: the page is mapped as long as the ring is, and begins with the position.
        let position = unsafe { &*self.producer.cast::<AtomicU64>() };
        self.end = position.load(Ordering::Acquire);
        self.load();
    }

    /// Tells the kernel side what has been read, which makes room.
    pub fn release(&mut self) {
        if self.told != self.at {
            self.told = self.at;
            // SAFETY: as in `look`; this page is ours to write.
            let position = unsafe { &*self.consumer.cast::<AtomicU64>() };
            position.store(self.at, Ordering::Release);
        }
    }

    /// Adds what is there, framed, without taking it: each record once, however often it is still there.
    pub fn copy(&mut self, into: &mut Vec<u8>) {
        let from = self.at;
        self.at = self.copied.max(from);
        self.load();
        while let Some(record) = self.peek() {
            merge::frame(into, record);
            self.step();
        }
        self.copied = self.at;
        self.at = from;
        self.load();
    }

    /// Up to `bytes` bytes from a position on, as many as stand together.
    fn slice(&self, from: u64, bytes: usize) -> &[u8] {
        let from = from as usize & (self.bytes - 1);
        let bytes = bytes.min(self.bytes - from);
        // SAFETY: `from` and `bytes` lie within the data, which is mapped behind the first page. The kernel does not write
        // to what lies between the two positions, but for a header's flags, which are read by themselves.
        unsafe { std::slice::from_raw_parts(self.data.add(from), bytes) }
    }

    fn header(&self) -> u32 {
        let from = self.at as usize & (self.bytes - 1);
        // SAFETY: as in `slice`; records begin at multiples of eight bytes.
        let header = unsafe { &*self.data.add(from).cast::<AtomicU32>() };
        header.load(Ordering::Acquire)
    }

    /// Finds the record at `at`.
    fn load(&mut self) {
        self.record = None;
        while self.at < self.end {
            let header = self.header();
            if header & BUSY != 0 {
                return;
            }
            let bytes = (header & !DISCARDED) as usize;
            if header & DISCARDED != 0 {
                self.at += span(bytes);
                continue;
            }
            let (start, first) = (self.at + HEADER, self.slice(self.at + HEADER, bytes).len());
            if first < bytes {
                let mut wrapped = std::mem::take(&mut self.wrapped);
                wrapped.clear();
                wrapped.extend_from_slice(self.slice(start, first));
                wrapped.extend_from_slice(self.slice(start + first as u64, bytes - first));
                self.wrapped = wrapped;
            }
            self.record = Some(bytes);
            return;
        }
    }

    fn step(&mut self) {
        if let Some(bytes) = self.record {
            self.at += span(bytes);
            self.load();
        }
    }
}

/// Maps `bytes` of a ring's map, from `from` on.
fn map_at(map: &MapHandle, access: i32, from: usize, bytes: usize) -> Result<*mut libc::c_void> {
    let fd = map.as_fd().as_raw_fd();
    // SAFETY: a new mapping, at an address that the kernel chooses.
    let at = unsafe {
        libc::mmap(
            ptr::null_mut(),
            bytes,
            access,
            libc::MAP_SHARED,
            fd,
            from as libc::off_t,
        )
    };
    if at == libc::MAP_FAILED {
        return Err(io::Error::last_os_error()).context("cannot map a ring");
    }
    Ok(at)
}

/// What a record takes in the ring, bytes.
fn span(bytes: usize) -> u64 {
    (bytes as u64 + HEADER).next_multiple_of(8)
}

impl Source for KernelRing {
    fn peek(&self) -> Option<&[u8]> {
        let bytes = self.record?;
        let slice = self.slice(self.at + HEADER, bytes);
        Some(if slice.len() < bytes {
            &self.wrapped
        } else {
            slice
        })
    }

    fn pass(&mut self) {
        self.step();
        if self.at - self.told >= TOLD_EVERY {
            self.release();
        }
    }

    fn end(&mut self) {
        self.release();
    }
}

impl Drop for KernelRing {
    fn drop(&mut self) {
        // SAFETY: mapped in `new`, and nobody else has them.
        unsafe {
            libc::munmap(self.consumer, page_size());
            libc::munmap(self.producer, page_size() + self.bytes);
        }
    }
}
