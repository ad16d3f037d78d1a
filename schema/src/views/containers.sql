with names as (
    select container, container_id, host, case when kind = 'container' then action end as action,
        case when kind = 'container' then exit_code end as exit_code, case when kind = 'container' then exit_signal end as exit_signal,
        case when kind = 'container' then reason end as reason,
        max(image) as image, max(image_digest) as image_digest, max(runtime) as runtime, max(pod) as pod,
        max(namespace) as namespace, max(pod_uid) as pod_uid, max(pod_container) as pod_container,
        max(labels) as labels, max(command) as command, max(run_as) as run_as, max(privileged) as privileged,
        max(capabilities) as capabilities, max(mounts) as mounts, max(host_namespaces) as host_namespaces,
        max(seccomp_profile) as seccomp_profile, max(apparmor_profile) as apparmor_profile, max(limits) as limits,
        max(addresses) as addresses, max(restarts) as restarts,
        min(case when kind = 'container' then started end) as started,
        min(time) as first_seen, max(time) as last_seen,
        count(case when kind = 'syscall' then 1 end) as calls,
        count(case when kind = 'syscall' then error end) as errors,
        count(case when denied then 1 end) as denied,
        coalesce(sum(lost), 0) as lost
    from events
    where container is not null
    group by 1, 2, 3, 4, 5, 6, 7
),
ranked as (
    -- A container can be renamed, and can end and start again. The last name and the last end count, and the id tells containers of one
    -- name apart.
    select names.*, coalesce(container_id, container) as id,
        row_number() over (partition by host, coalesce(container_id, container) order by last_seen desc, container, action) as rank,
        row_number() over (partition by host, coalesce(container_id, container), action order by last_seen desc, container) as action_rank
    from names
),
merged as (
    select host, id, max(case when rank = 1 then container end) as container, max(container_id) as container_id,
        max(image) as image, max(image_digest) as image_digest, max(runtime) as runtime, max(pod) as pod,
        max(namespace) as namespace, max(pod_uid) as pod_uid, max(pod_container) as pod_container,
        max(labels) as labels, max(command) as command, max(run_as) as run_as, max(privileged) as privileged,
        max(capabilities) as capabilities, max(mounts) as mounts, max(host_namespaces) as host_namespaces,
        max(seccomp_profile) as seccomp_profile, max(apparmor_profile) as apparmor_profile, max(limits) as limits,
        max(addresses) as addresses, max(restarts) as restarts,
        coalesce(min(case when action = 'started' then first_seen end), min(started)) as started,
        max(case when action in ('started', 'found') then last_seen end) as last_started,
        max(case when action = 'stopped' then last_seen end) as stopped,
        max(case when action = 'stopped' and action_rank = 1 then exit_code end) as exit_code,
        max(case when action = 'stopped' and action_rank = 1 then exit_signal end) as exit_signal,
        max(case when action = 'stopped' and action_rank = 1 then reason end) as reason,
        min(first_seen) as first_seen, max(last_seen) as last_seen,
        cast(sum(calls) as bigint) as calls, cast(sum(errors) as bigint) as errors, cast(sum(denied) as bigint) as denied,
        cast(sum(lost) as bigint) as lost
    from ranked
    group by host, id
)
select container, container_id, host, image, image_digest, runtime, pod, namespace, pod_uid, pod_container, labels, command, run_as,
    privileged, capabilities, mounts, host_namespaces, seccomp_profile, apparmor_profile, limits, addresses, restarts,
    case when stopped >= coalesce(last_started, stopped) then reason end as reason, started,
    case when stopped >= coalesce(last_started, stopped) then stopped end as stopped,
    case when stopped >= coalesce(last_started, stopped) then exit_code end as exit_code,
    case when stopped >= coalesce(last_started, stopped) then exit_signal end as exit_signal,
    first_seen, last_seen, calls, errors, denied, lost
from merged
