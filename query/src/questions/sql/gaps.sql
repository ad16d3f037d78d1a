/* Lost events by time, of all CPUs together. */
select time as from_time, to_timestamp_nanos(cast(time as bigint) + coalesce(duration, 0)) as to_time, host, container{id}, class,
    sum(lost) as lost, reason
from gaps
where true
    {gaps}
group by time, duration, host, container, container_id, class, reason
order by time, container, container_id, class, host, duration, reason
{limit}
