/* A user and a mount namespace of our own, in which an ordinary user may mount FUSE. */
#ifndef TEA_NAMESPACE_H
#define TEA_NAMESPACE_H

#include <stdbool.h>

/* Make both and enter them; the user keeps their ids. Tried in a child first, down to a mount: some
 * systems (Ubuntu 24.04) refuse only half way. False, with nothing changed, when it does not work. */
bool namespace_enter(void);

#endif
