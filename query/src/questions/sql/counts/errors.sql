/* Calls that failed, the most frequent first, in a recording of counts, which contains neither errnos nor the
   objects of calls. */
select container{id}, syscall, comm, sum(errors) as calls, min(time) as first_seen, max(time) as last_seen{host}
from events
where kind = 'counts' and errors > 0
    and {not_setup}
    {events}
group by container, container_id, syscall, comm{host}
order by calls desc, container, container_id, syscall, comm{host}
{limit}
