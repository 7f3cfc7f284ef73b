/* The runtime's own version: it changes when what this folder builds behaves differently. */
#ifndef TEA_VERSION_H
#define TEA_VERSION_H

#define RUNTIME_VERSION "1.1.0"

#endif
