#include "copy.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "io.h"

/* Long enough that system calls do not count, short enough that an interrupt is answered. */
enum { STEP = 16 << 20, BUFFER = 1 << 20 };

struct job {
    struct image *image;
    struct content *content;
    int out;
    const volatile int *stop;
    char *buffer; /* BUFFER bytes, made when first needed */
};

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static bool have_buffer(struct job *job)
{
    if (job->buffer == NULL)
        job->buffer = malloc(BUFFER);
    return job->buffer != NULL;
}

/* One step of a run; how many bytes were copied, or minus an errno value. */
static ssize_t copy_step(struct job *job, uint64_t from, uint64_t to, size_t size)
{
    loff_t in = (loff_t)from;
    loff_t out = (loff_t)to;
    ssize_t done = copy_file_range(job->image->fd, &in, job->out, &out, size, 0);

    if (done > 0 || (done < 0 && (errno == ENOSPC || errno == EDQUOT || errno == EIO)))
        return done > 0 ? done : -errno;
    /* Older kernels, other file systems: by way of memory. */
    size = (size_t)least(size, BUFFER);
    if (!have_buffer(job))
        return -ENOMEM;
    if (!read_at(job->image->fd, job->buffer, size, from))
        return -EBADMSG;
    return write_at(job->out, job->buffer, size, to) ? (ssize_t)size : -errno;
}

static int copy_run(struct job *job, const struct run *run)
{
    uint64_t done = 0;

    while (done < run->size) {
        ssize_t step = copy_step(job, run->image + done, run->file + done,
                                 (size_t)least(run->size - done, STEP));
        if (step < 0)
            return (int)-step;
        done += (uint64_t)step;
        if (*job->stop != 0)
            return EINTR;
    }
    return 0;
}

/* Bytes [from, to), which are compressed, in a fragment, or zeros. */
static int unpack(struct job *job, uint64_t from, uint64_t to)
{
    if (from < to && !have_buffer(job))
        return ENOMEM;
    while (from < to) {
        sqfs_off_t size = (sqfs_off_t)least(to - from, BUFFER);

        if (sqfs_read_range(&job->image->fs, &job->content->inode, (sqfs_off_t)from, &size,
                            job->buffer) != SQFS_OK ||
            size <= 0)
            return EBADMSG;
        if (!write_at(job->out, job->buffer, (size_t)size, from))
            return errno;
        from += (uint64_t)size;
        if (*job->stop != 0)
            return EINTR;
    }
    return 0;
}

int copy_content(struct image *image, struct content *content, int out, const volatile int *stop)
{
    struct job job = {.image = image, .content = content, .out = out, .stop = stop};
    uint64_t size = content->inode.xtra.reg.file_size;
    uint64_t at = 0;
    int error = 0;

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
