/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Syscalls. Entry and return are paired in the thread's state and sent as one record at the return. */
#ifndef CTRACE_CALLS_H
#define CTRACE_CALLS_H

#include "registers.h"
#include "sockets.h"
#include "tasks.h"
#include "user_memory.h"
#include "dns.h"
#include "counts.h"
#include "ring_share.h"

__inline_always const volatile struct plan *find_plan(bool compat, u32 nr)
{
	if (nr >= MAX_SYSCALLS)
		return 0;
	u32 i = (nr & (MAX_SYSCALLS - 1)) | (compat ? MAX_SYSCALLS : 0);
	barrier_var(i); /* or the compiler removes the mask, which the verifier needs */
	return &plans[i & (2 * MAX_SYSCALLS - 1)];
}

/* Returns argument `i`, from 1, of the thread's current call. */
__inline_always u64 call_arg(struct task_state *t, u32 i)
{
	return t->call_rec.args[(i - 1) & 7]; /* the mask is for the verifier; `i` is at most 6 */
}

/* Returns the directory fd of a path of the thread's current call. */
__inline_always s32 call_dirfd(struct task_state *t, const volatile struct plan *plan, u32 slot)
{
	u32 dir = plan->dir[slot & 1];
	return dir ? (s32)call_arg(t, dir) : AT_FDCWD;
}

#define PATH_SLOTS (1 << DATA_PATH | 1 << DATA_PATH2)

/* linux/limits.h */
#define U32_MAX 0xffffffffLL

/*
 * Sends one slot of user memory. Returns 0 if it could not be read and this is not the `last` try. The verifier checks
 * this function once, not for each slot.
 */
VERIFIED_ONCE int send_slot(struct task_state *t, u32 slot, u32 last)
{
	if (!t)
		return 0;
	struct task_struct *task = get_current_task();
	bool compat = t->call_rec.head.flags & SYS_COMPAT;
	const volatile struct plan *plan = find_plan(compat, t->call_rec.head.nr);
	if (!plan)
		return 1;
	if (slot <= DATA_PATH2) {
		s32 dirfd = call_dirfd(t, plan, slot);
		if (slot == DATA_PATH && plan->null_path && !call_arg(t, plan->path[slot])) {
			t->call_rec.key = dirfd == AT_FDCWD ? pwd_key(task) : fd_key(dirfd);
			return 1;
		}
		if (plan->stat && dirfd != AT_FDCWD && !last && is_empty_string(call_arg(t, plan->path[slot]))) {
			t->call_rec.key = fd_key(dirfd);
			t->call_rec.head.flags |= SYS_EMPTY_PATH;
			return 1;
		}
		return send_path(t, task, slot, call_arg(t, plan->path[slot]), dirfd, last);
	}
	if (slot == DATA_TEXT)
		return send_text(task, t->call_count, call_arg(t, plan->text), last);
	if (slot == DATA_FLAGS)
		return send_flags(task, t->call_count, call_arg(t, plan->how), last);
	if (slot == DATA_ADDR) {
		u64 pointer = call_arg(t, plan->addr), next = call_arg(t, plan->addr + 1);
		u32 flags = compat | (last ? 2 : 0) | t->address_room << ROOM_SHIFT;
		int sent = send_address(pointer, next, plan->addr_how, t->call_count, flags);
		t->address = sent;
		return sent;
	}
	if (slot == DATA_FD2) {
		struct rec_data *rec = begin_data(task, t->call_count, DATA_FD2);
		if (rec) {
			rec->base = fd_key(call_arg(t, plan->fd2));
			send_data(rec, 0);
		}
	} else if (slot == DATA_STAT) {
		send_statx(task, t->call_count, call_arg(t, plan->stat));
	} else if (slot == DATA_ARGV) {
		send_argv(task, t->call_count, call_arg(t, plan->argv), compat);
	}
	return 1;
}

