/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Storage of the state of threads. */
#ifndef CTRACE_TASK_STORAGE_H
#define CTRACE_TASK_STORAGE_H

#include "common.h"

#ifdef LEGACY

/* Indexed by the address of the thread's task_struct, which is unique until the thread has exited. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4194304); /* PID_MAX_LIMIT of linux/threads.h; only existing threads use memory */
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, u64);
	__type(value, struct task_state);
} tasks SEC(".maps");

static const struct task_state no_task_state = {};

/* Returns the state of a thread, or null if it has none. */
__inline_always struct task_state *find_task_state(struct task_struct *task)
{
	u64 key = (u64)task;
	return bpf_map_lookup_elem(&tasks, &key);
}

/* Creates the state of a thread that has none. Returns null if there is no memory, which is counted. */
__inline_always struct task_state *create_task_state(struct task_struct *task)
{
	u64 key = (u64)task;
	struct task_state *t = 0;
	if (!bpf_map_update_elem(&tasks, &key, &no_task_state, 0))
		t = bpf_map_lookup_elem(&tasks, &key);
	if (!t)
		count_miss(MISS_STORAGE);
	return t;
}

#define RAW_COMM(t) ((t)->raw_comm)

/* Copies the comm of `named` into the state. */
__inline_always void copy_comm(struct task_state *t, struct task_struct *named)
{
	read_comm(named, t->raw_comm);
	t->comm[0] = t->comm[1] = 0;
	bpf_probe_read_kernel_str(t->comm, sizeof(t->comm), t->raw_comm);
}

/* Deletes the state of a thread that has exited. */
__inline_always void delete_task_state(struct task_struct *task)
{
	u64 key = (u64)task;
	bpf_map_delete_elem(&tasks, &key);
}

#else

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct task_state);
} tasks SEC(".maps");

__inline_always struct task_state *find_task_state(struct task_struct *task)
{
	return bpf_task_storage_get(&tasks, task, 0, 0);
}

__inline_always struct task_state *create_task_state(struct task_struct *task)
{
	struct task_state *t = bpf_task_storage_get(&tasks, task, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (!t)
		count_miss(MISS_STORAGE);
	return t;
}

#define RAW_COMM(t) ((t)->comm)

__inline_always void copy_comm(struct task_state *t, struct task_struct *named)
{
	bpf_probe_read_kernel(t->comm, sizeof(t->comm), named->comm);
}

/* Does nothing: the kernel deletes the state with the thread. */
__inline_always void delete_task_state(struct task_struct *task)
{
}

#endif

#endif
