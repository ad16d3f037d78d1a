/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The wire format: the records that the kernel side writes into the rings, and the configuration that user space sets
 * before it loads the programs. Rust takes every type here from the object's BTF, so that no type is written twice.
 *
 * All numbers have the byte order of the machine, which is little-endian. Times are CLOCK_BOOTTIME in ns. Keys are
 * 64-bit hashes that name a definition sent earlier.
 *
 * Records leave through one ring per CPU, those of interrupts and of cgroups through rings of their own. Each ring has its
 * records in the order in which they happened. The records of a thread, read from all rings in order of time, are in the
 * order in which they happened too. A definition (task, file, sock) always precedes its first use. A REC_DATA has the time
 * of an earlier record, which spares a reading of the clock.
 */
#ifndef CTRACE_WIRE_H
#define CTRACE_WIRE_H

enum limits {
	PATH_MAX_BYTES = 4096, /* PATH_MAX of linux/limits.h, with the NUL */
	NAME_MAX_BYTES = 256, /* NAME_MAX, with a NUL */
	MAX_COMPONENTS = 256, /* of a path; deeper paths are cut and counted */
	ADDR_MAX_BYTES = 128, /* sizeof(struct sockaddr_storage) */
	ARGV_MAX_BYTES = 16384, /* longer argument lists are cut and counted */
	COMM_BYTES = 16, /* TASK_COMM_LEN */
	MAX_SYSCALLS = 512, /* above the syscall numbers of every ABI */
	IPC_BASE = 478, /* plus 1 to 12: the calls of ipc(2), 32-bit x86; above the numbers of that ABI */
	SOCKETCALL_BASE = 491, /* plus 1 to 20: the calls of socketcall(2), 32-bit x86 */
	NO_CALL = SOCKETCALL_BASE, /* number of every invalid call (from MAX_SYSCALLS on) */
	NR_BITS = 9, /* bits of the syscall number in `nr` of a REC_SYSCALL's head */
	SLOT_BITS = 4, /* bits of the slot in `nr` of the head of a REC_DATA or REC_EXEC */
	CALL_COUNT = 127, /* mask of the call's sequence number, in the bits of `nr` above the syscall number */
	COUNT_BUCKETS = 32, /* of a latency histogram: each is twice as wide as the one before */
	COUNTS_MAX = 65536, /* combinations of container, comm and call with counters of their own */
	SEEN_SLOTS = 4096, /* per CPU, a power of two */
	TASK_SLOT_BITS = 14,
	TASK_SLOTS = 1 << TASK_SLOT_BITS, /* threads whose state is found without the help of the kernel */
	URING_OPS = 128, /* io_uring operations, a power of two; the last is invalid; a row has MAX_SYSCALLS + op */
	REQUEST_COUNT = 0x800, /* set in the number of a request, which has the lowest bits of its time below */
	CGROUP_LEVELS = 32, /* levels above a cgroup that are searched for the container that the cgroup belongs to */
};

enum rec_kind {
	REC_SYSCALL = 1,
	REC_TASK, /* definition: identity of a tid, from now on */
	REC_FILE, /* definition: file and path of a key */
	REC_SOCK, /* definition: addresses of a key */
	REC_DATA, /* user memory of the thread's current call */
	REC_EXEC, /* arguments of the thread's current exec */
	REC_EXIT, /* a thread has ended */
	REC_CGROUP, /* a cgroup was created or removed */
	REC_REQUEST, /* a request was submitted to io_uring */
	REC_COMPLETE, /* a request has completed */
	REC_CONNECTION, /* a TCP connection has an owner, was established, or has ended */
	REC_SIGNAL, /* a signal was sent to a process, or the kernel has killed a process for lack of memory */
	REC_MOVE, /* a process has left its container's cgroup, or come into that of a container */
	REC_STAT, /* a REC_SYSCALL with a struct data_stat behind its arguments */
};

