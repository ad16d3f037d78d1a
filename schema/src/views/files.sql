select time, duration, seq, container, container_id, host, boot_id, pid, tid, uid, comm, exe, setup, syscall,
    case
        when syscall in ('open', 'openat', 'openat2', 'creat', 'open_by_handle_at', 'io_uring:openat',
            'io_uring:openat2') then 'open'
        when syscall in ('read', 'pread64', 'readv', 'preadv', 'preadv2', 'io_uring:read', 'io_uring:readv',
            'io_uring:read_fixed', 'io_uring:readv_fixed', 'io_uring:read_multishot') then 'read'
        when syscall in ('write', 'pwrite64', 'writev', 'pwritev', 'pwritev2', 'io_uring:write', 'io_uring:writev',
            'io_uring:write_fixed', 'io_uring:writev_fixed') then 'write'
        -- The first of two fds: the source of these calls, and the destination of the others.
        when syscall in ('copy_file_range', 'splice') then 'read'
        when syscall in ('sendfile', 'sendfile64', 'io_uring:splice') then 'write'
        -- FICLONE, FICLONERANGE
        when syscall = 'ioctl' and arg1 in (1074041865, 1075876877) then 'write'
        when syscall in ('getdents', 'getdents64', 'readdir') then 'list'
        -- 65536 is AT_EXECVE_CHECK: the program was not executed.
        when syscall = 'execveat' and (coalesce(flags, 0) & 65536) <> 0 then 'stat'
        when syscall in ('execve', 'execveat') then 'exec'
        when syscall in ('mmap', 'mmap2') then 'map'
        when syscall in ('mkdir', 'mkdirat', 'mknod', 'mknodat', 'link', 'linkat', 'symlink', 'symlinkat',
            'io_uring:mkdirat', 'io_uring:linkat', 'io_uring:symlinkat') then 'create'
        when syscall in ('unlink', 'unlinkat', 'rmdir', 'io_uring:unlinkat') then 'delete'
        when syscall in ('rename', 'renameat', 'renameat2', 'io_uring:renameat') then 'rename'
        when syscall in ('truncate', 'ftruncate', 'truncate64', 'ftruncate64', 'fallocate',
            'io_uring:ftruncate', 'io_uring:fallocate') then 'truncate'
        when syscall in ('stat', 'lstat', 'fstat', 'newfstatat', 'stat64', 'lstat64', 'fstat64', 'fstatat64', 'statx',
            'access', 'faccessat', 'faccessat2', 'readlink', 'readlinkat', 'oldstat', 'oldlstat', 'oldfstat',
            'statfs', 'fstatfs', 'statfs64', 'fstatfs64', 'getxattr', 'lgetxattr', 'fgetxattr', 'getxattrat', 'listxattr',
            'llistxattr', 'flistxattr', 'listxattrat', 'file_getattr', 'name_to_handle_at', 'io_uring:statx',
            'io_uring:getxattr', 'io_uring:fgetxattr') then 'stat'
        when syscall in ('chmod', 'fchmod', 'fchmodat', 'fchmodat2', 'chown', 'fchown', 'lchown', 'chown32', 'fchown32',
            'lchown32', 'fchownat', 'utime', 'utimes', 'utimensat', 'utimensat_time64', 'futimesat', 'setxattr', 'lsetxattr',
            'fsetxattr', 'setxattrat', 'removexattr', 'lremovexattr', 'fremovexattr', 'removexattrat', 'file_setattr',
            'io_uring:setxattr', 'io_uring:fsetxattr') then 'attributes'
        when syscall in ('mount', 'umount', 'umount2', 'move_mount', 'open_tree', 'open_tree_attr', 'fspick', 'fsmount',
            'mount_setattr', 'pivot_root', 'chroot') then 'mount'
        when syscall in ('close', 'io_uring:close') then 'close'
        else 'other'
    end as operation,
    path, path_arg, host_path, path2, fd, dev, inode, flags, mode,
    case when ret > 0 then bytes end as bytes,
    ret, error, denied
from events
-- Pipes, sockets and anonymous inodes have names such as pipe:[42] instead of paths.
where kind = 'syscall' and path like '/%' and family is null
union all
-- The file of the other fd of a copy. The first fd may be a socket, a pipe or a terminal. FICLONERANGE passes its fd in memory.
select time, duration, seq, container, container_id, host, boot_id, pid, tid, uid, comm, exe, setup, syscall,
    case
        when syscall in ('copy_file_range', 'io_uring:splice') then 'write'
        -- The fd of the row is the socket, if one is: an argument of each call tells whether it is the first fd.
        when syscall = 'splice' and (family is null or fd = arg0) then 'write'
        else 'read'
    end as operation,
    path2 as path, null as path_arg, null as host_path, path as path2, null as fd, dev2 as dev, inode2 as inode, flags, mode,
    case when ret > 0 then bytes end as bytes,
    ret, error, denied
from events
where kind = 'syscall' and path2 is not null and path2 like '/%'
    and syscall in ('sendfile', 'sendfile64', 'copy_file_range', 'splice', 'io_uring:splice', 'ioctl')
