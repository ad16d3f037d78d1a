select time, duration, host, container, container_id, class, lost, cpu, action as reason
from events
where kind = 'gap'
