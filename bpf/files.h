/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Keys of files, directories and executables. The definition behind a key is sent once. */
#ifndef CTRACE_FILES_H
#define CTRACE_FILES_H

#include "rings.h"

/* statfs(2), linux/magic.h */
#define S_IFMT 0170000
#define S_IFSOCK 0140000
#define NSFS_MAGIC 0x6e736673
#define OVERLAYFS_SUPER_MAGIC 0x794c7630

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct rec_file);
} file_scratch SEC(".maps");

/* State of a walk from a file to the root of its mount namespace. */
struct path_walk {
	struct mount *mount;
	struct dentry *root; /* root of `mount` */
	struct dentry *dentry;
	u64 key;
	u64 done; /* 0, or enum walk_end */
	u64 crossed; /* has left the file's mount */
};

/* Where a walk has ended. Bit 0 is set in each: see hash_step(). */
enum walk_end {
	WALK_TOP = 1, /* at the root of a mount without a parent */
	WALK_LOST = 3, /* at a dentry without a parent that is not the root of the mount */
};

__inline_always void begin_path_walk(struct path_walk *w, struct vfsmount *mnt, struct dentry *dentry)
{
	w->mount = RDONLY_CAST((void *)mnt - bpf_core_field_offset(struct mount, mnt), struct mount);
	w->root = CAST_READ(w->mount, mnt.mnt_root);
	w->dentry = dentry;
	w->done = 0;
	w->crossed = 0;
}

/*
 * One step of the walk up, across mounts, as in prepend_path() of fs/d_path.c. Returns a dentry that has a name, or
 * null at the top and for a step from a mount to its mount point. The top is the root of the mount namespace, so a path
 * in a chroot is reported from the container's root.
 */
__inline_always struct dentry *path_walk_up(struct path_walk *w)
{
	struct mount *mount = w->mount;
	struct dentry *dentry = w->dentry;
	if (dentry == w->root) {
		w->mount = CAST_READ(mount, mnt_parent);
		w->root = CAST_READ(w->mount, mnt.mnt_root);
		w->dentry = CAST_READ(mount, mnt_mountpoint);
		w->done = w->mount == mount ? WALK_TOP : 0;
		return 0;
	}
	w->dentry = CAST_READ(dentry, d_parent);
	w->done = w->dentry == dentry ? WALK_LOST : 0;
	return w->done ? 0 : dentry;
}

/* Namespaces of mounts that only the kernel uses are error pointers: MNT_NS_INTERNAL of fs/mount.h. */
#define IS_ERROR(pointer) ((u64)(pointer) >= (u64)-MAX_ERRNO)

/*
 * Returns whether a mount was made by fsmount(2) or open_tree(2) and not attached yet: its namespace has no inode
 * number, or since Linux 6.18 the number of all such namespaces.
 */
__inline_always bool is_unattached(struct mount *mount)
{
	struct mnt_namespace *ns = CAST_READ(mount, mnt_ns);
	if (!ns || IS_ERROR(ns))
		return false;
	ns = RDONLY_CAST(ns, struct mnt_namespace);
	u32 inum = CAST_READ(ns, ns.inum);
	if (bpf_core_enum_value_exists(enum init_ns_ino, MNT_NS_ANON_INO) &&
	    inum == (u32)bpf_core_enum_value(enum init_ns_ino, MNT_NS_ANON_INO))
		return true;
	return inum == 0;
}

/* Returns whether a mount without a parent is in no mount namespace: unattached, unmounted, or the kernel's own. */
__inline_always bool is_detached(struct mount *mount)
{
	struct mnt_namespace *ns = CAST_READ(mount, mnt_ns);
	return !ns || IS_ERROR(ns) || is_unattached(mount);
}

/* Steps of a walk that run inline, without a function call each. Few paths need more. */
#define INLINE_COMPONENTS 8

__inline_always void hash_component(struct path_walk *w)
{
	struct dentry *dentry = path_walk_up(w);
	if (dentry)
		w->key = mix_hash(w->key, CAST_READ(dentry, d_name.hash_len));
}

static long hash_step(u32 i, struct path_walk *w)
{
	hash_component(w);
	return w->done & 1; /* the verifier has to see that the value is 0 or 1 */
}

