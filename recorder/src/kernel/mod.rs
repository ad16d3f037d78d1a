//! The kernel side: loads, attaches and configures the programs, reads their rings and counters.

mod counts;
mod losses;
pub mod plans;
pub mod probe;
pub mod rings;
mod skips;
mod uring;

use std::mem::MaybeUninit;
use std::sync::Mutex;

use anyhow::{Context, Result};
use counts::LastCounts;
use ctrace_schema::syscalls::Class;
use libbpf_rs::btf::Btf;
use libbpf_rs::skel::{OpenSkel, SkelBuilder};
use libbpf_rs::{Link, MapCore, MapFlags, OpenObject, PrintLevel};

use crate::containers::cgroups::Hierarchies;
use crate::filters::Filters;
use crate::kernel::probe::{can_cast, has_loop, walk_tasks};
use crate::kernel::rings::KernelRing;
use crate::limits::memory::Memory;
use crate::records::count::Count;
use crate::records::loss::{Loss, Misses};
use crate::wire::types::{cgroup_state, comm_mode, limits, miss, v1_controller};
use crate::wire::{self, CtraceSkel, CtraceSkelBuilder, OpenCtraceSkel};

/// The loaded programs.
pub struct Kernel {
    skel: CtraceSkel<'static>,
    links: Vec<Link>,
    /// By CPU, and at last that for cgroups.
    pub rings: Vec<KernelRing>,
    uring: uring::Tracepoints,
    losses: losses::LastLosses,
    counted: LastCounts,
    /// Cgroups that the kernel side could not be told about.
    untold: u64,
    skips: Skips,
}

/// The counters, and what the recording calls them.
const MISSES: [(miss, &str); 6] = [
    (miss::MISS_DEFINITION, "definitions"),
    (miss::MISS_USER_MEMORY, "user_memory"),
    (miss::MISS_PATH_DEPTH, "path_depth"),
    (miss::MISS_ARGV, "argv"),
    (miss::MISS_STORAGE, "threads"),
    (miss::MISS_CGROUP, "cgroups"),
];

impl Kernel {
    /// Loads the programs, without attaching them, with rings that keep within `memory`.
    ///
    /// # Errors
    /// The kernel refuses them; what it says is in the error.
    pub fn load(
        filters: &Filters,
        hierarchies: &Hierarchies,
        machine: &str,
        memory: Memory,
    ) -> Result<Kernel> {
        libbpf_rs::set_print(Some((PrintLevel::Warn, keep_message)));
        // Lives as long as the program: the skeleton borrows from it, and there is one.
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
        let cpus = libbpf_rs::num_possible_cpus().context("cannot count the CPUs")?;
        // What is done through io_uring is no call, and is not counted; and LEGACY kernels do not say which request it is.
        let uring = match filters.counts || legacy {
            true => uring::Tracepoints::default(),
            false => uring::Tracepoints::of(&btf),
        };
        configure(&mut open, cpus, filters, hierarchies, machine)?;
        let ring_bytes = rings::ring_bytes(cpus, memory.rings());
        adapt(&mut open, &btf, uring, ring_bytes)?;
        uring.choose(&mut open)?;
        open.maps
            .rings
            .set_max_entries(cpus as u32 + 1)
            .context("cannot size the map of rings")?;
        let skel = open
            .load()
            .with_context(|| format!("the kernel refuses the BPF programs{}", messages()))?;
        let rings = rings::rings(&skel.maps.rings, cpus, ring_bytes)?;
        for comm in &filters.comms {
            let mut key = [0u8; limits::COMM_BYTES.0 as usize];
            let len = comm.len().min(key.len() - 1);
            key[..len].copy_from_slice(&comm.as_bytes()[..len]);
            skel.maps
                .comms
                .update(&key, &[1], MapFlags::ANY)
                .context("cannot set the comm filter")?;
        }
        Ok(Kernel {
            skel,
            links: vec![],
            rings,
            uring,
            losses: losses::LastLosses::default(),
            counted: LastCounts::default(),
            untold: 0,
            skips: Skips::default(),
        })
    }

