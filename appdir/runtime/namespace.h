/* A user and a mount namespace of our own, in which an ordinary user may mount FUSE. */
#ifndef TEA_NAMESPACE_H
#define TEA_NAMESPACE_H

#include <stdbool.h>

/* In the server: make both and enter them; the user keeps their ids. Some systems (Ubuntu 24.04)
 * refuse only at the second step, so this is done in a process that can be thrown away. */
bool namespace_enter(void);

/* In the server: open both, to hand them to the program. How many (2 when all is well). */
unsigned namespace_files(int files[2]);

/* In the program: enter the server's, staying in the same working directory. */
bool namespace_join(const int files[2]);

/* Would the program find its working directory again after that? */
bool namespace_safe(void);

#endif
