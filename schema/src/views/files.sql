select time, duration, seq, container, container_id, host, pid, tid, uid, comm, exe, syscall,
    case
        when syscall in ('open', 'openat', 'openat2', 'creat', 'open_by_handle_at') then 'open'
        when syscall in ('read', 'pread64', 'readv', 'preadv', 'preadv2') then 'read'
        when syscall in ('write', 'pwrite64', 'writev', 'pwritev', 'pwritev2') then 'write'
        when syscall in ('sendfile', 'sendfile64', 'copy_file_range', 'splice') then 'copy'
        when syscall in ('getdents', 'getdents64') then 'list'
        when syscall in ('execve', 'execveat') then 'exec'
        when syscall in ('mmap', 'mmap2') then 'map'
        when syscall in ('mkdir', 'mkdirat', 'mknod', 'mknodat', 'link', 'linkat', 'symlink', 'symlinkat') then 'create'
        when syscall in ('unlink', 'unlinkat', 'rmdir') then 'delete'
        when syscall in ('rename', 'renameat', 'renameat2') then 'rename'
        when syscall in ('truncate', 'ftruncate', 'truncate64', 'ftruncate64', 'fallocate') then 'truncate'
        when syscall in ('stat', 'lstat', 'fstat', 'newfstatat', 'stat64', 'lstat64', 'fstat64', 'fstatat64', 'statx',
            'access', 'faccessat', 'faccessat2', 'readlink', 'readlinkat', 'statfs', 'fstatfs') then 'stat'
        when syscall in ('chmod', 'fchmod', 'fchmodat', 'fchmodat2', 'chown', 'fchown', 'lchown', 'fchownat',
            'utime', 'utimes', 'utimensat', 'futimesat', 'setxattr', 'lsetxattr', 'fsetxattr', 'removexattr',
            'lremovexattr', 'fremovexattr') then 'attributes'
        when syscall in ('mount', 'umount2', 'move_mount', 'open_tree', 'pivot_root', 'chroot') then 'mount'
        when syscall = 'close' then 'close'
        else 'other'
    end as operation,
    path, path_arg, path2, fd, dev, inode, flags, mode,
    case when ret > 0 then bytes end as bytes,
    ret, error, denied
from events
-- Pipes, sockets and anonymous inodes have names such as pipe:[42], not paths.
where kind = 'syscall' and path like '/%' and family is null
