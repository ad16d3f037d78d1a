/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Configuration, maps, counters and hashes: the part that all other headers use. */
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
/* include/linux/err.h */
#define MAX_ERRNO 4095
/* include/uapi/asm-generic/errno-base.h */
#define EEXIST 17

const volatile struct config config = {};
#include "compat.h"

/* By syscall number. The first MAX_SYSCALLS are of the machine's own ABI, the others of 32-bit callers. */
const volatile struct plan plans[2 * MAX_SYSCALLS] = {};

/* Incremented by user space after a decision about cgroups, so that tasks look up their cgroup again. */
__u32 cgroup_epoch = 1;
/* Incremented by user space when it drops its definitions, so that they are sent again. */
__u32 definition_epoch = 1;

/* Set by user space while the recorder exceeds its CPU limit: calls whose `recorded_up_to` is lower are dropped. */
__u32 shed_level SEC(".data") = 0;

/*
 * Boot time, ns, from which the returns of calls are seen; set by user space. The return of an earlier call may have
 * been missed.
 */
__u64 begin_time SEC(".data") = 0;

/*
 * Boot time minus monotonic time, ns: the time that the machine has been suspended. Set by user space. The helper for
 * monotonic time takes 10 ns less than that for boot time (bpf_ktime_get_boot_ns()).
 */
__u64 suspended_ns SEC(".data") = 0;

/*
 * Boot time, ns, at which the recording ends; set by user space before it detaches the programs. Calls that begin later
 * do not belong to the recording.
 */
__u64 end_time = ~0ULL;

/* State of a thread, kept in the map `tasks`. */
struct task_state {
	struct rec_syscall call_rec; /* record of the current call, as far as it is known */
	u64 entered_ns; /* boot time of the call's entry */
	u64 css_set; /* pointer; changes when the thread moves to another cgroup */
	u64 nsproxy; /* pointer; changes with the namespaces */
	u64 cred; /* pointer; changes with the user ids */
	u64 comm[2];
#ifdef LEGACY
	u64 raw_comm[2]; /* bytes of task_struct.comm; after the NUL the kernel leaves bytes of a longer earlier name */
#endif
	u64 ring_position; /* producer position before the program sent anything; valid if `ring_pressed` */
	u64 cgroup; /* key of the container's cgroup */
	u64 bases[2]; /* by slot: key of the directory that an unread path starts from if it is relative */
	u64 root; /* key of the root directory, which an unread path starts from if it is absolute */
	u32 cgroup_epoch;
	u32 definition_epoch;
	u32 child; /* tid of the child that the call made */
	u16 call_count; /* number of the thread's calls, modulo: see struct head */
	u8 address; /* enum sent_address: result for the call's address */
	u8 shared; /* another thread could write to the memory at entry */
	u8 address_room; /* bytes that the caller provided for an address, as far as they could be read at entry */
	u8 ring_pressed; /* more than half of the ring was in use at the last check */
	u8 call_state; /* enum call_state */
	u8 recorded; /* the thread's events are recorded */
	u8 defined; /* the thread's definition has been sent */
	u8 retry_slots; /* slots of user memory to read again at return */
	u8 unread_args; /* the arguments of a socketcall(2) or ipc(2) could not be read at entry */
	u8 based_slots; /* slots whose `bases` and `root` were looked up at the entry of the call */
	u8 origin; /* enum origin */
	u8 entered; /* came into the container after a program of the container had started, or descends from such a thread */
	u8 undecided; /* user space has not decided yet whether `cgroup` is a container */
	u8 unknown; /* the thread takes no slots for `cgroup`: CGROUP_UNKNOWN */
};

/* Origin of a thread. */
enum origin {
	ORIGIN_OUTSIDE, /* has executed no program of a container: sets one up if it is in one */
	ORIGIN_UNDECIDED, /* has executed a program in a cgroup that may be a container, or lived before the recording */
	ORIGIN_CONTAINER, /* has executed a program of a container, or descends from such a thread */
};

