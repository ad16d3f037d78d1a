/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Containers without a cgroup: the machine's cgroups belong to root, so that a user's runtime may have none of its own.
 * Such a container begins with the first process of a pid namespace, in a user and a mount namespace that are not the
 * machine's and with a root directory of its own, and ends with that process.
 */
#ifndef CTRACE_NAMESPACES_H
#define CTRACE_NAMESPACES_H

#include "cgroups.h"

/* The most levels of user namespaces: create_user_ns() in kernel/user_namespace.c. */
#define USER_NS_LEVELS 33

/* Returns the uid of the user in whose namespace a task's user namespace is, as the machine sees the user. */
__inline_always u32 user_ns_owner(struct task_struct *task)
{
	struct user_namespace *ns = BTF_READ(BTF_READ(task, cred), user_ns);
	for (int i = 0; i < USER_NS_LEVELS && ns && BTF_READ(ns, level) > 1; i++)
		ns = BTF_READ(ns, parent);
	return ns ? BTF_READ(ns, owner.val) : 0;
}

/* Sends the beginning or the end of the container of a task. */
__inline_always void send_namespace(u64 key, struct task_struct *task, u8 flags)
{
	struct rec_cgroup *rec = cgroup_record(key, BTF_READ(task, tgid), flags);
	if (!rec)
		return;
	rec->owner = user_ns_owner(task);
	rec->mount_ns = mount_ns(task);
	rec->path[0] = 0;
	send_cgroup_record(rec, 1);
}

/*
 * Handles a task that executes a program, or that exists when the recording begins: `flags` is CGROUP_FOUND. Returns whether
 * it is the first process of a container without a cgroup. A task with the root directory of its parent is a runtime that
 * has not set the root directory yet.
 */
__inline_always bool begin_container(struct task_struct *task, u8 flags)
{
	task = UNTRUSTED(task);
	u32 ns = mount_ns(task);
	if (!ns || !config.mount_ns || ns == config.mount_ns || !user_ns_level(task) || own_pid(task) != 1)
		return false;
	struct fs_struct *fs = BTF_READ(task, fs), *above = BTF_READ(BTF_READ(task, real_parent), fs);
	if (!fs || !above || BTF_READ(fs, root.dentry) == BTF_READ(above, root.dentry))
		return false;
	if (find_container(task).state != CGROUP_HOST)
		return false;
	u64 key = namespace_key(task);
	send_namespace(key, task, take_slot(key, flags | (user_ns_owner(task) ? CGROUP_FOREIGN : 0)));
	return true;
}

/* Handles the end of a process in the container `key`. The parent of the first process is outside of the container. */
__inline_always void end_container(u64 key, struct task_struct *task)
{
	task = UNTRUSTED(task);
	u32 above = mount_ns(BTF_READ(task, real_parent));
	if (own_pid(task) != 1 || !above || above == mount_ns(task))
		return;
	free_slots(key);
	send_namespace(key, task, CGROUP_REMOVED);
}

#endif
