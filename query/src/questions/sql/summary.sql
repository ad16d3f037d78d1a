/* The recording in a few sections: contents, containers, calls, failures. */
with scope as (
    select *
    from events
    where true
        {events}
),
calls as (
    select {name} as container, syscall, error, coalesce(denied, false) as denied
    from scope
    where kind = 'syscall'
),
{recording}
parts as (
    select * from facts
    union all
    select 4, 'recording', 'events', cast(count(*) as varchar), 0 from scope
    union all
    select 6, 'calls of container', container, cast(count(*) as varchar), -count(*) from calls group by container
    union all
    select * from (
        select 7, 'top calls', syscall, cast(count(*) as varchar), -count(*)
        from calls group by syscall order by count(*) desc, syscall limit 5)
    union all
    select * from (
        select 8, 'top failures', syscall || ' ' || error, cast(count(*) as varchar), -count(*)
        from calls where error not in ('EAGAIN', 'EINPROGRESS') and error not like 'ERESTART%' and not denied
        group by syscall, error order by count(*) desc, syscall, error limit 5)
    union all
    select * from (
        select 9, 'denied by seccomp', container || ' ' || syscall, cast(count(*) as varchar), -count(*)
        from calls where denied group by container, syscall order by count(*) desc, container, syscall limit 5)
    union all
    select * from (
        select 10, 'top peers', coalesce(peer_addr || ':' || cast(peer_port as varchar), peer_path),
            cast(count(*) as varchar), -count(*)
        from scope where kind = 'syscall'
            and syscall in ('connect', 'sendto', 'sendmsg', 'sendmmsg', 'io_uring:connect', 'io_uring:sendmsg')
            and family in ('inet', 'inet6', 'unix') and (peer_addr is not null or peer_path is not null)
        group by peer_addr, peer_port, peer_path
        order by count(*) desc, peer_addr, peer_port, peer_path limit 5)
    union all
    select * from (
        select 11, 'killed by a signal', {name} || ' ' || coalesce(exe, comm, '?'),
            cast(count(*) as varchar) || ' with ' || signal_name(exit_signal), -count(*)
        from scope where kind = 'process' and action = 'exit' and exit_signal is not null
        group by container, coalesce(exe, comm, '?'), exit_signal{host}
        order by count(*) desc, container, coalesce(exe, comm, '?'), exit_signal{host} limit 10)
    union all
    select * from (
        select 12, 'ended badly', {name} || ' ' || coalesce(exe, comm, '?'),
            cast(count(*) as varchar) || ' with exit code ' || cast(exit_code as varchar), -count(*)
        from scope where kind = 'process' and action = 'exit' and exit_code <> 0 and exit_signal is null
        group by container, coalesce(exe, comm, '?'), exit_code{host}
        order by count(*) desc, container, coalesce(exe, comm, '?'), exit_code{host} limit 5)
)
select section, item, value
from parts
where value is not null
order by part, rank, item, value
{limit}
