/*
 * floor OBJECT empty|prototype: attaches these programs of floor.bpf.c until SIGINT. The prototype's rings are read
 * every 10 ms, and the records are discarded.
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define RING_BYTES (8 << 20)

static volatile sig_atomic_t stop;

static void on_signal(int signal)
{
	stop = 1;
}

static int count(void *ctx, void *record, size_t bytes)
{
	++*(unsigned long *)ctx;
	return 0;
}

/* Creates a ring for each CPU and inserts it into the map of rings. Returns null on failure. */
static struct ring_buffer *make_rings(struct bpf_map *outer, int cpus, unsigned long *records)
{
	struct ring_buffer *rings = NULL;
	for (int cpu = 0; cpu < cpus; cpu++) {
		int ring = bpf_map_create(BPF_MAP_TYPE_RINGBUF, "floor_ring", 0, 0, RING_BYTES, NULL);
		if (ring < 0 || bpf_map_update_elem(bpf_map__fd(outer), &cpu, &ring, BPF_ANY))
			return NULL;
		if (!rings)
			rings = ring_buffer__new(ring, count, records, NULL);
		else if (ring_buffer__add(rings, ring, count, records))
			return NULL;
		if (!rings)
			return NULL;
	}
	return rings;
}

int main(int argc, char **argv)
{
	struct bpf_object *object = argc == 3 ? bpf_object__open_file(argv[1], NULL) : NULL;
	struct ring_buffer *rings;
	struct bpf_program *program;
	struct bpf_map *outer;
	unsigned long records = 0;
	int cpus = libbpf_num_possible_cpus();
	if (!object || cpus < 1) {
		fprintf(stderr, "usage: %s floor.bpf.o empty|prototype\n", argv[0]);
		return 2;
	}
	signal(SIGINT, on_signal);
	outer = bpf_object__find_map_by_name(object, "rings");
	bpf_map__set_max_entries(outer, cpus);
	bpf_object__for_each_program(program, object)
	{
		const char *name = bpf_program__name(program);
		bpf_program__set_autoload(program, !strncmp(name, argv[2], strlen(argv[2])));
	}
	if (bpf_object__load(object) || !(rings = make_rings(outer, cpus, &records)))
		return 1;
	bpf_object__for_each_program(program, object)
	{
		if (bpf_program__autoload(program) && !bpf_program__attach(program))
			return 1;
	}
	while (!stop) {
		ring_buffer__consume(rings);
		usleep(10000);
	}
	printf("%lu records\n", records);
	return 0;
}
