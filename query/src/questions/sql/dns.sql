/* Questions to name servers: those that failed or had no answer first, then the others, each the most frequent first, and at the end
   what is routine: names with a domain of a search list, and questions that another server has answered. Times in microseconds. */
with scope as (
    select *
    from events
    where true
        {events}
),
{lookups}
ranked as (
    select *, case when routine is not null then 3 when action = 'answered' then 2 else 1 end as rank
    from lookups
)
select container{id}, name, type, code, server, count(*) as questions, round(median(duration) / 1e3, 1) as median_us,
    round(max(duration) / 1e3, 1) as max_us, min(answers) as answers, max(comm) as comm, min(time) as first_seen,
    max(time) as last_seen{bucket}{host}
from ranked
group by rank, host, container, container_id, name, type, code, server{by_bucket}
order by rank, questions desc, container, container_id, name, type, code, server{host}
{limit}