/*
 * Hashes everything that the path depends on, which is each name on the way up. d_name.hash_len is salted with the
 * parent, so a rename on any level changes the hash. No name is read.
 */
__inline_always u64 hash_path(struct vfsmount *mnt, struct dentry *dentry, u64 key)
{
	struct path_walk w = {.key = key};
	begin_path_walk(&w, mnt, dentry);
	for (u32 i = 0; i < INLINE_COMPONENTS && !w.done; i++)
		hash_component(&w);
	if (!w.done)
		BPF_LOOP(MAX_COMPONENTS, hash_step, &w);
	/* The mount may be attached later, where the names are the same. */
	if (HAS_RDONLY_CAST && w.done == WALK_TOP && is_unattached(RDONLY_CAST(w.mount, struct mount)))
		w.key = mix_hash(w.key, 1);
	return w.key;
}

static long copy_name_step(u32 i, struct path_walk *w)
{
	u32 zero = 0;
	struct rec_file *rec = bpf_map_lookup_elem(&file_scratch, &zero);
	struct dentry *dentry = path_walk_up(w);
	if (!rec)
		return 1;
	if (!dentry) {
		if (!w->crossed)
			rec->head.nr = rec->bytes;
		w->crossed = 1;
		return w->done & 1; /* the verifier has to see that the value is 0 or 1 */
	}
	u32 at = rec->bytes; /* not kept in `w`, so that the verifier sees the same state at every step */
	if (at >= PATH_MAX_BYTES)
		return 1;
	long n = bpf_probe_read_kernel_str(&rec->names[at & (PATH_MAX_BYTES - 1)], NAME_MAX_BYTES,
					   CAST_READ(dentry, d_name.name));
	if (n > 0)
		rec->bytes = at + n;
	return 0;
}

/* Copies the names on the way up into the scratch record, the path's last component first. */
__inline_always void copy_path_names(struct vfsmount *mnt, struct dentry *dentry, struct rec_file *rec)
{
	struct path_walk w = {};
	begin_path_walk(&w, mnt, dentry);
	rec->bytes = 0;
	BPF_LOOP(MAX_COMPONENTS, copy_name_step, &w);
	if (!w.done) {
		rec->head.flags |= FILE_CUT;
		count_miss(MISS_PATH_DEPTH);
	} else if (w.done == WALK_LOST || is_detached(RDONLY_CAST(w.mount, struct mount))) {
		rec->head.flags |= FILE_NO_PATH;
	}
}

/*
 * Appends the names from the root of the file's mount up to the root of the filesystem: those of a bind mount. `bytes` of
 * the record stays that of the path. Returns the bytes of all names.
 */
__inline_always u32 append_root_names(struct vfsmount *mnt, struct dentry *dentry, struct rec_file *rec)
{
	struct path_walk w = {};
	u32 path_bytes = rec->bytes;
	begin_path_walk(&w, mnt, dentry);
	w.dentry = w.root;
	w.root = 0; /* the walk ends at the root of the filesystem only */
	w.crossed = 1;
	BPF_LOOP(MAX_COMPONENTS, copy_name_step, &w);
	u32 bytes = rec->bytes;
	rec->bytes = path_bytes;
	if (w.done && bytes < PATH_MAX_BYTES)
		rec->head.flags |= FILE_HAS_MOUNT;
	return bytes;
}

/*
 * Copies the name of a file that has no path. A file of a kernel mount (pipe, anon_inode, memfd) has its own name, or `/`
 * if it has no name. A namespace has the name of its type, as in ns_dname() of fs/nsfs.c.
 */
__inline_always u64 copy_own_name(struct dentry *dentry, struct inode *inode, struct rec_file *rec)
{
	const void *name = CAST_READ(dentry, d_name.name);
	if (rec->magic == NSFS_MAGIC) {
		struct ns_common *ns = RDONLY_CAST(CAST_READ(inode, i_private), struct ns_common);
		const struct proc_ns_operations *ops = ns ? CAST_READ(ns, ops) : 0;
		if (!ops)
			return 0;
		name = CAST_READ(RDONLY_CAST((void *)ops, struct proc_ns_operations), name);
	}
	long n = bpf_probe_read_kernel_str(rec->names, NAME_MAX_BYTES, name);
	return n > 0 && rec->names[0] != '/' ? n : 0;
}

