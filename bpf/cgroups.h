/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Creation and removal of cgroups. Both are sent to user space, which decides whether a cgroup is a container. */
#ifndef CTRACE_CGROUPS_H
#define CTRACE_CGROUPS_H

#include "tasks.h"
#include "ring_share.h"

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct rec_cgroup);
} cgroup_scratch SEC(".maps");

__inline_always bool is_watched(struct cgroup *cgroup, u64 *hierarchy)
{
	u32 id = cgroup->root->hierarchy_id;
	*hierarchy = 0;
	if (id == 0) /* the default hierarchy, v2: cgroup_init() gives it the first id */
		return true;
	*hierarchy = CGROUP_KEY_V1;
	return id == config.v1_hierarchy;
}

/* Returns the record of the cgroup or container `key` without its path, or null. */
__inline_always struct rec_cgroup *cgroup_record(u64 key, u32 tid, u8 flags)
{
	u32 zero = 0;
	struct rec_cgroup *rec = bpf_map_lookup_elem(&cgroup_scratch, &zero);
	if (!rec)
		return 0;
	fill_head(&rec->head, tid, REC_CGROUP);
	rec->head.flags = flags | (key & CGROUP_KEY_V1 ? CGROUP_V1 : 0);
	rec->cgroup = key;
	rec->owner = 0;
	rec->mount_ns = 0;
	bpf_get_current_comm(rec->comm, sizeof(rec->comm));
	return rec;
}

/*
 * Sends a record whose path has `n` bytes. The kernel creates and removes cgroups one at a time, so the ring is in order but
 * for containers without a cgroup.
 */
__inline_always void send_cgroup_record(struct rec_cgroup *rec, long n)
{
	if (!send_to_ring(config.cgroup_ring, rec, __builtin_offsetof(struct rec_cgroup, path) + n))
		count_miss(MISS_DEFINITION);
}

__inline_always void send_cgroup(u64 key, const char *path, u8 flags)
{
	struct rec_cgroup *rec = cgroup_record(key, 0, flags);
	if (!rec)
		return;
	long n = bpf_probe_read_kernel_str(rec->path, sizeof(rec->path), path);
	if (n < 0)
		n = 0;
	if (n > sizeof(rec->path))
		n = sizeof(rec->path);
	send_cgroup_record(rec, n);
}

/* Returns whether the current task is another user's than root, or a container's. */
__inline_always bool is_current_foreign(void)
{
	struct task_struct *task = get_current_task();
	struct task_state *t = find_task_state(task);
	if (t && t->cgroup && t->origin == ORIGIN_CONTAINER)
		return true;
	task = UNTRUSTED(task);
	u32 state = find_container(task).state;
	return BTF_READ(BTF_READ(task, cred), euid.val) != 0 || (state != CGROUP_HOST && state != CGROUP_UNDECIDED);
}

/* Takes a slot for a new cgroup. Returns the flags with CGROUP_NO_SLOT if none is left. */
__inline_always u8 take_slot(u64 key, u8 flags)
{
	u8 any = 0;
	long failed = flags & CGROUP_FOREIGN ? bpf_map_update_elem(&foreign, &key, &any, 0)
					     : bpf_map_update_elem(&undecided, &key, &any, 0);
	if (!failed)
		return flags;
	u32 i = key & CGROUP_KEY_V1 ? 1 : 0;
	u64 id = key & ~CGROUP_KEY_V1;
	if (no_slot_from[i] > id)
		no_slot_from[i] = id;
	count_miss(MISS_CGROUP);
	return flags | CGROUP_NO_SLOT;
}

/* Frees the slots of a cgroup that was removed. */
__inline_always void free_slots(u64 key)
{
	bpf_map_delete_elem(&cgroups, &key);
	bpf_map_delete_elem(&undecided, &key);
	bpf_map_delete_elem(&foreign, &key);
	delete_share(key);
	forget_started(key);
}

__inline_always void make_cgroup(struct cgroup *cgroup, const char *path)
{
	u64 hierarchy, key;
	struct cgroup_info above = {.state = CGROUP_HOST};
	if (!is_watched(cgroup, &hierarchy))
		return;
	cgroup = UNTRUSTED(cgroup);
	key = BTF_READ(BTF_READ(cgroup, kn), id) | hierarchy;
	struct cgroup_subsys_state *css = BTF_READ(cgroup, self.parent);
	if (css)
		find_owner(READ_ADDRESS(css, cgroup), hierarchy, &above);
	u8 flags = is_current_foreign() ? CGROUP_FOREIGN : 0;
	/* A cgroup below a container's cgroup belongs to the container. */
	if (above.state != CGROUP_CONTAINER && above.state != CGROUP_EXCLUDED)
		flags = take_slot(key, flags);
	send_cgroup(key, path, flags);
}

__inline_always void remove_cgroup(struct cgroup *cgroup, const char *path)
{
	u64 hierarchy, key;
	if (!is_watched(cgroup, &hierarchy))
		return;
	key = cgroup->kn->id | hierarchy;
	free_slots(key);
	send_cgroup(key, path, CGROUP_REMOVED);
}

#endif
