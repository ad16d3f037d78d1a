/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The wire format: what the kernel side writes into the rings, and what user space sets before the load.
 * Rust takes every type here from the object's BTF; nothing is typed twice. All numbers are little-endian as the
 * machine has them; times are CLOCK_BOOTTIME in ns; keys are 64-bit hashes that name a definition sent before.
 *
 * Records leave in one ring per CPU, and those of cgroups in one of their own, each ring in the order in which they
 * happened. A thread's records, read over all rings in order of time, are in the order in which they happened. A
 * definition (task, file, sock) always precedes its first use.
 */
#ifndef CTRACE_WIRE_H
#define CTRACE_WIRE_H

enum limits {
	PATH_MAX_BYTES = 4096, /* PATH_MAX of linux/limits.h, with the NUL */
	NAME_MAX_BYTES = 256, /* NAME_MAX, with a NUL */
	MAX_COMPONENTS = 256, /* of a path; deeper ones are cut and counted */
	ADDR_MAX_BYTES = 128, /* sizeof(struct sockaddr_storage) */
	ARGV_MAX_BYTES = 16384, /* longer argument lists are cut and counted */
	COMM_BYTES = 16, /* TASK_COMM_LEN */
	MAX_SYSCALLS = 512, /* numbers of every ABI lie below */
	IPC_BASE = 478, /* of 32-bit x86, above its own numbers: plus which one ipc(2) is asked for, 1 to 12 */
	SOCKETCALL_BASE = 491, /* and plus what socketcall(2) is asked for, 1 to 20 */
	NO_CALL = SOCKETCALL_BASE, /* stands for every number from MAX_SYSCALLS on, which no call has */
	NR_BITS = 9, /* of struct head's `nr` in a REC_SYSCALL */
	SLOT_BITS = 4, /* and in a REC_DATA and a REC_EXEC */
	CALL_COUNT = 127, /* mask of the number above them */
	COUNT_BUCKETS = 32, /* of a latency histogram: each twice as wide as the one before */
	COUNTS_MAX = 65536, /* container, comm and call that are counted apart */
	SEEN_SLOTS = 4096, /* per CPU, a power of two */
	URING_OPS = 128, /* operations of io_uring, a power of two, the last for none; in a row they follow calls */
	REQUEST_COUNT = 0x800, /* bit in the number of a call: a request's, which has bits of its time in its place */
};

enum rec_kind {
	REC_SYSCALL = 1,
	REC_TASK, /* definition: who a tid is, from now on */
	REC_FILE, /* definition: file and path behind a key */
	REC_SOCK, /* definition: addresses behind a key */
	REC_DATA, /* user memory of the call that the thread is in */
	REC_EXEC, /* arguments of the exec that the thread is in */
	REC_EXIT, /* a thread is gone */
	REC_CGROUP, /* a cgroup was made or removed */
	REC_REQUEST, /* a request was submitted to io_uring */
	REC_COMPLETE, /* and has completed */
};

/* Flags of a REC_SYSCALL, a REC_REQUEST and a REC_COMPLETE. */
enum sys_flag {
	SYS_COMPAT = 1, /* a 32-bit call */
	SYS_DENIED = 2, /* no enter was seen: seccomp refused it */
	SYS_NO_RETURN = 4, /* never came back, or had not when the recording ended */
	SYS_NO_ENTRY = 8, /* no enter was seen: older than the recording, missed, or kept from running by a tracer */
	SYS_CHILD = 16, /* `key` is the tid of the child that the call made */
	SYS_RET_KEY = 32, /* `key` is of the fd that the call returned */
	SYS_NO_FD = 64, /* a request on a file of its ring's table: the first argument is its place there */
	SYS_EMPTY_PATH = 128, /* its path is empty, and is not told: `key` is of its directory's fd */
};

/* Slots of a REC_DATA. */
enum data_slot {
	DATA_PATH,
	DATA_PATH2,
	DATA_TEXT, /* becomes path2, is not joined to a directory */
	DATA_ADDR, /* a sockaddr */
	DATA_STAT, /* struct data_stat: device and inode that a stat(2) has found */
	DATA_FLAGS, /* struct data_flags: what openat2(2) and clone3(2) take in a struct */
	DATA_FD2, /* no memory: `base` is the key of a second fd */
	DATA_ARGV, /* no REC_DATA but a REC_EXEC without `exe`: the arguments of an exec that failed */
	DATA_DNS, /* a message to or from a name server */
	DATA_BYTES, /* a u64: bytes of all messages of the call */
};

/* Flags of a REC_DATA. */
enum data_flag {
	DATA_FAULT = 1, /* the memory could not be read */
};

/* Flags of a REC_EXIT. */
enum exit_flag {
	EXIT_PROCESS = 1, /* it was the last thread of its process */
};

/* Flags of a REC_FILE. */
enum file_flag {
	FILE_DELETED = 1, /* it has no name any more */
	FILE_CUT = 2, /* deeper or longer than can be told: the first components are missing */
};

