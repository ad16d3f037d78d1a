select time, duration, host, boot_id, container, container_id, class, lost, cpu, action as reason
from events
where kind = 'gap'
