// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The programs of the kernel side. Each runs at a tracepoint, or as an iterator over all tasks, and calls the functions
 * of one header:
 *
 *   tracepoint               program              header       reads maps                 writes maps
 *   sys_enter                on_sys_enter         calls.h      plans cgroups comms        tasks seen shares counts
 *   sys_exit                 on_sys_exit          calls.h      plans cgroups comms        tasks seen shares counts
 *   sched_process_fork       on_fork              lifecycle.h                             tasks
 *   sched_process_exec       on_exec              lifecycle.h  cgroups comms              tasks seen shares
 *   sched_process_exit       on_exit              lifecycle.h  plans                      tasks seen shares counts ended
 *   inet_sock_set_state      on_sock_state        connections.h                           connections seen
 *   signal_generate          on_signal            signals.h    cgroups comms               last_killed
 *   oom mark_victim          on_oom_victim        signals.h    last_killed
 *   cgroup_mkdir             on_cgroup_mkdir      cgroups.h    cgroups undecided foreign  undecided foreign
 *   cgroup_rmdir             on_cgroup_rmdir      cgroups.h                               cgroups undecided foreign shares
 *   cgroup_attach_task       on_cgroup_attach     moves.h      cgroups started tasks      shares
 *   io_uring_submit_req      on_uring_submit_req  uring.h      uring_plans cgroups comms  requests tasks seen shares
 *   io_uring_submit_sqe      on_uring_submit_sqe  uring.h      uring_plans cgroups comms  requests tasks seen shares
 *   io_uring_req_failed      on_uring_req_failed  uring.h      uring_plans cgroups comms  requests tasks seen shares
 *   io_uring_complete        on_uring_complete    uring.h      uring_plans                requests seen
 *   (iterator at the start)  begin_tasks          calls.h      plans cgroups comms        tasks seen
 *   (iterator at the end)    end_tasks            calls.h      plans                      tasks seen counts
 *   (iterator at the end)    end_requests         uring.h      uring_plans requests
 *
 * `tasks` stands for `slots` too.
 * Whoever looks up the container of a thread also reads `undecided`, `foreign`, `started` and `mount_namespaces`. The first program of a container
 * that is executed, or found, writes them; on_cgroup_rmdir deletes from them.
 * All programs but on_fork write records into `cpu_rings` and `rings`. Events and data that are missing are counted in `losses` and
 * `misses`. `plans` and `uring_plans` are variables in .rodata, not maps of their own.
 *
 * The data flow between the kernel side and user space:
 *
 *        kernel side                                                             user space
 *
 *   tracepoint --> program <--> slots, tasks  state of each thread, with its
 *                     |                   current call
 *                     |    <--> requests  io_uring requests in flight
 *                     |    <--> connections  TCP connections and their owners
 *                     |    <--> seen      keys that have been defined
 *                     |    <--> shares    bytes in the ring by container
 *                     |    <--> started, mount_namespaces  containers whose set-up is over
 *                     |
 *                     |  builds a record in `tasks`, on the stack or in a scratch map
 *                     |  (file_, sock_, data_, exec_, cgroup_, request_, state_scratch)
 *                     v
 *                   cpu_rings[cpu]    one ring per CPU  ------------------------> maps the rings, polls them and
 *                   rings[cpu]        ring buffer of interrupts ----------------> merges the records by time
 *                   rings[number      records of cgroups, a ring of their own -->
 *                         of CPUs]
 *
 *                   losses, misses    counters of what is missing --------------> reads the counters
 *                   counts            counters of calls, in count mode ---------> reads the counters
 *                   cgroups,          containers that are recorded or excluded  <- decides about each cgroup
 *                   undecided,        cgroups that are not decided yet <---------> removes those that it has decided
 *                   foreign
 *                   comms             the comm filter <-------------------------- fills the map after the load
 *                   config, plans,    configuration, .rodata <------------------- sets the variables before the load
 *                   uring_plans
 *                   cgroup_epoch,     control variables, .data <----------------- sets the variables while it records
 *                   definition_epoch,
 *                   shed_level, begin_time, end_time, no_slot_from
 *
 * The headers, each after those that it needs:
 *
 *   kernel_types.h  types of the kernel, reduced to the fields that are used
 *   wire.h          records, configuration and map values that user space shares
 *   compat.h        differences between kernel versions
 *   common.h        configuration, maps, counters, hashes
 *   rings.h         rings, and output into them; maps cpu_rings, rings
 *   files.h         keys and definitions of files; map file_scratch
 *   sockets.h       keys and definitions of sockets; map sock_scratch
 *   task_storage.h  storage of the state of threads; maps slots, tasks
 *   containers.h    the container of a task, and whether it has started; maps started, mount_namespaces
 *   tasks.h         identity of threads: process, container, whether they are recorded; map state_scratch
 *   user_memory.h   paths, addresses and arguments in user memory; maps data_scratch, exec_scratch
 *   dns.h           messages to and from name servers
 *   counts.h        count mode; map counts
 *   ring_share.h    fair shares of a ring that fills up; map shares
 *   registers.h     number and arguments of syscalls, by architecture and ABI
 *   calls.h         entry and return of syscalls
 *   connections.h   TCP connections; map connections
 *   signals.h       signals that end or stop a process; map last_killed
 *   uring_types.h   types of io_uring, reduced to the fields that are used
 *   uring_args.h    arguments, paths and addresses of io_uring requests; maps requests, request_scratch, uring_plans
 *   uring.h         submission and completion of io_uring requests
 *   lifecycle.h     fork, exec and exit of threads
 *   cgroups.h       creation and removal of cgroups; map cgroup_scratch
 *   namespaces.h    containers without a cgroup
 *   moves.h         processes that leave their container's cgroup, or come into one; map move_scratch
 */
