//! The kernel side: loads, configures and attaches the BPF programs, and reads their rings and counters.
//!
//! A recording uses [`Kernel`] in this order: `load`, `attach_cgroups`, a scan of the existing cgroups, `attach`, then
//! `update_rings`, `losses` and `counts` periodically, and `detach` at the end. Only this module and `wire` use libbpf.

mod counts;
mod cpus;
mod losses;
mod plans;
pub(crate) mod probe;
mod rings;
mod skips;
mod uring;

use std::collections::BTreeSet;
use std::mem::MaybeUninit;
use std::sync::Mutex;

use anyhow::{Context, Result};
use ctrace_schema::syscalls::Class;
use libbpf_rs::btf::Btf;
use libbpf_rs::skel::{OpenSkel, SkelBuilder};
use libbpf_rs::{Link, MapCore, MapFlags, OpenObject, PrintLevel};

use crate::containers::cgroups::Hierarchies;
use crate::filters::Filters;
use crate::kernel::counts::LastCounts;
use crate::kernel::cpus::CpuRings;
use crate::kernel::losses::LastLosses;
use crate::kernel::probe::{can_cast, has_loop, walk_tasks};
use crate::kernel::rings::KernelRing;
use crate::limits::memory::Memory;
use crate::records::count::Count;
use crate::records::loss::{Loss, Misses};
use crate::wire::types::{cgroup_state, comm_mode, limits, miss, v1_controller};
use crate::wire::{self, CtraceSkel, CtraceSkelBuilder, OpenCtraceSkel};

pub(crate) struct Kernel {
    skel: CtraceSkel<'static>,
    links: Vec<Link>,
    /// The rings of the CPUs, then the ring for cgroups.
    pub(crate) rings: Vec<KernelRing>,
    uring: uring::Tracepoints,
    last_losses: LastLosses,
    last_counts: LastCounts,
    /// Cgroups that did not fit into the kernel side's map.
    unmapped_cgroups: u64,
    skips: Skips,
}

/// Counters of `enum miss` that are reported, with their names in the recording's metadata.
const MISSES: [(miss, &str); 7] = [
    (miss::MISS_DEFINITION, "definitions"),
    (miss::MISS_USER_MEMORY, "user_memory"),
    (miss::MISS_PATH_DEPTH, "path_depth"),
    (miss::MISS_ARGV, "argv"),
    (miss::MISS_STORAGE, "threads"),
    (miss::MISS_CGROUP, "cgroups"),
    (miss::MISS_CONNECTION, "connections"),
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
        let ring_bytes = rings::ring_bytes(cpus.rings, memory.rings_bytes());
        adapt(&mut open, &btf, uring, ring_bytes)?;
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
        let rings = rings::create_rings(&skel.maps.rings, &cpus, ring_bytes)?;
        set_comms(&skel, &filters.comms)?;
        Ok(Kernel {
            skel,
            links: vec![],
            rings,
            uring,
            last_losses: LastLosses::default(),
            last_counts: LastCounts::default(),
            unmapped_cgroups: 0,
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

    /// Sets the state of a cgroup on the kernel side. In the first scan, only cgroups that the kernel side does not
    /// know yet are added; later, only cgroups that it still knows are changed. If the map is full, the cgroup counts
    /// as the host's: the failure is counted (`MISS_CGROUP`), and the recording continues.
    pub(crate) fn set_cgroup(&mut self, cgroup: u64, state: cgroup_state, is_first_scan: bool) {
        // struct cgroup_info: owner, state, padding.
        let mut value = [0u8; 16];
        value[..8].copy_from_slice(&cgroup.to_ne_bytes());
        value[8..12].copy_from_slice(&state.0.to_ne_bytes());
        let flags = if is_first_scan {
            MapFlags::NO_EXIST
        } else {
            MapFlags::EXIST
        };
        let updated = self
            .skel
            .maps
            .cgroups
            .update(&cgroup.to_ne_bytes(), &value, flags);
        if let Err(e) = updated
            && is_first_scan
            && e.kind() != libbpf_rs::ErrorKind::AlreadyExists
        {
            self.unmapped_cgroups += 1;
        }
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
        let maps = &self.skel.maps;
        self.last_losses.read(&maps.losses, &maps.cgroups)
    }

    /// Returns the calls counted since the previous reading; empty unless the recording counts calls.
    pub(crate) fn counts(&mut self) -> Vec<Count> {
        let maps = &self.skel.maps;
        self.last_counts.read(&maps.counts, &maps.cgroups)
    }

    /// Returns the counters of incomplete data since the recording began, without those that are zero.
    pub(crate) fn misses(&self) -> Misses {
        let unmapped = |counter| match counter {
            miss::MISS_CGROUP => self.unmapped_cgroups,
            _ => 0,
        };
        let counts = MISSES
            .iter()
            .map(|&(counter, name)| (name.to_string(), self.missed(counter) + unmapped(counter)))
            .chain([("programs".to_string(), self.skipped())]);
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

/// Returns the inode number of the host's mount namespace (namespaces(7)): that of the first process, or of kthreadd if
/// the first process has more rights than the recorder.
fn host_mount_ns() -> Option<u32> {
    let link = |pid| std::fs::read_link(format!("/proc/{pid}/ns/mnt")).ok();
    let link = link(1).or_else(|| link(2))?;
    let number = link.to_str()?.strip_prefix("mnt:[")?.strip_suffix(']')?;
    number.parse().ok()
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
    rodata.config.mount_ns = host_mount_ns().unwrap_or(0);
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
    config.usual_bytes = rings::usual_bytes(ring_bytes) as u32;
    config.can_cast = u8::from(can_cast(btf));
    config.preemptible = u8::from(probe::is_preemptible(btf));
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
