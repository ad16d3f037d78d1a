//! The maps behind the rings, and their sizes.
//!
//! A CPU that is online has a ring of its own, an element of one array that is mapped (`bpf/rings.h`). A ring buffer of the
//! kernel serves what such rings cannot: records of interrupts, and CPUs that come online later. Where the kernel cannot
//! make such an array, each CPU has a ring buffer of the kernel. Records about cgroups have one in both cases.

use std::os::fd::{AsFd, AsRawFd};

use anyhow::{Context, Result};
use libbpf_rs::{MapCore, MapFlags, MapHandle, MapType, libbpf_sys};
use rustix::param::page_size;

use crate::kernel::cpus::CpuRings;
use crate::kernel::rings::KernelRing;
use crate::wire::types::rec_exec;

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

/// Returns the part of a ring that records of other ranks than `RANK_LAST` may fill.
pub(super) fn usual_bytes(ring_bytes: usize) -> usize {
    let reserve = (ring_bytes / RESERVE_DIVISOR).max(SMALLEST_RESERVE_BYTES);
    ring_bytes - reserve.min(ring_bytes / LARGEST_RESERVE_DIVISOR)
}

/// The array with the CPUs' own rings.
#[derive(Debug)]
pub(super) struct OwnRings {
    pub(super) map: MapHandle,
    /// The bytes of an element: two pages with positions, the data, and room for one longest record.
    element_bytes: usize,
}

impl OwnRings {
    /// Creates an array of `cpus` rings. None: the kernel cannot make one of this size, or the programs could not write
    /// into it. The environment variable `CTRACE_NO_CPU_RINGS`, if set, denies it, so that the path of older kernels can be
    /// debugged on a newer one.
    pub(super) fn create(cpus: usize, ring_bytes: usize) -> Option<OwnRings> {
        let spare =
            (size_of::<rec_exec>() + KernelRing::HEADER_BYTES).next_multiple_of(page_size());
        let element_bytes = 2 * page_size() + ring_bytes.next_multiple_of(page_size()) + spare;
        let opts = libbpf_sys::bpf_map_create_opts {
            map_flags: libbpf_sys::BPF_F_MMAPABLE,
            ..options()
        };
        let name = Some("cpu_rings"); // libbpf gives a map that it reuses this name
        let size = u32::try_from(element_bytes).ok()?;
        let map = match std::env::var_os("CTRACE_NO_CPU_RINGS") {
            Some(_) => return None,
            None => MapHandle::create(MapType::Array, name, 4, size, cpus as u32, &opts).ok()?,
        };
        Some(OwnRings { map, element_bytes })
    }

    /// Maps each ring.
    fn map(&self, cpus: usize, ring_bytes: usize) -> impl Iterator<Item = Result<KernelRing>> {
        let spare = self.element_bytes - 2 * page_size() - ring_bytes;
        (0..cpus)
            .map(move |cpu| KernelRing::map(&self.map, cpu * self.element_bytes, ring_bytes, spare))
    }
}

/// Returns the options of a map without any.
fn options() -> libbpf_sys::bpf_map_create_opts {
    libbpf_sys::bpf_map_create_opts {
        sz: size_of::<libbpf_sys::bpf_map_create_opts>() as _,
        ..Default::default()
    }
}

/// Creates a ring buffer of the kernel.
fn create_buffer(bytes: usize) -> Result<MapHandle> {
    let name = Some("ctrace_ring");
    MapHandle::create(MapType::RingBuf, name, 0, 0, bytes as u32, &options())
        .context("the kernel has no memory for a ring")
}

/// Creates and maps the rings, of `ring_bytes` for each CPU: those of `own`, if any, then ring buffers of the kernel, and
/// last that for cgroups. Puts the ring buffers into the map of maps `outer`, by CPU.
///
/// # Errors
/// The kernel has no memory for a ring.
pub(super) fn create_rings(
    outer: &impl MapCore,
    cpus: &CpuRings,
    own: Option<&OwnRings>,
    ring_bytes: usize,
) -> Result<Vec<KernelRing>> {
    let shared_bytes = match cpus.all_have_own() {
        true => SMALLEST_RING_BYTES,
        false => ring_bytes,
    };
    let (buffers, buffer_bytes) = match own {
        Some(_) => (1, shared_bytes),
        None => (cpus.rings, ring_bytes),
    };
    let bytes = |index| {
        if index < buffers {
            buffer_bytes
        } else {
            CGROUP_RING_BYTES
        }
    };
    let maps: Vec<MapHandle> = (0..=buffers)
        .map(|index| create_buffer(bytes(index)))
        .collect::<Result<_>>()?;
    let of_cpus = cpus.ring_of.iter().map(|ring| ring % buffers);
    let by_cpu: Vec<&MapHandle> = of_cpus
        .chain([buffers])
        .filter_map(|index| maps.get(index))
        .collect();
    insert_maps(outer, &by_cpu).context("cannot set the rings")?;
    let own = own.map(|own| own.map(cpus.own, ring_bytes));
    let buffers = maps.iter().enumerate();
    let buffers = buffers.map(|(index, map)| KernelRing::map(map, 0, bytes(index), bytes(index)));
    own.into_iter().flatten().chain(buffers).collect()
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
