//! The kernel side: loads, configures and attaches the BPF programs, and reads their rings and counters.
//!
//! A recording uses [`Kernel`] in this order: `load`, `attach_cgroups`, a scan of the existing cgroups, `attach`, then
//! `update_rings`, `losses` and `counts` periodically, and `detach` at the end. Only this module and `wire` use libbpf.

mod cgroups;
mod counts;
mod cpus;
mod losses;
mod plans;
pub(crate) mod probe;
mod ring_maps;
mod rings;
mod skips;
pub(crate) mod slots;
mod uring;

use std::collections::BTreeSet;
use std::mem::MaybeUninit;
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::Mutex;

use anyhow::{Context, Result};
use ctrace_schema::syscalls::Class;
use libbpf_rs::btf::Btf;
use libbpf_rs::skel::{OpenSkel, SkelBuilder};
use libbpf_rs::{Link, MapCore, MapFlags, OpenObject, PrintLevel, libbpf_sys};

use crate::containers::cgroups::Hierarchies;
use crate::containers::processes::machine_namespace;
use crate::filters::Filters;
use crate::kernel::counts::LastCounts;
use crate::kernel::cpus::CpuRings;
use crate::kernel::losses::LastLosses;
use crate::kernel::probe::{can_cast, has_exchange, has_loop, walk_tasks};
use crate::kernel::ring_maps::OwnRings;
pub(crate) use crate::kernel::rings::KernelRing;
use crate::kernel::slots::Slots;
use crate::limits::memory::Memory;
use crate::records::count::Count;
use crate::records::loss::{Loss, Misses};
use crate::wire::types::{comm_mode, limits, miss, v1_controller};
use crate::wire::{self, CtraceSkel, CtraceSkelBuilder, OpenCtraceSkel};

pub(crate) struct Kernel {
    skel: CtraceSkel<'static>,
    links: Vec<Link>,
    /// The rings of the CPUs, then the ring for cgroups.
    pub(crate) rings: Vec<KernelRing>,
    uring: uring::Tracepoints,
    last_losses: LastLosses,
    last_counts: LastCounts,
    slots: Slots,
    skips: Skips,
}

/// A larger difference between two readings of the time that the machine has been suspended means that it was suspended
/// in between. Smaller ones come from the readings, and following them would disorder the times of records.
const CLOCK_ERROR_NS: u64 = 1_000_000;

/// Counters of `enum miss` that are reported, with their names in the recording's metadata.
const MISSES: [(miss, &str); 6] = [
    (miss::MISS_DEFINITION, "definitions"),
    (miss::MISS_USER_MEMORY, "user_memory"),
    (miss::MISS_PATH_DEPTH, "path_depth"),
    (miss::MISS_ARGV, "argv"),
    (miss::MISS_STORAGE, "threads"),
    (miss::MISS_CONNECTION, "connections"),
];

/// The commands of bpf(2) that recording needs once the programs are attached, with those of the iterators at the end.
pub(crate) const COMMANDS: [u64; 11] = [
    libbpf_sys::BPF_MAP_LOOKUP_ELEM as u64,
    libbpf_sys::BPF_MAP_UPDATE_ELEM as u64,
    libbpf_sys::BPF_MAP_DELETE_ELEM as u64,
    libbpf_sys::BPF_MAP_GET_NEXT_KEY as u64,
    libbpf_sys::BPF_MAP_LOOKUP_BATCH as u64,
    libbpf_sys::BPF_MAP_LOOKUP_AND_DELETE_BATCH as u64,
    libbpf_sys::BPF_MAP_DELETE_BATCH as u64,
    libbpf_sys::BPF_OBJ_GET_INFO_BY_FD as u64,
    libbpf_sys::BPF_LINK_CREATE as u64,
    libbpf_sys::BPF_LINK_DETACH as u64,
    libbpf_sys::BPF_ITER_CREATE as u64,
];

