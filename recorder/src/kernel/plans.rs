//! What the kernel side does for each call.

use ctrace_schema::syscalls::{Arg, Class, Ret, Spec};

use crate::calls::{COUNT, OPERATIONS, abi, find, payload, unfolded};
use crate::limits::cpu;
use crate::wire::types::{addr_how, data_slot, payload_how, plan, plan_flag, rank, stat_how};

/// What the kernel side does for each call, the machine's own first; `wanted` decides by name and class.
///
/// # Errors
/// The architecture is none that can be recorded.
pub fn plans(machine: &str, wanted: impl Fn(&str, Class) -> bool) -> anyhow::Result<Vec<plan>> {
    let mut plans = Vec::with_capacity(2 * COUNT);
    for compat in [false, true] {
        let abi = abi(machine, compat)?;
        plans.extend((0..COUNT as u32).map(|nr| {
            let (name, spec) = find(abi, nr);
            let mut plan = plan_of(spec, compat, wanted(&name, spec.class));
            if unfolded(abi, nr).is_some() {
                plan.flags |= (plan_flag::PLAN_UNFOLD.0 | plan_flag::PLAN_SAVE_ARGS.0) as u8;
            }
            plan
        }));
    }
    Ok(plans)
}

/// What the kernel side does for each operation of io_uring; `wanted` decides by name and class.
///
/// # Errors
/// The architecture is none that can be recorded.
pub fn uring_plans(
    machine: &str,
    wanted: impl Fn(&str, Class) -> bool,
) -> anyhow::Result<Vec<plan>> {
    let abi = abi(machine, false)?;
    let plan = |op| {
        let (name, spec) = find(abi, (COUNT + op) as u32);
        plan_of(spec, false, wanted(&name, spec.class))
    };
    Ok((0..OPERATIONS).map(plan).collect())
}