/* Flags of a REC_SYSCALL, a REC_REQUEST and a REC_COMPLETE. */
enum sys_flag {
	SYS_COMPAT = 1, /* a call of the 32-bit ABI */
	SYS_DENIED = 2, /* no entry was seen: seccomp refused the call */
	SYS_NO_RETURN = 4, /* did not return, or had not when the recording ended */
	SYS_NO_ENTRY = 8, /* no entry was seen: before the recording, missed, or kept from running by a tracer */
	SYS_CHILD = 16, /* `key` is the tid of the child that the call created */
	SYS_RET_KEY = 32, /* `key` is that of the fd that the call returned */
	SYS_NO_FD = 64, /* a request on a file of the ring's table: the first argument is the file's index there */
	SYS_EMPTY_PATH = 128, /* the path is empty and not sent: `key` is that of the directory fd */
};

/* Slots of a REC_DATA. */
enum data_slot {
	DATA_PATH,
	DATA_PATH2,
	DATA_TEXT, /* becomes path2; not joined to a directory */
	DATA_ADDR, /* a sockaddr */
	DATA_STAT, /* struct data_stat: device and inode that a statx(2) returned */
	DATA_FLAGS, /* struct data_flags: what openat2(2), clone3(2) and io_uring_setup(2) read from a struct */
	DATA_FD2, /* no memory: `base` is the key of a second fd, perhaps of one behind the pointer of an ioctl(2) */
	DATA_ARGV, /* sent as a REC_EXEC without `exe`, not as a REC_DATA: the arguments of a failed exec */
	DATA_DNS, /* a message to or from a name server */
	DATA_BYTES, /* a u64: bytes of all messages of the call, without those for which the caller had no room */
	DATA_SOCKET_ERROR, /* a u32: the errno that getsockopt(SO_ERROR) returned */
};

/* Flags of a REC_DATA. */
enum data_flag {
	DATA_FAULT = 1, /* the memory could not be read */
	DATA_CUT = 2, /* an address for which the caller had less room than the kernel needed */
};

/* Flags of a REC_TASK. */
enum task_flag {
	TASK_SETUP = 1, /* came from outside of the container and has not executed a program of the container yet */
	TASK_ENTERED = 2, /* came in after a program of the container had started, or descends from such a thread */
};

/* Flags of a REC_EXIT. */
enum exit_flag {
	EXIT_PROCESS = 1, /* the last thread of its process */
};

/* Flags of a REC_EXEC: where the executable comes from, as far as that is known. */
enum exec_flag {
	EXEC_IMAGE = 1, /* overlayfs: in a lower layer only */
	EXEC_UPPER = 2, /* overlayfs: in the upper layer, written since the container was created */
	EXEC_MOUNT = 4, /* on another mount than the root directory */
	EXEC_MEMORY = 8, /* in no mount namespace: memfd_create(2), or a detached mount */
};

/* Flags of a REC_FILE. */
enum file_flag {
	FILE_DELETED = 1, /* the file has no name any more */
	FILE_CUT = 2, /* the path is deeper or longer than a record holds: the first components are missing */
	FILE_OWN_NAME = 4, /* no path: `names` is the name of the file itself, for nsfs the type of the namespace */
	FILE_NO_PATH = 8, /* no path is known: the file's mount, or its directory, is in no mount namespace */
	FILE_HAS_MOUNT = 16, /* `head.nr` is set, and names of the mount's root follow */
};

/* Flags of a REC_SOCK. */
enum sock_flag {
	SOCK_ACCEPTED = 1, /* unix: the socket has a peer, perhaps without a name, and its own name is the listener's */
};

/* Flags of a REC_CGROUP. */
enum cgroup_flag {
	CGROUP_V1 = 1,
	CGROUP_REMOVED = 2,
	CGROUP_FOREIGN = 4, /* made by another user than root, or by a container */
	CGROUP_NO_SLOT = 8, /* no slot was left for it in `undecided` or `foreign` */
	CGROUP_FOUND = 16, /* existed when the recording began: of CGROUP_KEY_NS */
};

struct head {
	__u64 time; /* time of writing; for a REC_SYSCALL, time of the call's return */
	__u32 tid;
	/*
	 * Low bits: syscall number, or slot of a REC_DATA. High bits: number of the thread's call, modulo. With
	 * the number, data of a call whose record is lost is not attributed to another call.
	 */
	__u16 nr;
	__u8 kind; /* enum rec_kind */
	__u8 flags;
};

