/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Differences between kernel versions. The sources are compiled twice: for Linux 5.17 and newer, and with LEGACY for
 * 5.10 to 5.16. LEGACY kernels have no bpf_loop(), and their verifier accepts no pointer argument in a function that is
 * verified separately. The older of them have no task storage for tracing programs.
 */
#ifndef CTRACE_COMPAT_H
#define CTRACE_COMPAT_H

#ifdef LEGACY
#define HAS_CPU_RINGS false
#define HAS_SLOTS false
#define HAS_RDONLY_CAST false
#define RDONLY_CAST(pointer, type) ((type *)(pointer))
#else
#define HAS_CPU_RINGS config.cpu_rings
#define HAS_SLOTS config.slots
#define HAS_RDONLY_CAST config.can_cast

/* Converts a pointer that was read as a number into one whose fields can be loaded: bpf_rdonly_cast(), Linux 6.2. */
#define RDONLY_CAST(pointer, type) (HAS_RDONLY_CAST ? bpf_core_cast(pointer, type) : (type *)(pointer))
#endif

/*
 * Converts a trusted pointer into one that the verifier does not trust. For each pointer that is loaded through a
 * trusted one, the verifier searches the kernel's BTF from end to end for four names, to decide whether the loaded
 * pointer is trusted too (btf_nested_type_is_trusted(), Linux 6.2). That took half of the programs' load time. A load
 * through an untrusted pointer checks its address, which costs about a nanosecond, so code that runs for every call
 * does not use this.
 */
#define UNTRUSTED(pointer) RDONLY_CAST(pointer, typeof(*(pointer)))

/* Reads a field: directly if `direct`, otherwise with a helper that copies it. */
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
 * Reads a field through a pointer that RDONLY_CAST() returned. If the kernel cannot cast, a helper copies each field,
 * which costs some nanoseconds. The verifier removes the branch that is not taken.
 */
#define CAST_READ(pointer, field) READ_DIRECT_IF(HAS_RDONLY_CAST, pointer, field)

/* Reads 64 bits at a kernel address, whatever their type. */
#define READ_U64(address) ((u64)CAST_READ(RDONLY_CAST((void *)(address), struct timespec64), tv_sec))

/* Reads a pointer field as a number: functions that are verified separately accept no kernel pointers. */
#define READ_ADDRESS(pointer, field) READ_U64(&(pointer)->field)

#ifdef LEGACY

/* Reads a field of a pointer whose type the verifier knows. LEGACY kernels do not know the type of the current task. */
#define BTF_READ(pointer, field) READ_DIRECT_IF(false, pointer, field)

__inline_always struct task_struct *get_current_task(void)
{
	return (struct task_struct *)bpf_get_current_task();
}

/* arch/x86/include/asm/page_64_types.h; arch/arm64/include/asm/memory.h with pages of 4 or 16 KiB */
#define THREAD_SIZE 16384

/*
 * Returns the registers with which a task entered the kernel: task_pt_regs() in asm/processor.h of both architectures.
 */
__inline_always struct pt_regs *task_regs(struct task_struct *task)
{
	return (void *)BTF_READ(task, stack) + THREAD_SIZE - bpf_core_type_size(struct pt_regs);
}

__inline_always void read_comm(struct task_struct *task, u64 *comm)
{
	bpf_core_read(comm, sizeof(task->comm), &task->comm);
}

/* Calls `step` at most `times` times, until it returns nonzero. */
#define BPF_LOOP(times, step, context)                                                                                 \
	do {                                                                                                           \
		for (u32 i_ = 0; i_ < (times); i_++)                                                                   \
			if (step(i_, context))                                                                         \
				break;                                                                                 \
	} while (0)

/* A loop inside of BPF_LOOP() has too many steps for a verifier that follows each. */
#define CAN_NEST_LOOPS false

/* A function that takes a pointer and is verified separately where that is possible. */
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
#define CAN_NEST_LOOPS true

/* The verifier checks a function that is not static once, and not again at every call. */
#define VERIFIED_ONCE __noinline

#endif

extern void bpf_preempt_disable(void) __ksym __weak;
extern void bpf_preempt_enable(void) __ksym __weak;
extern void bpf_local_irq_save(unsigned long *flags) __ksym __weak;
extern void bpf_local_irq_restore(unsigned long *flags) __ksym __weak;

/*
 * Begins the work of a program: the scratch records belong to a CPU. Kernels before Linux 7 run the programs of
 * tracepoints with preemption off; there the verifier removes this code.
 */
__inline_always void disable_preemption(void)
{
	if (config.preemptible)
		bpf_preempt_disable();
}

/*
 * Ends the work of a program. While a thread is preempted inside a program, no other thread of that CPU can run the
 * program. Re-enabling preemption would reschedule a pending thread at once, inside the program. With interrupts off
 * this happens after the program has returned.
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
