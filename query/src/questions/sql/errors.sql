/* Failed calls: first those at which the set-up of a container failed, then those of disks, connections, rights and names, then missing
   files, then the others, each the most frequent first; routine failures are one line each at the end (`--all` lists them like the
   others). `dns` stands for a question to a name server. EAGAIN and EINPROGRESS are normal results of non-blocking I/O; ERESTARTSYS and
   the like reach no program, because the kernel restarts the call after a signal, or returns EINTR. */
with scope as (
    select *
    from events
    where true
        {events}
),
{failures}
{setup_failures}
{lookups}
lines as (
    select 0 as rank, host, container, container_id, syscall, error, 'set-up failed' || coalesce(': ' || subject, '') as subject, 1 as calls,
        comm, time as first_seen, time as last_seen
    from setup_failures
    union all
    select rank, host, container, container_id, syscall, error, subject, calls, comm, first_seen, last_seen
    from failures where routine is null
    union all
    select 4, host, container, container_id, null, error, 'routine: ' || routine, calls, comm, first_seen, last_seen
    from failures where routine is not null
    union all
    select 1, host, container, container_id, 'dns', code, name || ' at ' || server, count(*), comm, min(time), max(time)
    from lookups where action <> 'answered' and (routine is null or {all})
    group by host, container, container_id, code, name, server, comm
    union all
    select 4, host, container, container_id, null, code, 'routine: ' || routine, count(*), comm, min(time), max(time)
    from lookups where routine is not null and not {all}
    group by host, container, container_id, code, routine, comm
)
select container{id}, syscall, error, subject, sum(calls) as calls, max(comm) as comm, min(first_seen) as first_seen,
    max(last_seen) as last_seen{host}
from lines
group by rank, host, container, container_id, syscall, error, subject
order by rank, calls desc, container, container_id, syscall, error, subject{host}
{limit}