enum call_state {
	CALL_NONE,
	CALL_ACTIVE,
	CALL_SKIPPED, /* excluded by a filter, or dropped because of the CPU limit */
	CALL_ENTERED_UNRECORDED, /* the thread was not recorded at the entry */
	CALL_OVER_SHARE, /* dropped: the container had used its share of the ring */
	CALL_NEW_THREAD, /* new thread: its first return is that of its parent's call */
};

/*
 * Cgroups about which user space has decided: those of containers. A cgroup without an entry belongs to whom the nearest
 * cgroup above it belongs to, and at the root to the host. So the cgroups of the host and those below a container's need no
 * slot. An entry of the host is that of a cgroup below a container's; its owner is that container.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384);
	__type(key, u64);
	__type(value, struct cgroup_info);
} cgroups SEC(".maps");

/* Cgroups about which user space has not decided yet. The value means nothing. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 12288);
	__type(key, u64);
	__type(value, u8);
} undecided SEC(".maps");

/* As `undecided`, of cgroups that were made by other users than root or by containers: they take no other slots. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__type(key, u64);
	__type(value, u8);
} foreign SEC(".maps");

/*
 * By hierarchy, v2 first: the lowest id of a cgroup for which there was no slot. Later cgroups have higher ids, so those
 * that have no entry may be the host's or not, and their threads are recorded. User space increases the ids again.
 */
__u64 no_slot_from[2] = {~0ULL, ~0ULL};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, char[COMM_BYTES]);
	__type(value, u8);
} comms SEC(".maps");

/* Number of lost events by container, class and reason. */
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

/* Counts one lost event. */
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
	/* Another CPU has inserted the key since, or the map is full. If it is full, the event counts for cgroup 0. */
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

/* Returns the boot time, ns. */
__inline_always u64 boot_time(void)
{
	return bpf_ktime_get_ns() + suspended_ns;
}

__inline_always void fill_head(struct head *head, u32 tid, u8 kind)
{
	head->time = boot_time();
	head->tid = tid;
	head->nr = 0;
	head->kind = kind;
	head->flags = 0;
}

/*
 * Keys of the definitions that this CPU has sent, indexed by the low bits of the key. When another key overwrites a
 * slot, the first definition is sent once more.
 */
struct seen_slots {
	u64 key[SEEN_SLOTS];
};
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct seen_slots);
} seen SEC(".maps");

/* Returns the slot of `key`. `stamp` is the slot's value once the definition has been sent in this epoch. */
__inline_always u64 *definition_slot(u64 key, u64 *stamp)
{
	u32 zero = 0;
	struct seen_slots *slots = bpf_map_lookup_elem(&seen, &zero);
	if (!slots)
		return 0;
	*stamp = key + definition_epoch;
	return &slots->key[(key >> 2) & (SEEN_SLOTS - 1)]; /* the two lowest bits of a key are flags, not hash */
}

/*
 * Mixes a word into a hash. The multiplier is that of splitmix64. The multiplication precedes the addition, because the
 * first two words are often small consecutive numbers (inode and device, inode and protocol) that would cancel out.
 */
__inline_always u64 mix_hash(u64 key, u64 word)
{
	key = key * 0xbf58476d1ce4e5b9ULL + word;
	return key ^ (key >> 29);
}

/* Bit in the key of a socket: the peer is a name server. No further lookup is needed to see that. */
#define KEY_DNS 2

/*
 * Makes a key from a hash. Key 0 means none, so bit 0 is always set. The bits of the last word that bit 0 and KEY_DNS
 * overwrite are not lost: the multiplication has spread them over higher bits.
 */
__inline_always u64 key_of_hash(u64 hash, bool dns)
{
	return (mix_hash(hash, 0) & ~(u64)KEY_DNS) | 1 | (dns ? KEY_DNS : 0);
}

#endif
