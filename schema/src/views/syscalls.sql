select time, duration, seq, container, container_id, host, boot_id, pid, tid, ppid, ns_pid, uid, comm, exe, setup, entered, class, syscall,
    compat, ret, error, denied, arg0, arg1, arg2, arg3, arg4, arg5, path, path_arg, path2, fd, bytes, argv,
    family, protocol, local_addr, local_port, peer_addr, peer_port, peer_path
from events
where kind = 'syscall'
