/* The environment: what is read, and what the program gets. */
#ifndef TEA_ENVIRONMENT_H
#define TEA_ENVIRONMENT_H

#include <stdbool.h>

#include "image.h"

/* Is the switch `variable` on: set, not empty, not "0"? */
bool environment_on(const char *variable);

/* Set what the program may rely on: APPIMAGE, APPDIR, OWD; TEA_MODEL_FD where there is a model; HOME
 * and XDG_CONFIG_HOME where the user has the folders FILE.home and FILE.config. False when memory is
 * short. */
bool environment_set(const struct image *image, const char *appdir);

/* Make FILE.home or FILE.config. 0 or a printed exit code. */
int environment_portable(const struct image *image, const char *ending);

#endif
