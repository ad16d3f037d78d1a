/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * User memory of a call: paths, addresses, arguments. The memory is read at entry, before the kernel reads it. A page
 * that is not resident at entry is read at return, when the kernel has paged it in.
 */
#ifndef CTRACE_USER_MEMORY_H
#define CTRACE_USER_MEMORY_H

#include "sockets.h"

/* include/uapi/linux/fcntl.h */
#define AT_FDCWD -100

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct rec_data);
} data_scratch SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct rec_exec);
} exec_scratch SEC(".maps");

__inline_always struct rec_data *begin_data(struct task_struct *task, u16 count, u16 slot)
{
	u32 zero = 0;
	struct rec_data *rec = bpf_map_lookup_elem(&data_scratch, &zero);
	if (rec) {
		rec->head.time = ring_time();
		rec->head.tid = BTF_READ(task, pid);
		rec->head.kind = REC_DATA;
		rec->head.flags = 0;
		rec->head.nr = slot | count << SLOT_BITS;
		rec->base = 0;
	}
	return rec;
}

__inline_always void send_data(struct rec_data *rec, u64 bytes)
{
	barrier_var(bytes); /* or the compiler bounds another register than the one that it passes */
	if (bytes > PATH_MAX_BYTES)
		bytes = PATH_MAX_BYTES;
	if (!send_record(rec, __builtin_offsetof(struct rec_data, bytes) + bytes))
		count_miss(MISS_DEFINITION);
}

/* A record of this size is copied in place: most paths are short. */
#define SHORT_DATA_BYTES 128

/* Sends a path of `bytes` bytes. */
__inline_always void send_path_data(struct rec_data *rec, u64 bytes)
{
	u64 all = __builtin_offsetof(struct rec_data, bytes) + bytes;
	if (all > SHORT_DATA_BYTES)
		send_data(rec, bytes);
	else if (!send_copied(rec, all, SHORT_DATA_BYTES))
		count_miss(MISS_DEFINITION);
}

/* Handles memory that could not be read. At the last try the fault is counted and reported. Returns `last`. */
__inline_always bool report_fault(struct rec_data *rec, bool last)
{
	if (last) {
		count_miss(MISS_USER_MEMORY);
		rec->head.flags |= DATA_FAULT;
		send_data(rec, 0);
	}
	return last;
}

/* Sends a string of the caller. Returns false if the read must be retried at the return. */
__inline_always bool send_text(struct task_struct *task, u16 count, u64 pointer, bool last)
{
	struct rec_data *rec;
	if (!pointer)
		return true;
	rec = begin_data(task, count, DATA_TEXT);
	if (!rec)
		return true;
	long n = bpf_probe_read_user_str(rec->bytes, PATH_MAX_BYTES, (void *)pointer);
	if (n < 0)
		return report_fault(rec, last);
	send_data(rec, n);
	return true;
}

/* Returns the key of the directory that a path starts from: the root, the working directory, or an open directory. */
__inline_always u64 base_key(struct task_struct *task, char first, s32 dirfd)
{
	if (first == '/')
		return root_key(task);
	if (dirfd == AT_FDCWD)
		return pwd_key(task);
	return fd_key(dirfd); /* with an empty path it may be a socket */
}

/*
 * Sends the first fields of a struct open_how, of a struct clone_args, which has only the first field in common, or of a
 * struct io_uring_params.
 * Returns false if the read must be retried at the return.
 */
__inline_always bool send_flags(struct task_struct *task, u16 count, u64 pointer, bool last)
{
	struct rec_data *rec = begin_data(task, count, DATA_FLAGS);
	if (!rec || !pointer)
		return true;
	if (bpf_probe_read_user(rec->bytes, sizeof(struct data_flags), (void *)pointer))
		return report_fault(rec, last);
	send_data(rec, sizeof(struct data_flags));
	return true;
}

/* Returns whether a string of the caller is empty, like the path of the newfstatat(2) that fstat(3) calls. */
__inline_always bool is_empty_string(u64 pointer)
{
	char first = 1;
	return !bpf_probe_read_user(&first, sizeof(first), (void *)pointer) && !first;
}

