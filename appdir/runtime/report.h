/* What the runtime says on stderr, and the exit codes it says it with. */
#ifndef TEA_REPORT_H
#define TEA_REPORT_H

#include <stdbool.h>

/* Exit codes of the runtime itself. A program that was started answers with its own. */
enum {
    EXIT_USAGE = 2,      /* a --appimage-… option that is not understood */
    EXIT_DAMAGED = 120,  /* the image is truncated, damaged or not packed completely */
    EXIT_NO_PLACE = 121, /* no folder can hold the unpacked copy */
    EXIT_NO_SPACE = 122, /* the disk is full, or would be */
    EXIT_NO_MOUNT = 123, /* --appimage-mount: FUSE does not work here */
    EXIT_NO_EXEC = 126,  /* the program cannot be started */
    EXIT_SYSTEM = 127,   /* a system call failed that should not */
};

/* Not an exit code: this way does not work here, nothing was printed, try the next one. */
enum { TRY_NEXT = -1 };

/* Print one line with the cause, a second one with what to do (unless NULL); return `code`. */
int fail(int code, const char *hint, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* One line that does not end the run. */
void note(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* True when someone watches stderr: progress is for people, not for logs. */
bool watched(void);

#endif
