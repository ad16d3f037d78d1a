/* Calls that seccomp refused. */
select container{id}, syscall, error, exe, comm, count(*) as calls, min(time) as first_seen, max(time) as last_seen,
    min(strace()) as example{bucket}{host}
from events
where kind = 'syscall' and denied and {not_setup}
    {events}
group by container, container_id, syscall, error, exe, comm{by_bucket}{host}
order by calls desc, container, container_id, syscall, error, exe, comm{host}
{limit}
