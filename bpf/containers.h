/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Containers: which one a task belongs to, and whether a program of the container has started. */
#ifndef CTRACE_CONTAINERS_H
#define CTRACE_CONTAINERS_H

#include "common.h"

/* Containers in which a program has been executed. Key: the container's cgroup; value: mount namespace of the program. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384);
	__type(key, u64);
	__type(value, u32);
} started SEC(".maps");

/* Key: inode number of a mount namespace of `started`; value: the container's cgroup. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384);
	__type(key, u32);
	__type(value, u64);
} mount_namespaces SEC(".maps");

/* Returns the inode number of a task's mount namespace, or 0 if the task is ending. */
__inline_always u32 mount_ns(struct task_struct *task)
{
	struct nsproxy *namespaces = BTF_READ(task, nsproxy);
	return namespaces ? BTF_READ(BTF_READ(namespaces, mnt_ns), ns.inum) : 0;
}

/* Returns the level of a task's user namespace; 0 is the machine's. */
__inline_always int user_ns_level(struct task_struct *task)
{
	return BTF_READ(BTF_READ(BTF_READ(task, cred), user_ns), level);
}

/* Returns the key of a container without a cgroup: CGROUP_KEY_NS and the number of a task's mount namespace. */
__inline_always u64 namespace_key(struct task_struct *task)
{
	struct nsproxy *namespaces = BTF_READ(task, nsproxy);
	struct mnt_namespace *ns = namespaces ? BTF_READ(namespaces, mnt_ns) : 0;
	if (!ns)
		return 0;
	return CGROUP_KEY_NS | (bpf_core_field_exists(ns->seq) ? BTF_READ(ns, seq) : BTF_READ(ns, ns.ns_id));
}

/* Remembers that a program of a container has started: that of `task`, if there was none before. */
__inline_always void mark_started(u64 owner, struct task_struct *task)
{
	u32 ns = mount_ns(task);
	long failed = bpf_map_update_elem(&started, &owner, &ns, BPF_NOEXIST);
	if (!failed && ns && config.mount_ns && ns != config.mount_ns)
		failed = bpf_map_update_elem(&mount_namespaces, &ns, &owner, 0);
	if (failed && failed != -EEXIST)
		count_miss(MISS_STARTED);
}

/* Forgets a container whose cgroup has been removed. */
__inline_always void forget_started(u64 owner)
{
	u32 *ns = bpf_map_lookup_elem(&started, &owner);
	u64 *holder = ns ? bpf_map_lookup_elem(&mount_namespaces, ns) : 0;
	if (holder && *holder == owner)
		bpf_map_delete_elem(&mount_namespaces, ns);
	if (ns)
		bpf_map_delete_elem(&started, &owner);
}

/* Looks up what is known about the cgroup itself. Returns false if nothing is. The key is on the stack. */
__inline_always bool lookup_cgroup(u64 *key, struct cgroup_info *info)
{
	struct cgroup_info *found = bpf_map_lookup_elem(&cgroups, key);
	if (found) {
		*info = *found;
		return true;
	}
	info->owner = *key;
	info->state = CGROUP_UNDECIDED;
	if (bpf_map_lookup_elem(&undecided, key))
		return true;
	info->state = CGROUP_UNKNOWN;
	return bpf_map_lookup_elem(&foreign, key) != 0;
}

/* Returns whether there may have been no slot for a cgroup that has no entry. */
__inline_always bool may_lack_slot(u64 key)
{
	u64 id = key & ~CGROUP_KEY_V1;
	return id >= no_slot_from[key == id ? 0 : 1];
}

/*
 * Finds out whose the cgroup at `address` is, by the nearest entry of the cgroup and those above it. Without an entry it is
 * the host's, unless the entry of one of them may be missing or they are too many: then it is not known whose it is.
 */
