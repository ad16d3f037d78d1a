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

/* Remembers that a program of a container has started: that of `task`, if there was none before. */
__inline_always void mark_started(u64 owner, struct task_struct *task)
{
	u32 ns = mount_ns(task);
	if (bpf_map_update_elem(&started, &owner, &ns, BPF_NOEXIST) || !ns || !config.mount_ns || ns == config.mount_ns)
		return;
	bpf_map_update_elem(&mount_namespaces, &ns, &owner, 0);
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

/* Looks up what user space or cgroup_mkdir has stored about a cgroup. Returns false if nothing is known. */
__inline_always bool lookup_cgroup(struct cgroup *cgroup, u64 hierarchy, u64 *key, struct cgroup_info *info)
{
	struct cgroup_info *found;
	if (!cgroup)
		return false;
	*key = BTF_READ(BTF_READ(cgroup, kn), id) | hierarchy;
	found = bpf_map_lookup_elem(&cgroups, key);
	if (!found)
		return false;
	*info = *found;
	return true;
}

__inline_always struct cgroup *v1_cgroup(struct css_set *set)
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
	return css ? BTF_READ(css, cgroup) : 0;
}

/*
 * Finds the container of a task in a cgroup of the host by the mount namespace: nsenter(1) joins the namespaces of a
 * container, not its cgroup. Changes `info` only if there is such a container.
 */
__inline_always void find_by_mount_ns(struct task_struct *task, struct cgroup_info *info)
{
	u32 ns = mount_ns(task);
	if (!ns || ns == config.mount_ns)
		return;
	u64 *owner = bpf_map_lookup_elem(&mount_namespaces, &ns);
	struct cgroup_info *found = owner ? bpf_map_lookup_elem(&cgroups, owner) : 0;
	if (found)
		*info = *found;
}

/*
 * Returns the container of a task. On a hybrid machine a runtime may have used either hierarchy, so both are looked up.
 */
__inline_always struct cgroup_info find_container(struct task_struct *task)
{
	struct cgroup_info info = {.state = CGROUP_HOST}, unified = {.state = CGROUP_HOST};
	struct css_set *set = BTF_READ(task, cgroups);
	u64 key = 0;
	if (config.v1_controller && lookup_cgroup(v1_cgroup(set), CGROUP_KEY_V1, &key, &info) &&
	    info.state != CGROUP_HOST)
		return info;
	if (lookup_cgroup(BTF_READ(set, dfl_cgrp), 0, &key, &unified))
		info = unified;
	if (info.state == CGROUP_HOST)
		find_by_mount_ns(task, &info);
	return info;
}

#endif
