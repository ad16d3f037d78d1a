/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Count mode: calls are counted and not sent. The counters are calls, errors, bytes and duration, by container, comm
 * and call. Counters only grow, and user space takes differences, so nothing is lost between two readings.
 */
#ifndef CTRACE_COUNTS_H
#define CTRACE_COUNTS_H

#include "common.h"

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(max_entries, COUNTS_MAX);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct count_key);
	__type(value, struct count);
} counts SEC(".maps");

/* Returns the position of the highest set bit, from 0. Values that are too large belong to the last bucket. */
__inline_always u32 latency_bucket(u64 n)
{
	u32 bit = 0;
	if (n >> 32)
		return COUNT_BUCKETS - 1;
	for (u32 half = 16; half; half /= 2) {
		if (n >> half) {
			n >>= half;
			bit += half;
		}
	}
	return bit & (COUNT_BUCKETS - 1);
}

static const struct count no_count = {};

/* Counts the thread's current call, which transferred `bytes`. Returns false if the map is full. */
__inline_always bool count_call(struct task_state *t, s64 ret, u64 bytes)
{
	struct rec_syscall *rec = &t->call_rec;
	struct count_key key = {
		.cgroup = t->cgroup,
		.comm = {t->comm[0], t->comm[1]},
		.nr = rec->head.nr,
		.compat = rec->head.flags & SYS_COMPAT,
	};
	struct count *count = bpf_map_lookup_elem(&counts, &key);
	if (!count) {
		bpf_map_update_elem(&counts, &key, &no_count, BPF_NOEXIST);
		count = bpf_map_lookup_elem(&counts, &key);
		if (!count)
			return false;
	}
	count->calls++;
	if (ret < 0 && ret >= -MAX_ERRNO)
		count->errors++;
	else
		count->bytes += bytes;
	/* The duration is unknown if the entry or the return was not seen. */
	if (!(rec->head.flags & (SYS_DENIED | SYS_NO_ENTRY | SYS_NO_RETURN))) {
		count->duration += rec->duration;
		count->latency[latency_bucket(rec->duration)]++;
	}
	return true;
}

__inline_always void count_call_or_loss(struct task_state *t, s64 ret, u64 bytes, u32 class)
{
	if (!count_call(t, ret, bytes))
		count_ring_loss(t->cgroup, class);
}

#endif
