/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Storage of the state of threads. */
#ifndef CTRACE_TASK_STORAGE_H
#define CTRACE_TASK_STORAGE_H

#include "common.h"

/*
 * The state of most threads is in a slot, which the address of the thread's stack gives without the help of a function. A
 * thread whose slot another thread has is in `tasks`, and so are all threads of kernels without atomic operations.
 */
struct task_slot {
	u64 owner; /* address of the registers of the thread that has the slot: its place in the stack; 0: none */
	u64 task; /* address of its task_struct; 0: not set yet */
	struct task_state state;
};
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, TASK_SLOTS);
	__type(key, u32);
	__type(value, struct task_slot);
} slots SEC(".maps");

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

/* Returns the state of the current thread, and sets `task`. */
__inline_always struct task_state *find_caller_state(struct pt_regs *regs, struct task_struct **task)
{
	*task = get_current_task();
	return find_task_state(*task);
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

/* Returns the low half of an address. Of a pointer the verifier allows no more than a 32-bit move. */
__inline_always u32 low_half(void *address)
{
	u32 low;
	asm volatile("r1 = %1\n\tw0 = w1\n\t%0 = r0" : "=r"(low) : "r"(address) : "r0", "r1");
	return low;
}

/* Returns the slot of a thread with these registers; another thread may have it. Stacks are aligned to 2^14 bytes. */
__inline_always struct task_slot *slot_of(struct pt_regs *regs)
{
	u32 i = ((low_half(regs) >> 14) * 0x9e3779b1U) >> (32 - TASK_SLOT_BITS);
	barrier_var(i); /* or the compiler removes the mask, which the verifier needs */
	i &= TASK_SLOTS - 1;
	return HAS_SLOTS ? bpf_map_lookup_elem(&slots, &i) : 0;
}

/* Returns the slot that a thread has, or null. */
__inline_always struct task_slot *find_slot(struct pt_regs *regs)
{
	struct task_slot *slot = slot_of(regs);
	return slot && slot->owner == (u64)regs ? slot : 0;
}

__inline_always struct task_state *find_task_state(struct task_struct *task)
{
	struct task_slot *slot = find_slot(task_regs(task));
	return slot ? &slot->state : bpf_task_storage_get(&tasks, task, 0, 0);
}

/* Returns the state of the current thread, which has entered the kernel with these registers, and sets `task`. */
__inline_always struct task_state *find_caller_state(struct pt_regs *regs, struct task_struct **task)
{
	struct task_slot *slot = find_slot(regs);
	if (!slot) {
		*task = get_current_task();
		return bpf_task_storage_get(&tasks, *task, 0, 0);
	}
	if (HAS_RDONLY_CAST && slot->task)
		*task = RDONLY_CAST((void *)slot->task, struct task_struct);
	else
		*task = get_current_task();
	return &slot->state;
}

/* Takes the slot of a thread that has no state. Returns null if another thread has it. */
__inline_always struct task_state *take_task_slot(struct task_struct *task)
{
	struct pt_regs *regs = task_regs(task);
	struct task_slot *slot = slot_of(regs);
	if (!slot || (slot->owner && slot->owner != (u64)regs))
		return 0;
	u64 owner = __sync_val_compare_and_swap(&slot->owner, 0, (u64)regs);
	if (owner && owner != (u64)regs)
		return 0;
	slot->task = (u64)task;
	return &slot->state;
}

/* Creates the state of a thread that has none. Returns null if there is no memory, which is counted. */
__inline_always struct task_state *create_task_state(struct task_struct *task)
{
	struct task_state *t = take_task_slot(task);
	if (!t)
		t = bpf_task_storage_get(&tasks, task, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (!t)
		count_miss(MISS_STORAGE);
	return t;
}

#define RAW_COMM(t) ((t)->comm)

__inline_always void copy_comm(struct task_state *t, struct task_struct *named)
{
	bpf_probe_read_kernel(t->comm, sizeof(t->comm), named->comm);
}

/* Clears the slot of a thread that has exited, if it has one. The kernel deletes the state in task storage. */
__inline_always void delete_task_state(struct task_struct *task)
{
	struct task_slot *slot = find_slot(task_regs(task));
	if (!slot)
		return;
	__builtin_memset(&slot->state, 0, sizeof(slot->state));
	slot->task = 0;
	__sync_lock_test_and_set(&slot->owner, 0);
}

#endif

#endif
