/* Calls by container, the most frequent first, in a recording of counts; times in microseconds. The column `latency` of
   `counts` has a histogram of each second. */
select container, syscall, sum(calls) as calls, sum(errors) as errors, coalesce(sum(bytes), 0) as bytes,
    round(sum(duration) / 1e3, 1) as total_us, round(sum(duration) / 1e3 / sum(calls), 1) as mean_us{host}
from events
where kind = 'counts'
    {events}
group by container, syscall{host}
order by calls desc, container, syscall{host}
{limit}
