/* What was lost, and when. */
select time as from_time, to_timestamp_nanos(cast(time as bigint) + coalesce(duration, 0)) as to_time, host, container, class,
    lost, reason
from gaps
where true
    {gaps}
order by time, container, class
{limit}