/* Sends the given slots. Returns the slots to be retried. */
__inline_always u32 send_slots(struct task_state *t, u32 slots, bool last)
{
	u32 failed = 0;
	for (u32 slot = 0; slot <= DATA_ARGV; slot++)
		if ((slots & (1 << slot)) && !send_slot(t, slot, last))
			failed |= 1 << slot;
	return failed;
}

__inline_always void begin_call(struct task_state *t, u32 nr, u8 flags)
{
	t->call_state = CALL_ACTIVE;
	t->call_rec.head.nr = nr;
	t->call_rec.head.kind = REC_SYSCALL;
	t->call_rec.head.flags = flags;
	t->call_rec.key = 0;
	t->retry_slots = 0;
	t->based_slots = 0;
	t->unread_args = 0;
	t->child = 0;
	t->address = 0;
	t->address_room = 0;
	t->shared = 0;
}

/* Reads the arguments of a call that has not run yet. Returns false if they are in memory that cannot be read. */
__inline_always bool read_entry_args(struct task_state *t, struct pt_regs *regs, bool compat,
				     const volatile struct plan *plan)
{
	if (plan->flags & PLAN_UNFOLD)
		return unfold_args(regs, t->call_rec.head.nr, t->call_rec.args);
	read_args(regs, compat, t->call_rec.args);
	return true;
}

/*
 * Returns whether another thread can write to the caller's memory. If so, paths and addresses are sent once more at
 * return: if they differ by then, the kernel may have read either.
 */
__inline_always bool shares_memory(void)
{
	struct mm_struct *mm = BTF_READ(UNTRUSTED(get_current_task()), mm);
	return mm && CAST_READ(mm, mm_users.counter) > 1;
}

/*
 * Looks up the directories that the paths of a call may start from, as long as the paths cannot be read: the call itself
 * may change them, like chroot(2) and chdir(2).
 */
VERIFIED_ONCE int remember_bases(struct task_state *t)
{
	if (!t)
		return 0;
	struct task_struct *task = get_current_task();
	const volatile struct plan *plan = find_plan(t->call_rec.head.flags & SYS_COMPAT, t->call_rec.head.nr);
	if (!plan)
		return 0;
	t->based_slots = t->retry_slots & PATH_SLOTS;
	t->root = root_key(task);
	t->bases[0] = base_key(task, 0, call_dirfd(t, plan, DATA_PATH));
	t->bases[1] = base_key(task, 0, call_dirfd(t, plan, DATA_PATH2));
	return 0;
}

/* Reads what only the entry of a call shows: how much room its caller has provided, and the fd in an ioctl(2). */
__inline_always void read_at_entry_only(struct task_state *t, bool compat, const volatile struct plan *plan)
{
	u8 how = plan->addr_how, command = plan->command;
	if (is_filled_in(how) && call_arg(t, plan->addr))
		t->address_room = read_address_room(call_arg(t, plan->addr), call_arg(t, plan->addr + 1), how, compat);
	if (command)
		send_ioctl_fd(call_arg(t, command), call_arg(t, command + 1), t->call_count);
}

VERIFIED_ONCE int handle_missed_return(struct task_state *t);

/* Marks the current call as not recorded. */
__inline_always void skip_call(struct task_state *t, u8 why)
{
	t->call_state = why;
	if (config.preemptible)
		t->entered_ns = begin_time; /* see handle_missed_return() */
}

