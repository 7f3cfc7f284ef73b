#include "copy.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "io.h"

enum {
    /* Stays in the processor's cache. Measured with 1 GB from an offset that is not on a page, as
     * in every image: 0.25 s, copy_file_range and sendfile 0.4 to 0.5 s, 1 MiB or mmap 0.5 to
     * 1.5 s. */
    BUFFER = 128 << 10,
    /* The disk is told to start when this much is there, so that the end has less to wait for. */
    WRITE_BEHIND = 32 << 20,
};

struct job {
    struct image *image;
    struct content *content;
    int out;
    const volatile int *stop;
    char *buffer; /* BUFFER bytes */
};

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* Write what is in the buffer. 0 or an errno value. */
static int put(struct job *job, uint64_t at, size_t size)
{
    if (!write_at(job->out, job->buffer, size, at))
        return errno;
    if ((at + size) / WRITE_BEHIND != at / WRITE_BEHIND)
        (void)sync_file_range(job->out, (off_t)(at / WRITE_BEHIND * WRITE_BEHIND), WRITE_BEHIND,
                              SYNC_FILE_RANGE_WRITE);
    return *job->stop != 0 ? EINTR : 0;
}

static int copy_run(struct job *job, const struct run *run)
{
    uint64_t done = 0;
    int error = 0;

    while (error == 0 && done < run->size) {
        size_t size = (size_t)least(run->size - done, BUFFER);

        if (!read_at(job->image->fd, job->buffer, size, run->image + done))
            return EBADMSG;
        error = put(job, run->file + done, size);
        done += size;
    }
    return error;
}

/* Bytes [from, to), which are compressed, in a fragment, or zeros. */
static int unpack(struct job *job, uint64_t from, uint64_t to)
{
    int error = 0;

    while (error == 0 && from < to) {
        sqfs_off_t size = (sqfs_off_t)least(to - from, BUFFER);

        if (sqfs_read_range(&job->image->fs, &job->content->inode, (sqfs_off_t)from, &size,
                            job->buffer) != SQFS_OK ||
            size <= 0)
            return EBADMSG;
        error = put(job, from, (size_t)size);
        from += (uint64_t)size;
    }
    return error;
}

int copy_content(struct image *image, struct content *content, int out, const volatile int *stop)
{
    struct job job = {.image = image, .content = content, .out = out, .stop = stop};
    uint64_t size = content->inode.xtra.reg.file_size;
    uint64_t at = 0;
    int error = 0;

    job.buffer = malloc(BUFFER);
    if (job.buffer == NULL)
        return ENOMEM;
    while (error == 0 && at < size) {
        const struct run *run = content_run(content, at);

        if (run != NULL && run->file == at) {
            error = copy_run(&job, run);
            at = run->file + run->size;
        } else {
            uint64_t end = run != NULL ? run->file : size;
            error = unpack(&job, at, end);
            at = end;
        }
    }
    free(job.buffer);
    return error;
}
