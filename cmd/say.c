#include "cmd/say.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

void say(const struct config *c, enum config_level level, const char *format, ...)
{
    char line[1024];
    va_list args;

    if (level > c->level)
        return;
    va_start(args, format);
    (void)vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    (void)fprintf(stderr, "weir: %s\n", line);
}

void say_error(const char *where, const char *format, ...)
{
    struct problem p;
    va_list args;

    p.column = 0;
    p.hint[0] = '\0';
    va_start(args, format);
    (void)vsnprintf(p.what, sizeof(p.what), format, args);
    va_end(args);
    (void)problem_at(&p, "%s", where);
    problem_print(&p);
}

void say_ready_to_manager(void)
{
    static const char message[] = "READY=1";
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    size_t len = path ? strlen(path) : 0;
    int fd;

    if (len < 2 || len >= sizeof(to.sun_path) || (path[0] != '/' && path[0] != '@'))
        return;
    memcpy(to.sun_path, path, len);
    if (path[0] == '@')
        to.sun_path[0] = '\0'; /* an abstract socket */
    fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return;
    /* Nobody to tell when it fails: the manager's own timeout does. */
    (void)sendto(fd, message, sizeof(message) - 1, MSG_NOSIGNAL, (const struct sockaddr *)&to,
                 (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len));
    (void)close(fd);
}