__inline_always void enter_call(struct pt_regs *regs, u32 nr)
{
	struct task_struct *task;
	struct task_state *t = find_caller_state(regs, &task);
	t = refreshed_state(task, t);
	if (!t)
		return;
	if (config.preemptible && t->call_state)
		handle_missed_return(t);
	t->call_count = (t->call_count + 1) & CALL_COUNT;
	if (!t->recorded) {
		skip_call(t, CALL_ENTERED_UNRECORDED);
		t->retry_slots = 0;
		return;
	}
	bool compat = is_compat(task);
	nr = unfold_number(regs, compat, nr);
	const volatile struct plan *plan = find_plan(compat, nr);
	if (!plan || !(plan->flags & PLAN_RECORD)) {
		skip_call(t, CALL_SKIPPED);
		return;
	}
	if (plan->recorded_up_to < shed_level) {
		skip_call(t, CALL_SKIPPED);
		count_loss(t->cgroup, plan->class, LOSS_SHED);
		return;
	}
	begin_call(t, nr, compat ? SYS_COMPAT : 0);
	if (config.counts) {
		t->entered_ns = boot_time();
		return;
	}
	u8 fd = plan->fd, slots = plan->slots, rank = plan->rank;
	if (t->ring_pressed && is_over_share(t, rank)) {
		skip_call(t, CALL_OVER_SHARE);
		return;
	}
	if (fd || slots || (plan->flags & PLAN_SAVE_ARGS))
		t->unread_args = !read_entry_args(t, regs, compat, plan);
	if ((fd || slots) && !t->unread_args) {
		if (fd)
			t->call_rec.key = task_fd_key(task, call_arg(t, fd)); /* inline, unlike fd_key() */
		bool sends = plan->payload && plan->addr && !is_filled_in(plan->addr_how);
		if (sends && send_pending_address(call_arg(t, fd), t->call_count))
			slots &= ~(1 << DATA_ADDR);
		if (slots)
			t->retry_slots = send_slots(t, slots, false);
		if (t->retry_slots & PATH_SLOTS)
			remember_bases(t);
		if (slots & (PATH_SLOTS | 1 << DATA_ADDR))
			t->shared = shares_memory(); /* the other thread may have ended by the return */
		read_at_entry_only(t, compat, plan);
	}
	if (t->ring_pressed)
		charge_share(t, rank);
	t->entered_ns = boot_time();
}

/* The most arguments in a record that has a struct data_stat behind them. */
#define STAT_ARGS 4

/*
 * Puts the device and inode that a stat(2) has written behind the `nargs` arguments of its record, and makes the record a
 * REC_STAT.
 */
__inline_always void add_stat(struct task_state *t, const volatile struct plan *plan)
{
	struct data_stat stat;
	u32 nargs = plan->nargs;
	if (nargs > STAT_ARGS || !read_stat(&stat, call_arg(t, plan->stat)))
		return;
	*(struct data_stat *)&t->call_rec.args[nargs] = stat;
	t->call_rec.head.kind = REC_STAT;
}

/* Sends the record of a call with `nargs` arguments. */
__inline_always void send_call(struct task_state *t, u32 tid, s64 ret, const volatile struct plan *plan, u32 nargs)
{
	struct rec_syscall *rec = &t->call_rec;
	u64 bytes = __builtin_offsetof(struct rec_syscall, args) + nargs * 8;
	if (rec->head.kind == REC_STAT)
		bytes += sizeof(struct data_stat);
	if (bytes > sizeof(*rec))
		bytes = sizeof(*rec);
	rec->head.tid = tid;
	rec->ret = ret;
	rec->head.nr |= t->call_count << NR_BITS;
	if (!t->defined || !send_copied(rec, bytes, sizeof(*rec))) {
		t->ring_pressed = true;
		count_ring_loss(t->cgroup, plan->class);
	}
}

/* Sets the time at which the call ended, and its duration. */
__inline_always void set_duration(struct task_state *t)
{
	struct rec_syscall *rec = &t->call_rec;
	u64 from = rec->head.flags & (SYS_DENIED | SYS_NO_ENTRY) ? rec->head.time : t->entered_ns;
	rec->head.time = boot_time();
	rec->duration = rec->head.time - from;
}

/* Returns the slots to send once more because another thread may have changed the memory. */
__inline_always u32 slots_to_repeat(struct task_state *t, const volatile struct plan *plan)
{
	u32 slots = 0;
	if (plan->path[0] && !(t->call_rec.head.flags & (SYS_RET_KEY | SYS_EMPTY_PATH)))
		slots = plan->slots & PATH_SLOTS;
	if (t->address >= ADDRESS_SENT)
		slots |= 1 << DATA_ADDR;
	return slots && (t->shared || shares_memory()) ? slots : 0;
}

