waiting as (
    select *
    from scope
    where kind = 'syscall' and (ret is null or duration >= 100000000) and not coalesce(denied, false)
        and syscall not in ('exit', 'exit_group') and {not_setup}
),
exits as (
    -- The end of the process: its pid may be that of another one later.
    select c.host as ended_host, c.boot_id as ended_boot, c.tid as ended_tid, c.time as ended_time, min(e.time) as ended
    from waiting as c
    join events as e on e.host = c.host and coalesce(e.boot_id, '') = coalesce(c.boot_id, '') and e.pid = c.pid and e.time >= c.time
    where (c.ret is null or c.error like 'ERESTART%') and e.kind = 'process' and e.action = 'exit'
    group by 1, 2, 3, 4
),
waits as (
    -- Calls that have not returned or took 100 ms or more, by what they wait for: `rank` is 1 for files, peers and locks, 2 for other
    -- threads, and 3 for work, time and children.
    select c.host, c.container, c.container_id, c.comm, c.tid, c.syscall, c.time, c.seq, c.class, case when c.error not like 'ERESTART%' then c.error end as error, strace(c) as text,
        case
            when syscall in ('wait4', 'waitpid', 'waitid') then 'a child process'
            when syscall like '%nanosleep%' then 'time'
            when syscall like 'futex%' then 'another thread (futex)'
            when syscall in ('rt_sigtimedwait', 'rt_sigtimedwait_time64', 'rt_sigsuspend', 'sigsuspend', 'pause') then 'a signal'
            when syscall like '%poll%' or syscall like '%select%' then 'events'
            when syscall like '%accept%' then 'clients of ' || coalesce(local_addr, '*') || coalesce(':' || cast(local_port as varchar), '')
            else coalesce(
                coalesce(dns_name || ' ', '') || peer_addr || coalesce(':' || cast(peer_port as varchar), ''),
                peer_path, path, path_arg, 'fd ' || cast(fd as varchar))
        end as waits_for,
        case
            when syscall in ('wait4', 'waitpid', 'waitid', 'rt_sigtimedwait', 'rt_sigtimedwait_time64', 'rt_sigsuspend', 'sigsuspend',
                'pause', 'restart_syscall', 'io_uring_enter') or syscall like '%nanosleep%' or syscall like '%poll%'
                or syscall like '%select%' or syscall like '%accept%' or syscall like 'io_%getevents%' then 3
            when syscall like 'futex%' then 2
            else 1
        end as rank,
        case
            -- A signal that ends the process ends the call with ERESTARTSYS or the like.
            when c.error like 'ERESTART%' and cast(ended as bigint) - cast(c.time as bigint) - c.duration < 1000000000 then 'process ended'
            when c.duration is not null then 'returned'
            when ended is not null then 'process ended'
            else 'has not returned'
        end as state,
        coalesce(c.duration, greatest(cast(coalesce(ended, last) as bigint) - cast(c.time as bigint), 0)) as took
    from waiting as c
    join (select host, boot_id, max(time) as last from events group by host, boot_id) as recording
        on recording.host = c.host and coalesce(recording.boot_id, '') = coalesce(c.boot_id, '')
    left join exits
        on ended_host = c.host and coalesce(ended_boot, '') = coalesce(c.boot_id, '') and ended_tid = c.tid and ended_time = c.time
),
