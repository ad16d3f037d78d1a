/* The recording in a few sections: rules that fired and failures first, then contents, containers, calls. */
with scope as (
    select *
    from events
    where true
        {events}
),
calls as (
    select {name} as container, syscall, coalesce(denied and error <> 'ENOSYS', false) as denied
    from scope
    where kind = 'syscall' and {not_setup}
),
{failures}
{setup_failures}
{lookups}
{waits}
failing as (
    select container_id, item, min(rank) as rank, sum(calls) as calls
    from (
        select container_id, rank, {name} || ' ' || syscall || ' ' || error || coalesce(' ' || subject, '') as item, calls
        from failures where routine is null and not denied
        union all
        select container_id, 1, {name} || ' dns ' || code || ' ' || name, 1
        from lookups where action <> 'answered' and routine is null
    )
    group by container_id, item
),
failing_first as (
    -- The first failure of each container, then the others.
    select *, row_number() over (order by case when nth = 1 and rank < 3 then 0 else 1 end, rank, calls desc, item) as number,
        count(*) over () as failures
    from (select *, row_number() over (partition by container_id order by rank, calls desc, item) as nth from failing)
),
init_ends as (
    -- With the first process of a pid namespace, the kernel kills the others.
    select host as init_host, container_id as init_container, time as init_time
    from scope where kind = 'process' and action = 'exit' and ns_pid = 1
),
ends as (
    select *, row_number() over (partition by killed order by processes desc, process, signal, exit_code) as number
    from (
        select {name} || ' ' || coalesce(comm, exe, '?') as process, exit_code, signal_name(exit_signal) as signal, count(*) as processes,
            -- Others than SIGHUP, SIGINT, SIGPIPE and SIGTERM.
            coalesce(exit_signal not in (1, 2, 13, 15), false) as killed
        from scope
        left join init_ends
            on exit_signal = 9 and coalesce(ns_pid, 0) <> 1 and init_host = host and init_container = container_id
                and time >= init_time and cast(time as bigint) - cast(init_time as bigint) <= 1000000000
        where kind = 'process' and action = 'exit' and (exit_code <> 0 or exit_signal is not null) and {not_setup} and init_time is null
        group by 1, 2, 3, 5
    )
),
{recording}
{findings}
,
fired as (
    -- An event is no finding that stands out.
    select level || ': ' || rule || ' in ' || {name} as item, sum(count) as events,
        row_number() over (order by rank, min(first_seen), rule) as number, count(*) over () as rules
    from findings where level <> 'event'
    group by rank, level, rule, host, container, container_id
),
parts as (
    select -12 as part, 'rule fired' as section, case when number = 5 and rules > 5 then 'and ' || cast(rules - 4 as varchar) || ' more' else item end as item,
        case when number = 5 and rules > 5 then '`ctrace-query rules` shows all' else cast(events as varchar) end as value, number as rank
    from fired where number <= 5
    union all
    select -11, 'events lost', 'all containers', cast(sum(lost) as varchar), 0
    from scope having sum(lost) > 0
    union all
    select * from (
        select case when entered then -4 else -10 end as part, case when entered then 'set-up of an exec failed' else 'set-up failed' end as section, {name} || ' ' || coalesce(syscall || ' ', '') || error || coalesce(' ' || subject, '') as item,
            cast(count(*) as varchar) as value, -count(*) as rank
        from setup_failures group by 1, 2, 3 order by part, rank, item limit 5)
    union all
    select * from (
        select -9, 'out of memory', {name} || ' ' || coalesce(comm, '?') as item,
            cast(count(*) as varchar) || coalesce(', with a limit of ' || human_bytes(max(memory_limit)), ''), -count(*) as rank
        from scope where kind = 'signal' and action = 'out of memory' group by 3 order by rank, item limit 3)
    union all
    select case when killed then -8 else -3 end, case when killed then 'killed by a signal' else 'ended badly' end, process,
        cast(processes as varchar) || ' with ' || coalesce(signal, 'exit code ' || cast(exit_code as varchar)), number
    from ends where number <= 5
    union all
    select -7, 'top failures', case number when 6 then 'and ' || cast(failures - 5 as varchar) || ' more' else item end,
        case number when 6 then '`ctrace-query errors` shows all' else cast(calls as varchar) end, number
    from failing_first where number <= 6
    union all
    select * from (
        select -6, 'has not returned', {name} || ' ' || coalesce(comm, '?') || ' ' || syscall || coalesce(' ' || waits_for, '') as item,
            human_duration(max(took)) as value, row_number() over (order by max(took) desc) as number
        from waits where state = 'has not returned' and rank = 1 and waits_for is not null and took >= 1000000000
        group by 3 order by number limit 3)
    union all
    select * from (
        select -5, 'denied by seccomp', container || ' ' || syscall, cast(count(*) as varchar), -count(*)
        from calls where denied group by container, syscall order by count(*) desc, container, syscall limit 5)
    union all
    select * from (
        select -4, 'restarted', {name} as item, cast(max(restarts) as varchar) || ' times', -max(restarts)
        from scope where kind = 'container' and restarts > 0 group by 3 order by max(restarts) desc, item limit 3)
    union all
    select * from (
        select -2, case when entered then 'came in from outside' else 'not from the image' end as section,
            {name} || ' ' || coalesce(argv, path) as item, cast(count(*) as varchar) as value, row_number() over (order by min(time)) as number
        from scope
        where kind = 'syscall' and syscall in ('execve', 'execveat') and ret = 0 and {not_setup}
            and (entered or exe_origin in ('container', 'mount', 'memory'))
        group by 2, 3 order by number limit 5)
    union all
    select * from (
        select -1, 'power over the machine', {name} as item,
            case when max(privileged) then 'privileged' else 'mounts ' || max(source) end as value, 0
        from (
            select *, case when mounts like '%{"source":"/",%' then '/' when mounts like '%/docker.sock"%' then 'docker.sock'
                when mounts like '%/containerd.sock"%' then 'containerd.sock' end as source
            from scope where kind = 'container'
        )
        where privileged or source is not null
        group by 3 order by item limit 5)
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
            -- The port of a client, which is another one for each connection.
            and (syscall like '%connect' or coalesce(peer_port, 0) < 32768)
        group by peer_addr, peer_port, peer_path
        order by count(*) desc, peer_addr, peer_port, peer_path limit 5)
)
select section, item, value
from parts
where value is not null
order by part, rank, item, value
{limit}