impl Kernel {
    /// Loads the programs without attaching them. The rings respect `memory`.
    ///
    /// # Errors
    /// The kernel refuses the programs; the error contains the verifier's last lines.
    pub(crate) fn load(
        filters: &Filters,
        hierarchies: &Hierarchies,
        machine: &str,
        memory: Memory,
    ) -> Result<Kernel> {
        libbpf_rs::set_print(Some((PrintLevel::Warn, save_message)));
        // Leaked once per process: the skeleton borrows from the object for as long as the process runs.
        let object: &'static mut MaybeUninit<OpenObject> =
            Box::leak(Box::new(MaybeUninit::uninit()));
        let btf = Btf::from_vmlinux().context("cannot read the kernel's BTF")?;
        let legacy = !has_loop(&btf);
        if legacy {
            wire::use_legacy();
        }
        let mut open = CtraceSkelBuilder::default()
            .open(object)
            .context("the BPF object cannot be read")?;
        let cpus = CpuRings::detect()?;
        // Requests of io_uring are not calls and are not counted. On kernels before 5.17 (LEGACY) the tracepoints do
        // not identify the request.
        let uring = match filters.counts || legacy {
            true => uring::Tracepoints::default(),
            false => uring::Tracepoints::detect(&btf),
        };
        configure(&mut open, cpus.ring_of.len(), filters, hierarchies, machine)?;
        let ring_bytes = ring_maps::ring_bytes(cpus.most_rings(), memory.rings_bytes());
        let has_exchange = has_exchange(legacy);
        let own = match has_exchange {
            true => OwnRings::create(cpus.own, ring_bytes),
            false => None,
        };
        adapt(&mut open, &btf, uring, ring_bytes)?;
        use_slots(&mut open, has_exchange)?;
        if let Some(own) = &own {
            use_own_rings(&mut open, own)?;
        }
        uring.set_autoload(&mut open)?;
        open.progs
            .on_sock_state
            .set_autoload(records_connections(filters));
        for prog in [&mut open.progs.on_signal, &mut open.progs.on_oom_victim] {
            prog.set_autoload(records_signals(filters));
        }
        open.maps
            .rings
            .set_max_entries(cpus.ring_of.len() as u32 + 1)
            .context("cannot size the map of rings")?;
        let skel = open
            .load()
            .with_context(|| format!("the kernel refuses the BPF programs{}", last_messages()))?;
        let rings = ring_maps::create_rings(&skel.maps.rings, &cpus, own.as_ref(), ring_bytes)?;
        set_comms(&skel, &filters.comms)?;
        Ok(Kernel {
            skel,
            links: vec![],
            rings,
            uring,
            last_losses: LastLosses::default(),
            last_counts: LastCounts::default(),
            slots: Slots::default(),
            skips: Skips::default(),
        })
    }

    /// Attaches the programs that watch cgroups. From now on, processes in new cgroups are recorded.
    ///
    /// # Errors
    /// The kernel lacks a tracepoint.
    pub(crate) fn attach_cgroups(&mut self) -> Result<()> {
        let progs = &mut self.skel.progs;
        for (prog, name) in [
            (&mut progs.on_cgroup_mkdir, "cgroup_mkdir"),
            (&mut progs.on_cgroup_rmdir, "cgroup_rmdir"),
        ] {
            self.links.push(
                prog.attach()
                    .with_context(|| format!("cannot attach to the tracepoint {name}"))?,
            );
        }
        Ok(())
    }

