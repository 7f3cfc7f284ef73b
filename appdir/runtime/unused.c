/* Functions that the libraries refer to and that are never called here.
 *
 * The linker takes these and leaves out the library's own, and with them libfuse's high-level half,
 * character devices in user space, dlopen and iconv: 110 kB. */
#include <stdlib.h>

#include <squashfuse/ll.h>

void cuse_lowlevel_init(fuse_req_t request, fuse_ino_t inode, const void *argument);

/* Only for /dev/cuse. */
void cuse_lowlevel_init(fuse_req_t request, fuse_ino_t inode, const void *argument)
{
    (void)request;
    (void)inode;
    (void)argument;
    abort();
}

/* Only for squashfuse's own command line. */
void fuse_cmdline_help(void)
{
    abort();
}

int fuse_daemonize(int foreground)
{
    (void)foreground;
    abort();
}
