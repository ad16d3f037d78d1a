/* Containers, with what tells those of two recordings to be the same. */
select container, generalize(container) as general_name, container_id, host, image, image_digest, pod, namespace, pod_container, labels, addresses, restarts,
    cast(started as bigint) as started, cast(stopped as bigint) as stopped, cast(first_seen as bigint) as first_seen,
    cast(last_seen as bigint) as last_seen
from containers
where true
    {container}
