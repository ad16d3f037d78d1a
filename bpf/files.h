/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* From an fd, a directory or an executable to a key, whose definition is sent once. */
#ifndef CTRACE_FILES_H
#define CTRACE_FILES_H

#include "common.h"

/* statfs(2), linux/magic.h */
#define S_IFMT 0170000
#define S_IFSOCK 0140000

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct rec_file);
} file_scratch SEC(".maps");

/* Where a walk from a file to the root of its mount tree is, and what it has gathered. */
struct walk {
	struct mount *mount;
	struct dentry *dentry;
	u64 key;
	u64 done;
};

__inline_always void walk_begin(struct walk *w, struct vfsmount *mnt, struct dentry *dentry)
{
	w->mount = CAST((void *)mnt - bpf_core_field_offset(struct mount, mnt), struct mount);
	w->dentry = dentry;
	w->done = 0;
}

/*
 * One step on the way up, across mounts, as prepend_path() in fs/d_path.c goes: returns a dentry that has a name, or
 * null for a step from a mount to where it is mounted, or at the top. The top is that of the mount namespace, so a
 * path in a chroot is told from the container's root.
 */
__inline_always struct dentry *walk_up(struct walk *w)
{
	struct mount *mount = w->mount;
	struct dentry *dentry = w->dentry;
	if (dentry == READ(mount, mnt.mnt_root)) {
		w->mount = READ(mount, mnt_parent);
		w->dentry = READ(mount, mnt_mountpoint);
		w->done = w->mount == mount;
		return 0;
	}
	w->dentry = READ(dentry, d_parent);
	w->done = w->dentry == dentry;
	return w->done ? 0 : dentry;
}

static long key_step(u32 i, struct walk *w)
{
	struct dentry *dentry = walk_up(w);
	if (dentry)
		w->key = mix(w->key, READ(dentry, d_name.hash_len));
	return w->done & 1; /* the verifier wants to see that it is 0 or 1 */
}

/*
 * A key of everything that the path depends on: each name on the way. d_name.hash_len is salted with the parent, so a
 * rename on any level gives another key; no name is read.
 */
__inline_always u64 path_key(struct vfsmount *mnt, struct dentry *dentry, u64 key)
{
	struct walk w = {.key = key};
	walk_begin(&w, mnt, dentry);
	LOOP(MAX_COMPONENTS, key_step, &w);
	return w.key;
}

static long names_step(u32 i, struct walk *w)
{
	u32 zero = 0;
	struct rec_file *rec = bpf_map_lookup_elem(&file_scratch, &zero);
	struct dentry *dentry = walk_up(w);
	if (!rec || !dentry)
		return w->done & 1; /* the verifier wants to see that it is 0 or 1 */
	u32 at = rec->bytes; /* kept there, and not in the walk, so that the verifier sees the same at every step */
	if (at >= PATH_MAX_BYTES)
		return 1;
	long n = bpf_probe_read_kernel_str(&rec->names[at & (PATH_MAX_BYTES - 1)], NAME_MAX_BYTES,
					   READ(dentry, d_name.name));
	if (n > 0)
		rec->bytes = at + n;
	return 0;
}

/* Writes the names on the way up into the scratch record, the last first. */
__inline_always void path_names(struct vfsmount *mnt, struct dentry *dentry, struct rec_file *rec)
{
	struct walk w = {};
	walk_begin(&w, mnt, dentry);
	rec->bytes = 0;
	LOOP(MAX_COMPONENTS, names_step, &w);
	if (!w.done) {
		rec->head.flags |= FILE_CUT;
		count_miss(MISS_PATH_DEPTH);
	}
}