/* Returns the key of the directory that the path of a slot started from at the entry of the call. */
__inline_always u64 base_at_entry(struct task_state *t, struct task_struct *task, u32 slot, char first, s32 dirfd)
{
	if (!(t->based_slots & (1 << slot)))
		return base_key(task, first, dirfd);
	return first == '/' ? t->root : t->bases[slot & 1];
}

/*
 * Sends a path of the caller and the directory that the path starts from. Returns false if the read must be retried at
 * the return.
 */
__inline_always bool send_path(struct task_state *t, struct task_struct *task, u16 slot, u64 pointer, s32 dirfd,
			       bool last)
{
	struct rec_data *rec;
	if (!pointer)
		return true;
	rec = begin_data(task, t->call_count, slot);
	if (!rec)
		return true;
	long n = bpf_probe_read_user_str(rec->bytes, PATH_MAX_BYTES, (void *)pointer);
	if (n < 0)
		return report_fault(rec, last);
	rec->base = base_at_entry(t, get_current_task(), slot, rec->bytes[0], dirfd);
	send_path_data(rec, n);
	return true;
}

/* Reads sockaddr pointer and length of a struct msghdr, whose pointers have 32 bits if the caller is a 32-bit one. */
__inline_always bool read_msghdr(u64 pointer, bool compat, u64 *addr, u64 *bytes)
{
	if (compat) {
		u32 msg[2];
		if (bpf_probe_read_user(msg, sizeof(msg), (void *)pointer))
			return false;
		*addr = msg[0];
		*bytes = msg[1];
	} else {
		u64 msg[2];
		if (bpf_probe_read_user(msg, sizeof(msg), (void *)pointer))
			return false;
		*addr = msg[0];
		*bytes = (u32)msg[1];
	}
	return true;
}

/* Returns whether the kernel fills in an address of this kind (enum addr_how). */
__inline_always bool is_filled_in(u32 how)
{
	return how >= ADDR_OUT;
}

/*
 * Returns the number of bytes that the caller has provided for an address that the kernel fills in, at most as many as a
 * record holds. The caller's length must be read at entry: the kernel replaces it by the length of the address, and cuts
 * an address that is longer (move_addr_to_user() of net/socket.c). Unreadable memory is counted and has 0 bytes.
 */
__noinline int read_address_room(u64 pointer, u64 length, u32 how, u32 compat)
{
	u32 room = 0;
	if (!pointer)
		return 0;
	if (how != ADDR_OUT)
		length = pointer + (compat ? 4 : 8); /* msg_namelen follows a pointer */
	if (!length)
		return 0;
	if (bpf_probe_read_user(&room, sizeof(room), (void *)length)) {
		count_miss(MISS_USER_MEMORY);
		return 0;
	}
	return room < ADDR_MAX_BYTES ? room : ADDR_MAX_BYTES;
}

/* Returns whether a sockaddr is the name of a unix socket that is relative to the caller's working directory. */
__inline_always bool is_relative_name(const char *sockaddr, u64 bytes)
{
	return *(const u16 *)sockaddr == AF_UNIX && bytes > 2 && sockaddr[2] && sockaddr[2] != '/';
}

/* Returns whether a sockaddr is a name server's. The port has the same offset in both families. */
__inline_always bool is_dns(const char *sockaddr, u64 bytes)
{
	const u16 *from = (const u16 *)sockaddr;
	return bytes >= 4 && (from[0] == AF_INET || from[0] == AF_INET6) && from[1] == bpf_htons(DNS_PORT);
}

/* Results of send_address(). */
enum sent_address {
	ADDRESS_RETRY, /* could not be read: to be retried at return */
	ADDRESS_NONE,
	ADDRESS_SENT,
	ADDRESS_DNS, /* sent, and a name server's */
};

/* The lowest bit in the flags of send_address() of the number of bytes that the caller has provided. */
#define ROOM_SHIFT 8

/*
 * Sends a sockaddr that the caller passes to the kernel or gets from it. `flags`: 1 for a 32-bit caller, 2 at the last
 * try, and from ROOM_SHIFT on the result of read_address_room().
 */
