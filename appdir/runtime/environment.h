/* The environment: what is read, and what the program gets. */
#ifndef TEA_ENVIRONMENT_H
#define TEA_ENVIRONMENT_H

#include <stdbool.h>

#include "image.h"

/* Is the switch `variable` on: set, not empty, not "0"? */
bool environment_on(const char *variable);

/* The number in `variable`, from 0 to `most`; `fallback` when it is not set or empty. -1 for anything
 * else. */
int environment_number(const char *variable, int fallback, int most);

/* Set what AppRun may rely on: APPIMAGE, APPDIR, ARGV0, OWD; HOME and XDG_CONFIG_HOME where the
 * folders FILE.home and FILE.config are there. False when memory is short. */
bool environment_set(const struct image *image, const char *appdir, const char *argv0);

/* Make FILE.home or FILE.config. 0 or a printed exit code. */
int environment_portable(const struct image *image, const char *ending);

#endif
