// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The lower bound of a recorder's cost: programs that do nothing, and a prototype that pairs entry and return in task
 * storage and sends 48 bytes per call into a ring per CPU. The prototype resolves nothing, filters nothing and stores
 * nothing.
 */
#include "../bpf/kernel_types.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char LICENSE[] SEC("license") = "Dual BSD/GPL";

struct record {
	u64 time;
	u64 duration;
	s64 ret;
	u32 tid;
	u32 nr;
	u64 args[2];
};

struct call {
	u64 entered;
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct call);
} calls SEC(".maps");

struct ring {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
};
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 1);
	__type(key, u32);
	__array(values, struct ring);
} rings SEC(".maps");

SEC("tp_btf/sys_enter")
int BPF_PROG(empty_enter, struct pt_regs *regs, long nr)
{
	return 0;
}

SEC("tp_btf/sys_exit")
int BPF_PROG(empty_exit, struct pt_regs *regs, long ret)
{
	return 0;
}

SEC("tp_btf/sys_enter")
int BPF_PROG(prototype_enter, struct pt_regs *regs, long nr)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct call *call = bpf_task_storage_get(&calls, task, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (call)
		call->entered = bpf_ktime_get_boot_ns();
	return 0;
}

SEC("tp_btf/sys_exit")
int BPF_PROG(prototype_exit, struct pt_regs *regs, long ret)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct call *call = bpf_task_storage_get(&calls, task, 0, 0);
	u32 cpu = bpf_get_smp_processor_id();
	void *ring = bpf_map_lookup_elem(&rings, &cpu);
	if (!call || !ring)
		return 0;
	u64 now = bpf_ktime_get_boot_ns();
	struct record rec = {
		.time = now,
		.duration = now - call->entered,
		.ret = ret,
		.tid = task->pid,
		.nr = regs->orig_ax,
		.args = {regs->di, regs->si},
	};
	bpf_ringbuf_output(ring, &rec, sizeof(rec), BPF_RB_NO_WAKEUP);
	return 0;
}