/* Sends the data about the bytes of a call that transferred `ret` bytes or messages. */
__inline_always void finish_payload(struct task_state *t, s64 ret, const volatile struct plan *plan)
{
	u8 how = plan->payload, msg_flags = plan->msg_flags;
	bool compat = t->call_rec.head.flags & SYS_COMPAT;
	u64 pointer = call_arg(t, 2), bytes = call_arg(t, 3);
	u32 truncates = msg_flags ? call_arg(t, msg_flags) & MSG_TRUNC : 0;
	if (t->address == ADDRESS_DNS || (t->call_rec.key & KEY_DNS))
		send_dns(pointer, how == PAYLOAD_BUFFER && bytes < ret ? bytes : ret, how, t->call_count, compat);
	if (how == PAYLOAD_MESSAGES)
		send_messages_bytes(pointer, ret, t->call_count, compat | truncates);
	else if (how == PAYLOAD_MESSAGE && truncates)
		send_message_bytes(pointer, ret, t->call_count, compat);
}

/* include/uapi/asm-generic/socket.h */
#define SOL_SOCKET 1
#define SO_ERROR 4

/* Sends the pending error of a socket that getsockopt(2) has returned. `option`: number of the argument `level`. */
__inline_always void send_socket_error(struct task_state *t, u32 option)
{
	u32 error = 0;
	if ((u32)call_arg(t, option) != SOL_SOCKET || (u32)call_arg(t, option + 1) != SO_ERROR)
		return;
	struct rec_data *rec = begin_data(get_current_task(), t->call_count, DATA_SOCKET_ERROR);
	if (!rec || !read_user_or_count(&error, sizeof(error), call_arg(t, option + 2)) || !error)
		return;
	__builtin_memcpy(rec->bytes, &error, sizeof(error));
	send_data(rec, sizeof(error));
}

/* include/uapi/linux/prctl.h */
#define PR_SET_NAME 15

/* Sends the name that the thread has given itself by prctl(2). `op`: number of the argument with the operation. */
__inline_always void send_new_name(struct task_state *t, u32 op)
{
	u64 comm[2];
	if ((u32)call_arg(t, op) != PR_SET_NAME)
		return;
	struct rec_data *rec = begin_data(get_current_task(), t->call_count, DATA_TEXT);
	if (!rec)
		return;
	read_comm(get_current_task(), comm);
	long n = bpf_probe_read_kernel_str(rec->bytes, sizeof(comm), comm);
	if (n > 0)
		send_data(rec, n);
}

/*
 * Looks up everything that is known only at the return: the fd that was created, the addresses that were set, memory
 * that can be read by now.
 */
__inline_always void finish_call(struct task_state *t, s64 ret, const volatile struct plan *plan, u32 nargs)
{
	struct rec_syscall *rec = &t->call_rec;
	u8 how = plan->addr_how, slots = t->retry_slots;
	if ((plan->flags & PLAN_RET_FD) && ret >= 0) {
		u64 key = fd_key(ret);
		if (key) {
			rec->key = key;
			rec->head.flags |= SYS_RET_KEY;
		}
	} else if ((plan->flags & PLAN_SOCK_AT_EXIT) && !t->unread_args) {
		u64 key = fd_key(call_arg(t, plan->fd));
		if (key)
			rec->key = key;
	}
	if ((plan->flags & PLAN_FORK) && t->child) {
		rec->key = t->child;
		rec->head.flags |= SYS_CHILD;
		t->child = 0;
	}
	if (t->unread_args)
		return;
	if (is_filled_in(how) && ret >= 0 && call_arg(t, plan->addr))
		slots |= 1 << DATA_ADDR;
	bool has_stat = plan->stat && ret == 0 && !rec->key;
	if (has_stat && plan->stat_how == STAT_X)
		slots |= 1 << DATA_STAT;
	if (plan->argv && ret < 0)
		slots |= 1 << DATA_ARGV;
	/* After an exec the memory belongs to another program. */
	bool execed = plan->argv && ret >= 0;
	if (!execed)
		slots |= slots_to_repeat(t, plan);
	if (slots)
		send_slots(t, slots, true);
	if (plan->option && ret == 0)
		send_socket_error(t, plan->option);
	if (plan->task_op && ret == 0)
		send_new_name(t, plan->task_op);
	if (plan->payload && ret > 0)
		finish_payload(t, ret, plan);
	/* Last, because what is added overwrites arguments that are not part of the record. */
	if (has_stat && plan->stat_how == STAT_OWN && nargs == plan->nargs)
		add_stat(t, plan);
}