/* Sent up to args[nargs]. */
struct rec_syscall {
	struct head head;
	__u64 duration; /* ns; of a refused call, since the thread's last return: the entry may have been missed */
	__s64 ret;
	__u64 key; /* the call's file or socket; 0: none */
	__u64 args[6];
};

struct rec_task {
	struct head head;
	__u32 pid; /* tgid */
	__u32 ppid;
	__u32 ns_pid; /* tgid in the process's own pid namespace */
	__u32 uid; /* effective uid */
	__u64 start_time; /* boot time, ns */
	__u64 cgroup; /* key of the container's cgroup: see `cgroups` */
	__u64 exe; /* key of the executable; 0: none */
	char comm[COMM_BYTES];
	__u32 mount_ns; /* inode number of the mount namespace; 0: none, the thread is ending */
	__u32 pad;
};

/*
 * Sent up to the end of the names. With FILE_HAS_MOUNT, the first `head.nr` bytes of the names are below the root of the
 * file's mount, and after `bytes` bytes follow the names from the mount's root up to the root of the filesystem.
 */
struct rec_file {
	struct head head;
	__u64 key;
	__u64 inode;
	__u32 dev; /* the kernel's dev_t: major << 20 | minor */
	__u32 magic; /* of the filesystem: see statfs(2) */
	__u32 mode; /* type and permissions of the inode */
	__u32 bytes; /* of `names` */
	char names[PATH_MAX_BYTES + NAME_MAX_BYTES]; /* components, NUL-terminated, the path's last component first */
};

/* Kind and addresses of a socket. */
struct sock_ends {
	__u16 family; /* AF_* */
	__u16 type; /* SOCK_* */
	__u16 protocol; /* IPPROTO_*, NETLINK_* */
	__u16 local_port; /* host byte order; netlink: 0 */
	__u16 peer_port;
	__u8 local_len; /* unix: bytes of the name, likewise `peer_len` */
	__u8 peer_len;
	__u32 portid; /* netlink */
	__u8 local[16]; /* network byte order; IPv4 in the first four bytes */
	__u8 peer[16];
};

/* Sent whole for a unix socket, for others up to the names. */
struct rec_sock {
	struct head head;
	__u64 key;
	__u64 inode;
	struct sock_ends ends;
	char names[2 * ADDR_MAX_BYTES]; /* unix: sun_path of this end at 0, of the peer at ADDR_MAX_BYTES */
	__u64 local_file; /* key of the file that a relative name of this end refers to; 0: none */
	__u64 peer_file;
};

/* Sent up to the end of the bytes. */
struct rec_data {
	struct head head;
	/* Key of the directory that a path, or the name of a unix socket, is relative to; of an absolute path, the root's. */
	__u64 base;
	char bytes[PATH_MAX_BYTES];
};

/* Device and inode of a file that were returned to the caller: the bytes of a DATA_STAT, and the end of a REC_STAT. */
struct data_stat {
	__u64 inode;
	__u32 dev; /* as in struct rec_file */
	__u32 pad;
};

/* The bytes of a DATA_FLAGS. */
struct data_flags {
	__u64 flags;
	__u64 mode; /* openat2(2) only, like `resolve`; of a struct io_uring_params, the flags are in the low half */
	__u64 resolve;
};

/* Sent up to the end of argv. */
struct rec_exec {
	struct head head;
	__u64 exe;
	__u32 bytes; /* of argv, before it was cut */
	__u32 caller; /* the thread's tid at the call; since the exec it has that of the process's first thread */
	char argv[ARGV_MAX_BYTES + PATH_MAX_BYTES]; /* arguments, each NUL-terminated; with space for one more */
};

struct rec_exit {
	struct head head;
	__u32 pid;
	__u32 code; /* as in wait(2): code << 8 | signal */
};

