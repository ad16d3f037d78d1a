/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Keys of sockets and their addresses. The definition behind a key is sent once. */
#ifndef CTRACE_SOCKETS_H
#define CTRACE_SOCKETS_H

#include "files.h"
#include <bpf/bpf_endian.h>

/* include/linux/socket.h */
#define AF_UNIX 1
#define AF_INET 2
#define AF_INET6 10
#define AF_NETLINK 16
/* /etc/services: domain */
#define DNS_PORT 53

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct rec_sock);
} sock_scratch SEC(".maps");

/*
 * Copies the name that a unix socket is bound to, an abstract name with its leading NUL. Returns its length in bytes.
 */
__inline_always u32 copy_unix_name(struct sock *sk, char *to)
{
	struct unix_sock *u = RDONLY_CAST(sk, struct unix_sock);
	struct unix_address *addr = CAST_READ(u, addr);
	if (!addr)
		return 0;
	/* The length includes sun_family. */
	u64 bytes = (u32)(CAST_READ(addr, len) - 2);
	if (bytes == 0 || bytes > ADDR_MAX_BYTES - 1)
		return 0;
	barrier_var(bytes); /* as in send_data() */
	bytes &= ADDR_MAX_BYTES - 1;
	if (bpf_probe_read_kernel(to, bytes, (char *)addr + bpf_core_field_offset(struct unix_address, name) + 2))
		return 0;
	return bytes;
}

/* Copies the addresses of an IP socket, and returns their hash. The family must be set. */
__inline_always u64 copy_inet_ends(struct sock *sk, struct sock_ends *ends)
{
	u64 *local = (u64 *)ends->local, *peer = (u64 *)ends->peer;
	ends->local_port = CAST_READ(sk, __sk_common.skc_num);
	/* A closed connection has returned its port, but inet_sport still holds it. */
	if (!ends->local_port)
		ends->local_port = bpf_ntohs(CAST_READ(RDONLY_CAST(sk, struct inet_sock), inet_sport));
	ends->peer_port = bpf_ntohs(CAST_READ(sk, __sk_common.skc_dport));
	local[0] = local[1] = peer[0] = peer[1] = 0;
	if (ends->family == AF_INET) {
		local[0] = CAST_READ(sk, __sk_common.skc_rcv_saddr);
		peer[0] = CAST_READ(sk, __sk_common.skc_daddr);
	} else {
		for (int i = 0; i < 4; i++) {
			((u32 *)ends->local)[i] = CAST_READ(sk, __sk_common.skc_v6_rcv_saddr.in6_u.u6_addr32[i]);
			((u32 *)ends->peer)[i] = CAST_READ(sk, __sk_common.skc_v6_daddr.in6_u.u6_addr32[i]);
		}
	}
	u64 key = mix_hash(local[0], local[1]);
	key = mix_hash(mix_hash(key, peer[0]), peer[1]);
	return mix_hash(key, (u64)ends->local_port << 16 | ends->peer_port);
}

/*
 * Returns the inode of a socket, or 0 if nobody has it open. The inode is unique, while the socket's memory is soon
 * reused.
 */
__inline_always u64 sock_inode(struct sock *sk)
{
	struct socket *socket = sk ? CAST_READ(sk, sk_socket) : 0;
	socket = RDONLY_CAST(socket, struct socket);
	struct file *file = socket ? CAST_READ(socket, file) : 0;
	file = RDONLY_CAST(file, struct file);
	struct inode *inode = file ? CAST_READ(file, f_inode) : 0;
	inode = RDONLY_CAST(inode, struct inode);
	return inode ? CAST_READ(inode, i_ino) : 0;
}

/*
 * Returns the key of the file to which a unix socket is bound if the socket's name is relative, otherwise 0. `sk` is the
 * address of the struct unix_sock.
 */
__inline_always u64 relative_name_key(u32 tid, u64 sk, const char *name, u32 bytes)
{
	if (bytes == 0 || name[0] == 0 || name[0] == '/')
		return 0;
	return path_key(tid, sk + bpf_core_field_offset(struct unix_sock, path));
}

/* Copies the names of a unix socket and of its peer. `sk` is the address of the struct unix_sock. */
__inline_always void copy_unix_names(u32 tid, u64 sk, u64 peer, struct rec_sock *rec)
{
	rec->ends.local_port = rec->ends.peer_port = 0;
	rec->ends.local_len = copy_unix_name(RDONLY_CAST((void *)sk, struct sock), rec->names);
	rec->local_file = relative_name_key(tid, sk, rec->names, rec->ends.local_len);
	rec->peer_file = 0;
	if (!peer)
		return;
	char *name = rec->names + ADDR_MAX_BYTES;
	rec->ends.peer_len = copy_unix_name(RDONLY_CAST((void *)peer, struct sock), name);
	rec->peer_file = relative_name_key(tid, peer, name, rec->ends.peer_len);
}

