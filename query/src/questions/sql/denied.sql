/* Calls that seccomp refused. */
select container, syscall, error, exe, comm, count(*) as calls, min(time) as first_seen, max(time) as last_seen,
    min(strace()) as example{host}
from events
where kind = 'syscall' and denied
    {events}
group by 1, 2, 3, 4, 5{host}
order by calls desc, 1, 2, 3, 4, 5{host}
{limit}