__inline_always void define_file(u32 tid, u64 key, struct vfsmount *mnt, struct dentry *dentry, struct inode *inode)
{
	u64 stamp, *slot = seen_slot(key, &stamp);
	u32 zero = 0;
	struct rec_file *rec;

	if (!slot || *slot == stamp)
		return;
	rec = bpf_map_lookup_elem(&file_scratch, &zero);
	if (!rec)
		return;
	inode = CAST(inode, struct inode);
	dentry = CAST(dentry, struct dentry);
	fill_head(&rec->head, tid, REC_FILE);
	rec->key = key;
	struct super_block *sb = READ(inode, i_sb);
	rec->inode = READ(inode, i_ino);
	rec->mode = READ(inode, i_mode);
	rec->dev = READ(sb, s_dev);
	rec->magic = READ(sb, s_magic);
	if (!READ(dentry, d_hash.pprev) && READ(dentry, d_parent) != dentry)
		rec->head.flags |= FILE_DELETED;
	path_names(mnt, dentry, rec);
	u64 bytes = rec->bytes;
	/* A file of a kernel mount (pipe, anon_inode, memfd) has no parent; its own name tells what it is. */
	if (bytes == 0 && READ(dentry, d_parent) == dentry) {
		long n = bpf_probe_read_kernel_str(rec->names, NAME_MAX_BYTES, READ(dentry, d_name.name));
		if (n > 0)
			bytes = n;
	}
	barrier_var(bytes); /* as in send_data() */
	if (bytes > sizeof(rec->names))
		bytes = sizeof(rec->names);
	rec->bytes = bytes;
	if (send(rec, __builtin_offsetof(struct rec_file, names) + bytes))
		*slot = stamp;
	else
		count_miss(MISS_DEFINITION);
}

/* Enough to tell the names of a kernel mount's files apart: "[eventfd]", "kvm-vcpu:12". */
#define PSEUDO_NAME_BYTES 32

/* Files of a kernel mount that share an inode (anon_inode) differ in their names alone, which carry no hash. */
__inline_always u64 pseudo_key(struct dentry *dentry, u64 key)
{
	u64 name[PSEUDO_NAME_BYTES / sizeof(u64)] = {};
	bpf_probe_read_kernel_str(name, sizeof(name), READ(dentry, d_name.name));
	for (u32 i = 0; i < PSEUDO_NAME_BYTES / sizeof(u64); i++)
		key = mix(key, name[i]);
	return key;
}

/* Its definition has been sent when this returns, or counted as missing. */
WITHOUT_POINTERS u64 key_of_file(u32 tid, u64 at_mnt, u64 at_dentry, u64 at_inode)
{
	struct vfsmount *mnt = (void *)at_mnt;
	struct dentry *dentry = (void *)at_dentry;
	struct inode *inode = (void *)at_inode;
	struct super_block *sb = READ(inode, i_sb);
	u64 key = mix(READ(inode, i_ino), READ(sb, s_dev));
	key = path_key(mnt, dentry, key ^ (READ(dentry, d_hash.pprev) ? 0 : 1));
	/* A pipe has a parent as little, and no name at all. */
	if (READ(dentry, d_parent) == dentry && READ(dentry, d_name.hash_len))
		key = pseudo_key(dentry, key);
	key = finish_key(key, false);
	define_file(tid, key, mnt, dentry, inode);
	return key;
}

/* The key of a file. */
__inline_always u64 file_key(u32 tid, struct vfsmount *mnt, struct dentry *dentry, struct inode *inode)
{
	return key_of_file(tid, (u64)mnt, (u64)dentry, (u64)inode);
}

__inline_always u64 dir_key(u32 tid, struct path *path)
{
	struct dentry *dentry = LOAD(path, dentry);
	struct inode *inode = dentry ? LOAD(dentry, d_inode) : 0;
	return inode ? file_key(tid, LOAD(path, mnt), dentry, inode) : 0;
}

/* The key of the executable that a task runs; 0: it has none. */
__inline_always u64 exe_key(struct task_struct *task)
{
	struct mm_struct *mm = LOAD(task, mm);
	struct file *exe = mm ? LOAD(mm, exe_file) : 0;
	if (!exe)
		return 0;
	return file_key(LOAD(task, pid), LOAD(exe, f_path.mnt), LOAD(exe, f_path.dentry), LOAD(exe, f_inode));
}

/* The open file behind an fd of the current task, or null. */
__inline_always struct file *fd_file(struct task_struct *task, u32 fd)
{
	struct file *file = 0;
	struct files_struct *files = LOAD(task, files);
	struct fdtable *fdt;
	if (!files)
		return 0;
	fdt = LOAD(files, fdt);
	if (fd >= LOAD(fdt, max_fds))
		return 0;
	if (bpf_probe_read_kernel(&file, sizeof(file), LOAD(fdt, fd) + fd) || !file)
		return 0;
	return CAST(file, struct file);
}

#endif
