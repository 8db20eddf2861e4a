// The process that holds a pod's namespaces open: waits, reaps orphans, ends on SIGINT or SIGTERM.
// No libc: a static binary of about a kilobyte. Built into minikube_py/runtime/data by make_pause.py.

#define SIGINT 2
#define SIGTERM 15
#define SIGCHLD 17
#define BIT(signal) (1UL << ((signal) - 1))

#if defined(__x86_64__)
enum { RT_SIGPROCMASK = 14, WAIT4 = 61, RT_SIGTIMEDWAIT = 128, EXIT_GROUP = 231 };

static long call(long number, long a, long b, long c, long d) {
    long result;
    register long r10 __asm__("r10") = d;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10)
                     : "rcx", "r11", "memory");
    return result;
}
#elif defined(__aarch64__)
enum { RT_SIGPROCMASK = 135, WAIT4 = 260, RT_SIGTIMEDWAIT = 137, EXIT_GROUP = 94 };

static long call(long number, long a, long b, long c, long d) {
    register long x8 __asm__("x8") = number;
    register long x0 __asm__("x0") = a;
    register long x1 __asm__("x1") = b;
    register long x2 __asm__("x2") = c;
    register long x3 __asm__("x3") = d;
    __asm__ volatile("svc #0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3) : "memory");
    return x0;
}
#endif

void _start(void) {
    // Blocked and waited for: as pid 1 a signal with its default action would be dropped otherwise.
    unsigned long signals = BIT(SIGINT) | BIT(SIGTERM) | BIT(SIGCHLD);
    call(RT_SIGPROCMASK, 0, (long)&signals, 0, sizeof signals);
    for (;;) {
        long received = call(RT_SIGTIMEDWAIT, (long)&signals, 0, 0, sizeof signals);
        if (received == SIGINT || received == SIGTERM)
            call(EXIT_GROUP, 0, 0, 0, 0);
        while (call(WAIT4, -1, 0, 1 /* WNOHANG */, 0) > 0)
            ;
    }
}
