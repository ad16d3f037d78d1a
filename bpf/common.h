/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What every concern uses: configuration, maps, counters, and the way into the ring. */
#ifndef CTRACE_COMMON_H
#define CTRACE_COMMON_H

#include "kernel_types.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>
#include "wire.h"

#ifndef barrier_var
#define barrier_var(var) asm volatile("" : "+r"(var))
#endif
#define __inline_always static __always_inline

const volatile struct config config = {};
#include "compat.h"

/* By syscall number: of the machine's own ABI, then from MAX_SYSCALLS on of 32-bit callers. */
const volatile struct plan plans[2 * MAX_SYSCALLS] = {};

/* Incremented by user space when it has decided about cgroups: tasks look again. */
__u32 cgroup_epoch = 1;
/* Incremented by user space when it forgets definitions: the kernel side sends them again. */
__u32 definition_epoch = 1;

/* Set by user space, where the recorder takes more CPU than it may: calls whose plan is kept to less are given up. */
__u32 shed_level SEC(".data") = 0;

/* Set by user space when returns from calls are seen: of a call that began before, the return may have been missed. */
__u64 begin_time SEC(".data") = 0;

/* Set by user space when the recording ends, before it detaches: a call that began later is not in it. */
__u64 end_time = ~0ULL;

/* What we know of a thread. */
struct task_state {
	struct rec_syscall call_rec; /* the record of the call, as far as it is known */
	u64 entered_ns; /* time of the call's entry */
	u64 css_set; /* pointer: changes when the thread changes its cgroup */
	u64 cred; /* pointer: changes with uid */
	u64 comm[2];
#ifdef LEGACY
	u64 raw_comm[2]; /* as the kernel has it, which leaves there what was behind a shorter name */
#endif
	u64 ring_position; /* position in the ring at which the program began to send, where the ring is pressed */
	u64 cgroup; /* key of the container's cgroup */
	u32 cgroup_epoch;
	u32 definition_epoch;
	u32 child; /* tid, made by the call */
	u16 call_count; /* of calls, modulo: see struct head */
	u8 to_dns; /* the address of the call is a name server's */
	u8 ring_pressed; /* more than half of the ring was in use when it was looked at last */
	u8 call_state; /* enum call */
	u8 recorded; /* events of this thread are wanted */
	u8 defined; /* its definition has been sent */
	u8 retry_slots; /* slots of user memory to read again at return */
};

enum call_state {
	CALL_NONE,
	CALL_ACTIVE,
	CALL_SKIPPED, /* by a filter */
	CALL_ENTERED_UNRECORDED, /* the thread was not recorded when it entered */
	CALL_OVER_SHARE, /* its container has had its share of the ring */
	CALL_NEW_THREAD, /* the thread is new: its first return is of its parent's call */
};

/* One ring per CPU, and one for cgroups, which no flood fills; user space puts them in. */
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

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384);
	__type(key, u64);
	__type(value, struct cgroup_info);
} cgroups SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, char[COMM_BYTES]);
	__type(value, u8);
} comms SEC(".maps");

/* Events that are not recorded, by container, class and why. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(max_entries, 16384);
	__type(key, struct loss_key);
	__type(value, u64);
} losses SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, MISS_COUNT);
	__type(key, u32);
	__type(value, u64);
} misses SEC(".maps");

__inline_always void count_miss(u32 why)
{
	u64 *n = bpf_map_lookup_elem(&misses, &why);
	if (n)
		*n += 1;
}

/* Counts an event that is lost. */
static __noinline void count_loss(u64 cgroup, u32 class, u32 why)
{
	struct loss_key key = {.cgroup = cgroup, .class = class, .why = why};
	u64 *n = bpf_map_lookup_elem(&losses, &key), one = 1;
	if (n) {
		*n += 1;
		return;
	}
	if (bpf_map_update_elem(&losses, &key, &one, BPF_NOEXIST) == 0)
		return;
	/* Another CPU may have made the key meanwhile, or the map is full: then it counts without a container. */
	n = bpf_map_lookup_elem(&losses, &key);
	if (!n) {
		key.cgroup = 0;
		n = bpf_map_lookup_elem(&losses, &key);
	}
	if (n)
		*n += 1;
	else
		count_miss(MISS_STORAGE);
}

__inline_always void count_ring_loss(u64 cgroup, u32 class)
{
	count_loss(cgroup, class, LOSS_RING);
}

/* Puts `bytes` of `rec` into a ring. The consumer polls, so nobody is woken: a wake-up costs more than the call. */
__inline_always bool send_to_ring(u32 index, void *rec, u64 bytes)
{
	void *ring = bpf_map_lookup_elem(&rings, &index);
	return ring && bpf_ringbuf_output(ring, rec, bytes, BPF_RB_NO_WAKEUP) == 0;
}

__inline_always bool send_record(void *rec, u64 bytes)
{
	return send_to_ring(bpf_get_smp_processor_id(), rec, bytes);
}

__inline_always void fill_head(struct head *head, u32 tid, u8 kind)
{
	head->time = bpf_ktime_get_boot_ns();
	head->tid = tid;
	head->nr = 0;
	head->kind = kind;
	head->flags = 0;
}

/* Definitions that this CPU has sent, by the low bits of their key. A slot that is taken over costs a repetition. */
struct seen_slots {
	u64 key[SEEN_SLOTS];
};
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct seen_slots);
} seen SEC(".maps");

/* The slot of `key`, and in `stamp` what it holds when the definition has been sent in this epoch. */
__inline_always u64 *definition_slot(u64 key, u64 *stamp)
{
	u32 zero = 0;
	struct seen_slots *slots = bpf_map_lookup_elem(&seen, &zero);
	if (!slots)
		return 0;
	*stamp = key + definition_epoch;
	return &slots->key[(key >> 2) & (SEEN_SLOTS - 1)]; /* the lowest bits of a key are no hash's */
}

/*
 * Folds a word into a key. The multiplier is that of splitmix64. It comes before the word, for the first two words are
 * often small numbers that follow each other (inode and device, inode and protocol), which cancel out when combined.
 */
__inline_always u64 mix_hash(u64 key, u64 word)
{
	key = key * 0xbf58476d1ce4e5b9ULL + word;
	return key ^ (key >> 29);
}

/* The other end is a name server's: in the key of a socket, so that it is known without another look. */
#define KEY_DNS 2

/*
 * A key of what was hashed. 0 says none, so it has the lowest bit. What the last word had in the bits that are overwritten
 * stands in others once it has been multiplied.
 */
__inline_always u64 key_of_hash(u64 hash, bool dns)
{
	return (mix_hash(hash, 0) & ~(u64)KEY_DNS) | 1 | (dns ? KEY_DNS : 0);
}

#endif
