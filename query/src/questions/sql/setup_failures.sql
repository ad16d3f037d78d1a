setup_ends as (
    -- Processes of the container runtime that failed before they executed a program in the container.
    select host, coalesce(boot_id, '') as boot, pid, time as ended, container, container_id, comm, coalesce(entered, false) as entered,
        coalesce(signal_name(exit_signal), 'exit code ' || cast(exit_code as varchar)) as result
    from scope
    where kind = 'process' and action = 'exit' and setup and (exit_code <> 0 or exit_signal is not null)
),
setup_calls as (
    -- The last calls of each of them, with those that a runtime that fails makes to say so.
    select *
    from (
        select e.host, e.boot, e.pid, e.ended, kind, class, denied, time, seq, syscall, error, coalesce(path, path_arg, path2) as subject,
            row_number() over (partition by e.host, e.boot, e.pid, e.ended order by time desc, seq desc) as number
        from scope as c
        join setup_ends as e on e.host = c.host and e.boot = coalesce(c.boot_id, '') and e.pid = c.pid and c.time <= e.ended
        where kind = 'syscall' and setup
    )
    where number <= 30
),
setup_errors as (
    -- The last call that failed or, without one, the last file that the runtime looked at: a program that it may not execute.
    select *, row_number() over (partition by host, boot, pid, ended order by error is null, number) as latest
    from setup_calls
    -- The calls of Go's scheduler, which a signal interrupts, are not those of the set-up. Each set-up mounts over files below /proc and
    -- /sys that the machine may not have.
    where error is null and syscall like '%stat%' and number <= 12 or {failed} and error <> 'EINTR' and {routine} is null and not (syscall = 'mount' and error in ('ENOENT', 'ENOTDIR')
        and (subject like '/sys/%' or subject like '/proc/%' and subject not like '/proc/self/fd/%'))
),
setup_failures as (
    -- A runtime names the target of a mount by an fd, whose path begins with that of the root directory.
    select e.host, container, container_id, entered, case when error is not null then syscall end as syscall, coalesce(error, result) as error,
        coalesce(max(regexp_replace(opened, '^.*/(merged|rootfs)/', '/')), subject) as subject, comm, coalesce(time, e.ended) as time
    from setup_ends as e
    left join setup_errors as c on latest = 1 and c.host = e.host and c.boot = e.boot and c.pid = e.pid and c.ended = e.ended
    left join (
        select host as open_host, coalesce(boot_id, '') as open_boot, pid as open_pid, '/proc/self/fd/' || cast(ret as varchar) as name,
            time as open_time, path as opened, lead(time) over (partition by host, boot_id, pid, ret order by time, seq) as reused
        from scope
        where setup and kind = 'syscall' and syscall like 'open%' and ret >= 0
    ) as o
        on open_host = e.host and open_boot = e.boot and open_pid = e.pid and name = subject and open_time <= time
            and (reused is null or reused > time)
    group by e.host, e.boot, e.pid, e.ended, container, container_id, entered, syscall, error, result, subject, comm, time
),
