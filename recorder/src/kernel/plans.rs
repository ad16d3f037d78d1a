//! Plans: how the kernel side handles each call. A plan is derived from the call's entry in the syscall table
//! (`ctrace_schema::syscalls`) and from the filters, so no program contains a list of calls.

use ctrace_schema::syscalls::rules::When;
use ctrace_schema::syscalls::{Arg, Class, Ret, Spec};

use crate::calls::{COUNT, OPERATIONS, abi, find, payload, unfolded};
use crate::limits::cpu;
use crate::wire::types::{addr_how, data_slot, payload_how, plan, plan_flag, rank, stat_how};

/// Returns the plan of each call: the machine's own ABI first, then the 32-bit ABI. `is_wanted` decides by name and
/// class.
///
/// # Errors
/// The architecture cannot be recorded.
pub(super) fn plans(
    machine: &str,
    is_wanted: impl Fn(&str, Class) -> bool,
) -> anyhow::Result<Vec<plan>> {
    let mut plans = Vec::with_capacity(2 * COUNT);
    for compat in [false, true] {
        let abi = abi(machine, compat)?;
        plans.extend((0..COUNT as u32).map(|nr| {
            let (name, spec) = find(abi, nr);
            let mut plan = call_plan(spec, compat, is_wanted(&name, spec.class));
            if unfolded(abi, nr).is_some() {
                plan.flags |= (plan_flag::PLAN_UNFOLD.0 | plan_flag::PLAN_SAVE_ARGS.0) as u8;
            }
            plan
        }));
    }
    Ok(plans)
}

/// Returns the plan of each operation of io_uring. `is_wanted` decides by name and class.
///
/// # Errors
/// The architecture cannot be recorded.
pub(super) fn uring_plans(
    machine: &str,
    is_wanted: impl Fn(&str, Class) -> bool,
) -> anyhow::Result<Vec<plan>> {
    let abi = abi(machine, false)?;
    let plan = |op| {
        let (name, spec) = find(abi, (COUNT + op) as u32);
        call_plan(spec, false, is_wanted(&name, spec.class))
    };
    Ok((0..OPERATIONS).map(plan).collect())
}

fn call_plan(spec: &Spec, compat: bool, is_wanted: bool) -> plan {
    let mut plan = plan {
        class: spec.class as u8,
        recorded_up_to: cpu::recorded_up_to(spec.name, spec.class, spec.ret == Ret::Bytes),
        rank: rank_of(spec).0 as u8,
        payload: payload(spec).0 as u8,
        ..plan::default()
    };
    set_arguments(&mut plan, spec);
    set_structs(&mut plan, spec, compat);
    plan.flags = flags(&plan, spec, is_wanted);
    plan.slots = slots(&plan);
    plan
}

/// Returns the number of an argument in a plan: counted from 1, and 0 for none.
fn number(index: Option<usize>) -> u8 {
    index.map_or(0, |i| i as u8 + 1)
}

/// Sets the arguments that are sent, and those that are fds, paths or text.
fn set_arguments(plan: &mut plan, spec: &Spec) {
    let nth_of_kind = |kind, n| {
        let of_kind = spec
            .args
            .iter()
            .enumerate()
            .filter(|(_, (_, arg))| *arg == kind);
        of_kind.map(|(i, _)| i).nth(n)
    };
    // Arguments are sent up to the last that is a value: pointers have no meaning after the call.
    let last_value = spec
        .args
        .iter()
        .rposition(|(_, arg)| !arg.is_pointer() && *arg != Arg::Pad);
    plan.nargs = number(last_value);
    plan.fd = number(spec.object_arg());
    // The fd that epoll_ctl(2) adds is not the object of the call.
    plan.fd2 = match spec.name {
        "epoll_ctl" => 0,
        _ => number(nth_of_kind(Arg::Fd, 1)),
    };
    for (slot, (dir, path)) in spec.paths().take(2).enumerate() {
        plan.path[slot] = number(Some(path));
        plan.dir[slot] = number(dir);
    }
    plan.null_path = u8::from(spec.null_path() != When::Never);
    plan.text = number(spec.text_arg());
    plan.argv = number(nth_of_kind(Arg::Argv, 0));
}