VERIFIED_ONCE int find_owner(u64 address, u64 hierarchy, struct cgroup_info *info)
{
	u64 key, first = 0, without_slot = 0;
	if (!info)
		return 0;
	info->owner = 0;
	info->state = CGROUP_HOST;
	for (u32 i = 0; i < CGROUP_LEVELS && address; i++) {
		struct cgroup *cgroup = RDONLY_CAST((void *)address, struct cgroup);
		struct cgroup_info found = {};
		u64 above = (u64)CAST_READ(cgroup, self.parent);
		key = CAST_READ(RDONLY_CAST((void *)CAST_READ(cgroup, kn), struct kernfs_node), id) | hierarchy;
		if (!first)
			first = key;
		if (lookup_cgroup(&key, &found)) {
			if (without_slot && (found.state == CGROUP_UNDECIDED || found.state == CGROUP_UNKNOWN)) {
				found.owner = without_slot;
				found.state = CGROUP_UNKNOWN;
			}
			*info = found;
			return 0;
		}
		if (!without_slot && may_lack_slot(key))
			without_slot = key;
		address = above ? (u64)CAST_READ(RDONLY_CAST((void *)above, struct cgroup_subsys_state), cgroup) : 0;
	}
	if (address && !without_slot)
		without_slot = first;
	if (without_slot) {
		info->owner = without_slot;
		info->state = CGROUP_UNKNOWN;
	}
	return 0;
}

/* Returns the address of the v1 cgroup, or 0. */
__inline_always u64 v1_cgroup(struct css_set *set)
{
	struct cgroup_subsys_state *css = 0;
	switch (config.v1_controller) {
	case V1_PIDS:
		css = BTF_READ(set, subsys[bpf_core_enum_value(enum cgroup_subsys_id, pids_cgrp_id)]);
		break;
	case V1_MEMORY:
		css = BTF_READ(set, subsys[bpf_core_enum_value(enum cgroup_subsys_id, memory_cgrp_id)]);
		break;
	case V1_DEVICES:
		css = BTF_READ(set, subsys[bpf_core_enum_value(enum cgroup_subsys_id, devices_cgrp_id)]);
		break;
	case V1_CPU:
		css = BTF_READ(set, subsys[bpf_core_enum_value(enum cgroup_subsys_id, cpu_cgrp_id)]);
		break;
	case V1_FREEZER:
		css = BTF_READ(set, subsys[bpf_core_enum_value(enum cgroup_subsys_id, freezer_cgrp_id)]);
		break;
	}
	return css ? READ_ADDRESS(css, cgroup) : 0;
}

/*
 * Finds the container of a task in a cgroup of the host by the mount namespace: nsenter(1) joins the namespaces of a
 * container, not its cgroup, and there are containers without a cgroup. Changes `info` only if there is such a container.
 */
__inline_always void find_by_mount_ns(struct task_struct *task, struct cgroup_info *info)
{
	u32 ns = mount_ns(task);
	if (!ns || ns == config.mount_ns)
		return;
	u64 *owner = bpf_map_lookup_elem(&mount_namespaces, &ns);
	struct cgroup_info found = {};
	u64 key = owner ? *owner : namespace_key(task); /* on the stack: before Linux 6.2 a key cannot be elsewhere */
	if (lookup_cgroup(&key, &found)) {
		*info = found;
	} else if (!owner && may_lack_slot(key) && user_ns_level(task)) {
		info->owner = key;
		info->state = CGROUP_UNKNOWN;
	}
}

/*
 * Returns the container of a task, by its cgroups. On a hybrid machine a runtime may have used either hierarchy, so both are
 * looked up.
 */
__inline_always struct cgroup_info find_container(struct task_struct *task)
{
	struct cgroup_info info = {.state = CGROUP_HOST}, unified = {.state = CGROUP_HOST};
	struct css_set *set = BTF_READ(task, cgroups);
	if (config.v1_controller) {
		find_owner(v1_cgroup(set), CGROUP_KEY_V1, &info);
		if (info.state != CGROUP_HOST)
			return info;
	}
	find_owner(READ_ADDRESS(set, dfl_cgrp), 0, &unified);
	if (unified.state != CGROUP_HOST || unified.owner)
		info = unified;
	if (info.state == CGROUP_HOST)
		find_by_mount_ns(task, &info);
	return info;
}

#endif
