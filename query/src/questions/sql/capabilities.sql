/* Capabilities that programs of containers have used, by capabilities(7). `verdict`: `used`, if only the capability explains that
   the call succeeded; `perhaps`, with the other explanation in `note`; `refused`, if the call failed for want of rights. `granted`
   tells whether the container has the capability; what a container does not have, it has used in a user namespace of its own. */
with calls as (
    select host, container, container_id, pid, uid, comm, syscall, error, denied, arg0, time,
        -- The capability and, after a bar, what else may explain the success. -1 leaves an id as it is.
        case
            when syscall in ('chown', 'lchown', 'fchown', 'fchownat') then case
                when case syscall when 'fchownat' then arg2 else arg1 end in (-1, 4294967295)
                    or case syscall when 'fchownat' then arg2 else arg1 end = uid
                then 'CAP_CHOWN|the file was the caller''s, and the group one of its groups'
                else 'CAP_CHOWN' end
            when syscall = 'setgroups' then 'CAP_SETGID'
            when syscall in ('setgid', 'setregid', 'setresgid', 'setfsgid') then 'CAP_SETGID|it was one of the caller''s group ids'
            when syscall in ('setuid', 'setreuid', 'setresuid', 'setfsuid') then 'CAP_SETUID|it was one of the caller''s user ids'
            when syscall = 'bind' then 'CAP_NET_BIND_SERVICE|net.ipv4.ip_unprivileged_port_start is lower than 1024, as in Docker'
            when syscall = 'socket' then 'CAP_NET_RAW'
            when syscall in ('ioctl', 'setsockopt') then 'CAP_NET_ADMIN'
            when syscall in ('unshare', 'clone', 'setns', 'mount', 'umount2', 'pivot_root', 'move_mount', 'mount_setattr', 'fsmount', 'fsopen',
                'open_tree', 'swapon', 'swapoff', 'sethostname', 'setdomainname', 'quotactl', 'quotactl_fd') then 'CAP_SYS_ADMIN'
            when syscall = 'fanotify_init' then 'CAP_SYS_ADMIN|the kernel is 5.13 or newer and the group limited'
            when syscall = 'bpf' then 'CAP_BPF|kernel.unprivileged_bpf_disabled is 0'
            when syscall = 'perf_event_open' then 'CAP_PERFMON|kernel.perf_event_paranoid allows it'
            when syscall = 'chroot' then 'CAP_SYS_CHROOT'
            when syscall in ('mknod', 'mknodat') then 'CAP_MKNOD'
            when syscall in ('ptrace', 'process_vm_readv', 'process_vm_writev', 'pidfd_getfd', 'process_madvise', 'kcmp')
                then 'CAP_SYS_PTRACE|the other process was of the same user'
            when syscall in ('setpriority', 'sched_setscheduler', 'sched_setattr', 'sched_setaffinity', 'ioprio_set', 'migrate_pages', 'move_pages')
                then 'CAP_SYS_NICE|the process was the user''s, and the priority within its limits'
            when syscall in ('setrlimit', 'prlimit64') then 'CAP_SYS_RESOURCE|the hard limit was not raised'
            when syscall in ('settimeofday', 'clock_settime') then 'CAP_SYS_TIME'
            when syscall in ('adjtimex', 'clock_adjtime') then 'CAP_SYS_TIME|the clock was only read'
            when syscall in ('init_module', 'finit_module', 'delete_module') then 'CAP_SYS_MODULE'
            when syscall in ('reboot', 'kexec_load', 'kexec_file_load') then 'CAP_SYS_BOOT'
            when syscall = 'acct' then 'CAP_SYS_PACCT'
            when syscall = 'vhangup' then 'CAP_SYS_TTY_CONFIG'
            when syscall = 'syslog' then 'CAP_SYSLOG'
            when syscall in ('iopl', 'ioperm') then 'CAP_SYS_RAWIO'
            when syscall in ('mlock', 'mlock2', 'mlockall', 'shmctl') then 'CAP_IPC_LOCK|it was within RLIMIT_MEMLOCK'
            when syscall = 'prctl' then 'CAP_SETPCAP'
            when syscall = 'capset' then 'CAP_SETPCAP|nothing was added to the inheritable set'
            when syscall in ('setxattr', 'lsetxattr', 'fsetxattr') then 'CAP_SETFCAP|the attribute was not security.capability'
            when syscall in ('timerfd_create', 'timer_create') then 'CAP_WAKE_ALARM'
            when syscall = 'fcntl' then 'CAP_LEASE|the file was the caller''s'
            when syscall = 'open_by_handle_at' then 'CAP_DAC_READ_SEARCH'
            when syscall like 'chmod' or syscall like 'fchmod%' or syscall like 'utim%' or syscall like 'futim%' then 'CAP_FOWNER'
            else 'CAP_DAC_OVERRIDE'
        end as rule
    from events
    where kind = 'syscall' and container_id is not null and {not_setup}
        and (error is null and ret is not null or error in ('EPERM', 'EACCES'))
        {events}
        and (syscall in ('chown', 'lchown', 'fchown', 'fchownat', 'setgroups', 'setgid', 'setregid', 'setresgid', 'setfsgid', 'mount', 'umount2',
                'pivot_root', 'move_mount', 'mount_setattr', 'fsmount', 'fsopen', 'open_tree', 'swapon', 'swapoff', 'sethostname', 'setdomainname',
                'quotactl', 'quotactl_fd', 'fanotify_init', 'bpf', 'perf_event_open', 'chroot', 'ptrace', 'process_vm_readv', 'process_vm_writev',
                'pidfd_getfd', 'process_madvise', 'kcmp', 'sched_setattr', 'migrate_pages', 'move_pages', 'settimeofday', 'clock_settime',
                'adjtimex', 'clock_adjtime', 'init_module', 'finit_module', 'delete_module', 'reboot', 'kexec_load', 'kexec_file_load', 'acct',
                'vhangup', 'iopl', 'mlock', 'mlock2', 'mlockall', 'capset', 'setxattr', 'lsetxattr', 'fsetxattr', 'open_by_handle_at')
            or syscall in ('setuid', 'setfsuid', 'setreuid', 'setresuid')
            or syscall = 'bind' and family in ('inet', 'inet6') and local_port between 1 and 1023
            -- SOCK_RAW is 3, AF_PACKET 17; AF_INET 2, AF_INET6 10.
            or syscall = 'socket' and (arg0 = 17 or arg0 in (2, 10) and (arg1 & 15) = 3)
            -- SIOCADDRT, SIOCDELRT, the SIOCSIF* that change an interface, TUNSETIFF; SO_MARK, SO_SNDBUFFORCE, SO_RCVBUFFORCE.
            or syscall = 'ioctl' and arg1 in (35083, 35084, 35092, 35094, 35098, 35100, 35106, 35108, 1074025674)
            or syscall = 'setsockopt' and arg1 = 1 and arg2 in (32, 33, 36)
            -- A new namespace, CLONE_NEW*, without a user namespace, CLONE_NEWUSER, in which every capability is there.
            or syscall in ('unshare', 'clone') and (coalesce(flags, arg0) & 2114060416) <> 0 and (coalesce(flags, arg0) & 268435456) = 0
            or syscall = 'setns' and coalesce(arg1, 0) <> 268435456
            -- S_IFCHR and S_IFBLK.
            or syscall in ('mknod', 'mknodat') and (case syscall when 'mknod' then arg1 else arg2 end & 61440) in (8192, 24576)
            or syscall = 'setpriority' and (arg2 < 0 or error is not null)
            -- SCHED_FIFO and SCHED_RR.
            or syscall = 'sched_setscheduler' and (arg1 & 7) in (1, 2)
            or syscall = 'ioprio_set' and (arg2 >> 13) = 1
            or syscall = 'sched_setaffinity' and error is not null
            or syscall = 'setrlimit' or syscall = 'prlimit64' and arg2 is null
            -- SYSLOG_ACTION_READ_ALL and SYSLOG_ACTION_SIZE_BUFFER depend on kernel.dmesg_restrict.
            or syscall = 'syslog' and arg0 not in (3, 10)
            or syscall = 'ioperm' and arg2 <> 0
            -- SHM_LOCK; PR_CAPBSET_DROP, PR_SET_SECUREBITS; F_SETLEASE; CLOCK_REALTIME_ALARM, CLOCK_BOOTTIME_ALARM.
            or syscall = 'shmctl' and arg1 = 11
            or syscall = 'prctl' and arg0 in (24, 28)
            or syscall = 'fcntl' and arg1 = 1024
            or syscall in ('timerfd_create', 'timer_create') and arg0 in (8, 9)
            -- Root is refused only for want of these.
            or uid = 0 and error is not null and path is not null
                and (class = 'file' or syscall in ('execve', 'execveat', 'connect')))
),
kills as (
    select host, container, container_id, pid, uid, comm, syscall, error, denied, time
    from events
    where kind = 'syscall' and syscall in ('kill', 'tkill', 'tgkill', 'rt_sigqueueinfo', 'pidfd_send_signal') and container_id is not null
        and (error is null or error = 'EPERM') and {not_setup}
        {events}
),
signals as (
    select host, sender_pid, uid, time from events where kind = 'signal' and action <> 'out of memory' and sender_pid is not null
),
ids as (
    select host, pid, case when syscall in ('getuid', 'geteuid') then 'setuid' else 'setgid' end as call, ret as id, min(time) as since
    from events
    where kind = 'syscall' and syscall in ('getuid', 'geteuid', 'getgid', 'getegid')
    group by 1, 2, 3, 4
),
uses as (
    select host, container, container_id, uid, comm, syscall, error, denied, time, split_part(rule, '|', 1) as capability, nullif(split_part(rule, '|', 2), '') as note
    from calls
    -- busybox sets the ids that it has.
    where syscall not in ('setuid', 'setgid') or not exists (select 1 from ids as i where i.host = calls.host and i.pid = calls.pid
        and i.call = calls.syscall and i.id = calls.arg0 and i.since <= calls.time)
    union all
    select host, container, container_id, uid, comm, syscall, error, denied, time, 'CAP_KILL', null
    from kills
    -- A signal that is sent to a process of another user.
    where error is not null or exists (select 1 from signals as s where s.host = kills.host and s.sender_pid = kills.pid
        and s.uid <> kills.uid and cast(s.time as bigint) - cast(kills.time as bigint) between 0 and 1000000000)
),
granted as (
    select u.*, case when c.privileged then true when c.capabilities is null then null
        else ' ' || c.capabilities || ' ' like '% ' || u.capability || ' %' end as granted
    from uses as u
    left join containers as c on c.host = u.host and c.container_id = u.container_id
),
grouped as (
    select host, container, container_id, capability,
        case when error is not null then 'refused' when note is not null then 'perhaps' else 'used' end as verdict,
        granted, syscall, count(*) as calls,
        case when error is null then note when denied then 'seccomp refused it: Docker''s profile does without the capability' end as note, max(comm) as comm, max(time) as last_seen
    from granted
    -- A capability that the container does not have explains no success, and one that root has no refusal.
    where case when error is null then note is null or coalesce(granted, true) else uid <> 0 or not coalesce(granted, false) end
    group by 1, 2, 3, 4, 5, 6, 7, 9
)
select container{id}, capability, verdict, granted, syscall, calls, note, comm, last_seen{host}
from grouped
order by container, container_id, case verdict when 'used' then 0 when 'perhaps' then 1 else 2 end, capability, calls desc, syscall, note, host
{limit}
