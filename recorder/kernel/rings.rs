//! One ring per CPU, and one for cgroups: with one ring for all of them they wait for each other (measured: four times the cost of a call
//! when two CPUs are busy).

use std::cell::RefCell;
use std::os::fd::AsFd;
use std::rc::Rc;

use anyhow::{Context, Result};
use libbpf_rs::{MapCore, MapFlags, MapHandle, MapType, RingBuffer, RingBufferBuilder};

use crate::merge::Merge;
use crate::wire::types::rec_exit;

/// All rings together, bytes: 8 MiB for each CPU where there are few, and never less than 1 MiB each. Measured on 2 CPUs: 1 MiB
/// loses half of a flood, 4 MiB loses nothing.
const ALL_RINGS: usize = 64 << 20;
const LARGEST: usize = 8 << 20;
const SMALLEST: usize = 1 << 20;

/// The smallest record with its header in the ring, bytes. What a ring holds at most is taken at a time: all that was
/// there when its turn came, so that order can be told, and not what a CPU that floods adds meanwhile.
const SMALLEST_RECORD: usize = 8 + size_of::<rec_exit>();

struct Ring {
    buffer: RingBuffer<'static>,
    taken: Rc<RefCell<Vec<u8>>>,
    at_once: usize,
    _map: MapHandle,
}

/// The rings by CPU, and at last that for cgroups.
pub struct Rings(Vec<Ring>);

/// Bytes of one ring, a power of two.
fn ring_bytes(cpus: usize) -> usize {
    if let Some(bytes) = std::env::var("CTRACE_RING_BYTES")
        .ok()
        .and_then(|b| b.parse::<usize>().ok())
    {
        return bytes.next_power_of_two();
    }
    (ALL_RINGS / cpus.max(1))
        .next_power_of_two()
        .clamp(SMALLEST, LARGEST)
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

impl Rings {
    /// Makes a ring for each CPU, and one for cgroups, and puts them into `outer`.
    pub fn new(outer: &impl MapCore, cpus: usize) -> Result<Rings> {
        let each = ring_bytes(cpus);
        let ring = |cpu: usize| -> Result<Ring> {
            let bytes = if cpu == cpus { SMALLEST } else { each };
            let map = create(bytes)?;
            let fd = std::os::fd::AsRawFd::as_raw_fd(&map.as_fd());
            outer
                .update(
                    &(cpu as u32).to_ne_bytes(),
                    &fd.to_ne_bytes(),
                    MapFlags::ANY,
                )
                .with_context(|| format!("cannot set ring {cpu}"))?;
            let taken = Rc::new(RefCell::new(Vec::new()));
            let mut builder = RingBufferBuilder::new();
            let into = taken.clone();
            builder.add(&map, move |record| {
                Merge::push(&mut into.borrow_mut(), record);
                0
            })?;
            let buffer = builder.build().context("cannot read a ring")?;
            Ok(Ring {
                buffer,
                taken,
                at_once: bytes / SMALLEST_RECORD,
                _map: map,
            })
        };
        Ok(Rings((0..=cpus).map(ring).collect::<Result<_>>()?))
    }

    /// Gives `take` what each ring holds now: CPU and framed records.
    pub fn drain(&mut self, mut take: impl FnMut(usize, &[u8])) {
        for (cpu, ring) in self.0.iter_mut().enumerate() {
            ring.buffer.consume_raw_n(ring.at_once);
            let mut taken = ring.taken.borrow_mut();
            if !taken.is_empty() {
                take(cpu, &taken);
                taken.clear();
            }
        }
    }
}
