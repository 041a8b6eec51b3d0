/*
 * `weir replay DIR...`: the program weir-replay (tests/replay), which has a simulated clock and host where this one has
 * real ones.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "cmd/commands.h"
#include "cmd/say.h"

/* Where it may be, from the program's own folder: installed, installed elsewhere, and in a build tree. */
static const char *const places[] = {"weir-replay", "../libexec/weir/weir-replay", "tests/replay/weir-replay"};

int replay_command(char **argv)
{
    char self[PATH_MAX], path[PATH_MAX + 64];
    ssize_t len = readlink("/proc/self/exe", self, sizeof(self) - 1);
    char *slash;

    if (len < 0) {
        say_error("replay", "cannot tell where this program is: %s", strerror(errno));
        return EXIT_FAILED;
    }
    self[len] = '\0';
    slash = strrchr(self, '/');
    if (slash)
        *slash = '\0';
    for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
        (void)snprintf(path, sizeof(path), "%s/%s", self, places[i]);
        if (access(path, X_OK) < 0)
            continue;
        (void)execv(path, argv);
        say_error("replay", "cannot run '%s': %s", path, strerror(errno));
        return EXIT_FAILED;
    }
    say_error("replay", "weir-replay is not there: it is built with the tests, where libpcap is; looked for in '%s'",
              self);
    return EXIT_FAILED;
}
