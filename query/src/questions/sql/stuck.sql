/* Calls that have not returned, and calls that took 100 ms or more, with what they wait for: first those that wait for a file, a
   peer or a lock, then those on a futex(2), by which threads wait for each other, and then those that wait for work, for time or
   for children; the longest first. Calls that had not returned when their process ended took until then. */
with scope as (
    select *
    from events
    where true
        {events}
),
{waits}
longest as (
    select container, container_id, comm, syscall, waits_for, state, rank, count(*) as calls, max(took) as took,
        max(error) as error, first_value(time order by took desc, time) as since, first_value(tid order by took desc, time) as tid{host}
    from waits
    group by container, container_id, comm, syscall, waits_for, state, rank{host}
)
select container{id}, comm, syscall, waits_for, state, human_duration(took) as longest, calls, error, since, tid{host}
from longest
order by rank, took desc, container, container_id, comm, syscall, waits_for, state{host}
{limit}
