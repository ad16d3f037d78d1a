/* Calls by container, the most frequent first; times in microseconds. */
select container{id}, syscall{bucket}, count(*) as calls, count(error) as errors, count(case when denied then 1 end) as denied,
    round(sum(duration) / 1e3, 1) as total_us, round(avg(duration) / 1e3, 1) as mean_us,
    round(p99(duration) / 1e3, 1) as p99_us,
    round(max(duration) / 1e3, 1) as max_us{host}
from events
where kind = 'syscall' and {not_setup}
    {events}
group by container, container_id, syscall{by_bucket}{host}
order by calls desc, container, container_id, syscall{host}
{limit}
