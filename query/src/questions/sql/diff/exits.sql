/* Processes that ended with an exit code other than 0 or by a signal, and those that the kernel ended for lack of memory. */
with scope as (
    select *
    from events
    where kind in ('process', 'signal')
        {events}
),
init_ends as (
    -- With the first process of a pid namespace, the kernel kills the others.
    select host as init_host, container_id as init_container, time as init_time
    from scope where kind = 'process' and action = 'exit' and ns_pid = 1
),
ends as (
    select coalesce(container_id, container) as id, coalesce(exe, comm, '?') as program, coalesce(comm, exe, '?') as comm,
        coalesce(signal_name(exit_signal), 'signal ' || cast(exit_signal as varchar), 'exit code ' || cast(exit_code as varchar)) as action,
        -- Others than SIGHUP, SIGINT, SIGPIPE and SIGTERM.
        case when exit_signal not in (1, 2, 13, 15) then 1 else 2 end as rank, time
    from scope
    left join init_ends
        on exit_signal = 9 and coalesce(ns_pid, 0) <> 1 and init_host = host and init_container = container_id
            and time >= init_time and cast(time as bigint) - cast(init_time as bigint) <= 1000000000
    where kind = 'process' and action = 'exit' and (exit_code <> 0 or exit_signal is not null) and {not_setup} and init_time is null
    union all
    select coalesce(container_id, container), coalesce(exe, comm, '?'), coalesce(comm, exe, '?'), 'out of memory', 1, time
    from scope
    where kind = 'signal' and action = 'out of memory'
)
select id, generalize(program) as subject, action, min(comm) as example, cast(null as varchar) as alias, min(rank) as rank,
    count(*) as n, cast(min(time) as bigint) as first_seen
from ends
group by 1, 2, 3
