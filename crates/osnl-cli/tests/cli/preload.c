/* Stands between osnl and the C library, for what a test cannot do to a real disk or a real clock.
 *
 * OSNL_TEST_FAULT names a file: `sync 5` lets fdatasync and fsync on the journal fail with errno 5, `write 28` what
 * writes it, and `hang` lets them wait. OSNL_TEST_CLOCK names a file with seconds that the wall clock is off. Neither there: nothing is changed.
 * OSNL_TEST_NAME is `NAME ADDRESS ADDRESS`: a name and its two IPv4 addresses, in the resolver's order.
 * OSNL_TEST_TRACE names a file for what `strace -f -yy -xx` would say about those calls and what is sent; where a
 * process may not be traced.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

static long small_file(const char *variable, char *text, size_t size) {
    const char *path = getenv(variable);
    if (!path) return 0;
    int fd = syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return 0;
    long length = syscall(SYS_read, fd, text, size - 1);
    syscall(SYS_close, fd);
    text[length > 0 ? length : 0] = 0;
    return length > 0;
}

static void name_of(int fd, char *name, size_t size) {
    char path[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    long length = syscall(SYS_readlinkat, AT_FDCWD, path, name, size - 1);
    name[length > 0 ? length : 0] = 0;
}

static int fails(const char *what, int fd) {
    char text[64], name[4096];
    if (!small_file("OSNL_TEST_FAULT", text, sizeof text)) return 0;
    name_of(fd, name, sizeof name);
    size_t length = strlen(what);
    if (!strstr(name, "journal.db") || strncmp(text, what, length)) return 0;
    errno = atoi(text + length);
    return 1;
}

/* One write, so that lines of several threads do not mix. */
static void trace(const char *call, int fd, const void *data, size_t size, const char *end) {
    static int log = -2;
    if (log == -2) {
        const char *path = getenv("OSNL_TEST_TRACE");
        log = path ? syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600) : -1;
    }
    if (log < 0) return;
    int saved = errno;
    char name[4096];
    name_of(fd, name, sizeof name);
    char *line = malloc(size * 4 + 8192), *at = line;
    at += sprintf(at, "%ld %s(%d<%s>", (long)syscall(SYS_gettid), call, fd, name);
    if (data) {
        at += sprintf(at, ", \"");
        for (size_t n = 0; n < size; n++) at += sprintf(at, "\\x%02x", ((const unsigned char *)data)[n]);
        *at++ = '"';
    }
    at += sprintf(at, "%s\n", end);
    syscall(SYS_write, log, line, at - line);
    free(line);
    errno = saved;
}

static void trace_end(const char *call, long result) {
    const char *path = getenv("OSNL_TEST_TRACE");
    if (!path) return;
    int saved = errno;
    int log = syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_APPEND | O_CLOEXEC);
    char line[128];
    int length = snprintf(line, sizeof line, "%ld <... %s resumed>) = %ld\n", (long)syscall(SYS_gettid), call, result);
    syscall(SYS_write, log, line, length);
    syscall(SYS_close, log);
    errno = saved;
}

/* A disk that does not answer, as long as the fault lasts. */
static void hangs(int fd) {
    char text[64], name[4096];
    name_of(fd, name, sizeof name);
    while (strstr(name, "journal.db") && small_file("OSNL_TEST_FAULT", text, sizeof text) && !strncmp(text, "hang", 4))
        syscall(SYS_nanosleep, &(struct timespec){.tv_nsec = 10000000}, 0);
}

static int synced(const char *call, int number, int fd) {
    hangs(fd);
    if (fails("sync", fd)) return -1;
    trace(call, fd, 0, 0, " <unfinished ...>");
    int result = syscall(number, fd);
    trace_end(call, result);
    return result;
}

int fdatasync(int fd) { return synced("fdatasync", SYS_fdatasync, fd); }
int fsync(int fd) { return synced("fsync", SYS_fsync, fd); }

ssize_t pwrite64(int fd, const void *data, size_t size, off64_t at) {
    if (fails("write", fd)) return -1;
    trace("pwrite64", fd, data, size, " <unfinished ...>");
    ssize_t result = syscall(SYS_pwrite64, fd, data, size, at);
    trace_end("pwrite64", result);
    return result;
}
ssize_t pwrite(int fd, const void *data, size_t size, off_t at) { return pwrite64(fd, data, size, at); }

ssize_t write(int fd, const void *data, size_t size) {
    if (fails("write", fd)) return -1;
    trace("write", fd, data, size, " <unfinished ...>");
    ssize_t result = syscall(SYS_write, fd, data, size);
    trace_end("write", result);
    return result;
}

ssize_t send(int fd, const void *data, size_t size, int flags) {
    trace("sendto", fd, data, size, " <unfinished ...>");
    ssize_t result = syscall(SYS_sendto, fd, data, size, flags, 0, 0);
    trace_end("sendto", result);
    return result;
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
    for (int n = 0; n < count; n++) trace("writev", fd, parts[n].iov_base, parts[n].iov_len, " <unfinished ...>");
    ssize_t result = syscall(SYS_writev, fd, parts, count);
    trace_end("writev", result);
    return result;
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    int result = real(clock, now);
    char text[32];
    if (clock == CLOCK_REALTIME && small_file("OSNL_TEST_CLOCK", text, sizeof text)) now->tv_sec += atol(text);
    return result;
}

/* The answers of the C library for each address, one after the other: freeaddrinfo takes such a list. */
int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **found) {
    static int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **);
    if (!real) *(void **)&real = dlsym(RTLD_NEXT, "getaddrinfo");
    const char *names = getenv("OSNL_TEST_NAME");
    char name[64], first[64], second[64];
    if (!node || !names || sscanf(names, "%63s %63s %63s", name, first, second) != 3 || strcmp(node, name))
        return real(node, service, hints, found);
    int error = real(first, service, hints, found);
    struct addrinfo *last = error ? NULL : *found;
    while (last && last->ai_next) last = last->ai_next;
    return error ? error : real(second, service, hints, &last->ai_next);
}