/* Returns whether seccomp may refuse the task's calls. */
__inline_always bool has_seccomp(struct task_struct *task)
{
	return bpf_core_field_exists(task->seccomp.mode) && BTF_READ(task, seccomp.mode);
}

/* Sends the record of a call that has returned, with `nargs` arguments. */
__inline_always void send_return(struct task_state *t, struct task_struct *task, s64 ret,
				 const volatile struct plan *plan, u32 nargs)
{
	if ((plan->flags & PLAN_FINISH) || t->retry_slots || t->address == ADDRESS_DNS || (t->call_rec.key & KEY_DNS)) {
		finish_call(t, ret, plan, nargs);
	}
	if (!t->defined)
		define_current_task(t);
	bool pressed = t->ring_pressed;
	send_call(t, BTF_READ(task, pid), ret, plan, nargs);
	if (pressed)
		charge_share(t, plan->rank);
}

/*
 * Returns the thread's state for a return. The state is not refreshed if the entry was recorded: the record keeps the
 * caller as at the entry.
 */
__inline_always struct task_state *state_at_exit(struct task_struct *task, struct task_state *t)
{
	return !t || t->call_state != CALL_ACTIVE || epoch_changed(t) ? refreshed_state(task, t) : t;
}

/*
 * Returns the result of a call. sigreturn(2) restores an errno of a 32-bit caller as a 32-bit register, which is
 * sign-extended as in the kernel's syscall_get_error().
 */
__inline_always s64 sign_extend_errno(s64 ret, bool compat)
{
	return compat && ret > U32_MAX - MAX_ERRNO && ret <= U32_MAX ? (s32)ret : ret;
}

/* Returns the number of bytes that a call transferred, in count mode. */
__inline_always u64 counted_bytes(struct task_state *t, struct pt_regs *regs, bool compat, s64 ret,
				  const volatile struct plan *plan)
{
	u8 msg_flags = plan->msg_flags;
	if (!(plan->flags & PLAN_BYTES) || ret <= 0)
		return 0;
	if (!msg_flags)
		return ret;
	if (!read_entry_args(t, regs, compat, plan))
		return 0;
	if (!(call_arg(t, msg_flags) & MSG_TRUNC))
		return ret;
	u64 room = call_arg(t, 3);
	if (plan->payload == PAYLOAD_MESSAGE) {
		room = read_message_room(call_arg(t, 2), compat);
		if (room == ROOM_UNKNOWN)
			return 0;
	}
	return room < ret ? room : ret;
}