/// The plan for one call. Argument numbers count from 1.
fn plan_of(spec: &Spec, compat: bool, wanted: bool) -> plan {
    let number = |i: Option<usize>| i.map_or(0, |i| i as u8 + 1);
    let is = |wanted: &[&str]| wanted.contains(&spec.name);
    let mut p = plan {
        class: spec.class as u8,
        kept: cpu::recorded_up_to(spec.name, spec.class, spec.ret == Ret::Bytes),
        fd: number(spec.object_arg()),
        rank: rank_of(spec).0 as u8,
        ..plan::default()
    };
    // Arguments up to the last that is a value; those after it mean nothing later.
    let values = spec
        .args
        .iter()
        .rposition(|(_, arg)| !arg.is_pointer() && *arg != Arg::Pad);
    p.nargs = number(values);
    for (slot, (dir, path)) in spec.paths().take(2).enumerate() {
        p.path[slot] = path as u8 + 1;
        p.dir[slot] = number(dir);
    }
    p.text = number(spec.text_arg());
    let position = |wanted, nth| {
        let of_kind = spec
            .args
            .iter()
            .enumerate()
            .filter(|(_, (_, arg))| *arg == wanted);
        of_kind.map(|(i, _)| i).nth(nth)
    };
    // What epoll_ctl(2) adds is none of its files' business.
    p.fd2 = if is(&["epoll_ctl"]) {
        0
    } else {
        number(position(Arg::Fd, 1))
    };
    p.argv = number(position(Arg::Argv, 0));
    let buffer = |name: &str| spec.args.iter().position(|(arg, _)| *arg == name);
    p.how = match spec.name {
        "openat2" => number(buffer("how")),
        "clone3" => number(buffer("cl_args")),
        _ => 0,
    };
    // 32-bit callers have structs of their own; theirs is not read.
    (p.stat, p.stat_how) = match spec.name {
        "stat" | "lstat" | "newfstatat" if !compat => {
            (number(buffer("statbuf")), stat_how::STAT_OWN.0 as u8)
        }
        "statx" => (number(buffer("statxbuf")), stat_how::STAT_X.0 as u8),
        _ => (0, 0),
    };
    let address = spec
        .args
        .iter()
        .enumerate()
        .find_map(|(i, (_, arg))| Some((i, address_how(*arg)?)));
    if let Some((i, how)) = address {
        p.addr = i as u8 + 1;
        p.addr_how = how.0 as u8;
    }
    p.payload = payload(spec).0 as u8;
    let mut flags = 0;
    let mut set = |flag: plan_flag, on: bool| flags |= if on { flag.0 as u8 } else { 0 };
    set(plan_flag::PLAN_RECORD, wanted);
    set(plan_flag::PLAN_BYTES, spec.ret == Ret::Bytes);
    set(plan_flag::PLAN_RET_FD, spec.ret == Ret::Fd);
    // These replace the registers: exec(2) by those of the new program, sigreturn(2) by those that a signal saved.
    set(
        plan_flag::PLAN_SAVE_ARGS,
        is(&["execve", "execveat", "rt_sigreturn", "sigreturn"]),
    );
    // Of the others none gives a socket an address: a datagram gives one to a socket that has none.
    let renames_socket = is(&["bind", "connect", "listen", "sendto", "sendmsg", "sendmmsg"]);
    set(plan_flag::PLAN_SOCK_AT_EXIT, renames_socket);
    let forks = is(&["fork", "vfork", "clone", "clone3"]);
    set(plan_flag::PLAN_FORK, forks);
    let at_return = [
        addr_how::ADDR_OUT,
        addr_how::ADDR_MSG_OUT,
        addr_how::ADDR_MMSG_OUT,
    ];
    set(
        plan_flag::PLAN_FINISH,
        spec.ret == Ret::Fd
            || renames_socket
            || forks
            || at_return.iter().any(|how| how.0 as u8 == p.addr_how)
            || [p.stat, p.argv, p.path[0]] != [0; 3]
            || payload(spec) == payload_how::PAYLOAD_MESSAGES,
    );
    p.flags = flags;
    let at_entry = [
        addr_how::ADDR_IN,
        addr_how::ADDR_MSG_IN,
        addr_how::ADDR_MMSG_IN,
    ];
    for (slot, used) in [
        (data_slot::DATA_PATH, p.path[0] != 0),
        (data_slot::DATA_PATH2, p.path[1] != 0),
        (data_slot::DATA_TEXT, p.text != 0),
        (data_slot::DATA_FLAGS, p.how != 0),
        (data_slot::DATA_FD2, p.fd2 != 0),
        (
            data_slot::DATA_ADDR,
            at_entry.iter().any(|how| how.0 as u8 == p.addr_how),
        ),
    ] {
        p.slots |= u8::from(used) << slot.0;
    }
    p
}

/// When a call is given up where a ring fills up.
fn rank_of(spec: &Spec) -> rank {
    match (spec.name, spec.class) {
        ("execve" | "execveat" | "connect", _) => rank::RANK_LAST,
        (_, Class::Memory | Class::Time | Class::Poll) => rank::RANK_CHEAP,
        _ => rank::RANK_USUAL,
    }
}

fn address_how(arg: Arg) -> Option<addr_how> {
    Some(match arg {
        Arg::SockAddrIn => addr_how::ADDR_IN,
        Arg::SockAddrOut => addr_how::ADDR_OUT,
        Arg::MsgIn => addr_how::ADDR_MSG_IN,
        Arg::MsgOut => addr_how::ADDR_MSG_OUT,
        Arg::MmsgIn => addr_how::ADDR_MMSG_IN,
        Arg::MmsgOut => addr_how::ADDR_MMSG_OUT,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::types::limits;

    #[test]
    fn plans_are_by_number() {
        let plans = plans("x86_64", |name, _| name == "connect").expect("known");
        let unfolded = &plans[COUNT + limits::SOCKETCALL_BASE.0 as usize + 3];
        assert_eq!(
            u32::from(unfolded.flags) & plan_flag::PLAN_RECORD.0,
            plan_flag::PLAN_RECORD.0
        );
        assert_eq!((unfolded.fd, unfolded.addr), (1, 2));
        assert_eq!(
            u32::from(plans[0].flags) & plan_flag::PLAN_RECORD.0,
            0,
            "read"
        );
    }
}
