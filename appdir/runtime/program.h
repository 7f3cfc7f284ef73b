/* Becoming the program. */
#ifndef TEA_PROGRAM_H
#define TEA_PROGRAM_H

/* Start the tree's program with the loader and the libc that travel with it; or its AppRun, where it
 * has no loader. `words` are the arguments, the first of them any name. Returns only when that fails,
 * with a printed exit code. */
int program_start(const char *appdir, char **words, const char *argv0);

#endif
