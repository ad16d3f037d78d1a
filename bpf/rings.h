/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The rings through which records leave. Nothing here wakes the consumer, which polls: a wake-up costs more than a call.
 *
 * A CPU writes into a ring of its own, which is an element of an array that user space maps. No other CPU writes there, so
 * a record costs its stores and no lock. An interrupt that comes while the CPU writes finds the ring busy, and uses a ring
 * buffer of the kernel instead, which is shared by all CPUs. So do records of cgroups, and CPUs without a ring of their
 * own. Kernels that lack what such rings need have a ring buffer of the kernel for each CPU.
 */
#ifndef CTRACE_RINGS_H
#define CTRACE_RINGS_H

#include "common.h"

/*
 * Ring buffers of the kernel: by CPU, and one for cgroups, which a flood of calls cannot fill. User space creates and
 * inserts them. If the CPUs have rings of their own, all CPUs have the same ring buffer here.
 */
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

/*
 * The rings of the CPUs, with the layout of the kernel's ring buffer: a page with the read position, a page with the write
 * position, and the data. Behind the data is room for one longest record, so that no record wraps. User space creates the
 * map in the size of the machine.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(key_size, sizeof(u32));
	__uint(value_size, 4096);
} cpu_rings SEC(".maps");

/* The beginning of a ring's second page. */
struct ring_writer {
	u64 position; /* bytes written since the ring was made */
	u64 busy; /* a record is being written */
};

/* Precedes each record: BPF_RINGBUF_HDR_SZ of include/uapi/linux/bpf.h. */
#define RECORD_HEADER_BYTES 8

#define RING_READ_POSITION(ring) (*(volatile u64 *)(ring))
#define RING_WRITER(ring) ((struct ring_writer *)((ring) + config.page_bytes))

__inline_always void *own_ring(u32 cpu)
{
	return HAS_CPU_RINGS ? bpf_map_lookup_elem(&cpu_rings, &cpu) : 0;
}

/*
 * Returns the time of a record that belongs to a call. The clock is read each time: the time of the latest record in this
 * CPU's ring may be earlier than records of the same thread in the rings of other CPUs, which would then come later.
 */
__inline_always u64 ring_time(void)
{
	return boot_time();
}

/* Publishes a write position, after the stores of the record. */
__inline_always void publish_position(struct ring_writer *writer, u64 position)
{
	barrier();
#if defined(__TARGET_ARCH_arm64) && !defined(LEGACY)
	__sync_lock_test_and_set(&writer->position, position); /* has an order, unlike a store */
#else
	*(volatile u64 *)&writer->position = position;
#endif
	barrier();
}

/*
 * Writes a record into a CPU's own ring. The first `whole` bytes are copied in place, whatever the length of the record
 * is, or all by a helper if `whole` is 0. Returns false if the ring is full.
 */
__inline_always bool write_record(void *ring, void *rec, u64 bytes, u32 whole)
{
	struct ring_writer *writer = RING_WRITER(ring);
	bool written = false;
	*(volatile u64 *)&writer->busy = 1;
	barrier();
	u64 position = writer->position, span = (bytes + RECORD_HEADER_BYTES + 7) & ~7ULL;
	u64 needed = whole ? whole + RECORD_HEADER_BYTES : span; /* what is copied must not reach unread records */
	if (position - RING_READ_POSITION(ring) + needed <= config.ring_bytes) {
		u64 *to = ring + 2 * (u64)config.page_bytes + (position & (config.ring_bytes - 1));
		to[0] = bytes;
		if (whole) {
			__builtin_memcpy(to + 1, rec, whole);
			written = true;
		} else {
			written = bpf_probe_read_kernel(to + 1, bytes, rec) == 0;
		}
		if (written) {
			publish_position(writer, position + span);
		}
	}
	barrier();
	*(volatile u64 *)&writer->busy = 0;
	return written;
}

/* Sends a record through a ring buffer of the kernel. */
__inline_always bool send_to_ring(u32 index, void *rec, u64 bytes)
{
	void *ring = bpf_map_lookup_elem(&rings, &index);
	return ring && bpf_ringbuf_output(ring, rec, bytes, BPF_RB_NO_WAKEUP) == 0;
}

/* Sends a record. See write_record() for `whole`. Returns false if there is no room. */
__inline_always bool send_copied(void *rec, u64 bytes, u32 whole)
{
	u32 cpu = bpf_get_smp_processor_id();
	void *ring = own_ring(cpu);
	if (ring && !*(volatile u64 *)&RING_WRITER(ring)->busy)
		return write_record(ring, rec, bytes, whole);
	return send_to_ring(cpu, rec, bytes);
}

__inline_always bool send_record(void *rec, u64 bytes)
{
	return send_copied(rec, bytes, 0);
}

/* Returns the bytes in this CPU's ring that user space has not read, and sets the write position of the ring. */
__inline_always u64 unread_in_ring(u64 *written)
{
	u32 cpu = bpf_get_smp_processor_id();
	void *ring = own_ring(cpu);
	if (ring) {
		*written = RING_WRITER(ring)->position;
		return *written - RING_READ_POSITION(ring);
	}
	ring = bpf_map_lookup_elem(&rings, &cpu);
	*written = ring ? bpf_ringbuf_query(ring, BPF_RB_PROD_POS) : 0;
	return ring ? bpf_ringbuf_query(ring, BPF_RB_AVAIL_DATA) : 0;
}

/* Returns whether this CPU's ring has room beside the part that is reserved for RANK_LAST. */
__inline_always bool has_usual_room(void)
{
	u64 written;
	return unread_in_ring(&written) < config.usual_bytes;
}

#endif
