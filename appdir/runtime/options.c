#include "options.h"

#include <string.h>

#include "environment.h"

#define PREFIX "--appimage-"

static const struct {
    const char *name;
    enum action action;
} OPTIONS[] = {
    {PREFIX "help", ACTION_HELP},
    {PREFIX "version", ACTION_VERSION},
    {PREFIX "offset", ACTION_OFFSET},
    {PREFIX "extract", ACTION_EXTRACT},
    {PREFIX "extract-and-run", ACTION_RUN_UNPACKED},
    {PREFIX "mount", ACTION_MOUNT},
    {PREFIX "updateinformation", ACTION_UPDATE_INFORMATION},
    {PREFIX "updateinfo", ACTION_UPDATE_INFORMATION},
    {PREFIX "signature", ACTION_SIGNATURE},
    {PREFIX "portable-home", ACTION_PORTABLE_HOME},
    {PREFIX "portable-config", ACTION_PORTABLE_CONFIG},
};

const char OPTIONS_HELP[] =
    "Options of the AppImage (as the first argument; all others go to the program):\n"
    "  --appimage-help                this text\n"
    "  --appimage-version             version of the AppImage runtime\n"
    "  --appimage-extract [PATTERN]   unpack into ./squashfs-root, all or what matches\n"
    "  --appimage-extract-and-run     run from an unpacked copy in the cache, without FUSE\n"
    "  --appimage-mount               mount, print where, and wait until interrupted\n"
    "  --appimage-offset              where the squashfs starts, in bytes\n"
    "  --appimage-updateinformation   the embedded update information\n"
    "  --appimage-signature           the embedded signature\n"
    "  --appimage-portable-home       make the folder FILE.home; the program's HOME from then on\n"
    "  --appimage-portable-config     make the folder FILE.config; its XDG_CONFIG_HOME\n"
    "\n"
    "Environment:\n"
    "  APPIMAGE_EXTRACT_AND_RUN=1     as --appimage-extract-and-run\n"
    "  TEA_RUNTIME_NO_USERNS=1        never mount in a user namespace (sudo and bubblewrap do not\n"
    "                                 work inside one)\n"
    "  XDG_CACHE_HOME                 where the unpacked copy is kept (default ~/.cache)\n"
    "  TMPDIR                         where the mount point is made (default /tmp)\n"
    "  FUSERMOUNT_PROG                the program that mounts for an ordinary user\n"
    "  NO_CLEANUP=1                   keep unpacked copies that were not used for 30 days\n"
    "  TARGET_APPIMAGE                the AppImage to use instead of this file\n";

enum action options_action(int count, char *const words[])
{
    if (count > 1 && strncmp(words[1], PREFIX, strlen(PREFIX)) == 0) {
        for (size_t i = 0; i < sizeof OPTIONS / sizeof *OPTIONS; i++)
            if (strcmp(words[1], OPTIONS[i].name) == 0)
                return OPTIONS[i].action;
        return ACTION_UNKNOWN;
    }
    return environment_on("APPIMAGE_EXTRACT_AND_RUN") ? ACTION_RUN_UNPACKED : ACTION_RUN;
}