    /// Attaches the other programs. When this returns, everything is recorded.
    ///
    /// # Errors
    /// The kernel lacks a tracepoint.
    pub(crate) fn attach(&mut self) -> Result<()> {
        let progs = &mut self.skel.progs;
        // Forks first, and entries before returns: a return without an entry counts as a call that seccomp refused.
        for (prog, name) in [
            (&mut progs.on_fork, "sched_process_fork"),
            (&mut progs.on_exit, "sched_process_exit"),
            (&mut progs.on_exec, "sched_process_exec"),
            (&mut progs.on_cgroup_attach, "cgroup_attach_task"),
            (&mut progs.on_sys_enter, "sys_enter"),
        ] {
            self.links.push(
                prog.attach()
                    .with_context(|| format!("cannot attach to the tracepoint {name}"))?,
            );
        }
        for (prog, name) in [
            (&self.skel.progs.on_sock_state, "inet_sock_set_state"),
            (&self.skel.progs.on_signal, "signal_generate"),
            (&self.skel.progs.on_oom_victim, "mark_victim"),
        ] {
            if prog.autoload() {
                let link = prog.attach();
                let link =
                    link.with_context(|| format!("cannot attach to the tracepoint {name}"))?;
                self.links.push(link);
            }
        }
        walk_tasks(&mut self.skel.progs.begin_tasks)?;
        let exit = self
            .skel
            .progs
            .on_sys_exit
            .attach()
            .context("cannot attach to the tracepoint sys_exit")?;
        self.links.push(exit);
        self.uring.attach(&self.skel, &mut self.links)
    }

    /// Sets the boot time from which the returns of calls are seen. The return of an earlier call may have been missed.
    pub(crate) fn set_begin_time(&mut self, boot_ns: u64) {
        if let Some(data) = &mut self.skel.maps.data_data {
            data.begin_time = boot_ns;
        }
    }

    /// Sets the time, in ns, that the machine has been suspended: the difference of the clocks that programs and recordings
    /// have.
    pub(crate) fn set_suspended(&mut self, ns: u64) {
        if let Some(data) = &mut self.skel.maps.data_data
            && data.suspended_ns.abs_diff(ns) > CLOCK_ERROR_NS
        {
            data.suspended_ns = ns;
        }
    }

    /// Detaches everything at `boot_ns` (boot time), and makes the kernel side send the calls and requests that are in
    /// progress.
    ///
    /// # Errors
    /// The kernel refuses the iterator over tasks.
    pub(crate) fn detach(&mut self, boot_ns: u64) -> Result<()> {
        if let Some(data) = &mut self.skel.maps.data_data {
            data.end_time = boot_ns;
        }
        // In reverse order, so that returns are detached before entries: a return without an entry would count as a
        // call that seccomp refused.
        while let Some(link) = self.links.pop() {
            drop(link);
        }
        walk_tasks(&mut self.skel.progs.end_tasks)?;
        self.uring.send_in_flight(&mut self.skel)
    }

    /// Reads the write position of each ring. Records that arrive later stay for the next call.
    pub(crate) fn update_rings(&mut self) {
        self.rings.iter_mut().for_each(KernelRing::update);
    }

    /// Makes the kernel side determine the container of every task again.
    pub(crate) fn cgroups_changed(&mut self) {
        if let Some(data) = &mut self.skel.maps.data_data {
            data.cgroup_epoch = data.cgroup_epoch.wrapping_add(1);
        }
    }

    /// Makes the kernel side send every definition again.
    pub(crate) fn forget_definitions(&mut self) {
        if let Some(data) = &mut self.skel.maps.data_data {
            data.definition_epoch = data.definition_epoch.wrapping_add(1);
        }
    }

    /// Drops all calls whose plan has a lower level in `recorded_up_to`; each is counted as lost.
    pub(crate) fn set_shed_level(&mut self, level: u8) {
        if let Some(data) = &mut self.skel.maps.data_data {
            data.shed_level = level.into();
        }
    }

    /// Returns the events lost since the previous reading.
    pub(crate) fn losses(&mut self) -> Vec<Loss> {
        let mut last = std::mem::take(&mut self.last_losses);
        let losses = last.read(&self.skel.maps.losses, |cgroup| {
            self.is_cgroup_known(cgroup)
        });
        self.last_losses = last;
        losses
    }

