//! Says what is missing on this machine before the kernel says it less clearly.

use std::path::Path;

use anyhow::{Result, bail};
use caps::read_effective;

mod caps {
    /// The effective capabilities of this process, as bits: `CapEff` of /proc/self/status, proc(5).
    pub fn read_effective() -> Option<u64> {
        let status = std::fs::read_to_string("/proc/self/status").ok()?;
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("CapEff:"))?;
        u64::from_str_radix(line.trim(), 16).ok()
    }
}

/// capability.h: what loading and attaching the programs needs.
const CAP_SYS_ADMIN: u32 = 21;
const CAP_PERFMON: u32 = 38;
const CAP_BPF: u32 = 39;
const OLDEST: (u32, u32) = (5, 17);

/// Whether the programs can be loaded here.
///
/// # Errors
/// They cannot: no rights, no BTF, a kernel that is too old. Says what to do.
pub fn check() -> Result<()> {
    let has = |effective: u64, cap: u32| effective & (1 << cap) != 0;
    if let Some(effective) = read_effective()
        && !has(effective, CAP_SYS_ADMIN)
        && !(has(effective, CAP_BPF) && has(effective, CAP_PERFMON))
    {
        bail!(
            "recording needs root (or the capabilities CAP_BPF, CAP_PERFMON and CAP_DAC_READ_SEARCH): \
             run `sudo ctrace-rec ...`. A raw capture can be replayed without: `ctrace-rec --from-raw FILE --out run.parquet`"
        );
    }
    let release = rustix::system::uname()
        .release()
        .to_string_lossy()
        .into_owned();
    let mut numbers = release
        .split(['.', '-'])
        .map_while(|n| n.parse::<u32>().ok());
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    if version < OLDEST {
        let (major, minor) = OLDEST;
        bail!(
            "this kernel is Linux {release}, and recording needs {major}.{minor} or newer: boot a newer kernel"
        );
    }
    if !Path::new("/sys/kernel/btf/vmlinux").exists() {
        bail!(
            "this kernel has no BTF (/sys/kernel/btf/vmlinux is missing), from which the programs learn its layout: \
             boot a kernel built with CONFIG_DEBUG_INFO_BTF=y, as those of Debian, Ubuntu, Fedora and RHEL are; \
             in a container, mount the host's /sys"
        );
    }
    Ok(())
}
