/* The options of the runtime itself: --appimage-…, as the first argument only. */
#ifndef TEA_OPTIONS_H
#define TEA_OPTIONS_H

enum action {
    ACTION_RUN,
    ACTION_RUN_UNPACKED, /* from the cached copy, without trying to mount */
    ACTION_HELP,
    ACTION_VERSION,
    ACTION_OFFSET,
    ACTION_EXTRACT,
    ACTION_MOUNT,
    ACTION_UPDATE_INFORMATION,
    ACTION_SIGNATURE,
    ACTION_PORTABLE_HOME,
    ACTION_PORTABLE_CONFIG,
    ACTION_UNKNOWN,
};

/* What the first argument asks for. */
enum action options_action(int count, char *const words[]);

/* What --appimage-help prints. */
extern const char OPTIONS_HELP[];

#endif