    /// Returns the calls counted since the previous reading; empty unless the recording counts calls.
    pub(crate) fn counts(&mut self) -> Vec<Count> {
        let mut last = std::mem::take(&mut self.last_counts);
        let counts = last.read(&self.skel.maps.counts, |cgroup| {
            self.is_cgroup_known(cgroup)
        });
        self.last_counts = last;
        counts
    }

    /// Returns whether the kernel lets this thread read the maps.
    pub(crate) fn reads_maps(&self) -> bool {
        let key = miss::MISS_DEFINITION.0.to_ne_bytes();
        let values = self.skel.maps.misses.lookup_percpu(&key, MapFlags::ANY);
        values.is_ok()
    }

    /// Returns the counters of incomplete data since the recording began, without those that are zero.
    pub(crate) fn misses(&self) -> Misses {
        let counts = MISSES
            .iter()
            .map(|&(counter, name)| (name.to_string(), self.missed(counter)))
            .chain([
                (
                    "cgroups".to_string(),
                    self.cgroups_without_slot() + self.missed(miss::MISS_STARTED),
                ),
                ("programs".to_string(), self.skipped()),
            ]);
        counts.filter(|(_, count)| *count > 0).collect()
    }

    fn missed(&self, counter: miss) -> u64 {
        let key = counter.0.to_ne_bytes();
        let values = self.skel.maps.misses.lookup_percpu(&key, MapFlags::ANY);
        let Ok(Some(values)) = values else { return 0 };
        values
            .iter()
            .filter_map(|v| Some(u64::from_ne_bytes(*v.first_chunk()?)))
            .sum()
    }
}

/// Sets the configuration and the plans of all calls, as far as the filters and the machine determine them.
fn configure(
    open: &mut OpenCtraceSkel<'static>,
    cpus: usize,
    filters: &Filters,
    hierarchies: &Hierarchies,
    machine: &str,
) -> Result<()> {
    let rodata = open
        .maps
        .rodata_data
        .as_deref_mut()
        .context("the BPF object has no configuration")?;
    rodata.config.recorder = std::process::id();
    rodata.config.record_host = u8::from(filters.host);
    rodata.config.cgroup_ring = cpus as u32;
    rodata.config.exit_class = Class::Process as u8;
    rodata.config.network_class = Class::Network as u8;
    rodata.config.signal_class = Class::Signal as u8;
    rodata.config.page_bytes = rustix::param::page_size() as u32;
    let mount_ns = machine_namespace(Path::new("/"), "mnt");
    rodata.config.mount_ns = mount_ns.map_or(0, |(_, inode)| inode as u32);
    rodata.config.connections = u8::from(records_connections(filters));
    rodata.config.counts = u8::from(filters.counts);
    rodata.config.exec_wanted = u8::from(filters.wants("execve", Class::Process));
    rodata.config.comm_mode = match (filters.comms.is_empty(), filters.comms_excluded) {
        (true, _) => comm_mode::COMM_ALL,
        (false, false) => comm_mode::COMM_ONLY,
        (false, true) => comm_mode::COMM_EXCEPT,
    }
    .0 as u8;
    if let Some(v1) = &hierarchies.v1 {
        rodata.config.v1_hierarchy = v1.hierarchy_id;
        rodata.config.v1_controller = match v1.controller.as_str() {
            "pids" => v1_controller::V1_PIDS,
            "memory" => v1_controller::V1_MEMORY,
            "devices" => v1_controller::V1_DEVICES,
            "cpu" => v1_controller::V1_CPU,
            _ => v1_controller::V1_FREEZER,
        }
        .0;
    }
    let plans = plans::plans(machine, |name, class| filters.wants(name, class))?;
    rodata.plans.copy_from_slice(&plans);
    let plans = plans::uring_plans(machine, |name, class| filters.wants(name, class))?;
    rodata.uring_plans.copy_from_slice(&plans);
    Ok(())
}

