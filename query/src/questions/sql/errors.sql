/* What failed, the most frequent first. EAGAIN and EINPROGRESS are how non-blocking I/O says "not yet"; ERESTARTSYS and the like reach no
   program, for the kernel makes such a call again after a signal, or EINTR of it; and what runc tries while it sets a container up is not
   the container's doing. */
select container, syscall, error,
    coalesce(path, peer_addr || ':' || cast(peer_port as varchar), peer_path, path_arg) as subject,
    count(*) as calls, max(comm) as comm, min(time) as first_seen, max(time) as last_seen
from events
where {failed}
    {events}
group by 1, 2, 3, 4
order by calls desc, 1, 2, 3, 4
{limit}
