select container, container_id, host,
    max(image) as image, max(runtime) as runtime, max(pod) as pod, max(namespace) as namespace, max(labels) as labels,
    min(case when kind = 'container' and action = 'started' then time end) as started,
    max(case when kind = 'container' and action = 'stopped' then time end) as stopped,
    min(time) as first_seen, max(time) as last_seen,
    count(case when kind = 'syscall' then 1 end) as calls,
    count(error) as errors,
    count(case when denied then 1 end) as denied,
    cast(coalesce(sum(lost), 0) as bigint) as lost
from events
where container is not null
group by container, container_id, host
