/* The recording in a few sections: failures first, then contents, containers, calls. */
with scope as (
    select *
    from events
    where true
        {events}
),
calls as (
    select {name} as container, syscall, coalesce(denied, false) as denied
    from scope
    where kind = 'syscall' and {not_setup}
),
ends as (
    select container, {name} || ' ' || coalesce(comm, exe, '?') as process, exit_code, signal_name(exit_signal) as signal,
        count(*) as processes
    from scope
    where kind = 'process' and action = 'exit' and (exit_code <> 0 or exit_signal is not null) and {not_setup}
    group by 1, 2, 3, 4
),
{failures}
{setup_failures}
named_failures as (
    select {name} || ' ' || syscall || ' ' || error || coalesce(' ' || subject, '') as item, rank, sum(calls) as calls
    from failures
    where routine is null and not denied
    group by 1, 2
),
{lookups}
unresolved as (
    select {name} || ' dns ' || code || ' ' || name as item, count(*) as calls
    from lookups
    where action <> 'answered' and routine is null
    group by 1
),
{recording}
parts as (
    select -7 as part, 'events lost' as section, 'all containers' as item, cast(sum(lost) as varchar) as value, 0 as rank
    from scope having sum(lost) > 0
    union all
    select * from (
        select -6, 'set-up failed', {name} || ' ' || syscall || ' ' || error || coalesce(' ' || subject, '') as item,
            cast(count(*) as varchar) as value, -count(*) as rank
        from setup_failures group by 3 order by rank, item limit 5)
    union all
    select * from (
        select -5, 'out of memory', {name} || ' ' || coalesce(comm, '?') as item,
            cast(count(*) as varchar) || coalesce(', with a limit of ' || human_bytes(max(memory_limit)), ''), -count(*) as rank
        from scope where kind = 'signal' and action = 'out of memory' group by 3 order by rank, item limit 3)
    union all
    select * from (
        select -4, 'killed by a signal', process as item,
            cast(processes as varchar) || ' with ' || signal as value, -processes
        from ends where signal is not null and signal not in ('SIGHUP', 'SIGINT', 'SIGPIPE', 'SIGTERM')
        order by processes desc, process, signal limit 3)
    union all
    select * from (
        select -3, 'top failures', item, cast(calls as varchar) as value,
            row_number() over (order by rank, calls desc, item) as number
        from (
            select item, rank, calls from named_failures
            union all
            select item, 1, calls from unresolved
        ) order by number limit 5)
    union all
    select * from (
        select -2, 'denied by seccomp', container || ' ' || syscall, cast(count(*) as varchar), -count(*)
        from calls where denied group by container, syscall order by count(*) desc, container, syscall limit 5)
    union all
    select * from (
        select -1, 'ended badly', process, cast(processes as varchar) || ' with '
            || coalesce(signal, 'exit code ' || cast(exit_code as varchar)) as value, -processes as rank
        from ends where signal is null or signal in ('SIGHUP', 'SIGINT', 'SIGPIPE', 'SIGTERM')
        order by processes desc, process, signal, exit_code limit 5)
    union all
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
        select 10, 'top peers', coalesce(peer_addr || ':' || cast(peer_port as varchar), peer_path),
            cast(count(*) as varchar), -count(*)
        from scope where kind = 'syscall' and {not_setup}
            and syscall in ('connect', 'sendto', 'sendmsg', 'sendmmsg', 'io_uring:connect', 'io_uring:sendmsg')
            and family in ('inet', 'inet6', 'unix') and (peer_addr is not null or peer_path is not null)
        group by peer_addr, peer_port, peer_path
        order by count(*) desc, peer_addr, peer_port, peer_path limit 5)
)
select section, item, value
from parts
where value is not null
order by part, rank, item, value
{limit}
