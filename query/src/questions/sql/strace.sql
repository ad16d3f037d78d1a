/* Calls one by one, in the order in which they began, as strace prints them. */
select time, container, comm, tid, strace(calls) as call, human_duration(duration) as took{host}
from (
    select *
    from syscalls
    where true
        {events}
    order by time, seq
    {limit}
) as calls
order by time, seq