/// Returns whether TCP connections are recorded: with the calls that make them.
fn records_connections(filters: &Filters) -> bool {
    let calls = ["connect", "accept", "accept4"];
    !filters.counts && calls.iter().any(|name| filters.wants(name, Class::Network))
}

/// Returns whether signals are recorded: with the calls that send them.
fn records_signals(filters: &Filters) -> bool {
    !filters.counts && filters.wants("kill", Class::Signal)
}

/// Sets the configuration that depends on the kernel's version and on the size of the rings.
fn adapt(
    open: &mut OpenCtraceSkel<'static>,
    btf: &Btf<'_>,
    uring: uring::Tracepoints,
    ring_bytes: usize,
) -> Result<()> {
    let rodata = open.maps.rodata_data.as_deref_mut();
    let config = &mut rodata
        .context("the BPF object has no configuration")?
        .config;
    config.uring_ring_first = u8::from(uring.ring_first);
    config.uring_has_cqe = u8::from(uring.has_cqe);
    config.ring_bytes = ring_bytes as u32;
    config.usual_bytes = ring_maps::usual_bytes(ring_bytes) as u32;
    config.can_cast = u8::from(can_cast(btf));
    config.preemptible = u8::from(probe::is_preemptible(btf));
    Ok(())
}

/// Makes the programs keep the states of threads in slots, or leaves the map of slots without memory.
fn use_slots(open: &mut OpenCtraceSkel<'static>, has_exchange: bool) -> Result<()> {
    let uses = has_exchange && std::env::var_os("CTRACE_NO_SLOTS").is_none();
    let rodata = open.maps.rodata_data.as_deref_mut();
    let config = &mut rodata
        .context("the BPF object has no configuration")?
        .config;
    config.slots = u8::from(uses);
    if !uses {
        let slots = &mut open.maps.slots;
        slots
            .set_max_entries(1)
            .context("cannot size the map of slots")?;
    }
    Ok(())
}

/// Makes the programs write into the CPUs' own rings.
fn use_own_rings(open: &mut OpenCtraceSkel<'static>, own: &OwnRings) -> Result<()> {
    let map = own.map.as_fd();
    let rings = &mut open.maps.cpu_rings;
    rings
        .reuse_fd(map)
        .context("cannot set the rings of CPUs")?;
    let rodata = open.maps.rodata_data.as_deref_mut();
    rodata
        .context("the BPF object has no configuration")?
        .config
        .cpu_rings = 1;
    Ok(())
}

/// Fills the map of the comm filter.
fn set_comms(skel: &CtraceSkel<'_>, comms: &BTreeSet<String>) -> Result<()> {
    for comm in comms {
        let mut key = [0u8; limits::COMM_BYTES.0 as usize];
        let len = comm.len().min(key.len() - 1);
        key[..len].copy_from_slice(&comm.as_bytes()[..len]);
        skel.maps
            .comms
            .update(&key, &[1], MapFlags::ANY)
            .context("cannot set the comm filter")?;
    }
    Ok(())
}

/// Messages of libbpf. The end of the messages, with the verifier's reasons, becomes part of the error if the load fails.
static MESSAGES: Mutex<Vec<String>> = Mutex::new(Vec::new());

fn save_message(_: PrintLevel, message: String) {
    if let Ok(mut messages) = MESSAGES.lock() {
        messages.push(message);
    }
}

/// Returns the last 12 lines of libbpf's messages, indented.
fn last_messages() -> String {
    let Ok(messages) = MESSAGES.lock() else {
        return String::new();
    };
    let text = messages.concat();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(12)..]
        .iter()
        .fold(String::new(), |out, line| out + "\n  " + line)
}

/// Counters of skipped programs at their previous query, for [`Kernel::entries_missed`] and
/// [`Kernel::programs_skipped`].
#[derive(Debug, Default)]
struct Skips {
    entries_missed: u64,
    skipped: u64,
}
