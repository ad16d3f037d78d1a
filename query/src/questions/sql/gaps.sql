/* Lost events by time, of all CPUs together. */
select time as from_time, to_timestamp_nanos(cast(time as bigint) + coalesce(duration, 0)) as to_time, host, container, class,
    sum(lost) as lost, reason
from gaps
where true
    {gaps}
group by time, duration, host, container, class, reason
order by time, container, class, host, duration, reason
{limit}
