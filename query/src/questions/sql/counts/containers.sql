/* Containers and how busy they were, in a recording of counts. */
with activity as (
    select coalesce(container_id, container) as container_key, host,
        coalesce(sum(case when {not_setup} then calls end), 0) as calls,
        coalesce(sum(case when {not_setup} then errors end), 0) as errors, coalesce(sum(lost), 0) as lost
    from events
    where container is not null
        {events}
    group by coalesce(container_id, container), host
)
select c.container, substr(c.container_id, 1, 12) as id, c.image, c.runtime, c.pod, c.namespace, c.started, c.stopped,
    a.calls, a.errors, a.lost{c.host}
from activity as a
join containers as c
    on c.host = a.host and coalesce(c.container_id, c.container) = a.container_key
order by a.calls desc, c.container, c.container_id, c.host
{limit}
