/* Containers and how busy they were, in a recording of counts. */
with activity as (
    select container, container_id, host, coalesce(sum(calls), 0) as calls, coalesce(sum(errors), 0) as errors,
        coalesce(sum(lost), 0) as lost
    from events
    where container is not null
        {events}
    group by container, container_id, host
)
select a.container, substr(a.container_id, 1, 12) as id, c.image, c.runtime, c.pod, c.namespace, c.started, c.stopped,
    a.calls, a.errors, a.lost
from activity as a
join containers as c
    on c.container = a.container and c.host = a.host and coalesce(c.container_id, '') = coalesce(a.container_id, '')
order by a.calls desc, a.container, a.container_id, a.host
{limit}
