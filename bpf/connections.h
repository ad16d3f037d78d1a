/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * TCP connections: when they were established, and how they ended. The kernel changes the state of a connection in
 * calls, and also in softirqs, where the current task is any task. So the owner of a connection is remembered: the thread
 * that connects, or that is the first to use the connection, which for an accepted one is the return of accept(2).
 *
 * A softirq may interrupt a program that uses a scratch map, so records of softirqs are built on the stack.
 */
#ifndef CTRACE_CONNECTIONS_H
#define CTRACE_CONNECTIONS_H

#include "calls.h"

/* include/net/tcp_states.h */
#define TCP_ESTABLISHED 1
#define TCP_SYN_SENT 2
#define TCP_SYN_RECV 3
#define TCP_CLOSE 7
#define TCP_LISTEN 10
/* include/uapi/linux/in.h */
#define IPPROTO_TCP 6

struct connection {
	u64 key; /* 0: no owner yet */
	u64 cgroup; /* of the owner */
	u64 since; /* as in struct rec_connection */
	u32 tid; /* of the owner */
	u32 flags; /* enum connection_flag */
};

/* Indexed by the address of the struct sock, which is unique until the connection has ended. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 131072);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, u64);
	__type(value, struct connection);
} connections SEC(".maps");

/* A record that is built in a call. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct rec_connection);
} connection_scratch SEC(".maps");

/* Fills what each event of a connection has. */
__inline_always void fill_connection(struct rec_connection *rec, struct connection *c, u16 event)
{
	fill_head(&rec->head, c->tid, REC_CONNECTION);
	rec->head.nr = event;
	rec->head.flags = c->flags;
	rec->key = c->key;
	rec->cgroup = c->cgroup;
	rec->since = c->since;
}

/*
 * Sends a record of a connection, and returns whether the ring had room for it. The part of the ring that is reserved for
 * other records stays free.
 */
__inline_always bool send_connection(struct rec_connection *rec, u64 bytes)
{
	return has_usual_room() && send_record(rec, bytes);
}

/* Sends an event of a connection with its ends, in the record `rec`. `sk` is the address of the struct sock. */
__inline_always void send_connection_ends(struct rec_connection *rec, u64 sk, struct connection *c, u16 event, u8 state)
{
	struct sock *sock = RDONLY_CAST((void *)sk, struct sock);
	struct tcp_sock *tcp = RDONLY_CAST((void *)sk, struct tcp_sock);
	__builtin_memset(rec, 0, sizeof(*rec));
	fill_connection(rec, c, event);
	rec->inode = sock_inode(sock);
	rec->ends.family = CAST_READ(sock, __sk_common.skc_family);
	rec->ends.type = CAST_READ(sock, sk_type);
	rec->ends.protocol = IPPROTO_TCP;
	copy_inet_ends(sock, &rec->ends);
	rec->state = state;
	if (event == CONNECTION_ENDED) {
		rec->error = CAST_READ(sock, sk_err);
		rec->bytes_sent = CAST_READ(tcp, bytes_sent) - CAST_READ(tcp, bytes_retrans);
		rec->bytes_received = CAST_READ(tcp, bytes_received);
		/* The kernel counts the FIN of the peer as a byte. tcp_fin() sets the flag. */
		if (rec->bytes_received && (CAST_READ(sock, __sk_common.skc_flags) & (1 << SOCK_DONE)))
			rec->bytes_received--;
		rec->rtt = CAST_READ(tcp, srtt_us);
		rec->retransmits = CAST_READ(tcp, total_retrans);
	}
	if (!send_connection(rec, sizeof(*rec)))
		count_ring_loss(rec->cgroup, config.network_class);
}

/* Makes the current thread the owner of a connection. */
__inline_always void set_owner(struct connection *c, u64 sk, struct task_state *t)
{
	c->tid = BTF_READ(get_current_task(), pid);
	c->cgroup = t->cgroup;
	c->key = key_of_hash(mix_hash(sk, boot_time()), false);
}

/* Announces the owner of a connection, in the record `rec`. */
__inline_always void send_owner(struct rec_connection *rec, struct connection *c)
{
	fill_connection(rec, c, CONNECTION_OWNED);
	if (!send_connection(rec, __builtin_offsetof(struct rec_connection, inode)))
		count_miss(MISS_DEFINITION); /* no event, but the rows of the connection lack the thread */
}

