#include "program.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "io.h"
#include "report.h"

#define LIB "usr/lib"
#define LLAMA LIB "/llama"

/* -I: nothing of the host's Python; -S: no site-packages scan, all modules are in one archive. It is
 * opened for each module, and open_code would ask each time whether it is a terminal. */
#define PYTHON_RUN                                                                                  \
    "import sys, _io; _io.open_code = _io.FileIO\n"                                                 \
    "from the_edge_agent.__main__ import main; sys.exit(main())"
static const char *const PYTHON[] = {"-I", "-S", "-X", "utf8", "-c", PYTHON_RUN};

enum { OPTIONS = 4, FIXED = OPTIONS + 1 + sizeof PYTHON / sizeof *PYTHON };

/* The loader splits search paths at : and ; and expands $ORIGIN and the like in them and in what is
 * opened at run time; programs may not expect bytes that are no text. Then all of it is reached by the
 * open folder's number instead. */
static bool plain(const char *path)
{
    for (; *path != '\0'; path++)
        if (*path < ' ' || *path > '~' || strchr(":;$", *path) != NULL)
            return false;
    return true;
}

static bool find_loader(const char *root, char *loader)
{
    char lib[PATH_MAX];
    struct dirent *file;
    bool found = false;
    DIR *list = join(lib, root, LIB) ? opendir(lib) : NULL;

    if (list == NULL)
        return false;
    while (!found && (file = readdir(list)) != NULL)
        found = strncmp(file->d_name, "ld-linux-", 9) == 0 && join(loader, lib, file->d_name);
    (void)closedir(list);
    return found;
}

static bool set_environment(const char *root)
{
    static const char *const host[] = {"LD_PRELOAD", "LD_LIBRARY_PATH", "LD_AUDIT"};
    char llama[PATH_MAX];

    /* Meant for the host's libc; loading them into another one crashes. */
    for (size_t i = 0; i < sizeof host / sizeof *host; i++)
        (void)unsetenv(host[i]);
    /* Threads that wait for each other keep their cores busy for a while, then sleep. OpenMP's own
     * while is 14 ms on an EPYC: with other programs on the cores, a token took up to 3 s. This is
     * 0.5 ms. */
    if (getenv("OMP_WAIT_POLICY") == NULL && getenv("GOMP_SPINCOUNT") == NULL &&
        setenv("GOMP_SPINCOUNT", "10000", 1) != 0)
        return false;
    return join(llama, root, LLAMA) && setenv("TEA_LIBRARY_PATH", llama, 1) == 0;
}

static int start_by_loader(const char *root, char *loader, char **words)
{
    char libraries[3 * PATH_MAX];
    char program[PATH_MAX];
    size_t count = 0;
    size_t at = 0;
    char **all;

    while (words[count] != NULL)
        count++;
    if (!set_environment(root) || !join(program, root, "usr/bin/tea") ||
        (all = calloc(count + FIXED + 1, sizeof *all)) == NULL)
        return fail(EXIT_SYSTEM, NULL, "cannot start the program: %s", strerror(errno));
    (void)snprintf(libraries, sizeof libraries, "%s/" LIB ":%s/" LLAMA, root, root);
    all[at++] = loader;
    all[at++] = (char *)"--inhibit-cache";
    all[at++] = (char *)"--library-path";
    all[at++] = libraries;
    all[at++] = program;
    if (access(program, X_OK) != 0 && join(program, root, "usr/bin/python3"))
        for (size_t i = 0; i < sizeof PYTHON / sizeof *PYTHON; i++)
            all[at++] = (char *)(uintptr_t)PYTHON[i];
    memcpy(all + at, words + 1, (count - 1) * sizeof *all);
    (void)execv(loader, all);
    free(all);
    return fail(EXIT_NO_EXEC, "download the AppImage for this processor", "cannot start %s: %s",
                loader, strerror(errno));
}

int program_start(const char *appdir, char **words, const char *argv0)
{
    char root[PATH_MAX];
    char loader[PATH_MAX];
    int fd = -1;

    (void)snprintf(root, sizeof root, "%s", appdir);
    if (!plain(appdir) && (fd = open(appdir, O_PATH | O_DIRECTORY | O_CLOEXEC)) >= 0)
        (void)snprintf(root, sizeof root, "/proc/self/fd/%d", keep_open(fd));
    if (find_loader(root, loader))
        return start_by_loader(root, loader, words);
    if (join(loader, appdir, "AppRun") && setenv("ARGV0", argv0, 1) == 0)
        (void)execv(loader, words);
    return fail(EXIT_NO_EXEC, "the AppImage must hold an executable AppRun for this processor",
                "cannot start %s: %s", loader, strerror(errno));
}
