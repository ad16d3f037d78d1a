/* Calls one by one, in the order in which they began, as strace prints them. */
select time, container{id}{host}, comm, tid, human_duration(duration) as took, strace(calls) as call
from (
    select *
    from syscalls
    where {not_setup}
        {events}
    order by time, seq
    {limit}
) as calls
order by time, seq
