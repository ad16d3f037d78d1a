/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Who goes without where the ring of a CPU fills up. Half of it is anybody's. Of the rest a container may have sent so many
 * times what is left, since the rings were read last: the one that floods has had its share soon, and what is left stays for
 * the others. (Known of switches as dynamic thresholds: Choudhury and Hahne, 1998.)
 */
#ifndef CTRACE_SHARE_H
#define CTRACE_SHARE_H

#include "common.h"

/* Of calls of RANK_CHEAP, and of all others but RANK_LAST. */
#define CHEAP_TIMES 1
#define USUAL_TIMES 4

/* How many calls of a thread go by until it looks again, a power of two: looking costs some nanoseconds. */
#define LOOK_EVERY 16

struct share {
	u64 reading; /* `readings` when it was counted last */
	u64 bytes; /* sent since then */
};

/* By container. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(max_entries, 16384);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, u64);
	__type(value, struct share);
} shares SEC(".maps");

static const struct share no_share = {};

__inline_always u64 ask_ring(u64 what)
{
	u32 cpu = bpf_get_smp_processor_id();
	void *ring = bpf_map_lookup_elem(&rings, &cpu);
	return ring ? bpf_ringbuf_query(ring, what) : 0;
}

/* What the thread's container has sent into the ring of this CPU since it was read. Null: there is no room to count it. */
__inline_always struct share *share_of(struct task *t)
{
	u64 key = t->cgroup;
	struct share *share = bpf_map_lookup_elem(&shares, &key);
	if (!share) {
		bpf_map_update_elem(&shares, &key, &no_share, BPF_NOEXIST);
		share = bpf_map_lookup_elem(&shares, &key);
	}
	if (share && share->reading != readings) {
		share->reading = readings;
		share->bytes = 0;
	}
	return share;
}

/* Looks at the ring: whether the thread's container has had its share of it, for calls of this rank. */
VERIFIED_ONCE int look_at_ring(struct task *t, u32 rank)
{
	if (!t)
		return 0;
	u64 used = ask_ring(BPF_RB_AVAIL_DATA), left = used < config.ring_bytes ? config.ring_bytes - used : 0;
	t->pressed = used > config.ring_bytes / 2;
	if (!t->pressed)
		return 0;
	t->sent = ask_ring(BPF_RB_PROD_POS);
	struct share *share = share_of(t);
	return rank != RANK_LAST && share && share->bytes > left * (rank == RANK_CHEAP ? CHEAP_TIMES : USUAL_TIMES);
}

/* Counts what was sent since the ring was looked at. */
VERIFIED_ONCE int charge_share(struct task *t)
{
	struct share *share = t ? share_of(t) : 0;
	if (share)
		share->bytes += ask_ring(BPF_RB_PROD_POS) - t->sent;
	return 0;
}

/* Forgets a container that is gone. */
__inline_always void drop_share(u64 key)
{
	bpf_map_delete_elem(&shares, &key);
}

#endif
