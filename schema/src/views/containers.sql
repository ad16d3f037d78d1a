with names as (
    select container, container_id, host,
        max(image) as image, max(image_digest) as image_digest, max(runtime) as runtime, max(pod) as pod,
        max(namespace) as namespace, max(pod_uid) as pod_uid, max(pod_container) as pod_container,
        max(labels) as labels, max(command) as command, max(run_as) as run_as, max(privileged) as privileged,
        max(capabilities) as capabilities, max(mounts) as mounts, max(host_namespaces) as host_namespaces,
        max(seccomp_profile) as seccomp_profile, max(apparmor_profile) as apparmor_profile, max(limits) as limits,
        max(addresses) as addresses, max(restarts) as restarts, max(reason) as reason,
        coalesce(min(case when kind = 'container' and action = 'started' then time end),
            min(case when kind = 'container' then started end)) as started,
        max(case when kind = 'container' and action = 'stopped' then time end) as stopped,
        max(case when kind = 'container' then exit_code end) as exit_code,
        max(case when kind = 'container' then exit_signal end) as exit_signal,
        min(time) as first_seen, max(time) as last_seen,
        count(case when kind = 'syscall' then 1 end) as calls,
        count(case when kind = 'syscall' then error end) as errors,
        count(case when denied then 1 end) as denied,
        coalesce(sum(lost), 0) as lost
    from events
    where container is not null
    group by container, container_id, host
),
ranked as (
    -- A container can be renamed. The last name counts, and the id tells containers of one name apart.
    select names.*, coalesce(container_id, container) as id,
        row_number() over (partition by host, coalesce(container_id, container) order by last_seen desc, container) as rank
    from names
)
select max(case when rank = 1 then container end) as container, max(container_id) as container_id, host,
    max(image) as image, max(image_digest) as image_digest, max(runtime) as runtime, max(pod) as pod,
    max(namespace) as namespace, max(pod_uid) as pod_uid, max(pod_container) as pod_container,
    max(labels) as labels, max(command) as command, max(run_as) as run_as, max(privileged) as privileged,
    max(capabilities) as capabilities, max(mounts) as mounts, max(host_namespaces) as host_namespaces,
    max(seccomp_profile) as seccomp_profile, max(apparmor_profile) as apparmor_profile, max(limits) as limits,
    max(addresses) as addresses, max(restarts) as restarts, max(reason) as reason,
    min(started) as started, max(stopped) as stopped, max(exit_code) as exit_code, max(exit_signal) as exit_signal,
    min(first_seen) as first_seen, max(last_seen) as last_seen,
    cast(sum(calls) as bigint) as calls, cast(sum(errors) as bigint) as errors, cast(sum(denied) as bigint) as denied,
    cast(sum(lost) as bigint) as lost
from ranked
group by host, id