__inline_always void define_file(u32 tid, u64 key, struct vfsmount *mnt, struct dentry *dentry, struct inode *inode)
{
	u64 stamp, *slot = definition_slot(key, &stamp);
	u32 zero = 0;
	struct rec_file *rec;

	if (!slot || *slot == stamp)
		return;
	rec = bpf_map_lookup_elem(&file_scratch, &zero);
	if (!rec)
		return;
	fill_head(&rec->head, tid, REC_FILE);
	rec->key = key;
	struct super_block *sb = CAST_READ(inode, i_sb);
	rec->inode = CAST_READ(inode, i_ino);
	rec->mode = CAST_READ(inode, i_mode);
	rec->dev = CAST_READ(sb, s_dev);
	rec->magic = CAST_READ(sb, s_magic);
	if (!CAST_READ(dentry, d_hash.pprev) && CAST_READ(dentry, d_parent) != dentry)
		rec->head.flags |= FILE_DELETED;
	copy_path_names(mnt, dentry, rec);
	u64 bytes = rec->bytes, all_bytes = 0;
	if (!(rec->head.flags & (FILE_NO_PATH | FILE_CUT)))
		all_bytes = append_root_names(mnt, dentry, rec);
	if ((rec->head.flags & FILE_NO_PATH) && bytes == 0 && CAST_READ(dentry, d_parent) == dentry) {
		bytes = copy_own_name(dentry, inode, rec);
		if (bytes)
			rec->head.flags ^= FILE_NO_PATH | FILE_OWN_NAME;
	}
	if (rec->head.flags & FILE_NO_PATH)
		bytes = 0;
	barrier_var(bytes); /* as in send_data() */
	if (bytes > sizeof(rec->names))
		bytes = sizeof(rec->names);
	rec->bytes = bytes;
	if (rec->head.flags & FILE_HAS_MOUNT)
		bytes = all_bytes;
	barrier_var(bytes);
	if (bytes > sizeof(rec->names))
		bytes = sizeof(rec->names);
	if (send_record(rec, __builtin_offsetof(struct rec_file, names) + bytes))
		*slot = stamp;
	else
		count_miss(MISS_DEFINITION);
}

/* Enough to distinguish the names of a kernel mount's files: "[eventfd]", "kvm-vcpu:12". */
#define PSEUDO_NAME_BYTES 32

/*
 * Mixes the name into the key. Files of a kernel mount that share an inode (anon_inode) differ in their names only, and
 * the names have no hash.
 */
__inline_always u64 hash_pseudo_name(struct dentry *dentry, u64 key)
{
	u64 name[PSEUDO_NAME_BYTES / sizeof(u64)] = {};
	bpf_probe_read_kernel_str(name, sizeof(name), CAST_READ(dentry, d_name.name));
	for (u32 i = 0; i < PSEUDO_NAME_BYTES / sizeof(u64); i++)
		key = mix_hash(key, name[i]);
	return key;
}

/*
 * Returns the key of the file at a struct path, or 0 if there is none. The definition of the key has been sent by then,
 * or counted as missing. The address is a number, because a function that takes pointers is verified at each call.
 */
__noinline u64 path_key(u32 tid, u64 address)
{
	struct path *path = RDONLY_CAST((void *)address, struct path);
	struct dentry *dentry = CAST_READ(path, dentry);
	struct inode *inode = dentry ? CAST_READ(dentry, d_inode) : 0;
	if (!inode)
		return 0;
	struct vfsmount *mnt = CAST_READ(path, mnt);
	struct super_block *sb = CAST_READ(inode, i_sb);
	u64 key = mix_hash(CAST_READ(inode, i_ino), CAST_READ(sb, s_dev));
	key = hash_path(mnt, dentry, key ^ (CAST_READ(dentry, d_hash.pprev) ? 0 : 1));
	/* The root of a filesystem, "/", and a pipe, whose name is empty, have no parent either. */
	if (CAST_READ(dentry, d_parent) == dentry && CAST_READ(dentry, d_name.hash_len) >> 32 > 1)
		key = hash_pseudo_name(dentry, key);
	key = key_of_hash(key, false);
	define_file(tid, key, mnt, dentry, inode);
	return key;
}

