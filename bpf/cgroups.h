/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Creation and removal of cgroups. Both are sent to user space, which decides whether a cgroup is a container. */
#ifndef CTRACE_CGROUPS_H
#define CTRACE_CGROUPS_H

#include "containers.h"
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

__inline_always void send_cgroup(u64 key, u64 parent, u64 hierarchy, const char *path, u8 flags)
{
	u32 zero = 0;
	struct rec_cgroup *rec = bpf_map_lookup_elem(&cgroup_scratch, &zero);
	if (!rec)
		return;
	fill_head(&rec->head, 0, REC_CGROUP);
	rec->head.flags = flags | (hierarchy ? CGROUP_V1 : 0);
	rec->cgroup = key;
	rec->parent = parent;
	bpf_get_current_comm(rec->comm, sizeof(rec->comm));
	long n = bpf_probe_read_kernel_str(rec->path, sizeof(rec->path), path);
	if (n < 0)
		n = 0;
	if (n > sizeof(rec->path))
		n = sizeof(rec->path);
	/* The kernel creates and removes cgroups one at a time, so this ring is in order too. */
	if (!send_to_ring(config.cgroup_ring, rec, __builtin_offsetof(struct rec_cgroup, path) + n))
		count_miss(MISS_DEFINITION);
}

__inline_always void make_cgroup(struct cgroup *cgroup, const char *path)
{
	u64 hierarchy, key, parent = 0;
	struct cgroup_info info = {.state = CGROUP_UNDECIDED}, *above;
	if (!is_watched(cgroup, &hierarchy))
		return;
	key = cgroup->kn->id | hierarchy;
	if (cgroup->self.parent) {
		parent = cgroup->self.parent->cgroup->kn->id | hierarchy;
		above = bpf_map_lookup_elem(&cgroups, &parent);
		/* A cgroup below a container's cgroup belongs to the container. */
		if (above && (above->state == CGROUP_CONTAINER || above->state == CGROUP_EXCLUDED))
			info = *above;
	}
	if (info.state == CGROUP_UNDECIDED)
		info.owner = key;
	if (bpf_map_update_elem(&cgroups, &key, &info, 0))
		count_miss(MISS_CGROUP);
	send_cgroup(key, parent, hierarchy, path, 0);
}

__inline_always void remove_cgroup(struct cgroup *cgroup, const char *path)
{
	u64 hierarchy, key;
	if (!is_watched(cgroup, &hierarchy))
		return;
	key = cgroup->kn->id | hierarchy;
	bpf_map_delete_elem(&cgroups, &key);
	delete_share(key);
	forget_started(key);
	send_cgroup(key, 0, hierarchy, path, CGROUP_REMOVED);
}

#endif
