setup_ends as (
    -- Processes of the container runtime that failed before they executed a program in the container.
    select host, coalesce(boot_id, '') as boot, pid, time as ended
    from scope
    where kind = 'process' and action = 'exit' and setup and (exit_code <> 0 or exit_signal is not null)
),
setup_calls as (
    select host, coalesce(boot_id, '') as boot, pid, time, seq, container, container_id, syscall, error, comm,
        coalesce(path, path_arg, path2) as subject
    from scope
    -- The calls of Go's scheduler, which a signal interrupts, are not those of the set-up.
    where setup and {failed} and error <> 'EINTR' and {routine} is null
),
setup_failures as (
    -- The last call that failed in each of them.
    select host, container, container_id, syscall, error, subject, comm, time
    from (
        select c.*, row_number() over (partition by c.host, c.boot, c.pid, ended order by time desc, seq desc) as number
        from setup_calls as c
        join setup_ends as e on e.host = c.host and e.boot = c.boot and e.pid = c.pid and c.time <= e.ended
    )
    where number = 1
),
