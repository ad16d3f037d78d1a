select time, duration, seq, container, container_id, host, pid, tid, ppid, ns_pid, uid, comm, exe, class, syscall,
    compat, ret, error, denied, arg0, arg1, arg2, arg3, arg4, arg5, path, fd, bytes
from events
where kind = 'syscall'
