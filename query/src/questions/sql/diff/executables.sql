/* Executables that ran: those that were executed by the name with which they were executed, and those of other processes. `alias` is
   the file that the name led to. */
with scope as (
    select *
    from events
    where kind = 'syscall' and {not_setup}
        {events}
),
executed as (
    -- 65536 is AT_EXECVE_CHECK: the program was not executed.
    select container, container_id, case when path_arg like '/%' then path_arg else path end as program, path, count(*) as n,
        min(time) as first_seen
    from scope
    where syscall in ('execve', 'execveat') and ret = 0 and path is not null
        and (syscall = 'execve' or (coalesce(flags, 0) & 65536) = 0)
    group by 1, 2, 3, 4
),
running as (
    select container, container_id, exe, min(time) as first_seen
    from scope
    where exe is not null
    group by 1, 2, 3
)
select coalesce(container_id, container) as id, generalize(program) as subject, cast(null as varchar) as action,
    min(program) as example, generalize(path) as alias, 1 as rank, sum(n) as n, cast(min(first_seen) as bigint) as first_seen
from executed
group by 1, 2, 5
union all
select coalesce(r.container_id, r.container), generalize(exe), null, min(exe), generalize(exe), 1, 0, cast(min(r.first_seen) as bigint)
from running as r
left join (select distinct container, container_id, path from executed) as e
    on e.container = r.container and coalesce(e.container_id, '') = coalesce(r.container_id, '') and e.path = r.exe
where e.path is null
group by 1, 2, 5