/* Sent up to the end of the path. Of CGROUP_KEY_NS, the thread is the first process of the container. */
struct rec_cgroup {
	struct head head;
	__u64 cgroup; /* key */
	__u32 owner; /* of CGROUP_KEY_NS: uid of the user in whose namespace the container's user namespace is */
	__u32 mount_ns; /* of CGROUP_KEY_NS: inode number of the mount namespace */
	char comm[COMM_BYTES]; /* of the task that created or removed the cgroup, for example a runtime */
	char path[PATH_MAX_BYTES]; /* below the mount point of the hierarchy; of CGROUP_KEY_NS: empty */
};

/*
 * A submitted request. `args` are in the order of the arguments of the syscall of the same name; `nr` is the operation.
 * OPENAT2 has the arguments of openat(2), and then `resolve` of struct open_how.
 */
struct rec_request {
	struct head head;
	__u64 submitted; /* time; identifies the request, together with the thread */
	__u64 args[6];
};

struct rec_complete {
	struct head head; /* `tid` is that of the submitting thread */
	__u64 submitted;
	__s64 ret;
	__u64 key; /* of the file or socket that the request used or returned */
};

/*
 * A TCP connection. `head.nr` is the event: enum connection_event. `head.tid` is the thread that connected or accepted,
 * or that was the first to use a connection that is older than the recording. A CONNECTION_OWNED is sent up to `since`.
 */
struct rec_connection {
	struct head head;
	__u64 key; /* of the connection */
	__u64 cgroup; /* key of the container's cgroup */
	__u64 since; /* time at which it began to connect or, since then, was established; 0: before the recording */
	__u64 inode; /* of the socket; 0: nobody has it open */
	struct sock_ends ends;
	__u64 bytes_sent; /* at the end of an established connection: payload, without retransmissions */
	__u64 bytes_received;
	__u32 rtt; /* smoothed round-trip time, eighths of a microsecond; 0: not measured */
	__u32 retransmits; /* segments that were sent again */
	__u16 error; /* errno of the socket; 0: none */
	__u8 state; /* from which the connection ended: TCP_* of net/tcp_states.h */
	__u8 pad[5];
};

enum connection_event {
	CONNECTION_OWNED, /* a thread has begun to connect, or used a connection whose beginning was not seen */
	CONNECTION_ESTABLISHED,
	CONNECTION_ENDED,
};

/* Flags of a REC_CONNECTION. */
enum connection_flag {
	CONNECTION_OUT = 1, /* this end has connected */
	CONNECTION_IN = 2, /* this end has accepted; without either flag, the connection is older than the recording */
	CONNECTION_WAS_ESTABLISHED = 4,
};

/* A signal. `head.tid` is the thread to which it was sent, of a signal to a process the first one of the process. */
struct rec_signal {
	struct head head;
	__u64 cgroup; /* key of the receiver's container */
	__u64 sender_cgroup; /* key of the sender's container; 0: the host */
	__u64 memory_limit; /* SIGNAL_OOM: of the receiver's cgroup, bytes; 0: none, or not known */
	__u32 pid; /* of the receiver, like the following, which are as in struct rec_task */
	__u32 ppid;
	__u32 ns_pid;
	__u32 uid;
	__u32 sender_pid; /* 0: the kernel */
	__u32 number; /* of the signal */
	char comm[COMM_BYTES];
	char sender_comm[COMM_BYTES];
};

/* Flags of a REC_SIGNAL. */
enum signal_flag {
	SIGNAL_IGNORED = 1,
	SIGNAL_OOM = 2, /* the kernel has killed the process for lack of memory; only `head.tid` may be known */
};

/* A move of a process, or of the thread `head.tid`, to another cgroup. Sent up to the end of the path. */
struct rec_move {
	struct head head;
	__u64 from; /* key of the process's container; 0: the host */
	__u64 to; /* key of the container to which the cgroup belongs; 0: the host */
	__u32 pid; /* as in struct rec_task, like the following */
	__u32 ppid;
	__u32 ns_pid;
	__u32 uid;
	char comm[COMM_BYTES];
	char path[PATH_MAX_BYTES]; /* of the cgroup, below the mount point of the hierarchy */
};

/* Flags of a REC_MOVE. */
enum move_flag {
	MOVE_LEFT = 1, /* a process of the container `from` went to a cgroup that is not that container's */
	MOVE_ENTERED = 2, /* a process from outside came into the container `to`, which had started */
};

