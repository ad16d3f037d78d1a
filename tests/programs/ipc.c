/*
 * ipc: System V semaphores, messages and shared memory through ipc(2), the one call that 32-bit x86 has for all of
 * them.
 */
#define _GNU_SOURCE
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "must.h"

/* The calls of include/uapi/linux/ipc.h. */
enum { SEMOP = 1, SEMGET, SEMCTL, MSGSND = 11, MSGRCV, MSGGET, MSGCTL, SHMAT = 21, SHMDT, SHMGET, SHMCTL };

static int ipc(unsigned call, int first, int second, int third, void *ptr, long fifth)
{
	return must((int)syscall(SYS_ipc, call, first, second, third, ptr, fifth));
}

int main(void)
{
	int sem = ipc(SEMGET, IPC_PRIVATE, 3, 0600, NULL, 0);
	struct sembuf op = {.sem_op = 1};
	ipc(SEMOP, sem, 1, 0, &op, 0);
	int zero = 0;
	ipc(SEMCTL, sem, 0, IPC_RMID, &zero, 0);
	int queue = ipc(MSGGET, IPC_PRIVATE, 0600, 0, NULL, 0);
	struct {
		long type;
		char text[8];
	} message = {.type = 5};
	ipc(MSGSND, queue, 7, IPC_NOWAIT, &message, 0);
	ipc(1 << 16 | MSGRCV, queue, 8, IPC_NOWAIT, &message, 5);
	/* The first version, which C libraries still use: pointer and type are in a struct. */
	int kludge[2] = {(int)(long)&message, 6};
	message.type = 6;
	ipc(MSGSND, queue, 7, IPC_NOWAIT, &message, 0);
	ipc(MSGRCV, queue, 8, IPC_NOWAIT, kludge, 0);
	ipc(MSGCTL, queue, IPC_RMID, 0, NULL, 0);
	int memory = ipc(SHMGET, IPC_PRIVATE, 4096, 0600, NULL, 0);
	unsigned long at = 0;
	ipc(SHMAT, memory, 0, (int)&at, NULL, 0);
	ipc(SHMDT, 0, 0, 0, (void *)at, 0);
	ipc(SHMCTL, memory, IPC_RMID, 0, NULL, 0);
	return 0;
}
