/* Calls by container, the most frequent first, in a recording of counts; times in microseconds. The column `latency` of
   `counts` has a histogram of each second. */
select container{id}, syscall{bucket}, sum(calls) as calls, sum(errors) as errors, coalesce(sum(bytes), 0) as bytes,
    round(sum(duration) / 1e3, 1) as total_us, round(sum(duration) / 1e3 / sum(calls), 1) as mean_us{host}
from events
where kind = 'counts' and {not_setup}
    {events}
group by container, container_id, syscall{by_bucket}{host}
order by calls desc, container, container_id, syscall{host}
{limit}