__noinline int send_address(u64 pointer, u64 next, u32 how, u32 count, u32 flags)
{
	struct rec_data *rec;
	bool compat = flags & 1, last = flags & 2;
	u64 addr = pointer, bytes = (u32)next;
	u32 out = 0, room = flags >> ROOM_SHIFT;
	struct task_struct *task = get_current_task();
	if (!pointer)
		return ADDRESS_NONE;
	rec = begin_data(task, count, DATA_ADDR);
	if (!rec)
		return ADDRESS_NONE;
	switch (how) {
	case ADDR_IN:
		if ((u32)next > ADDR_MAX_BYTES)
			return ADDRESS_NONE; /* move_addr_to_kernel() of net/socket.c refuses it */
		break;
	case ADDR_OUT:
		if (!next)
			return ADDRESS_NONE;
		if (bpf_probe_read_user(&out, sizeof(out), (void *)next))
			return report_fault(rec, last);
		bytes = out;
		break;
	case ADDR_MSG_IN:
	case ADDR_MSG_OUT:
	case ADDR_MMSG_IN: /* struct mmsghdr begins with its struct msghdr */
	case ADDR_MMSG_OUT:
		if (!read_msghdr(pointer, compat, &addr, &bytes))
			return report_fault(rec, last);
		if ((s32)bytes < 0)
			return ADDRESS_NONE; /* __copy_msghdr() refuses it, and cuts a length that is too large */
		break;
	}
	if (is_filled_in(how) && bytes > room) {
		bytes = room;
		rec->head.flags = DATA_CUT;
	}
	if (!addr || !bytes)
		return ADDRESS_NONE;
	if (bytes > ADDR_MAX_BYTES)
		bytes = ADDR_MAX_BYTES;
	if (bpf_probe_read_user(rec->bytes, bytes, (void *)addr))
		return report_fault(rec, last);
	if (!is_filled_in(how) && is_relative_name(rec->bytes, bytes))
		rec->base = pwd_key(task);
	bool dns = is_dns(rec->bytes, bytes);
	send_data(rec, bytes);
	return dns ? ADDRESS_DNS : ADDRESS_SENT;
}

/* include/uapi/linux/in.h */
#define IPPROTO_UDP 17
#define IPPROTO_UDPLITE 136

/*
 * Returns whether a socket has a datagram that waits for more data (MSG_MORE, UDP_CORK): the kernel adds the bytes of the
 * next message to it and ignores the address of that message. `file` is the address of a struct file, or 0.
 */
__inline_always bool has_pending_datagram(u64 file)
{
	struct file *from = RDONLY_CAST((void *)file, struct file);
	struct inode *inode = file ? CAST_READ(from, f_inode) : 0;
	if (!inode || (CAST_READ(RDONLY_CAST(inode, struct inode), i_mode) & S_IFMT) != S_IFSOCK)
		return false;
	struct sock *sk = CAST_READ(RDONLY_CAST(CAST_READ(from, private_data), struct socket), sk);
	sk = RDONLY_CAST(sk, struct sock);
	if (!sk)
		return false;
	u16 family = CAST_READ(sk, __sk_common.skc_family), protocol = CAST_READ(sk, sk_protocol);
	if ((family != AF_INET && family != AF_INET6) || (protocol != IPPROTO_UDP && protocol != IPPROTO_UDPLITE))
		return false;
	return CAST_READ(RDONLY_CAST(sk, struct udp_sock), pending) != 0;
}

/*
 * Sends an address of which only the family is known if the message of a call is added to one that waits on the socket.
 * Returns 1 if so. The function is separate from its caller because its stack is.
 */
__noinline int send_pending_address(u32 fd, u16 count)
{
	struct task_struct *task = get_current_task();
	struct rec_data *rec;
	if (!has_pending_datagram(fd_file(task, fd)))
		return 0;
	rec = begin_data(task, count, DATA_ADDR);
	if (rec) {
		*(u16 *)rec->bytes = AF_INET;
		rec->head.flags = DATA_CUT;
		send_data(rec, sizeof(u16));
	}
	return 1;
}

