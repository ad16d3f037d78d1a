/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Who goes without where the ring of a CPU fills up. Half of it is anybody's. Of the rest a container may hold so many times
 * what is left: the one that floods has had its share soon, and what is left stays for the others. (Known of switches as
 * dynamic thresholds: Choudhury and Hahne, 1998.) The last part of the ring is kept for what is the last to be lost, which
 * stands in the one ring so that it comes after what defines it.
 */
#ifndef CTRACE_RING_SHARE_H
#define CTRACE_RING_SHARE_H

#include "common.h"

/* Quarters of what is left: of calls of RANK_CHEAP, and of all others, of RANK_LAST too, of which a fork bomb has many. */
#define CHEAP_QUARTERS 1
#define USUAL_QUARTERS 4

/* How many calls of a thread go by until it looks again, a power of two: looking costs some nanoseconds. */
#define CHECK_EVERY 16

/* What is in the ring of a container, about: at least as much as there is. */
struct ring_use {
	u64 mark; /* a position in the ring */
	u64 end; /* and that after the latest */
	u64 before; /* bytes that were sent before `mark` */
	u64 since; /* and since */
};

struct ring_share {
	struct ring_use usual;
	struct ring_use last; /* of RANK_LAST */
};

/* By container. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(max_entries, 16384);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, u64);
	__type(value, struct ring_share);
} shares SEC(".maps");

static const struct ring_share no_ring_share = {};

__inline_always u64 query_ring(u64 what)
{
	u32 cpu = bpf_get_smp_processor_id();
	void *ring = bpf_map_lookup_elem(&rings, &cpu);
	return ring ? bpf_ringbuf_query(ring, what) : 0;
}

/* What the thread's container has in the ring of this CPU. Null: there is no room to count it. */
__inline_always struct ring_use *find_ring_use(struct task_state *t, u32 rank)
{
	u64 key = t->cgroup;
	struct ring_share *share = bpf_map_lookup_elem(&shares, &key);
	if (!share) {
		bpf_map_update_elem(&shares, &key, &no_ring_share, BPF_NOEXIST);
		share = bpf_map_lookup_elem(&shares, &key);
	}
	if (!share)
		return 0;
	return rank == RANK_LAST ? &share->last : &share->usual;
}

/* Bytes of it, where the ring has been read up to a position. */
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

/* Looks at the ring: whether the thread's container has had its share of it, for calls of this rank. */
VERIFIED_ONCE int is_over_share(struct task_state *t, u32 rank)
{
	if (!t)
		return 0;
	u64 used = query_ring(BPF_RB_AVAIL_DATA);
	t->ring_pressed = used > config.ring_bytes / 2;
	if (!t->ring_pressed)
		return 0;
	u64 most = rank == RANK_LAST ? config.ring_bytes : config.usual_bytes;
	u64 quarters = rank == RANK_CHEAP ? CHEAP_QUARTERS : USUAL_QUARTERS;
	t->ring_position = query_ring(BPF_RB_PROD_POS);
	struct ring_use *use = find_ring_use(t, rank);
	return used >= most || (use && unread_bytes(use, t->ring_position - used) > (most - used) * quarters / 4);
}

/* Counts what was sent since the ring was looked at. */
VERIFIED_ONCE int charge_share(struct task_state *t, u32 rank)
{
	struct ring_use *use = t ? find_ring_use(t, rank) : 0;
	if (use) {
		use->end = query_ring(BPF_RB_PROD_POS);
		use->since += use->end - t->ring_position;
	}
	return 0;
}

/* Forgets a container that is gone. */
__inline_always void delete_share(u64 key)
{
	bpf_map_delete_elem(&shares, &key);
}

#endif
