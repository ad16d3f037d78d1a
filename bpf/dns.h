/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What a container asks a name server, and what it is told: messages to and from port 53, for user space to read. */
#ifndef CTRACE_DNS_H
#define CTRACE_DNS_H

#include "user_memory.h"

/* A message more of one sendmmsg(2) or recvmmsg(2): resolvers ask for IPv4 and IPv6 addresses at once. */
#define DNS_MESSAGES 4
/* include/uapi/linux/uio.h: UIO_MAXIOV, which vlen is cut to. */
#define MESSAGES_MAX 1024

struct vector {
	u64 base;
	u64 bytes;
};

/* Reads user memory, by the time of the return: what cannot be read now is counted, and nobody tries again. */
__inline_always bool read_late(void *to, u32 bytes, u64 from)
{
	if (!bpf_probe_read_user(to, bytes, (void *)from))
		return true;
	count_miss(MISS_USER_MEMORY);
	return false;
}

/* Element `i` of an array of struct iovec. */
__inline_always bool read_vector(u64 iov, u32 i, bool compat, struct vector *v)
{
	if (compat) {
		u32 both[2];
		if (!read_late(both, sizeof(both), iov + i * sizeof(both)))
			return false;
		v->base = both[0];
		v->bytes = both[1];
		return true;
	}
	return read_late(v, sizeof(*v), iov + i * sizeof(*v));
}

__inline_always void send_dns_bytes(u16 count, u64 base, u64 bytes)
{
	struct rec_data *rec = begin_data(this_task(), count, DATA_DNS);
	if (bytes > PATH_MAX_BYTES)
		bytes = PATH_MAX_BYTES;
	if (!rec || !base || !bytes)
		return;
	if (read_late(rec->bytes, bytes, base))
		send_data(rec, bytes);
}

/* A message that is in an array of struct iovec. Over TCP its length may stand in an element of its own. */
__inline_always void send_dns_vectors(u16 count, u64 iov, u64 bytes, bool compat)
{
	struct vector v = {};
	if (!read_vector(iov, 0, compat, &v))
		return;
	if (v.bytes == 2 && bytes > 2) {
		bytes -= 2;
		if (!read_vector(iov, 1, compat, &v))
			return;
	}
	send_dns_bytes(count, v.base, bytes < v.bytes ? bytes : v.bytes);
}

__noinline int send_dns_message(u16 count, u64 msghdr, u64 bytes, u8 compat)
{
	u64 iov = 0;
	/* msg_iov stands after a pointer and a length. */
	if (read_late(&iov, compat ? 4 : 8, msghdr + (compat ? 8 : 16)))
		send_dns_vectors(count, iov, bytes, compat);
	return 0;
}

/* Where struct mmsghdr has its msg_len, and how long it is. */
#define MSG_LEN(compat) ((compat) ? 28 : 56)
#define MMSGHDR_BYTES(compat) ((compat) ? 32 : 64)

/* Sends what a call that moved `moved` bytes, or messages, has in its memory. `how`: enum payload_how. */
__noinline int send_dns(u64 pointer, u64 moved, u32 how, u16 count, u8 compat)
{
	switch (how) {
	case PAYLOAD_BUFFER:
		send_dns_bytes(count, pointer, moved);
		break;
	case PAYLOAD_VECTORS:
		send_dns_vectors(count, pointer, moved, compat);
		break;
	case PAYLOAD_MESSAGE:
		send_dns_message(count, pointer, moved, compat);
		break;
	case PAYLOAD_MESSAGES:
		for (u32 i = 0; i < DNS_MESSAGES && i < moved; i++) {
			u32 bytes = 0;
			u64 at = pointer + i * MMSGHDR_BYTES(compat);
			if (!read_late(&bytes, sizeof(bytes), at + MSG_LEN(compat)))
				break;
			send_dns_message(count, at, bytes, compat);
		}
		break;
	}
	return 0;
}

/* Where the walk along an array of struct mmsghdr is. */
struct messages_walk {
	u64 at;
	u64 bytes;
	u32 compat;
};

static long messages_step(u32 i, struct messages_walk *w)
{
	u32 bytes = 0;
	if (!read_late(&bytes, sizeof(bytes), w->at + MSG_LEN(w->compat)))
		return 1;
	w->bytes += bytes;
	w->at += MMSGHDR_BYTES(w->compat);
	return 0;
}

/* Sends how many bytes a sendmmsg(2) or recvmmsg(2) moved, in `messages` messages. */
__noinline int send_messages_bytes(u64 pointer, u32 messages, u16 count, u8 compat)
{
	struct messages_walk w = {.at = pointer, .compat = compat};
	struct rec_data *rec;
	LOOP(messages < MESSAGES_MAX ? messages : MESSAGES_MAX, messages_step, &w);
	rec = begin_data(this_task(), count, DATA_BYTES);
	if (!rec)
		return 0;
	__builtin_memcpy(rec->bytes, &w.bytes, sizeof(w.bytes));
	send_data(rec, sizeof(w.bytes));
	return 0;
}

#endif
