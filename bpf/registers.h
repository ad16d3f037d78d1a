/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Number and arguments of a syscall in the registers of its caller, by architecture and ABI. */
#ifndef CTRACE_REGISTERS_H
#define CTRACE_REGISTERS_H

#include "common.h"

#if defined(__TARGET_ARCH_x86)
/* arch/x86/include/asm/thread_info.h */
#define TS_COMPAT 2

__inline_always bool is_compat(struct task_struct *task)
{
	return BTF_READ(task, thread_info.status) & TS_COMPAT;
}

__inline_always u32 call_number(struct pt_regs *regs)
{
	return BTF_READ(regs, orig_ax);
}

__inline_always void read_args(struct pt_regs *regs, bool compat, u64 *args)
{
	if (compat) {
		args[0] = (u32)BTF_READ(regs, bx);
		args[1] = (u32)BTF_READ(regs, cx);
		args[2] = (u32)BTF_READ(regs, dx);
		args[3] = (u32)BTF_READ(regs, si);
		args[4] = (u32)BTF_READ(regs, di);
		args[5] = (u32)BTF_READ(regs, bp);
	} else {
		args[0] = BTF_READ(regs, di);
		args[1] = BTF_READ(regs, si);
		args[2] = BTF_READ(regs, dx);
		args[3] = BTF_READ(regs, r10);
		args[4] = BTF_READ(regs, r8);
		args[5] = BTF_READ(regs, r9);
	}
}

/* arch/x86/entry/syscalls/syscall_32.tbl, include/uapi/linux/net.h */
#define NR_SOCKETCALL 102
#define SYS_SENDMMSG 20

/* include/uapi/linux/ipc.h: semaphores have 1 to 4, messages 11 to 14, shared memory 21 to 24. */
#define NR_IPC 117
enum ipc_call {
	IPC_SEMOP = 1,
	IPC_SEMTIMEDOP = 4,
	IPC_MSGSND,
	IPC_MSGRCV,
	IPC_SHMAT = 9,
	IPC_SHMDT,
	IPC_MSGCTL = 8,
	IPC_SHMCTL = 12,
};

/* Returns the index of a call of ipc(2) in the list of all its calls, from 1, or 0 if there is no such call. */
__inline_always u32 ipc_index(u32 call)
{
	call &= 0xffff; /* the high bits are a version of the interface */
	u32 group = call / 10, in_group = call % 10;
	return group < 3 && in_group >= 1 && in_group <= 4 ? group * 4 + in_group : 0;
}

/* Returns the number of a syscall. A call of socketcall(2) or ipc(2) has a number of its own. */
__inline_always u32 unfold_number(struct pt_regs *regs, bool compat, u32 nr)
{
	u32 call = BTF_READ(regs, bx);
	if (!compat)
		return nr < MAX_SYSCALLS ? nr : NO_CALL;
	if (nr == NR_SOCKETCALL && call >= 1 && call <= SYS_SENDMMSG)
		return SOCKETCALL_BASE + call;
	if (nr == NR_IPC && ipc_index(call))
		return IPC_BASE + ipc_index(call);
	return nr <= IPC_BASE ? nr : NO_CALL;
}

/*
 * Copies the registers of an ipc(2) in the order of the arguments of the call that it stands for (ipc/syscall.c). Returns
 * false if memory with arguments cannot be read.
 */
__inline_always bool unfold_ipc(struct pt_regs *regs, u32 call, u64 *args)
{
	u32 second = BTF_READ(regs, dx), third = BTF_READ(regs, si), pointer = BTF_READ(regs, di);
	args[0] = (u32)BTF_READ(regs, cx);
	args[1] = second;
	args[2] = third;
	args[3] = pointer;
	args[4] = args[5] = 0;
	switch (call) {
	case IPC_MSGRCV:
		args[4] = third;
		/* version 0: a struct ipc_kludge has the pointer and the type */
		if (!((u32)BTF_READ(regs, bx) >> 16)) {
			u32 kludge[2] = {};
			if (bpf_probe_read_user(kludge, sizeof(kludge), (void *)(u64)pointer))
				return false;
			args[1] = kludge[0];
			args[2] = second;
			args[3] = kludge[1];
			break;
		}
		/* fallthrough */
	case IPC_SEMTIMEDOP:
		args[3] = (u32)BTF_READ(regs, bp);
		/* fallthrough */
	case IPC_SEMOP:
	case IPC_SHMAT:
		args[1] = pointer;
		args[2] = second;
		break;
	case IPC_MSGSND:
		args[1] = pointer;
		args[2] = second;
		args[3] = third;
		break;
	case IPC_SHMDT:
		args[0] = pointer;
		break;
	case IPC_MSGCTL:
	case IPC_SHMCTL:
		args[2] = pointer;
		break;
	}
	return true;
}

/* Returns the number of arguments of a call of socketcall(2): `nargs` of net/socket.c, in three bits for each call. */
__inline_always u32 socketcall_args(u32 call)
{
	return 0454335526644433323330 >> (3 * (call & 31)) & 7;
}

/*
 * Reads the arguments of the call that a socketcall(2) or ipc(2) stands for. Returns false if memory with arguments
 * cannot be read.
 */
__inline_always bool unfold_args(struct pt_regs *regs, u32 nr, u64 *args)
{
	u64 from = (u32)BTF_READ(regs, cx);
	if (nr <= SOCKETCALL_BASE)
		return unfold_ipc(regs, nr - IPC_BASE, args);
	for (u32 i = 0; i < 6; i++) {
		/* Read one by one: the memory may hold fewer than six. */
		u32 arg = 0;
		if (bpf_probe_read_user(&arg, sizeof(arg), (void *)from + i * sizeof(arg)) &&
		    i < socketcall_args(nr - SOCKETCALL_BASE))
			return false;
		args[i] = arg;
	}
	return true;
}
#elif defined(__TARGET_ARCH_arm64)
/* arch/arm64/include/asm/thread_info.h */
#define TIF_32BIT 22

__inline_always bool is_compat(struct task_struct *task)
{
	return BTF_READ(task, thread_info.flags) & (1UL << TIF_32BIT);
}

__inline_always u32 call_number(struct pt_regs *regs)
{
	return BTF_READ(regs, syscallno);
}

__inline_always void read_args(struct pt_regs *regs, bool compat, u64 *args)
{
	args[0] = BTF_READ(regs, orig_x0);
	for (int i = 1; i < 6; i++)
		args[i] = BTF_READ(regs, regs[i]);
}

__inline_always u32 unfold_number(struct pt_regs *regs, bool compat, u32 nr)
{
	return nr < MAX_SYSCALLS ? nr : NO_CALL;
}

__inline_always bool unfold_args(struct pt_regs *regs, u32 nr, u64 *args)
{
	return true;
}
#endif

#endif
