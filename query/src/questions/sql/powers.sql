/* What containers may do and use on the machine, the most powerful first. */
with known as (
    select *,
        -- Beyond the capabilities that Docker and containerd grant by default.
        nullif(trim(case when privileged then 'all' else regexp_replace(replace(capabilities, 'none', ''),
            '\bCAP_(AUDIT_WRITE|CHOWN|DAC_OVERRIDE|FOWNER|FSETID|KILL|MKNOD|NET_BIND_SERVICE|NET_RAW|SETFCAP|SETGID|SETPCAP'
                || '|SETUID|SYS_CHROOT)\b ?', '', 'g') end), '') as added_capabilities,
        -- Nearly all containers share the others.
        nullif(trim(regexp_replace(host_namespaces, ' ?\b(cgroup|user)\b', '', 'g')), '') as shared_namespaces,
        -- A socket that is mounted read-only can be connected to all the same, and those of runtimes are in /run. 7b and 7d are braces.
        regexp_replace(regexp_replace(mounts, '([.]sock","target":"(?:[^"\\]|\\.)*","options":")ro', '$1', 'g'),
            '"source":"(/|/run|/var|/var/run)"(,"target":"(?:[^"\\]|\\.)*","options":")ro', '"source":"$1 (sockets)"$2', 'g') as used
    from containers
    where container_id is not null
        {spans}
),
paths as (
    -- Volumes are the runtime's own directories.
    select *, nullif(trim(regexp_replace(regexp_replace(used,
        '\x7b"source":"(?:[^"\\]|\\.)*","target":"(?:[^"\\]|\\.)*","options":"ro(?:[^"\\]|\\.)*"\x7d,?|'
            || '\x7b"source":"[^"]*/(?:docker|storage)/volumes/[^"]*","target":"(?:[^"\\]|\\.)*","options":"[^"]*"\x7d,?|^\[|\]$',
        '', 'g'),
        '\x7b"source":"((?:[^"\\]|\\.)*)","target":"(?:[^"\\]|\\.)*","options":"[^"]*"\x7d,?', '$1 ', 'g')), '')
        as host_paths
    from known
),
ranked as (
    select *,
        case when privileged then 128 else 0 end
        + case when regexp_like(' ' || host_paths || ' ', ' /(?:proc|sys|etc|root|var|boot|dev|usr|lib|run|var/run)? | /etc/(?:cron|sudoers|shadow|passwd|ssh|systemd)[^ ]* | /var/lib/(?:docker|containerd|kubelet)[^ ]* | [^ ]*(?:docker|containerd|crio|podman)[.]sock ')
            then 64 else 0 end
        + case when regexp_like(added_capabilities, 'all|CAP_(?:BPF|DAC_READ_SEARCH|SYS_ADMIN|SYS_MODULE|SYS_PTRACE|SYS_RAWIO)')
            then 32 else 0 end
        + case when shared_namespaces is not null then 16 else 0 end
        + case when host_paths is not null then 8 else 0 end
        + case when seccomp_profile = 'unconfined' then 4 else 0 end
        + case when apparmor_profile = 'unconfined' then 2 else 0 end
        + case when added_capabilities is not null then 2 else 0 end
        + case when run_as like '0:%' then 1 else 0 end as rank
    from paths
)
select container, substr(container_id, 1, 12) as id, case when pod is not null then coalesce(namespace, '?') || '/' || pod end as pod,
    privileged, added_capabilities, shared_namespaces as host_namespaces, host_paths as writable_host_paths,
    seccomp_profile as seccomp, apparmor_profile as apparmor, run_as, coalesce(limits, case when run_as is not null then 'none' end) as limits, image{host}
from ranked
order by rank desc, limits is not null, container, container_id, host
{limit}