/* Flags of a REC_SOCK. */
enum sock_flag {
	SOCK_CONNECTED = 1, /* unix: there is another end, though perhaps without a name */
};

/* Flags of a REC_CGROUP. */
enum cgroup_flag {
	CGROUP_V1 = 1,
	CGROUP_REMOVED = 2,
};

struct head {
	__u64 time; /* when this was written; for a REC_SYSCALL when the call returned */
	__u32 tid;
	/*
	 * Syscall number, or slot of a REC_DATA, in the low bits; above them the number of the thread's call, modulo, so
	 * that what was announced of a call whose record is lost is not taken for another's.
	 */
	__u16 nr;
	__u8 kind; /* enum rec_kind */
	__u8 flags;
};

/* Sent up to args[nargs]. */
struct rec_syscall {
	struct head head;
	__u64 duration; /* ns; of one that was refused, since the thread's last return: its entry may have been missed */
	__s64 ret;
	__u64 key; /* file or socket that the call is about; 0: none */
	__u64 args[6];
};

struct rec_task {
	struct head head;
	__u32 pid; /* tgid */
	__u32 ppid;
	__u32 ns_pid; /* tgid in its own pid namespace */
	__u32 uid; /* effective */
	__u64 start_time; /* boot time, ns */
	__u64 cgroup; /* the container's: see `cgroups` */
	__u64 exe; /* key of its executable, 0: none */
	char comm[COMM_BYTES];
};

/* Sent up to the end of the names. */
struct rec_file {
	struct head head;
	__u64 key;
	__u64 inode;
	__u32 dev; /* kernel's dev_t: major << 20 | minor */
	__u32 magic; /* of the filesystem: statfs(2) */
	__u32 mode; /* inode's type and permissions */
	__u32 bytes; /* of `names` */
	char names[PATH_MAX_BYTES + NAME_MAX_BYTES]; /* components, NUL-terminated, the last of the path first */
};

/* Sent up to the end of the unix names. */
struct rec_sock {
	struct head head;
	__u64 key;
	__u64 inode;
	__u16 family; /* AF_* */
	__u16 type; /* SOCK_* */
	__u16 protocol; /* IPPROTO_*, NETLINK_* */
	__u16 local_port; /* host order; netlink: 0 */
	__u16 peer_port;
	__u8 local_len; /* unix: bytes of the names */
	__u8 peer_len;
	__u32 portid; /* netlink */
	__u8 local[16]; /* network order; IPv4 in the first four */
	__u8 peer[16];
	char names[2 * ADDR_MAX_BYTES]; /* unix: sun_path of this end at 0, of the other at ADDR_MAX_BYTES */
};

/* Sent up to the end of the bytes. */
struct rec_data {
	struct head head;
	__u64 base; /* key of the directory that a path is relative to: for an absolute one, the root's */
	char bytes[PATH_MAX_BYTES];
};

/* The bytes of a DATA_STAT. */
struct data_stat {
	__u64 inode;
	__u32 dev; /* as in a struct rec_file */
	__u32 pad;
};

/* The bytes of a DATA_FLAGS. */
struct data_flags {
	__u64 flags;
	__u64 mode; /* openat2(2) only */
};

/* Sent up to the end of argv. */
struct rec_exec {
	struct head head;
	__u64 exe;
	__u32 bytes; /* of argv, before it was cut */
	__u32 caller; /* tid that the thread had when it called: from now on it has that of its process's first */
	char argv[ARGV_MAX_BYTES + PATH_MAX_BYTES]; /* arguments, each NUL-terminated; room for one more */
};

struct rec_exit {
	struct head head;
	__u32 pid;
	__u32 code; /* as wait(2) gives it: code << 8 | signal */
};

/* Sent up to the end of the path. */
struct rec_cgroup {
	struct head head;
	__u64 cgroup; /* key */
	__u64 parent; /* key */
	char comm[COMM_BYTES]; /* of the task that did it: a runtime, perhaps */
	char path[PATH_MAX_BYTES]; /* below the hierarchy's mount */
};

/* What it is about, in the order of the arguments of the syscall of that name. `nr` is the operation. */
struct rec_request {
	struct head head;
	__u64 submitted; /* time: with the thread, the name of the request */
	__u64 args[6];
};

struct rec_complete {
	struct head head; /* `tid` is that of the thread that submitted it */
	__u64 submitted;
	__s64 ret;
	__u64 key; /* of what it was about, or returned */
};

/* Key of a cgroup: its kernfs id, and which hierarchy the id is of, for ids repeat between hierarchies. */
#define CGROUP_KEY_V1 (1ULL << 63)

enum cgroup_state {
	CGROUP_PENDING, /* new: recorded until user space has decided */
	CGROUP_CONTAINER,
	CGROUP_HOST,
	CGROUP_EXCLUDED, /* by a filter */
};

struct cgroup_info {
	__u64 owner; /* key of the cgroup that is the container's */
	__u32 state; /* enum cgroup_state */
	__u32 pad;
};