/*
 * A cgroup's key is its kernfs id, plus the first bit in the v1 hierarchy: ids repeat between hierarchies. A container
 * without a cgroup has the second bit and the number of its mount namespace, which the kernel does not use again.
 */
enum cgroup_key {
	CGROUP_KEY_V1_BIT = 63,
	CGROUP_KEY_NS_BIT = 62,
};
#define CGROUP_KEY_V1 (1ULL << CGROUP_KEY_V1_BIT)
#define CGROUP_KEY_NS (1ULL << CGROUP_KEY_NS_BIT)

enum cgroup_state {
	CGROUP_UNDECIDED, /* new: recorded until user space has decided */
	CGROUP_CONTAINER,
	CGROUP_HOST,
	CGROUP_EXCLUDED, /* by a filter */
	CGROUP_UNKNOWN, /* like CGROUP_UNDECIDED, but takes no slot in other maps: foreign, or without a slot */
};

struct cgroup_info {
	__u64 owner; /* key of the container's cgroup */
	__u32 state; /* enum cgroup_state */
	__u32 pad;
};

/* The plan by which a syscall is recorded; made in user space from the syscall table. Argument numbers count from 1; 0
 * means none.
 */
struct plan {
	__u8 flags; /* PLAN_* */
	__u8 nargs;
	__u8 class; /* index of the losses' class */
	__u8 fd; /* argument whose fd is looked up at entry */
	__u8 path[2]; /* arguments that are paths */
	__u8 dir[2]; /* directory fds that the paths are relative to; 0: the working directory */
	__u8 text; /* argument that is text for path2 */
	__u8 fd2; /* argument that is a second fd */
	__u8 argv; /* argument that is the argument vector of an exec */
	__u8 addr; /* argument that is a sockaddr or points to one */
	__u8 addr_how; /* enum addr_how */
	__u8 stat; /* argument that points to a struct stat or statx, which the call fills in */
	__u8 stat_how; /* enum stat_how */
	__u8 how; /* argument that points to a struct open_how, clone_args or io_uring_params */
	__u8 payload; /* enum payload_how: where the second argument has the transferred bytes */
	__u8 slots; /* of user memory that are read at entry: 1 << enum data_slot */
	__u8 rank; /* enum rank */
	__u8 recorded_up_to; /* highest shed level at which the call is still recorded */
	__u8 null_path; /* a null path in slot DATA_PATH stands for the directory fd itself */
	__u8 msg_flags; /* argument with the MSG_* flags of a call that receives */
	__u8 command; /* argument that is the command of an ioctl(2), whose argument follows */
	__u8 option; /* argument that is the level of a getsockopt(2), whose option and pointer to the value follow */
	__u8 task_op; /* argument that is the operation of a prctl(2) */
};

/* The order in which calls are dropped when a ring fills up. */
enum rank {
	RANK_CHEAP, /* calls that are frequent and say little */
	RANK_USUAL,
	RANK_LAST, /* exec, connect: part of the ring is reserved for these calls and for ends of processes */
};

enum plan_flag {
	PLAN_RECORD = 1,
	PLAN_RET_FD = 2, /* the result is an fd, which is looked up at return */
	PLAN_SAVE_ARGS = 4, /* the registers do not outlive the call */
	PLAN_SOCK_AT_EXIT = 8, /* the call changes the socket's addresses, which are looked up again at return */
	PLAN_FORK = 16,
	PLAN_UNFOLD = 32, /* socketcall(2) or ipc(2): the arguments are not in their usual registers */
	PLAN_BYTES = 64, /* the result is a number of bytes */
	PLAN_FINISH = 128, /* always needs finish_call(): more than the result is known only at the return */
};

enum stat_how {
	STAT_NONE,
	STAT_OWN, /* struct stat of a 64-bit machine: begins with st_dev and st_ino on each */
	STAT_X, /* struct statx */
};

enum payload_how {
	PAYLOAD_NONE,
	PAYLOAD_BUFFER,
	PAYLOAD_VECTORS, /* struct iovec * */
	PAYLOAD_MESSAGE, /* struct msghdr * */
	PAYLOAD_MESSAGES, /* struct mmsghdr * */
};

