/* Containers and how busy they were. */
with activity as (
    select container, container_id, host,
        count(case when kind = 'syscall' then 1 end) as calls,
        count(error) as errors,
        count(case when denied then 1 end) as denied,
        count(distinct pid) as processes,
        coalesce(sum(lost), 0) as lost
    from events
    where container is not null
        {events}
    group by container, container_id, host
)
select a.container, substr(a.container_id, 1, 12) as id, c.image, c.runtime, c.pod, c.namespace, c.started, c.stopped,
    a.processes, a.calls, a.errors, a.denied, a.lost
from activity as a
join containers as c
    on c.container = a.container and c.host = a.host and coalesce(c.container_id, '') = coalesce(a.container_id, '')
order by a.calls desc, a.container, a.container_id, a.host
{limit}