/* What to do for a syscall; made in user space from the syscall table. Argument numbers count from 1, 0 is none. */
struct plan {
	__u8 flags; /* PLAN_* */
	__u8 nargs;
	__u8 class; /* index of the losses' class */
	__u8 fd; /* argument whose fd is looked up at entry */
	__u8 path[2]; /* arguments that are paths */
	__u8 dir[2]; /* the directory fds they are relative to; 0: the working directory */
	__u8 text; /* argument that is text for path2 */
	__u8 fd2; /* a second fd */
	__u8 argv; /* argument that is the argument vector of an exec */
	__u8 addr; /* argument that is or points to a sockaddr */
	__u8 addr_how; /* enum addr_how */
	__u8 stat; /* argument that points to a struct stat or statx that the call fills in */
	__u8 stat_how; /* enum stat_how */
	__u8 how; /* argument that points to a struct open_how or clone_args */
	__u8 payload; /* enum payload_how: where the second argument has what is moved */
	__u8 slots; /* of user memory that are read at entry: 1 << enum data_slot */
	__u8 rank; /* enum rank */
	__u8 kept; /* given up at levels above this: see `shed_level` */
};

/* Which calls go first where a ring fills up. */
enum rank {
	RANK_CHEAP, /* many of them tell little */
	RANK_USUAL,
	RANK_LAST, /* exec, connect: for them and for ends of processes a part of the ring is kept */
};

enum plan_flag {
	PLAN_RECORD = 1,
	PLAN_RET_FD = 2, /* the result is an fd: look it up at return */
	PLAN_SAVE_ARGS = 4, /* the registers do not outlive the call */
	PLAN_SOCK_AT_EXIT = 8, /* the call changes the socket's addresses: look again at return */
	PLAN_FORK = 16,
	PLAN_UNFOLD = 32, /* of socketcall(2) or ipc(2): the arguments are not where a call's are */
	PLAN_BYTES = 64, /* the result is a number of bytes */
	PLAN_FINISH = 128, /* something beside the result is told by the return alone, of whatever the call is about */
};

enum stat_how {
	STAT_NONE,
	STAT_OWN, /* struct stat of a 64-bit machine: st_dev and st_ino come first on each */
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
	ADDR_OUT, /* struct sockaddr *, pointer to the length in the next argument; filled in at return */
	ADDR_MSG_IN, /* struct msghdr * */
	ADDR_MSG_OUT,
	ADDR_MMSG_IN, /* struct mmsghdr *, the first counts */
	ADDR_MMSG_OUT,
};

/* Why something is missing; each is a counter per CPU. */
enum miss {
	MISS_DEFINITION, /* a path, socket or data record did not fit the ring: the event is there, this part is not */
	MISS_USER_MEMORY, /* could not be read, neither at entry nor at return */
	MISS_PATH_DEPTH, /* a path was cut */
	MISS_ARGV, /* an argument list was cut */
	MISS_STORAGE, /* no task storage: its events are lost and cannot be counted by class */
	MISS_CGROUP, /* the map of cgroups was full */
	MISS_RETURN, /* the return from a call was not seen, which showed when the thread called again */
	MISS_COUNT,
};

enum loss {
	LOSS_RING, /* it was full */
	LOSS_SHED, /* user space has given the call up for want of CPU */
};

struct loss_key {
	__u64 cgroup;
	__u32 class;
	__u32 why; /* enum loss */
};

/* What calls are counted by, where they are not sent. */
struct count_key {
	__u64 cgroup;
	__u64 comm[2];
	__u32 nr;
	__u32 compat; /* a 32-bit call */
};

/* Since the recording began. */
struct count {
	__u64 calls;
	__u64 errors;
	__u64 bytes;
	__u64 duration; /* of all calls together, ns */
	__u64 latency[COUNT_BUCKETS]; /* calls that took 2^i ns or more, and less than 2^(i+1) */
};

/* Set before the load. */
struct config {
	__u32 recorder; /* its own tgid: it never records itself */
	__u32 v1_hierarchy; /* hierarchy id of the v1 controller that tells containers apart; 0: none */
	__u32 v1_controller; /* enum v1_controller */
	__u32 cgroup_ring; /* index of the ring for cgroups */
	__u32 ring_bytes; /* of a CPU's ring */
	__u32 usual_bytes; /* of them what others than RANK_LAST may fill */
	__u8 record_host;
	__u8 comm_mode; /* enum comm_mode */
	__u8 exit_class; /* index of the losses' class for exits */
	__u8 exec_wanted; /* whether execve(2) is recorded */
	__u8 can_cast; /* whether the kernel has bpf_rdonly_cast(), Linux 6.2 */
	__u8 uring_ring_first; /* tracepoints of io_uring have the ring before the request: before Linux 6.0 */
	__u8 uring_has_cqe; /* and that of a completion has the entry of the completion queue: since Linux 6.10 */
	__u8 counts; /* calls are counted and not sent */
	__u8 preemptible; /* whether the kernel runs the programs with preemption on, Linux 7 */
	__u8 pad[3];
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
	COMM_ONLY, /* those in the map */
	COMM_EXCEPT, /* all but those in the map */
};

#endif
