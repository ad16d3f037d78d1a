/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What differs between kernels. The sources are compiled twice: for Linux 5.17 and newer, and with LEGACY for 5.10 to
 * 5.16, which have no bpf_loop(), whose verifier takes no pointer in a function that it verifies by itself, and of which
 * the older ones have no task storage for tracepoints.
 */
#ifndef CTRACE_COMPAT_H
#define CTRACE_COMPAT_H

#ifdef LEGACY
#define HAS_RDONLY_CAST false
#define RDONLY_CAST(pointer, type) ((type *)(pointer))
#else
#define HAS_RDONLY_CAST config.can_cast
/* A pointer that was read as a number, as one whose fields can be loaded: bpf_rdonly_cast(), Linux 6.2. */
#define RDONLY_CAST(pointer, type) (HAS_RDONLY_CAST ? bpf_core_cast(pointer, type) : (type *)(pointer))
#endif

/*
 * A pointer that the verifier trusts, as one that it does not. Of each pointer that is loaded through one that it trusts it
 * searches the kernel's BTF, from end to end and by four names, for whether it may trust that too
 * (btf_nested_type_is_trusted(), Linux 6.2): half of the time that loading took. A load through what is not trusted has
 * its address checked, some nanosecond, so that what runs at each call does without.
 */
#define UNTRUSTED(pointer) RDONLY_CAST(pointer, typeof(*(pointer)))

#define READ_DIRECT_IF(direct, pointer, field)                                                                         \
	({                                                                                                             \
		typeof(pointer) from_ = (pointer);                                                                     \
		typeof(from_->field) value_;                                                                           \
		if (direct)                                                                                            \
			value_ = from_->field;                                                                         \
		else                                                                                                   \
			bpf_core_read(&value_, sizeof(value_), &from_->field);                                         \
		value_;                                                                                                \
	})
/*
 * A field of what CAST() gave. Where the kernel cannot cast, each field is copied by a helper, which costs some
 * nanoseconds. The verifier drops the branch that is not ours.
 */
#define CAST_READ(pointer, field) READ_DIRECT_IF(HAS_RDONLY_CAST, pointer, field)
/* The 64 bits at an address of the kernel's, whatever they are. */
#define READ_U64(address) ((u64)CAST_READ(RDONLY_CAST((void *)(address), struct timespec64), tv_sec))
/* A pointer, read as a number: only these go to a function that is verified by itself. */
#define READ_ADDRESS(pointer, field) READ_U64(&(pointer)->field)

#ifdef LEGACY

/* A field of what the kernel knows the type of: LEGACY kernels do not know that of the current task. */
#define BTF_READ(pointer, field) READ_DIRECT_IF(false, pointer, field)

__inline_always struct task_struct *get_current_task(void)
{
	return (struct task_struct *)bpf_get_current_task();
}

/* arch/x86/include/asm/page_64_types.h; arch/arm64/include/asm/memory.h, with pages of 4 or 16 KiB */
#define THREAD_SIZE 16384

/* The registers with which a task has entered the kernel: task_pt_regs() in asm/processor.h of each. */
__inline_always struct pt_regs *task_regs(struct task_struct *task)
{
	return (void *)BTF_READ(task, stack) + THREAD_SIZE - bpf_core_type_size(struct pt_regs);
}

__inline_always void read_comm(struct task_struct *task, u64 *comm)
{
	bpf_core_read(comm, sizeof(task->comm), &task->comm);
}

/* Calls `step` until it says that it is done. */
#define BPF_LOOP(times, step, context)                                                                                 \
	do {                                                                                                           \
		for (u32 i_ = 0; i_ < (times); i_++)                                                                   \
			if (step(i_, context))                                                                         \
				break;                                                                                 \
	} while (0)

/* A function that takes a pointer, and is verified once if that can be. */
#define VERIFIED_ONCE static __noinline

#else

#define BTF_READ(pointer, field) ((pointer)->field)

__inline_always struct task_struct *get_current_task(void)
{
	return bpf_get_current_task_btf();
}

__inline_always struct pt_regs *task_regs(struct task_struct *task)
{
	return (struct pt_regs *)bpf_task_pt_regs(task);
}

__inline_always void read_comm(struct task_struct *task, u64 *comm)
{
	u64 *from = (u64 *)task->comm;
	comm[0] = from[0];
	comm[1] = from[1];
}

#define BPF_LOOP(times, step, context) bpf_loop(times, step, context, 0)
/* Functions that are not static are verified once, and not at every call. */
#define VERIFIED_ONCE __noinline

#endif

extern void bpf_preempt_disable(void) __ksym __weak;
extern void bpf_preempt_enable(void) __ksym __weak;
extern void bpf_local_irq_save(unsigned long *flags) __ksym __weak;
extern void bpf_local_irq_restore(unsigned long *flags) __ksym __weak;
/*
 * Around a program's work: the scratch records are a CPU's own. Kernels before Linux 7 run a tracepoint's programs with
 * preemption off, and the verifier drops this there.
 */
__inline_always void disable_preemption(void)
{
	if (config.preemptible)
		bpf_preempt_disable();
}
/*
 * A thread that is preempted inside a program keeps all others of the CPU from running it. One that is due to be
 * preempted would be as soon as it may, which is here, had it interrupts: so it is once the program has ended.
 */
__inline_always void enable_preemption(void)
{
	unsigned long flags;
	if (!config.preemptible)
		return;
	bpf_local_irq_save(&flags);
	bpf_preempt_enable();
	bpf_local_irq_restore(&flags);
}

#endif