__inline_always void add_connection(u64 sk, struct connection *c)
{
	if (bpf_map_update_elem(&connections, &sk, c, 0))
		count_miss(MISS_CONNECTION);
}

/* Begins a connection of the current thread, in a call. */
VERIFIED_ONCE int begin_connection(u64 sk)
{
	struct task_struct *task = get_current_task();
	struct task_state *t = find_task_state(task);
	struct connection c = {.since = boot_time(), .flags = CONNECTION_OUT};
	u32 zero = 0;
	struct rec_connection *rec = bpf_map_lookup_elem(&connection_scratch, &zero);
	if (!t)
		t = refreshed_state(task, t); /* a thread of io_uring */
	if (!rec || !t || !t->recorded) {
		bpf_map_delete_elem(&connections, &sk);
		return 0;
	}
	if (must_define(t))
		define_current_task(t);
	set_owner(&c, sk, t);
	add_connection(sk, &c);
	send_owner(rec, &c);
	return 0;
}

/*
 * Makes the thread `tid`, in a call, the owner of a connection that has none. Returns 0 if the thread is not defined yet,
 * or not the current one: to be repeated at the next call on the socket. `sk` is the address of the struct sock of an IP
 * socket.
 */
__noinline int own_connection(u64 sk, u32 tid)
{
	if (BTF_READ(get_current_task(), pid) != tid)
		return 0; /* the iterator at the start has found the thread in a call */
	struct sock *sock = RDONLY_CAST((void *)sk, struct sock);
	if (CAST_READ(sock, sk_protocol) != IPPROTO_TCP)
		return 1;
	u8 state = CAST_READ(sock, __sk_common.skc_state);
	u32 zero = 0;
	struct rec_connection *rec = bpf_map_lookup_elem(&connection_scratch, &zero);
	struct task_state *t = find_task_state(get_current_task());
	struct connection *known = bpf_map_lookup_elem(&connections, &sk), c = {};
	if (state == TCP_CLOSE || state == TCP_LISTEN || (known && known->key) || !rec || !t || !t->recorded)
		return 1;
	if (!t->defined)
		return 0;
	if (known)
		c = *known;
	set_owner(&c, sk, t);
	add_connection(sk, &c);
	if (c.flags & CONNECTION_WAS_ESTABLISHED)
		send_connection_ends(rec, sk, &c, CONNECTION_ESTABLISHED, state);
	else
		send_owner(rec, &c);
	return 1;
}

__inline_always void establish_connection(struct rec_connection *rec, u64 sk, u8 old_state)
{
	struct connection *c = bpf_map_lookup_elem(&connections, &sk);
	u64 now = boot_time();
	if (c && c->key) {
		c->flags |= CONNECTION_WAS_ESTABLISHED;
		send_connection_ends(rec, sk, c, CONNECTION_ESTABLISHED, old_state);
		c->since = now;
	} else if (old_state == TCP_SYN_RECV) {
		struct connection accepted = {.since = now, .flags = CONNECTION_IN | CONNECTION_WAS_ESTABLISHED};
		add_connection(sk, &accepted);
	}
}

__inline_always void end_connection(struct rec_connection *rec, u64 sk, u8 old_state)
{
	struct connection *c = bpf_map_lookup_elem(&connections, &sk);
	if (c && c->key)
		send_connection_ends(rec, sk, c, CONNECTION_ENDED, old_state);
	if (c)
		bpf_map_delete_elem(&connections, &sk);
}

/* Handles a change of state after the beginning of a connection. Its record is not on the stack of begin_connection(). */
__noinline int follow_connection(u64 sk, u32 old_state, u32 new_state)
{
	struct rec_connection rec;
	if (new_state == TCP_ESTABLISHED)
		establish_connection(&rec, sk, old_state);
	else if (new_state == TCP_CLOSE)
		end_connection(&rec, sk, old_state);
	else if (old_state == TCP_LISTEN) /* a new socket; whether the end of an earlier one was seen or not */
		bpf_map_delete_elem(&connections, &sk);
	return 0;
}

/* Handles a change of state, which the socket still has to make. `sk` is the address of the struct sock. */
__inline_always void change_state(u64 sk, u32 old_state, u32 new_state)
{
	if (CAST_READ(RDONLY_CAST((void *)sk, struct sock), sk_protocol) != IPPROTO_TCP)
		return;
	if (new_state == TCP_SYN_SENT)
		begin_connection(sk);
	else
		follow_connection(sk, old_state, new_state);
}

#endif
