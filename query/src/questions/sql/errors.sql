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
    select 0 as rank, host, container, container_id, syscall, error, case when entered then 'set-up of an exec failed' else 'set-up failed' end || coalesce(': ' || subject, '') as subject, 1 as calls,
        comm, time as first_seen, time as last_seen{bucket}
    from setup_failures
    union all
    select case when routine is null then rank else 4 end, host, container, container_id, case when routine is null then syscall end,
        error, coalesce('routine: ' || routine, subject), calls, comm, first_seen, last_seen{by_bucket}
    from failures
    union all
    select case when routine is null or {all} then 1 else 4 end, host, container, container_id, case when routine is null or {all} then 'dns' end,
        code, case when routine is null or {all} then name || ' at ' || server else 'routine: ' || routine end, 1, comm, time, time{bucket}
    from lookups where action <> 'answered'
)
select container{id}, syscall, error, subject, sum(calls) as calls, max(comm) as comm, min(first_seen) as first_seen,
    max(last_seen) as last_seen{by_bucket}{host}
from lines
group by rank, host, container, container_id, syscall, error, subject{by_bucket}
order by rank, calls desc, container, container_id, syscall, error, subject{host}
{limit}