__inline_always void exit_call(struct pt_regs *regs, s64 ret)
{
	struct task_struct *task;
	struct task_state *t = find_caller_state(regs, &task);
	bool seen = t != 0; /* a thread without a state was in this call already */
	t = state_at_exit(task, t);
	if (!t)
		return;
	u8 call = t->call_state;
	t->call_state = CALL_NONE;
	if (!t->recorded || call == CALL_SKIPPED || call == CALL_NEW_THREAD)
		return;
	if (call == CALL_NONE)
		t->call_count = (t->call_count + 1) & CALL_COUNT;
	/* During the call the thread has entered a container, or an exec has given it a comm that is recorded. */
	if (call == CALL_ENTERED_UNRECORDED) {
		call = CALL_NONE;
		seen = false;
	}
	if (call == CALL_NONE) {
		bool is32 = is_compat(task);
		begin_call(t, unfold_number(regs, is32, call_number(regs)),
			   (is32 ? SYS_COMPAT : 0) | (seen && has_seccomp(task) ? SYS_DENIED : SYS_NO_ENTRY));
		t->call_state = CALL_NONE;
	}
	bool compat = t->call_rec.head.flags & SYS_COMPAT;
	const volatile struct plan *plan = find_plan(compat, t->call_rec.head.nr);
	if (!plan || !(plan->flags & PLAN_RECORD))
		return;
	if (call == CALL_NONE && (plan->flags & PLAN_FORK) && ret == 0)
		return; /* a new thread returns from its parent's call, and its fork was not seen */
	ret = sign_extend_errno(ret, compat);
	set_duration(t);
	if (config.counts) {
		count_call_or_loss(t, ret, counted_bytes(t, regs, compat, ret, plan), plan->class);
		return;
	}
	u8 rank = plan->rank;
	bool check_due = t->ring_pressed || (t->call_count & (CHECK_EVERY - 1)) == 1;
	if (call == CALL_OVER_SHARE || (check_due && is_over_share(t, rank))) {
		count_ring_loss(t->cgroup, plan->class);
		return;
	}
	bool saved = plan->flags & PLAN_SAVE_ARGS, denied = t->call_rec.head.flags & SYS_DENIED;
	/* The arguments of socketcall(2) and ipc(2) are in memory. If no other thread can write to it, they still are. */
	bool adopted = (plan->flags & PLAN_UNFOLD) && (t->call_rec.head.flags & SYS_NO_ENTRY);
	bool late = (adopted && !shares_memory()) || t->unread_args, unread = false;
	if (denied || late)
		unread = !read_entry_args(t, regs, compat, plan);
	else if ((plan->nargs || call == CALL_NONE) && !saved)
		read_args(regs, compat, t->call_rec.args);
	t->unread_args = unread;
	if (unread) {
		count_miss(MISS_USER_MEMORY);
	} else if (late || (call == CALL_NONE && (denied || !saved))) {
		/* Nothing was looked up at entry, but the arguments are still in the registers. */
		if (plan->fd)
			t->call_rec.key = fd_key(call_arg(t, plan->fd));
		t->retry_slots = plan->slots;
	}
	/* Arguments that were to be saved at an entry that was not seen are lost. */
	bool lost = unread || (saved && !denied && !late && (call == CALL_NONE || adopted));
	send_return(t, task, ret, plan, lost ? 0 : plan->nargs);
}

/*
 * Returns whether a task is in a call: it is not on a CPU, and its saved registers have a syscall number. Registers
 * that an interrupt saved have -1 there.
 */
__inline_always bool is_in_call(struct task_struct *task, struct pt_regs *regs)
{
	return !task->on_cpu && (s32)call_number(regs) >= 0;
}

/* include/linux/sched.h */
#define TASK_INTERRUPTIBLE 0x1
#define TASK_STOPPED 0x4
#define TASK_TRACED 0x8

/*
 * Returns whether a task is stopped by a signal, by its tracer or by the freezer of its cgroup. Its registers have a
 * syscall number, but it is stopped on the way to its program: its last call has returned, or its next call has not
 * begun. A tracer can also stop it within a call; such a call is recorded when it returns.
 */
