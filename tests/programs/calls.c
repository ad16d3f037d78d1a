/*
 * calls [!]NAME=COUNT...: a child that executes this program makes COUNT calls of each named syscall, in turn, so that
 * calls of different kinds follow each other closely. Prints the number of calls of each as `NAME COUNT`. Calls of
 * `!NAME` are refused by seccomp, with EPERM.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <sys/time.h>
#include <sys/times.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static char buf[4096];

/* Calls that neither the C library nor the runtime makes in this process. Some of them always fail. */
static const struct {
	const char *name;
	long nr;
	long args[6];
} table[] = {
	{"getppid", SYS_getppid, {0}},
	{"getuid", SYS_getuid, {0}},
	{"geteuid", SYS_geteuid, {0}},
	{"getgid", SYS_getgid, {0}},
	{"getegid", SYS_getegid, {0}},
	{"getpgid", SYS_getpgid, {0}},
	{"getsid", SYS_getsid, {0}},
	{"sched_yield", SYS_sched_yield, {0}},
	{"umask", SYS_umask, {022}},
	{"times", SYS_times, {(long)buf}},
	{"getpriority", SYS_getpriority, {PRIO_PROCESS, 0}},
	{"sched_getscheduler", SYS_sched_getscheduler, {0}},
	{"sysinfo", SYS_sysinfo, {(long)buf}},
	{"getcwd", SYS_getcwd, {(long)buf, sizeof(buf)}},
	{"faccessat", SYS_faccessat, {AT_FDCWD, (long)"/etc/passwd", R_OK}},
	{"chdir", SYS_chdir, {(long)"/no/such/directory"}},
	{"lseek", SYS_lseek, {0, 0, SEEK_CUR}},
	{"flock", SYS_flock, {-1, LOCK_UN}},
	{"capget", SYS_capget, {0, 0}},
	{"getitimer", SYS_getitimer, {ITIMER_REAL, (long)buf}},
	{"sched_get_priority_max", SYS_sched_get_priority_max, {1}},
	{"fsync", SYS_fsync, {-1}},
};

#define TABLE (sizeof(table) / sizeof(table[0]))

/* Makes seccomp refuse a call from now on. */
static void refuse(long nr)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, nr, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {sizeof(filter) / sizeof(filter[0]), filter};
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program)) {
		perror("calls: seccomp");
		exit(1);
	}
}

static void make(int argc, char **argv)
{
	unsigned long want[TABLE] = {0}, made[TABLE] = {0};
	for (int i = 0; i < argc; i++) {
		char *name = argv[i] + (argv[i][0] == '!'), *count = strchr(name, '=');
		size_t at = 0;
		while (at < TABLE && (strlen(table[at].name) != (size_t)(count - name) ||
				      strncmp(table[at].name, name, count - name)))
			at++;
		if (at == TABLE) {
			fprintf(stderr, "calls: %s: not in the table\n", argv[i]);
			exit(1);
		}
		if (name != argv[i])
			refuse(table[at].nr);
		want[at] = strtoul(count + 1, NULL, 10);
	}
	for (int more = 1; more;) {
		more = 0;
		for (size_t i = 0; i < TABLE; i++) {
			if (made[i] == want[i])
				continue;
			const long *a = table[i].args;
			syscall(table[i].nr, a[0], a[1], a[2], a[3], a[4], a[5]);
			more = 1;
			made[i]++;
		}
	}
	for (size_t i = 0; i < TABLE; i++)
		if (want[i])
			printf("%s %lu\n", table[i].name, made[i]);
}

int main(int argc, char **argv)
{
	if (argc > 1 && !strcmp(argv[1], "child")) {
		make(argc - 2, argv + 2);
		return 0;
	}
	pid_t child = fork();
	if (child == 0) {
		char *args[argc + 2];
		args[0] = argv[0];
		args[1] = "child";
		memcpy(args + 2, argv + 1, argc * sizeof(*argv));
		execv("/proc/self/exe", args);
		_exit(127);
	}
	int status;
	if (child < 0 || waitpid(child, &status, 0) != child)
		return 1;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
