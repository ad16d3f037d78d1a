/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Messages to and from port 53: the questions of a container to a name server, and the answers. User space parses them.
 */
#ifndef CTRACE_DNS_H
#define CTRACE_DNS_H

#include "user_memory.h"

/* Messages of one sendmmsg(2) or recvmmsg(2) that are sent: resolvers ask for IPv4 and IPv6 addresses at once. */
#define DNS_MESSAGES 4
/* Messages of one array of struct iovec that are sent. */
#define STREAM_MESSAGES 2
/* include/uapi/linux/uio.h: UIO_MAXIOV, the kernel's limit of vlen */
#define MESSAGES_MAX 1024

struct user_buffer {
	u64 base;
	u64 bytes;
};

/* Reads user memory at the return. A failure is counted, and the read is not tried again. */
__inline_always bool read_user_or_count(void *to, u32 bytes, u64 from)
{
	if (!bpf_probe_read_user(to, bytes, (void *)from))
		return true;
	count_miss(MISS_USER_MEMORY);
	return false;
}

/* Reads element `i` of an array of struct iovec. */
__inline_always bool read_iovec(u64 iov, u32 i, bool compat, struct user_buffer *v)
{
	if (compat) {
		u32 both[2];
		if (!read_user_or_count(both, sizeof(both), iov + i * sizeof(both)))
			return false;
		v->base = both[0];
		v->bytes = both[1];
		return true;
	}
	return read_user_or_count(v, sizeof(*v), iov + i * sizeof(*v));
}

__inline_always void send_dns_bytes(u16 count, u64 base, u64 bytes)
{
	struct rec_data *rec = begin_data(get_current_task(), count, DATA_DNS);
	if (bytes > PATH_MAX_BYTES)
		bytes = PATH_MAX_BYTES;
	if (!rec || !base || !bytes)
		return;
	if (read_user_or_count(rec->bytes, bytes, base))
		send_data(rec, bytes);
}

/*
 * Sends the messages in an array of struct iovec. Over TCP, each message may follow an element with its length: glibc asks
 * for IPv4 and IPv6 addresses by one writev(2).
 */
__inline_always void send_dns_iovec(u16 count, u64 iov, u64 bytes, bool compat)
{
	struct user_buffer v = {};
	for (u32 i = 0; i < 2 * STREAM_MESSAGES; i += 2) {
		if (!read_iovec(iov, i, compat, &v))
			return;
		if (v.bytes != 2 || bytes <= 2) {
			send_dns_bytes(count, v.base, bytes < v.bytes ? bytes : v.bytes);
			return;
		}
		bytes -= 2;
		if (!read_iovec(iov, i + 1, compat, &v))
			return;
		send_dns_bytes(count, v.base, bytes < v.bytes ? bytes : v.bytes);
		if (bytes <= v.bytes)
			return;
		bytes -= v.bytes;
	}
}

__noinline int send_dns_message(u16 count, u64 msghdr, u64 bytes, u8 compat)
{
	u64 iov = 0;
	/* msg_iov comes after a pointer and a length. */
	if (read_user_or_count(&iov, compat ? 4 : 8, msghdr + (compat ? 8 : 16)))
		send_dns_iovec(count, iov, bytes, compat);
	return 0;
}

/* Offset of msg_len in struct mmsghdr, and size of the struct. */
#define MSG_LEN_OFFSET(compat) ((compat) ? 28 : 56)
#define MMSGHDR_BYTES(compat) ((compat) ? 32 : 64)

/* Sends the messages in the memory of a call that transferred `moved` bytes, or messages. `how`: enum payload_how. */
__noinline int send_dns(u64 pointer, u64 moved, u32 how, u16 count, u8 compat)
{
	switch (how) {
	case PAYLOAD_BUFFER:
		send_dns_bytes(count, pointer, moved);
		break;
	case PAYLOAD_VECTORS:
		send_dns_iovec(count, pointer, moved, compat);
		break;
	case PAYLOAD_MESSAGE:
		send_dns_message(count, pointer, moved, compat);
		break;
	case PAYLOAD_MESSAGES:
		for (u32 i = 0; i < DNS_MESSAGES && i < moved; i++) {
			u32 bytes = 0;
			u64 at = pointer + i * MMSGHDR_BYTES(compat);
			if (!read_user_or_count(&bytes, sizeof(bytes), at + MSG_LEN_OFFSET(compat)))
				break;
			send_dns_message(count, at, bytes, compat);
		}
		break;
	}
	return 0;
}

