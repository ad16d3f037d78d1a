/* Failed calls: first those of disks, connections and rights, then missing files, then the others, each the most frequent first; routine
   failures are one line each at the end (`--all` lists them like the others). `dns` stands for a question to a name server. EAGAIN and
   EINPROGRESS are normal results of non-blocking I/O; ERESTARTSYS and the like reach no program, because the kernel restarts the call
   after a signal, or returns EINTR; and the calls of runc while it sets a container up are not the container's own. */
with
{failures}
{lookups}
lines as (
    select rank, host, owner, container, syscall, error, subject, calls, comm, first_seen, last_seen
    from failures where routine is null
    union all
    select 4, host, owner, container, null, error, 'routine: ' || routine, calls, comm, first_seen, last_seen
    from failures where routine is not null
    union all
    select 1, host, owner, container, 'dns', code, name || ' at ' || server, count(*), comm, min(time), max(time)
    from lookups where action <> 'answered' and (routine is null or {all})
    group by host, owner, container, code, name, server, comm
    union all
    select 4, host, owner, container, null, code, 'routine: ' || routine, count(*), comm, min(time), max(time)
    from lookups where routine is not null and not {all}
    group by host, owner, container, code, routine, comm
)
select container, syscall, error, subject, sum(calls) as calls, max(comm) as comm, min(first_seen) as first_seen,
    max(last_seen) as last_seen{host}
from lines
group by rank, host, owner, container, syscall, error, subject
order by rank, calls desc, container, syscall, error, subject{host}
{limit}
