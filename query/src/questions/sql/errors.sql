/* Failed calls, the most frequent first. EAGAIN and EINPROGRESS are normal results of non-blocking I/O; ERESTARTSYS and the like reach no
   program, because the kernel restarts the call after a signal, or returns EINTR; and the calls of runc while it sets a container up are
   not the container's own. */
select container, syscall, error,
    coalesce(path, peer_addr || ':' || cast(peer_port as varchar), peer_path, path_arg) as subject,
    count(*) as calls, max(comm) as comm, min(time) as first_seen, max(time) as last_seen{host}
from events
where {failed}
    {events}
group by 1, 2, 3, 4{host}
order by calls desc, 1, 2, 3, 4{host}
{limit}