/* include/linux/socket.h: the result is the length of the message, of which only a part may have been copied. */
#define MSG_TRUNC 0x20
/* Elements of a message's array of struct iovec that are read to find out how much of a message was copied. */
#define ROOM_IOVECS 8
#define ROOM_UNKNOWN (~0ULL)

/* Returns the bytes for which the memory of a struct msghdr has room, or ROOM_UNKNOWN. */
__noinline u64 read_message_room(u64 msghdr, u8 compat)
{
	u64 iov = 0, elements = 0, room = 0;
	/* msg_iov and msg_iovlen come after a pointer and a length. */
	if (!read_user_or_count(&iov, compat ? 4 : 8, msghdr + (compat ? 8 : 16)) ||
	    !read_user_or_count(&elements, compat ? 4 : 8, msghdr + (compat ? 12 : 24)) || elements > ROOM_IOVECS)
		return ROOM_UNKNOWN;
	for (u32 i = 0; i < ROOM_IOVECS; i++) {
		struct user_buffer v = {};
		if (i >= elements)
			break;
		if (!read_iovec(iov, i, compat, &v))
			return ROOM_UNKNOWN;
		room += v.bytes;
	}
	return room;
}

/* State of a walk along an array of struct mmsghdr. */
struct mmsghdr_walk {
	u64 at;
	u64 bytes;
	u32 compat;
	u32 truncates; /* MSG_TRUNC is set */
	u64 unknown; /* the number of bytes cannot be known */
};

static long add_bytes_step(u32 i, struct mmsghdr_walk *w)
{
	u32 bytes = 0;
	if (!read_user_or_count(&bytes, sizeof(bytes), w->at + MSG_LEN_OFFSET(w->compat)))
		return 1;
	u64 room = ROOM_UNKNOWN;
	if (CAN_NEST_LOOPS && w->truncates) {
		room = read_message_room(w->at, w->compat);
		if (room == ROOM_UNKNOWN)
			w->unknown = 1;
	}
	w->bytes += bytes < room ? bytes : room;
	w->at += MMSGHDR_BYTES(w->compat);
	return 0;
}

__inline_always void send_number_of_bytes(u16 count, u64 bytes)
{
	struct rec_data *rec = begin_data(get_current_task(), count, DATA_BYTES);
	if (!rec)
		return;
	__builtin_memcpy(rec->bytes, &bytes, sizeof(bytes));
	send_data(rec, sizeof(bytes));
}

/* Sends how much of a message of `moved` bytes a recvmsg(2) with MSG_TRUNC has copied, if that can be known. */
__noinline int send_message_bytes(u64 msghdr, u64 moved, u16 count, u8 compat)
{
	u64 room = read_message_room(msghdr, compat);
	if (room != ROOM_UNKNOWN)
		send_number_of_bytes(count, moved < room ? moved : room);
	return 0;
}

/*
 * Sends the number of bytes that a sendmmsg(2) or recvmmsg(2) transferred in `messages` messages. `flags`: 1 for a
 * 32-bit caller, MSG_TRUNC.
 */
__noinline int send_messages_bytes(u64 pointer, u32 messages, u16 count, u8 flags)
{
	struct mmsghdr_walk w = {.at = pointer, .compat = flags & 1, .truncates = flags & MSG_TRUNC};
	if (!CAN_NEST_LOOPS && w.truncates)
		return 0;
	BPF_LOOP(messages < MESSAGES_MAX ? messages : MESSAGES_MAX, add_bytes_step, &w);
	if (!w.unknown)
		send_number_of_bytes(count, w.bytes);
	return 0;
}

#endif