    /// Attaches what tells about cgroups. From now on new ones are known to the kernel side, and recorded.
    ///
    /// # Errors
    /// The kernel lacks a tracepoint.
    pub fn attach_cgroups(&mut self) -> Result<()> {
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

    /// Attaches the rest: from when this returns, everything is recorded.
    ///
    /// # Errors
    /// The kernel lacks a tracepoint.
    pub fn attach(&mut self) -> Result<()> {
        let progs = &mut self.skel.progs;
        // Forks first and entries before returns: a return without an entry would be taken for a refusal.
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

    /// Calls that begin from `now` on (boot time, ns) are seen to return.
    pub fn begin(&mut self, now: u64) {
        if let Some(data) = &mut self.skel.maps.data_data {
            data.begin_time = now;
        }
    }

    /// Detaches everything, and has the calls sent that are in progress `now` (boot time, ns).
    ///
    /// # Errors
    /// The kernel refuses the iterator.
    pub fn detach(&mut self, now: u64) -> Result<()> {
        if let Some(data) = &mut self.skel.maps.data_data {
            data.end_time = now;
        }
        // The last attached first, which is the return from a call: one whose entry is not seen would be a refusal.
        while let Some(link) = self.links.pop() {
            drop(link);
        }
        walk_tasks(&mut self.skel.progs.end_tasks)?;
        self.uring.end(&mut self.skel)
    }

    /// Looks what each ring holds now.
    pub fn look(&mut self) {
        self.rings.iter_mut().for_each(KernelRing::look);
    }

    /// Tells the kernel side what a cgroup is: of the first look around, what it does not know yet; later, what it still
    /// knows. Its map may be full, and the cgroup be taken for the host's: that is counted, and the recording goes on.
    pub fn set_cgroup(&mut self, cgroup: u64, state: cgroup_state, first_look: bool) {
        // struct cgroup_info: owner, state, padding.
        let mut value = [0u8; 16];
        value[..8].copy_from_slice(&cgroup.to_ne_bytes());
        value[8..12].copy_from_slice(&state.0.to_ne_bytes());
        let flags = if first_look {
            MapFlags::NO_EXIST
        } else {
            MapFlags::EXIST
        };
        let told = self
            .skel
            .maps
            .cgroups
            .update(&cgroup.to_ne_bytes(), &value, flags);
        if let Err(e) = told
            && first_look
            && e.kind() != libbpf_rs::ErrorKind::AlreadyExists
        {
            self.untold += 1;
        }
    }

    /// Has every task look anew which container it is in.
    pub fn cgroups_changed(&mut self) {
        if let Some(data) = &mut self.skel.maps.data_data {
            data.cgroup_epoch = data.cgroup_epoch.wrapping_add(1);
        }
    }

    /// Has the kernel side send every definition anew.
    pub fn forget_definitions(&mut self) {
        if let Some(data) = &mut self.skel.maps.data_data {
            data.definition_epoch = data.definition_epoch.wrapping_add(1);
        }
    }

    /// Gives up the calls that are kept to a lower level: each is counted as lost.
    pub fn shed(&mut self, level: u8) {
        if let Some(data) = &mut self.skel.maps.data_data {
            data.shed_level = level.into();
        }
    }

    /// Events lost since the last call.
    pub fn losses(&mut self) -> Vec<Loss> {
        let maps = &self.skel.maps;
        self.losses.read(&maps.losses, &maps.cgroups)
    }

    /// Calls that were counted since the last time; none, unless the filters ask for counts.
    pub fn counts(&mut self) -> Vec<Count> {
        let maps = &self.skel.maps;
        self.counted.read(&maps.counts, &maps.cgroups)
    }

    /// What the kernel side could not do, since the beginning; what is zero is left out.
    pub fn misses(&self) -> Misses {
        let untold = |name: &str| if name == "cgroups" { self.untold } else { 0 };
        let counts = MISSES
            .iter()
            .map(|&(why, name)| (name.to_string(), self.missed(why) + untold(name)))
            .chain([("programs".to_string(), self.skipped())]);
        counts.filter(|(_, count)| *count > 0).collect()
    }

    fn missed(&self, why: miss) -> u64 {
        let key = why.0.to_ne_bytes();
        let values = self.skel.maps.misses.lookup_percpu(&key, MapFlags::ANY);
        let Ok(Some(values)) = values else { return 0 };
        values
            .iter()
            .filter_map(|v| Some(u64::from_ne_bytes(*v.first_chunk()?)))
            .sum()
    }
}

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

/// Sets what depends on the kernel and on its memory.
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

/// What libbpf has to say, kept for the error that follows: the verifier's last words.
static MESSAGES: Mutex<Vec<String>> = Mutex::new(Vec::new());

fn keep_message(_: PrintLevel, message: String) {
    if let Ok(mut messages) = MESSAGES.lock() {
        messages.push(message);
    }
}

/// The last lines of what libbpf has said.
fn messages() -> String {
    let Ok(messages) = MESSAGES.lock() else {
        return String::new();
    };
    let all = messages.concat();
    let lines: Vec<&str> = all.lines().collect();
    lines[lines.len().saturating_sub(12)..]
        .iter()
        .fold(String::new(), |out, line| out + "\n  " + line)
}

/// What was looked at last.
#[derive(Debug, Default)]
struct Skips {
    pub entries: u64,
    all: u64,
}