enum addr_how {
	ADDR_NONE,
	ADDR_IN, /* struct sockaddr *, length in the next argument */
	ADDR_MSG_IN, /* struct msghdr * */
	ADDR_MMSG_IN, /* struct mmsghdr *, only the first message is read */
	ADDR_OUT, /* struct sockaddr *, pointer to the length in the next argument; filled in at return, like the following */
	ADDR_MSG_OUT,
	ADDR_MMSG_OUT,
};

/* Reasons why part of a recording is missing. Each is a counter per CPU. */
enum miss {
	MISS_DEFINITION, /* a path, socket or data record did not fit into the ring: the event is recorded without it */
	MISS_USER_MEMORY, /* could not be read, neither at entry nor at return */
	MISS_PATH_DEPTH, /* a path was cut */
	MISS_ARGV, /* an argument list was cut */
	MISS_STORAGE, /* no task storage: the thread's events are lost and cannot be counted by class */
	MISS_CGROUP, /* no slot was left for a cgroup in `undecided` or `foreign` */
	MISS_STARTED, /* no slot was left for a container in `started` or `mount_namespaces` */
	MISS_RETURN, /* the return of a call was not seen; detected at the thread's next call */
	MISS_CONNECTION, /* the map of connections was full */
	MISS_COUNT,
};

enum loss {
	LOSS_RING, /* the ring was full */
	LOSS_SHED, /* user space has dropped the call because of the CPU limit */
};

struct loss_key {
	__u64 cgroup;
	__u32 class;
	__u32 why; /* enum loss */
};

/* Key of the counters that replace records in count mode. */
struct count_key {
	__u64 cgroup;
	__u64 comm[2];
	__u32 nr;
	__u32 compat; /* a call of the 32-bit ABI */
};

/* Counters since the recording began. */
struct count {
	__u64 calls;
	__u64 errors;
	__u64 bytes;
	__u64 duration; /* of all calls together, ns */
	__u64 latency[COUNT_BUCKETS]; /* bucket i: calls that took at least 2^i and less than 2^(i+1) ns */
};

/* Set before the load. */
struct config {
	__u32 recorder; /* tgid of the recorder, which never records itself */
	__u32 v1_hierarchy; /* hierarchy id of the v1 controller that identifies containers; 0: none */
	__u32 v1_controller; /* enum v1_controller */
	__u32 cgroup_ring; /* index of the ring for cgroups */
	__u32 ring_bytes; /* of a CPU's ring */
	__u32 usual_bytes; /* of these bytes, the part that other ranks than RANK_LAST may fill */
	__u8 record_host;
	__u8 comm_mode; /* enum comm_mode */
	__u8 exit_class; /* index of the losses' class for exits */
	__u8 exec_wanted; /* execve(2) is recorded */
	__u8 can_cast; /* the kernel has bpf_rdonly_cast(), Linux 6.2 */
	__u8 uring_ring_first; /* io_uring tracepoints have the ring before the request: before Linux 6.0 */
	__u8 uring_has_cqe; /* io_uring_complete has the completion queue's entry: since Linux 6.10 */
	__u8 counts; /* calls are counted, not sent */
	__u8 preemptible; /* the kernel runs the programs with preemption on, Linux 7 */
	__u8 connections; /* TCP connections are recorded */
	__u8 network_class; /* index of the losses' class for connections */
	__u8 signal_class; /* index of the losses' class for signals */
	__u32 page_bytes; /* size of a page of memory */
	__u32 mount_ns; /* inode number of the host's mount namespace; 0: not known */
	__u8 cpu_rings; /* the CPUs have rings of their own: see rings.h */
	__u8 slots; /* the states of threads are in slots: see task_storage.h */
};

enum v1_controller {
	V1_NONE,
	V1_PIDS,
	V1_MEMORY,
	V1_DEVICES,
	V1_CPU,
	V1_FREEZER,
};

enum comm_mode {
	COMM_ALL,
	COMM_ONLY, /* comms in the map */
	COMM_EXCEPT, /* all comms but those in the map */
};

#endif