/* include/uapi/linux/: fs.h, loop.h, nbd.h, perf_event.h, btrfs.h; fs/ext4/ext4.h */
enum ioctl_command {
	FICLONE = 0x40049409,
	FICLONERANGE = 0x4020940d,
	LOOP_SET_FD = 0x4c00,
	LOOP_CHANGE_FD = 0x4c06,
	LOOP_CONFIGURE = 0x4c0a,
	NBD_SET_SOCK = 0xab00,
	PERF_EVENT_IOC_SET_OUTPUT = 0x2405,
	PERF_EVENT_IOC_SET_BPF = 0x40042408,
	BTRFS_IOC_SNAP_CREATE = 0x50009401,
	BTRFS_IOC_SNAP_CREATE_V2 = 0x50009417,
	EXT4_IOC_MOVE_EXT = 0xc028660f,
};

/* Sends the key of the fd that is the argument of an ioctl(2), or is in the struct to which the argument points. */
__noinline int send_ioctl_fd(u32 command, u64 arg, u16 count)
{
	u32 fd = arg, offset = 0;
	switch (command) {
	case FICLONE:
	case LOOP_SET_FD:
	case LOOP_CHANGE_FD:
	case NBD_SET_SOCK:
	case PERF_EVENT_IOC_SET_OUTPUT:
	case PERF_EVENT_IOC_SET_BPF:
		break;
	case EXT4_IOC_MOVE_EXT:
		offset = 4;
		/* fallthrough */
	case FICLONERANGE:
	case LOOP_CONFIGURE:
	case BTRFS_IOC_SNAP_CREATE:
	case BTRFS_IOC_SNAP_CREATE_V2:
		if (bpf_probe_read_user(&fd, sizeof(fd), (void *)arg + offset)) {
			count_miss(MISS_USER_MEMORY);
			return 0;
		}
		break;
	default:
		return 0;
	}
	struct rec_data *rec = begin_data(get_current_task(), count, DATA_FD2);
	if (rec) {
		rec->base = fd_key(fd);
		send_data(rec, 0);
	}
	return 0;
}

/* Reads the device and inode that a stat(2) has written. Returns false if they cannot be read. */
__inline_always bool read_stat(struct data_stat *stat, u64 pointer)
{
	u64 own[2]; /* st_dev, st_ino */
	if (bpf_probe_read_user(own, sizeof(own), (void *)pointer))
		return false;
	/* new_decode_dev() of linux/kdev_t.h */
	u32 major = (own[0] & 0xfff00) >> 8, minor = (own[0] & 0xff) | ((own[0] >> 12) & 0xfff00);
	*stat = (struct data_stat){.inode = own[1], .dev = major << 20 | minor};
	return true;
}

/* Sends the device and inode that a statx(2) has written. */
__inline_always void send_statx(struct task_struct *task, u16 count, u64 pointer)
{
	struct rec_data *rec = begin_data(task, count, DATA_STAT);
	u64 inode = 0;
	u32 dev[2] = {}; /* stx_dev_major, stx_dev_minor */
	/* include/uapi/linux/stat.h: stx_ino has offset 32, stx_dev_major 136. */
	if (!rec || bpf_probe_read_user(&inode, sizeof(inode), (void *)pointer + 32) ||
	    bpf_probe_read_user(dev, sizeof(dev), (void *)pointer + 136))
		return;
	*(struct data_stat *)rec->bytes = (struct data_stat){.inode = inode, .dev = dev[0] << 20 | dev[1]};
	send_data(rec, sizeof(struct data_stat));
}

/*
 * Sends the arguments of the program that the current task has just started. The kernel has copied them to its memory.
 */
__inline_always void send_exec(struct task_struct *task, u16 count, u32 caller)
{
	u32 zero = 0;
	struct rec_exec *rec = bpf_map_lookup_elem(&exec_scratch, &zero);
	struct mm_struct *mm = BTF_READ(UNTRUSTED(task), mm);
	if (!rec || !mm)
		return;
	u64 key = exe_key(task);
	fill_head(&rec->head, BTF_READ(task, pid), REC_EXEC);
	rec->head.nr = count << SLOT_BITS;
	rec->head.flags = exe_origin(task);
	rec->caller = caller;
	rec->exe = key;
	u64 from = BTF_READ(mm, arg_start), bytes = BTF_READ(mm, arg_end) - from;
	rec->bytes = bytes;
	if (bytes > ARGV_MAX_BYTES) {
		bytes = ARGV_MAX_BYTES;
		count_miss(MISS_ARGV);
	}
	if (bpf_probe_read_user(rec->argv, bytes, (void *)from)) {
		count_miss(MISS_USER_MEMORY);
		bytes = 0;
	}
	if (!send_record(rec, __builtin_offsetof(struct rec_exec, argv) + bytes))
		count_miss(MISS_DEFINITION);
}

