/* Files, and what was done with them. Questions about files, such as stat(2), are left out. */
with scope as (
    select *
    from events
    where kind = 'syscall' and error is null and {not_setup}
        {events}
),
used as (
    select container, container_id, path, case
            when syscall in ('open', 'openat', 'openat2', 'open_by_handle_at', 'io_uring:openat', 'io_uring:openat2') then 'open'
            when syscall in ('read', 'pread64', 'readv', 'preadv', 'preadv2', 'io_uring:read', 'io_uring:readv', 'io_uring:read_fixed',
                'io_uring:readv_fixed', 'io_uring:read_multishot', 'getdents', 'getdents64', 'mmap', 'mmap2') then 'read'
            when syscall in ('write', 'pwrite64', 'writev', 'pwritev', 'pwritev2', 'io_uring:write', 'io_uring:writev',
                'io_uring:write_fixed', 'io_uring:writev_fixed', 'truncate', 'ftruncate', 'truncate64', 'ftruncate64', 'fallocate',
                'io_uring:ftruncate', 'io_uring:fallocate') then 'write'
            when syscall in ('creat', 'mkdir', 'mkdirat', 'mknod', 'mknodat', 'link', 'linkat', 'symlink', 'symlinkat', 'io_uring:mkdirat',
                'io_uring:linkat', 'io_uring:symlinkat') then 'create'
            when syscall in ('unlink', 'unlinkat', 'rmdir', 'io_uring:unlinkat') then 'delete'
            when syscall in ('rename', 'renameat', 'renameat2', 'io_uring:renameat') then 'rename'
            when syscall in ('chmod', 'fchmod', 'fchmodat', 'fchmodat2', 'chown', 'fchown', 'lchown', 'fchownat', 'chown32', 'fchown32',
                'lchown32', 'setxattr', 'lsetxattr', 'fsetxattr', 'removexattr', 'lremovexattr', 'fremovexattr') then 'attributes'
            when syscall in ('mount', 'umount', 'umount2', 'move_mount', 'pivot_root', 'chroot') then 'mount'
        end as action, count(*) as n, min(time) as first_seen
    from scope
    where path like '/%' and family is null and class in ('file', 'memory')
    group by 1, 2, 3, 4
    union all
    -- The new name of a file.
    select container, container_id, path2, 'create', count(*), min(time)
    from scope
    where syscall in ('rename', 'renameat', 'renameat2', 'link', 'linkat', 'io_uring:renameat', 'io_uring:linkat') and path2 like '/%'
    group by 1, 2, 3
)
select coalesce(container_id, container) as id, {subject} as subject, action, min(path) as example, cast(null as varchar) as alias,
    case when action in ('open', 'read') then 2 else 1 end as rank, sum(n) as n, cast(min(first_seen) as bigint) as first_seen
from used
where action is not null
group by 1, 2, 3
