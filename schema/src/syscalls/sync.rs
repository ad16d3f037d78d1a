//! Calls for interprocess communication, signals, time, and waiting for events.

use super::Arg::*;
use super::{Arg, Class, Names::*, Ret, Spec};

const fn ipc(name: &'static str, args: &'static [(&'static str, Arg)], ret: Ret) -> Spec {
    super::call(name, Class::Ipc, args, ret)
}

const fn signal(name: &'static str, args: &'static [(&'static str, Arg)], ret: Ret) -> Spec {
    super::call(name, Class::Signal, args, ret)
}

const fn time(name: &'static str, args: &'static [(&'static str, Arg)], ret: Ret) -> Spec {
    super::call(name, Class::Time, args, ret)
}

const fn poll(name: &'static str, args: &'static [(&'static str, Arg)], ret: Ret) -> Spec {
    super::call(name, Class::Poll, args, ret)
}

#[rustfmt::skip]
pub(super) static IPC: &[Spec] = &[
    // The kernel stores the two new fds in an array.
    ipc("pipe", &[("pipefd", Ptr)], Ret::Num),
    ipc("pipe2", &[("pipefd", Ptr), ("flags", Flags(FdOpen))], Ret::Num),
    ipc("eventfd", &[("initval", UInt)], Ret::Fd),
    ipc("eventfd2", &[("initval", UInt), ("flags", Flags(Eventfd))], Ret::Fd),
    ipc("futex", &[("uaddr", Ptr), ("futex_op", Const(Futex)), ("val", UInt), ("timeout", Ptr), ("uaddr2", Ptr), ("val3", Bits)], Ret::Num),
    ipc("futex_waitv", &[("waiters", Ptr), ("nr_futexes", UInt), ("flags", Bits), ("timeout", Ptr), ("clockid", Const(Clock))], Ret::Num),
    ipc("futex_wake", &[("uaddr", Ptr), ("mask", Hex), ("nr", Int), ("flags", Bits)], Ret::Num),
    ipc("futex_wait", &[("uaddr", Ptr), ("val", Hex), ("mask", Hex), ("flags", Bits), ("timeout", Ptr), ("clockid", Const(Clock))], Ret::Num),
    ipc("futex_requeue", &[("waiters", Ptr), ("flags", Bits), ("nr_wake", Int), ("nr_requeue", Int)], Ret::Num),
    // System V
    ipc("shmget", &[("key", Bits), ("size", Size), ("shmflg", Flags(IpcGet))], Ret::Num),
    ipc("shmat", &[("shmid", Int), ("shmaddr", Ptr), ("shmflg", Bits)], Ret::Ptr),
    ipc("shmdt", &[("shmaddr", Ptr)], Ret::Num),
    ipc("shmctl", &[("shmid", Int), ("op", Int), ("buf", Ptr)], Ret::Num),
    ipc("semget", &[("key", Bits), ("nsems", Int), ("semflg", Flags(IpcGet))], Ret::Num),
    ipc("semop", &[("semid", Int), ("sops", Ptr), ("nsops", UInt)], Ret::Num),
    ipc("semtimedop", &[("semid", Int), ("sops", Ptr), ("nsops", UInt), ("timeout", Ptr)], Ret::Num),
    ipc("semctl", &[("semid", Int), ("semnum", Int), ("op", Int), ("arg", Ptr)], Ret::Num),
    ipc("msgget", &[("key", Bits), ("msgflg", Flags(IpcGet))], Ret::Num),
    ipc("msgsnd", &[("msqid", Int), ("msgp", Ptr), ("msgsz", Size), ("msgflg", Flags(IpcGet))], Ret::Num),
    ipc("msgrcv", &[("msqid", Int), ("msgp", Ptr), ("msgsz", Size), ("msgtyp", Long), ("msgflg", Flags(IpcGet))], Ret::Bytes),
    ipc("msgctl", &[("msqid", Int), ("op", Int), ("buf", Ptr)], Ret::Num),
    // POSIX message queues: their names are not paths but names in the kernel's mqueue file system
    ipc("mq_open", &[("name", Text), ("flags", Flags(Open)), ("mode", Mode), ("attr", Ptr)], Ret::Fd),
    ipc("mq_unlink", &[("name", Text)], Ret::Num),
    ipc("mq_timedsend", &[("mqdes", Fd), ("msg_ptr", Ptr), ("msg_len", Size), ("msg_prio", UInt), ("abs_timeout", Ptr)], Ret::Num),
    ipc("mq_timedreceive", &[("mqdes", Fd), ("msg_ptr", Ptr), ("msg_len", Size), ("msg_prio", Ptr), ("abs_timeout", Ptr)], Ret::Bytes),
    ipc("mq_notify", &[("mqdes", Fd), ("sevp", Ptr)], Ret::Num),
    ipc("mq_getsetattr", &[("mqdes", Fd), ("newattr", Ptr), ("oldattr", Ptr)], Ret::Num),
];

#[rustfmt::skip]
pub(super) static SIGNAL: &[Spec] = &[
    signal("kill", &[("pid", Pid), ("sig", Signal)], Ret::Num),
    signal("tkill", &[("tid", Pid), ("sig", Signal)], Ret::Num),
    signal("tgkill", &[("tgid", Pid), ("tid", Pid), ("sig", Signal)], Ret::Num),
    signal("pidfd_send_signal", &[("pidfd", Fd), ("sig", Signal), ("info", Ptr), ("flags", Flags(Pidfd))], Ret::Num),
    signal("rt_sigqueueinfo", &[("tgid", Pid), ("sig", Signal), ("info", Ptr)], Ret::Num),
    signal("rt_tgsigqueueinfo", &[("tgid", Pid), ("tid", Pid), ("sig", Signal), ("info", Ptr)], Ret::Num),
    signal("rt_sigaction", &[("signum", Signal), ("act", Ptr), ("oldact", Ptr), ("sigsetsize", Size)], Ret::Num),
    signal("rt_sigprocmask", &[("how", Const(SigHow)), ("set", Ptr), ("oldset", Ptr), ("sigsetsize", Size)], Ret::Num),
    signal("rt_sigpending", &[("set", Ptr), ("sigsetsize", Size)], Ret::Num),
    // The result is the number of the signal.
    signal("rt_sigtimedwait", &[("set", Ptr), ("info", Ptr), ("timeout", Ptr), ("sigsetsize", Size)], Ret::Num),
    signal("rt_sigsuspend", &[("mask", Ptr), ("sigsetsize", Size)], Ret::Num),
    signal("rt_sigreturn", &[], Ret::Num),
    signal("sigaltstack", &[("ss", Ptr), ("old_ss", Ptr)], Ret::Num),
    signal("signalfd", &[("fd", Fd), ("mask", Ptr), ("sizemask", Size)], Ret::Fd),
    signal("signalfd4", &[("fd", Fd), ("mask", Ptr), ("sizemask", Size), ("flags", Flags(Signalfd))], Ret::Fd),
    signal("pause", &[], Ret::Num),
    signal("restart_syscall", &[], Ret::Num),
];

#[rustfmt::skip]
pub(super) static TIME: &[Spec] = &[
    time("time", &[("tloc", Ptr)], Ret::Num),
    time("times", &[("buf", Ptr)], Ret::Num),
    time("gettimeofday", &[("tv", Ptr), ("tz", Ptr)], Ret::Num),
    time("settimeofday", &[("tv", Ptr), ("tz", Ptr)], Ret::Num),
    time("adjtimex", &[("buf", Ptr)], Ret::Num),
    time("clock_adjtime", &[("clockid", Const(Clock)), ("buf", Ptr)], Ret::Num),
    time("clock_settime", &[("clockid", Const(Clock)), ("tp", Ptr)], Ret::Num),
    time("clock_gettime", &[("clockid", Const(Clock)), ("tp", Ptr)], Ret::Num),
    time("clock_getres", &[("clockid", Const(Clock)), ("res", Ptr)], Ret::Num),
    time("clock_nanosleep", &[("clockid", Const(Clock)), ("flags", Flags(Timer)), ("t", Ptr), ("remain", Ptr)], Ret::Num),
    time("nanosleep", &[("duration", Ptr), ("rem", Ptr)], Ret::Num),
    time("alarm", &[("seconds", UInt)], Ret::Num),
    time("getitimer", &[("which", Const(ItimerWhich)), ("curr_value", Ptr)], Ret::Num),
    time("setitimer", &[("which", Const(ItimerWhich)), ("new_value", Ptr), ("old_value", Ptr)], Ret::Num),
    time("timer_create", &[("clockid", Const(Clock)), ("sevp", Ptr), ("timerid", Ptr)], Ret::Num),
    time("timer_settime", &[("timerid", Int), ("flags", Flags(Timer)), ("new_value", Ptr), ("old_value", Ptr)], Ret::Num),
    time("timer_gettime", &[("timerid", Int), ("curr_value", Ptr)], Ret::Num),
    time("timer_getoverrun", &[("timerid", Int)], Ret::Num),
    time("timer_delete", &[("timerid", Int)], Ret::Num),
    time("timerfd_create", &[("clockid", Const(Clock)), ("flags", Flags(Timerfd))], Ret::Fd),
    time("timerfd_settime", &[("fd", Fd), ("flags", Flags(Timer)), ("new_value", Ptr), ("old_value", Ptr)], Ret::Num),
    time("timerfd_gettime", &[("fd", Fd), ("curr_value", Ptr)], Ret::Num),
];

#[rustfmt::skip]
pub(super) static POLL: &[Spec] = &[
    poll("poll", &[("fds", Ptr), ("nfds", UInt), ("timeout", Int)], Ret::Num),
    poll("ppoll", &[("fds", Ptr), ("nfds", UInt), ("tmo_p", Ptr), ("sigmask", Ptr), ("sigsetsize", Size)], Ret::Num),
    poll("select", &[("nfds", Int), ("readfds", Ptr), ("writefds", Ptr), ("exceptfds", Ptr), ("timeout", Ptr)], Ret::Num),
    poll("pselect6", &[("nfds", Int), ("readfds", Ptr), ("writefds", Ptr), ("exceptfds", Ptr), ("timeout", Ptr), ("sigmask", Ptr)], Ret::Num),
    poll("epoll_create", &[("size", Int)], Ret::Fd),
    poll("epoll_create1", &[("flags", Flags(Epoll))], Ret::Fd),
    poll("epoll_ctl", &[("epfd", Fd), ("op", Const(EpollOp)), ("fd", Fd), ("event", Ptr)], Ret::Num),
    poll("epoll_wait", &[("epfd", Fd), ("events", Ptr), ("maxevents", Int), ("timeout", Int)], Ret::Num),
    poll("epoll_pwait", &[("epfd", Fd), ("events", Ptr), ("maxevents", Int), ("timeout", Int), ("sigmask", Ptr), ("sigsetsize", Size)], Ret::Num),
    poll("epoll_pwait2", &[("epfd", Fd), ("events", Ptr), ("maxevents", Int), ("timeout", Ptr), ("sigmask", Ptr), ("sigsetsize", Size)], Ret::Num),
];