/* Returns the key of the struct file at an address, which must not be a socket. */
__inline_always u64 file_key(u32 tid, u64 file)
{
	return file ? path_key(tid, file + bpf_core_field_offset(struct file, f_path)) : 0;
}

/* Returns the key of a task's root directory. */
__inline_always u64 root_key(struct task_struct *task)
{
	return path_key(BTF_READ(task, pid), READ_ADDRESS(task, fs) + bpf_core_field_offset(struct fs_struct, root));
}

/* Returns the key of a task's working directory. */
__inline_always u64 pwd_key(struct task_struct *task)
{
	return path_key(BTF_READ(task, pid), READ_ADDRESS(task, fs) + bpf_core_field_offset(struct fs_struct, pwd));
}

/* Returns the key of the executable that a task runs, or 0 if it has none. */
__inline_always u64 exe_key(struct task_struct *task)
{
	struct mm_struct *mm = BTF_READ(UNTRUSTED(task), mm);
	return mm ? file_key(BTF_READ(task, pid), READ_ADDRESS(mm, exe_file)) : 0;
}

/* Returns the executable of a task, or null. */
__inline_always struct file *exe_file(struct task_struct *task)
{
	struct mm_struct *mm = BTF_READ(task, mm);
	u64 file = mm ? READ_ADDRESS(mm, exe_file) : 0;
	return file ? RDONLY_CAST((void *)file, struct file) : 0;
}

/* Returns whether an executable is in no mount namespace: in memory, or on a detached mount. */
__inline_always bool is_exe_unseen(struct file *file)
{
	struct path_walk w = {};
	begin_path_walk(&w, CAST_READ(file, f_path.mnt), 0);
	return is_detached(RDONLY_CAST(w.mount, struct mount));
}

/*
 * Returns whether a mount lies in a directory of another mount. pivot_root(2), and MS_MOVE onto `/`, attach the root of a
 * container to the root of the mount below it.
 */
__inline_always bool is_mounted_below_root(struct vfsmount *mnt)
{
	struct mount *mount = RDONLY_CAST((void *)mnt - bpf_core_field_offset(struct mount, mnt), struct mount);
	struct mount *parent = RDONLY_CAST(CAST_READ(mount, mnt_parent), struct mount);
	return CAST_READ(mount, mnt_mountpoint) != CAST_READ(parent, mnt.mnt_root);
}

/*
 * Returns where the executable of a task comes from: an EXEC_* flag, or 0 if that is not known. After chroot(2) to a bind
 * mount, the root of the task is not that of the container.
 */
__inline_always u8 exe_origin(struct task_struct *task)
{
	task = UNTRUSTED(task);
	struct file *file = exe_file(task);
	if (!file)
		return 0;
	if (is_exe_unseen(file))
		return EXEC_MEMORY;
	struct vfsmount *mnt = CAST_READ(file, f_path.mnt);
	if (mnt != BTF_READ(BTF_READ(task, fs), root.mnt) || is_mounted_below_root(mnt))
		return EXEC_MOUNT;
	struct inode *inode = CAST_READ(file, f_inode);
	struct super_block *sb = CAST_READ(inode, i_sb);
	if (CAST_READ(sb, s_magic) != OVERLAYFS_SUPER_MAGIC || !bpf_core_type_exists(struct ovl_inode))
		return 0;
	struct ovl_inode *overlay =
		RDONLY_CAST((void *)inode - bpf_core_field_offset(struct ovl_inode, vfs_inode), struct ovl_inode);
	return CAST_READ(overlay, __upperdentry) ? EXEC_UPPER : EXEC_IMAGE;
}

/* Returns the address of the struct file of a task's fd, or 0. */
__inline_always u64 fd_file(struct task_struct *task, u32 fd)
{
	struct files_struct *files = BTF_READ(task, files);
	if (!files)
		return 0;
	struct fdtable *fdt = BTF_READ(files, fdt);
	return fd < BTF_READ(fdt, max_fds) ? READ_U64(BTF_READ(fdt, fd) + fd) : 0;
}

#endif