/*
 * Returns whether a unix socket has its name from a listener: unix_stream_connect() of net/unix/af_unix.c gives the
 * listener's struct unix_address to the new socket, while bind(2) makes one.
 */
__inline_always bool shares_name(struct unix_sock *u)
{
	struct unix_address *addr = CAST_READ(u, addr);
	return addr && CAST_READ(addr, refcnt.refs.counter) > 1;
}

/* See connections.h. */
__noinline int own_connection(u64 sk, u32 tid);

/* Returns the key of a socket with its present addresses. */
__inline_always u64 sock_key(u32 tid, struct file *file)
{
	u32 zero = 0;
	struct rec_sock *rec = bpf_map_lookup_elem(&sock_scratch, &zero);
	file = RDONLY_CAST(file, struct file);
	struct socket *socket = RDONLY_CAST(CAST_READ(file, private_data), struct socket);
	struct sock *sk = CAST_READ(socket, sk);
	struct inode *inode = CAST_READ(file, f_inode);
	if (!rec || !sk)
		return 0;
	rec->ends.family = CAST_READ(sk, __sk_common.skc_family);
	rec->ends.type = CAST_READ(sk, sk_type);
	rec->ends.protocol = CAST_READ(sk, sk_protocol);
	rec->inode = CAST_READ(inode, i_ino);
	rec->ends.portid = 0;
	u64 key = mix_hash(rec->inode, (u64)rec->ends.family << 32 | (u64)rec->ends.type << 16 | rec->ends.protocol);
	u64 peer = 0;
	bool inet = rec->ends.family == AF_INET || rec->ends.family == AF_INET6;
	if (inet) {
		key = mix_hash(key, copy_inet_ends(sk, &rec->ends));
	} else if (rec->ends.family == AF_UNIX) {
		struct unix_sock *u = RDONLY_CAST(sk, struct unix_sock);
		peer = READ_ADDRESS(u, peer);
		key = mix_hash(mix_hash(key, READ_ADDRESS(u, addr)), peer);
		key = mix_hash(key, sock_inode(RDONLY_CAST((void *)peer, struct sock)));
		/* The peer may be bound later. */
		if (peer)
			key = mix_hash(key, READ_ADDRESS(RDONLY_CAST((void *)peer, struct unix_sock), addr));
	} else if (rec->ends.family == AF_NETLINK) {
		rec->ends.portid = CAST_READ(RDONLY_CAST(sk, struct netlink_sock), portid);
		key = mix_hash(key, rec->ends.portid);
	}
	key = key_of_hash(key, inet && rec->ends.peer_port == DNS_PORT);

	u64 stamp, *slot = definition_slot(key, &stamp);
	if (!slot || *slot == stamp)
		return key;
	rec->key = key;
	rec->ends.local_len = rec->ends.peer_len = 0;
	u64 bytes = __builtin_offsetof(struct rec_sock, names);
	if (rec->ends.family == AF_UNIX) {
		copy_unix_names(tid, READ_ADDRESS(socket, sk), peer, rec);
		bytes = sizeof(*rec);
	}
	fill_head(&rec->head, tid, REC_SOCK);
	if (peer && shares_name(RDONLY_CAST(sk, struct unix_sock)))
		rec->head.flags = SOCK_ACCEPTED;
	if (!send_record(rec, bytes))
		count_miss(MISS_DEFINITION);
	else if (!config.connections || !inet || own_connection(READ_ADDRESS(socket, sk), tid))
		*slot = stamp;
	return key;
}

/* Returns the key of the struct file at an address, which may be a socket. */
__inline_always u64 file_or_sock_key(u32 tid, u64 address)
{
	struct file *file = RDONLY_CAST((void *)address, struct file);
	struct inode *inode = CAST_READ(file, f_inode);
	if ((CAST_READ(inode, i_mode) & S_IFMT) == S_IFSOCK)
		return sock_key(tid, file);
	return file_key(tid, address);
}

/* Returns the key of a task's fd, or 0 if the fd is not open. */
__inline_always u64 task_fd_key(struct task_struct *task, u32 fd)
{
	u64 file = fd_file(task, fd);
	return file ? file_or_sock_key(BTF_READ(task, pid), file) : 0;
}

__noinline u64 fd_key(u32 fd)
{
	return task_fd_key(get_current_task(), fd);
}

#endif