__inline_always bool is_stopped(struct task_struct *task)
{
	struct task_struct___state *old = (void *)task;
	u64 state = 0;
	task = UNTRUSTED(task);
	if (bpf_core_field_exists(task->__state))
		state = CAST_READ(task, __state);
	else
		bpf_core_read(&state, sizeof(state), &old->state);
	if (state & (TASK_STOPPED | TASK_TRACED))
		return true;
	/* A parent that waits in vfork(2) is frozen too, but not interruptible. */
	return bpf_core_field_exists(task->frozen) && (state & TASK_INTERRUPTIBLE) &&
	       BPF_CORE_READ_BITFIELD_PROBED(task, frozen);
}

/*
 * Begins a call that the thread was in when the recording began. The file or socket of the call is looked up now, for
 * the return or for the end of the recording.
 */
__inline_always void adopt_call(struct task_state *t, struct task_struct *task, struct pt_regs *regs)
{
	bool compat = is_compat(task);
	u32 nr = unfold_number(regs, compat, call_number(regs));
	const volatile struct plan *plan = find_plan(compat, nr);
	if (!t->recorded || !plan || !(plan->flags & PLAN_RECORD)) {
		t->call_state = CALL_SKIPPED;
		return;
	}
	begin_call(t, nr, SYS_NO_ENTRY | (compat ? SYS_COMPAT : 0));
	if (plan->flags & PLAN_UNFOLD)
		return; /* the arguments are in the memory of the thread: see exit_call() */
	read_args(regs, compat, t->call_rec.args);
	if (plan->fd && !config.counts)
		t->call_rec.key = task_fd_key(task, call_arg(t, plan->fd));
}

/* Returns whether the thread is recorded but not defined yet. */
__inline_always bool must_define(struct task_state *t)
{
	return t->recorded && !t->defined && !config.counts;
}

/*
 * Sends a call that does not return: the thread dies in it, or is in it when the recording ends. `regs` are the
 * registers of the call, or null if they belong to another call by now. The thread must have been defined.
 */
__inline_always void abandon_call(struct task_state *t, struct task_struct *task, struct pt_regs *regs)
{
	bool compat = t->call_rec.head.flags & SYS_COMPAT;
	const volatile struct plan *plan = find_plan(compat, t->call_rec.head.nr);
	bool over_share = t->call_state == CALL_OVER_SHARE;
	if (!t->recorded || !(over_share || t->call_state == CALL_ACTIVE) || !plan || !(plan->flags & PLAN_RECORD))
		return;
	t->call_state = CALL_NONE;
	if (over_share) {
		count_ring_loss(t->cgroup, plan->class);
		return;
	}
	if (config.counts) {
		t->call_rec.head.flags |= SYS_NO_RETURN;
		count_call_or_loss(t, 0, 0, plan->class);
		return;
	}
	bool unseen = t->unread_args || ((plan->flags & PLAN_UNFOLD) && (t->call_rec.head.flags & SYS_NO_ENTRY));
	bool at_entry = plan->fd || plan->slots || (plan->flags & PLAN_SAVE_ARGS);
	if (regs && !(plan->flags & PLAN_SAVE_ARGS))
		read_args(regs, compat, t->call_rec.args);
	t->call_rec.head.flags |= SYS_NO_RETURN;
	if ((plan->flags & PLAN_FORK) && t->child) {
		/* vfork(2) returns only when the child has ended or executes a program. */
		t->call_rec.key = t->child;
		t->call_rec.head.flags |= SYS_CHILD;
	}
	set_duration(t);
	send_call(t, BTF_READ(task, pid), 0, plan, (regs || at_entry) && !unseen ? plan->nargs : 0);
}

/*
 * Handles a return that was not seen: the kernel did not run the program, because a thread that it had preempted was in
 * the same program (Linux 7). Calls that began before returns were seen, and calls after the end of the recording, do
 * not count.
 */
VERIFIED_ONCE int handle_missed_return(struct task_state *t)
{
	if (!t || !begin_time || t->entered_ns < begin_time || end_time != ~0ULL)
		return 0;
	count_miss(MISS_RETURN);
	if (must_define(t))
		define_current_task(t);
	abandon_call(t, get_current_task(), 0);
	return 0;
}

#endif
