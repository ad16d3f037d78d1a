select time, duration, container, container_id, host, boot_id, comm, setup, class, syscall, compat, calls, errors, bytes, latency
from events
where kind = 'counts'