/// Sets the arguments that point to structs, and the kinds of these structs.
fn set_structs(plan: &mut plan, spec: &Spec, compat: bool) {
    let named = |name: &str| number(spec.args.iter().position(|(arg, _)| *arg == name));
    plan.how = match spec.name {
        "openat2" => named("how"),
        "clone3" => named("cl_args"),
        "io_uring_setup" => named("p"),
        _ => 0,
    };
    // Callers of the 32-bit ABI have a struct stat of their own, which is not read.
    (plan.stat, plan.stat_how) = match spec.name {
        "stat" | "lstat" | "newfstatat" if !compat => {
            (named("statbuf"), stat_how::STAT_OWN.0 as u8)
        }
        "statx" => (named("statxbuf"), stat_how::STAT_X.0 as u8),
        _ => (0, 0),
    };
    let address = spec
        .args
        .iter()
        .enumerate()
        .find_map(|(i, (_, arg))| Some((i, address_how(*arg)?)));
    if let Some((i, how)) = address {
        plan.addr = number(Some(i));
        plan.addr_how = how.0 as u8;
    }
    if let When::IfSet { arg, .. } = spec.result_is_length() {
        plan.msg_flags = number(Some(arg));
    }
    plan.option = match spec.name {
        "getsockopt" => named("level"),
        _ => 0,
    };
    plan.task_op = match spec.name {
        "prctl" => named("op"),
        _ => 0,
    };
    plan.command = match spec.name {
        "ioctl" => named("op"),
        _ => 0,
    };
}

/// Returns the `PLAN_*` flags of a plan whose arguments are set.
fn flags(plan: &plan, spec: &Spec, is_wanted: bool) -> u8 {
    let is_one_of = |names: &[&str]| names.contains(&spec.name);
    // exec(2) replaces the registers by those of the new program, sigreturn(2) by those that a signal saved.
    let replaces_registers = is_one_of(&["execve", "execveat", "rt_sigreturn", "sigreturn"]);
    // The calls that give a socket an address. A datagram does so for a socket that has none.
    let sets_address = is_one_of(&["bind", "connect", "listen", "sendto", "sendmsg", "sendmmsg"]);
    let forks = is_one_of(&["fork", "vfork", "clone", "clone3"]);
    let needs_finish = spec.ret == Ret::Fd
        || plan.option != 0
        || plan.task_op != 0
        || sets_address
        || forks
        || ADDRESS_AT_RETURN.contains(&addr_how(plan.addr_how.into()))
        || [plan.stat, plan.argv, plan.path[0]] != [0; 3]
        || payload(spec) == payload_how::PAYLOAD_MESSAGES;
    [
        (plan_flag::PLAN_RECORD, is_wanted),
        (plan_flag::PLAN_BYTES, spec.ret == Ret::Bytes),
        (plan_flag::PLAN_RET_FD, spec.ret == Ret::Fd),
        (plan_flag::PLAN_SAVE_ARGS, replaces_registers),
        (plan_flag::PLAN_SOCK_AT_EXIT, sets_address),
        (plan_flag::PLAN_FORK, forks),
        (plan_flag::PLAN_FINISH, needs_finish),
    ]
    .iter()
    .filter(|(_, is_set)| *is_set)
    .fold(0, |flags, (flag, _)| flags | flag.0 as u8)
}

/// Returns the slots of user memory that are read at the entry of a call.
fn slots(plan: &plan) -> u8 {
    let has_address = ADDRESS_AT_ENTRY.contains(&addr_how(plan.addr_how.into()));
    [
        (data_slot::DATA_PATH, plan.path[0] != 0),
        (data_slot::DATA_PATH2, plan.path[1] != 0),
        (data_slot::DATA_TEXT, plan.text != 0),
        (data_slot::DATA_FLAGS, plan.how != 0),
        (data_slot::DATA_FD2, plan.fd2 != 0),
        (data_slot::DATA_ADDR, has_address),
    ]
    .iter()
    .filter(|(_, is_used)| *is_used)
    .fold(0, |slots, (slot, _)| slots | 1 << slot.0)
}

/// Addresses that the caller passes.
const ADDRESS_AT_ENTRY: [addr_how; 3] = [
    addr_how::ADDR_IN,
    addr_how::ADDR_MSG_IN,
    addr_how::ADDR_MMSG_IN,
];

/// Addresses that the kernel fills in.
const ADDRESS_AT_RETURN: [addr_how; 3] = [
    addr_how::ADDR_OUT,
    addr_how::ADDR_MSG_OUT,
    addr_how::ADDR_MMSG_OUT,
];

/// Returns the rank by which a call is dropped when a ring fills up.
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
    fn plans_are_indexed_by_call_number() {
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