/*
 * Returns the length of the prefix that the kernel has put before the path of an execveat(2): `/dev/fd/FD`, before a path
 * that is not empty with another slash (alloc_bprm() of fs/exec.c).
 */
__inline_always u32 exec_prefix_bytes(const char *path, u32 fd)
{
	u32 bytes = sizeof("/dev/fd/0") - 1;
	char next = 0;
	for (u32 i = 0; i < 10 && fd >= 10; i++) {
		fd /= 10;
		bytes++;
	}
	bpf_probe_read_kernel(&next, sizeof(next), path + bytes);
	return next == '/' ? bytes + 1 : bytes;
}

/*
 * Sends the kernel's copy of the path of the program that the current task has just started. The copy is used if the
 * path could not be read at entry. `dirfd` is the directory fd of the call.
 */
__inline_always void send_exec_path(struct task_state *t, struct task_struct *task, struct linux_binprm *bprm,
				    s32 dirfd)
{
	const char *path = BTF_READ(bprm, filename);
	struct rec_data *rec = begin_data(task, t->call_count, DATA_PATH);
	if (!rec)
		return;
	if (BTF_READ(bprm, fdpath))
		path += exec_prefix_bytes(path, dirfd);
	long n = bpf_probe_read_kernel_str(rec->bytes, PATH_MAX_BYTES, path);
	if (n < 0)
		return;
	rec->base = base_at_entry(t, task, DATA_PATH, rec->bytes[0], dirfd);
	send_data(rec, n);
}

/* Arguments that are read of a failed exec; each has at least two bytes. LEGACY kernels verify every iteration. */
#ifdef LEGACY
#define ARGV_MAX 128
#else
#define ARGV_MAX (ARGV_MAX_BYTES / 2)
#endif

/* State of a walk along the argument vector of an exec. */
struct argv_walk {
	u64 at; /* address of the next element */
	u32 bytes; /* bytes copied so far */
	u32 wide; /* size of a pointer, bytes */
};

static long copy_argument_step(u32 i, struct argv_walk *w)
{
	u32 zero = 0, at = w->bytes;
	struct rec_exec *rec = bpf_map_lookup_elem(&exec_scratch, &zero);
	u64 arg = 0;
	if (!rec || bpf_probe_read_user(&arg, w->wide == 4 ? 4 : 8, (void *)w->at) || !arg)
		return 1;
	if (at >= ARGV_MAX_BYTES - PATH_MAX_BYTES) {
		count_miss(MISS_ARGV);
		return 1;
	}
	long n = bpf_probe_read_user_str(&rec->argv[at & (ARGV_MAX_BYTES - 1)], PATH_MAX_BYTES, (void *)arg);
	if (n < 0) {
		count_miss(MISS_USER_MEMORY);
		return 1;
	}
	w->at += w->wide;
	w->bytes = at + n;
	return 0;
}

/* Sends the arguments of a failed exec from the caller's memory. */
__inline_always void send_argv(struct task_struct *task, u16 count, u64 argv, bool compat)
{
	u32 zero = 0;
	struct rec_exec *rec = bpf_map_lookup_elem(&exec_scratch, &zero);
	struct argv_walk w = {.at = argv, .wide = compat ? 4 : 8};
	if (!rec || !argv)
		return;
	BPF_LOOP(ARGV_MAX, copy_argument_step, &w);
	if (w.at == argv + ARGV_MAX * (u64)w.wide)
		count_miss(MISS_ARGV);
	fill_head(&rec->head, BTF_READ(task, pid), REC_EXEC);
	rec->head.nr = count << SLOT_BITS;
	rec->caller = BTF_READ(task, pid);
	rec->exe = 0;
	u64 bytes = w.bytes;
	rec->bytes = bytes;
	if (bytes > ARGV_MAX_BYTES)
		bytes = ARGV_MAX_BYTES;
	if (!send_record(rec, __builtin_offsetof(struct rec_exec, argv) + bytes))
		count_miss(MISS_DEFINITION);
}

#endif
