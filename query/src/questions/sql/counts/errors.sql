/* Calls that failed, the most frequent first, in a recording of counts, which contains neither errnos nor the
   objects of calls. Calls of runc while it sets a container up are left out. */
select container, syscall, comm, sum(errors) as calls, min(time) as first_seen, max(time) as last_seen{host}
from events
where kind = 'counts' and errors > 0
    and {not_runc}
    {events}
group by container, syscall, comm{host}
order by calls desc, container, syscall, comm{host}
{limit}