#include "calls.h"
#include "connections.h"
#include "signals.h"
#include "uring.h"
#include "lifecycle.h"
#include "cgroups.h"
#include "namespaces.h"
#include "moves.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* Names every type of wire.h in the object's BTF, from which Rust takes the types. */
struct wire_types {
	struct rec_syscall syscall;
	struct rec_task task;
	struct rec_exit exit;
	struct rec_request request;
	struct rec_complete complete;
	struct rec_connection connection;
	enum limits limits;
	enum rec_kind rec_kind;
	enum sys_flag sys_flag;
	enum data_slot data_slot;
	enum data_flag data_flag;
	enum task_flag task_flag;
	enum exit_flag exit_flag;
	enum exec_flag exec_flag;
	enum file_flag file_flag;
	enum sock_flag sock_flag;
	struct rec_signal signal;
	enum signal_flag signal_flag;
	struct rec_move move;
	enum move_flag move_flag;
	enum connection_event connection_event;
	enum connection_flag connection_flag;
	enum cgroup_flag cgroup_flag;
	enum cgroup_key cgroup_key;
	enum cgroup_state cgroup_state;
	enum plan_flag plan_flag;
	enum rank rank;
	struct data_stat data_stat;
	struct data_flags data_flags;
	struct count_key count_key;
	struct count count;
	enum stat_how stat_how;
	enum addr_how addr_how;
	enum payload_how payload_how;
	enum miss miss;
	enum loss loss;
	enum v1_controller v1_controller;
	enum comm_mode comm_mode;
};
const volatile struct wire_types wire_types = {};

/*
 * The arguments of the next programs differ between kernel versions, so they are read as numbers. All programs of
 * tracepoints are nevertheless of the type tp_btf: of a raw_tp program, Linux 5.10 to 6.0 warns that its hash maps
 * allocate memory at run time, taints itself, and panics with `panic_on_warn` (check_map_prog_compatibility() in
 * kernel/bpf/verifier.c).
 */

/* Since Linux 6.4. */
SEC("tp_btf/io_uring_submit_req")
int on_uring_submit_req(u64 *args)
{
	disable_preemption();
	submit_request(READ_U64(&args[0]), 0);
	enable_preemption();
	return 0;
}

/* Before Linux 6.4. Until 5.19 the ring comes before the request. */
SEC("tp_btf/io_uring_submit_sqe")
int on_uring_submit_sqe(u64 *args)
{
	disable_preemption();
	submit_request(READ_U64(&args[config.uring_ring_first ? 1 : 0]), 0);
	enable_preemption();
	return 0;
}

SEC("tp_btf/io_uring_req_failed")
int on_uring_req_failed(u64 *args)
{
	disable_preemption();
	submit_request(READ_U64(&args[config.uring_ring_first ? 2 : 1]), READ_U64(&args[0]));
	enable_preemption();
	return 0;
}

/*
 * Arguments: ring, request, entry of the completion queue. Until Linux 6.10 the fields of the entry come instead: user
 * data, result.
 */
SEC("tp_btf/io_uring_complete")
int on_uring_complete(u64 *args)
{
	u64 req = READ_U64(&args[1]);
	s32 res;
	disable_preemption();
	if (config.uring_has_cqe) {
		struct io_uring_cqe *cqe = RDONLY_CAST((void *)READ_U64(&args[2]), struct io_uring_cqe);
		res = CAST_READ(cqe, res);
	} else {
		res = READ_U64(&args[3]);
	}
	if (req)
		complete_request(req, res);
	enable_preemption();
	return 0;
}

