/* Calls that have not returned, and calls that took 100 ms or more, with what they wait for: first those that wait for a file, a
   peer or a lock, then those on a futex(2), by which threads wait for each other, and then those that wait for work, for time or
   for children; the longest first. Calls that had not returned when their process ended took until then. */
with waits as (
    select c.host, c.container, c.container_id, c.comm, c.tid, c.syscall, c.time, c.class, c.error,
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
            when c.duration is not null then 'returned'
            when ended is not null then 'process ended'
            else 'has not returned'
        end as state,
        coalesce(c.duration, greatest(cast(coalesce(ended, last) as bigint) - cast(c.time as bigint), 0)) as took
    from (
        select *
        from events
        where kind = 'syscall' and (ret is null or duration >= 100000000) and not coalesce(denied, false)
            and syscall not in ('exit', 'exit_group') and {not_setup}
            {events}
    ) as c
    join (select host, boot_id, max(time) as last from events group by host, boot_id) as recording
        on recording.host = c.host and coalesce(recording.boot_id, '') = coalesce(c.boot_id, '')
    left join (
        select host, boot_id, pid, time as ended
        from events
        where kind = 'process' and action = 'exit'
    ) as exits
        on c.ret is null and exits.host = c.host and coalesce(exits.boot_id, '') = coalesce(c.boot_id, '') and exits.pid = c.pid
            and ended >= c.time
)
select container{id}, comm, syscall, waits_for, state, count(*) as calls, human_duration(max(took)) as longest,
    max(error) as error, first_value(time order by took desc, time) as since, first_value(tid order by took desc, time) as tid{host}
from waits
group by container, container_id, comm, syscall, waits_for, state, rank{host}
order by rank, max(took) desc, container, container_id, comm, syscall, waits_for, state{host}
{limit}
