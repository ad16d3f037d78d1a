/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Decides whose records are dropped when the ring of a CPU fills up. The first half of the ring is first come, first
 * served. Above that a container may hold at most a fixed multiple of the free space, so a flooding container soon
 * reaches its share and the free space remains for others (known from switches as dynamic thresholds: Choudhury and
 * Hahne, 1998). The last part of the ring is reserved for RANK_LAST, which is lost last. Records of RANK_LAST use the
 * same ring so that they follow the definitions that they refer to.
 */
#ifndef CTRACE_RING_SHARE_H
#define CTRACE_RING_SHARE_H

#include "rings.h"

/*
 * Quarters of the free space that a container may hold: with calls of RANK_CHEAP, and with all other calls. RANK_LAST
 * gets no more than RANK_USUAL, because a fork bomb makes many of these calls.
 */
#define CHEAP_QUARTERS 1
#define USUAL_QUARTERS 4

/* A thread checks the ring once in this number of calls, a power of two: a check costs some nanoseconds. */
#define CHECK_EVERY 16

/* Upper estimate of a container's bytes in the ring. */
struct ring_use {
	u64 mark; /* a producer position */
	u64 end; /* producer position after the latest record */
	u64 before; /* bytes sent before `mark` */
	u64 since; /* bytes sent since `mark` */
};

struct ring_share {
	struct ring_use usual;
	struct ring_use last; /* RANK_LAST */
};

/* Indexed by the key of the container's cgroup; 0: the host, and cgroups of which it is not known whose they are. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(max_entries, 16384);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, u64);
	__type(value, struct ring_share);
} shares SEC(".maps");

static const struct ring_share no_ring_share = {};

/* Returns the use that the thread's container makes of this CPU's ring, or null if the map is full. */
__inline_always struct ring_use *find_ring_use(struct task_state *t, u32 rank)
{
	u64 key = t->unknown ? 0 : t->cgroup;
	struct ring_share *share = bpf_map_lookup_elem(&shares, &key);
	if (!share) {
		bpf_map_update_elem(&shares, &key, &no_ring_share, BPF_NOEXIST);
		share = bpf_map_lookup_elem(&shares, &key);
	}
	if (!share)
		return 0;
	return rank == RANK_LAST ? &share->last : &share->usual;
}

/* Returns the bytes that are still in the ring, if the consumer has read up to the position `read`. */
__inline_always u64 unread_bytes(struct ring_use *use, u64 read)
{
	if (use->end <= read) {
		use->before = use->since = 0;
	} else if (use->mark <= read) {
		use->before = use->since;
		use->since = 0;
		use->mark = use->end;
	}
	return use->before + use->since;
}

/*
 * Returns whether the thread's container has used its share of this CPU's ring for calls of this rank. Sets
 * `ring_pressed` and `ring_position` of the thread.
 */
VERIFIED_ONCE int is_over_share(struct task_state *t, u32 rank)
{
	if (!t)
		return 0;
	u64 written, used = unread_in_ring(&written);
	t->ring_pressed = used > config.ring_bytes / 2;
	if (!t->ring_pressed)
		return 0;
	u64 most = rank == RANK_LAST ? config.ring_bytes : config.usual_bytes;
	u64 quarters = rank == RANK_CHEAP ? CHEAP_QUARTERS : USUAL_QUARTERS;
	t->ring_position = written;
	struct ring_use *use = find_ring_use(t, rank);
	return used >= most || (use && unread_bytes(use, t->ring_position - used) > (most - used) * quarters / 4);
}

/* Charges the container for the bytes that were sent since the last check. */
VERIFIED_ONCE int charge_share(struct task_state *t, u32 rank)
{
	struct ring_use *use = t ? find_ring_use(t, rank) : 0;
	if (use) {
		unread_in_ring(&use->end);
		use->since += use->end - t->ring_position;
	}
	return 0;
}

/* Deletes the share of a removed container. */
__inline_always void delete_share(u64 key)
{
	bpf_map_delete_elem(&shares, &key);
}

#endif