/* At the end of the recording: sends the requests that are still in flight. */
SEC("iter/task")
int end_requests(struct bpf_iter__task *ctx)
{
	if (!ctx->task)
		bpf_for_each_map_elem(&requests, abandon_in_flight, 0, 0);
	return 0;
}

SEC("tp_btf/sys_enter")
int BPF_PROG(on_sys_enter, struct pt_regs *regs, long nr)
{
	disable_preemption();
	enter_call(regs, nr);
	enable_preemption();
	return 0;
}

SEC("tp_btf/sys_exit")
int BPF_PROG(on_sys_exit, struct pt_regs *regs, long ret)
{
	disable_preemption();
	exit_call(regs, ret);
	enable_preemption();
	return 0;
}

SEC("tp_btf/sched_process_fork")
int BPF_PROG(on_fork, struct task_struct *parent, struct task_struct *child)
{
	disable_preemption();
	fork_task(parent, child);
	enable_preemption();
	return 0;
}

SEC("tp_btf/sched_process_exec")
int BPF_PROG(on_exec, struct task_struct *task, int old_pid, struct linux_binprm *bprm)
{
	disable_preemption();
	exec_task(task, old_pid, bprm);
	enable_preemption();
	return 0;
}

SEC("tp_btf/sched_process_exit")
int BPF_PROG(on_exit, struct task_struct *task)
{
	disable_preemption();
	exit_task(task);
	delete_task_state(task);
	enable_preemption();
	return 0;
}

SEC("tp_btf/inet_sock_set_state")
int on_sock_state(u64 *args)
{
	disable_preemption();
	change_state(READ_U64(&args[0]), READ_U64(&args[1]), READ_U64(&args[2]));
	enable_preemption();
	return 0;
}

SEC("tp_btf/signal_generate")
int BPF_PROG(on_signal, int number, u64 info, struct task_struct *task, int group, int result)
{
	disable_preemption();
	generate_signal(task, number, info, result);
	enable_preemption();
	return 0;
}

/* The argument is a task since Linux 6.9, and before a thread's id. */
SEC("tp_btf/mark_victim")
int on_oom_victim(u64 *args)
{
	u64 victim = READ_U64(&args[0]);
	disable_preemption();
	mark_victim(victim >> 32 ? CAST_READ(RDONLY_CAST((void *)victim, struct task_struct), pid) : victim);
	enable_preemption();
	return 0;
}

SEC("tp_btf/cgroup_mkdir")
int BPF_PROG(on_cgroup_mkdir, struct cgroup *cgroup, const char *path)
{
	disable_preemption();
	make_cgroup(cgroup, path);
	enable_preemption();
	return 0;
}

SEC("tp_btf/cgroup_rmdir")
int BPF_PROG(on_cgroup_rmdir, struct cgroup *cgroup, const char *path)
{
	disable_preemption();
	remove_cgroup(cgroup, path);
	enable_preemption();
	return 0;
}

SEC("tp_btf/cgroup_attach_task")
int BPF_PROG(on_cgroup_attach, struct cgroup *cgroup, const char *path, struct task_struct *task)
{
	disable_preemption();
	move_task(cgroup, path, task);
	enable_preemption();
	return 0;
}

/*
 * At the beginning of the recording: remembers the calls that are in progress, so that their returns do not look like
 * calls that seccomp refused, and defines the threads that are in no call.
 */
SEC("iter/task")
int begin_tasks(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;
	if (!task || (task->flags & PF_KTHREAD) || find_task_state(task))
		return 0;
	begin_container(task, CGROUP_FOUND);
	struct pt_regs *regs = task_regs(task);
	if (!is_in_call(task, regs) || is_stopped(task)) {
		define_running_task(task);
		return 0;
	}
	struct task_state *t = create_task_state(task);
	if (!t)
		return 0;
	t->origin = ORIGIN_UNDECIDED;
	refresh_state(t, task);
	adopt_call(t, task, regs);
	return 0;
}

/* At the end of the recording, when the tracepoints are detached: sends the calls that are still in progress. */
SEC("iter/task")
int end_tasks(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;
	struct task_state *t;
	if (!task)
		return 0;
	t = find_task_state(task);
	if (!t || t->entered_ns > end_time)
		return 0;
	struct pt_regs *regs = task_regs(task);
	/* If the task is in no call, the call has returned since, or its return was missed. */
	if (must_define(t))
		define_task(t, task);
	abandon_call(t, task, task->on_cpu || is_in_call(task, regs) ? regs : 0);
	return 0;
}
