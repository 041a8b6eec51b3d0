/*
 * The guest's view of the file system: the host's, without what would lead around its network. Services are reached
 * through sockets in the file system, which no network namespace confines; so /run is empty, and every other socket
 * that is bound on the host now is covered by a file that nothing listens on.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"
#include "cmd/exec.h"

#define OWN_DIR "/run/weir"
#define OWN_RESOLV OWN_DIR "/resolv.conf"
#define OWN_NSSWITCH OWN_DIR "/nsswitch.conf"
#define OWN_NOTHING OWN_DIR "/nothing"

static const char *const hidden_dirs[] = {"/run", "/var/run"};

static const char nsswitch_text[] =
    "passwd: files\ngroup: files\nshadow: files\ngshadow: files\nhosts: files dns\nnetworks: files\n"
    "protocols: files\nservices: files\nethers: files\nrpc: files\nnetgroup: files\n";

/* One --share. */
struct share {
    char path[PATH_MAX]; /* without symbolic links */
    int fd;              /* owned; O_PATH: what was there before it was hidden */
    bool directory;
};

struct view {
    const struct exec_guest *guest; /* borrowed */
    char *error;                    /* borrowed; LINK_ERROR_MAX */
    struct share shares[ARGS_SHARES_MAX];
    unsigned share_count;
    char resolv[PATH_MAX], cwd[PATH_MAX]; /* "": none */
    unsigned masked;
};

static bool below(const char *path, const char *dir)
{
    size_t len = strlen(dir);

    return strncmp(path, dir, len) == 0 && (path[len] == '/' || path[len] == '\0');
}

static bool is_hidden(const char *path)
{
    for (size_t i = 0; i < ARRAY_SIZE(hidden_dirs); i++)
        if (below(path, hidden_dirs[i]))
            return true;
    return false;
}

/* ---- before anything is hidden ---- */

static int open_share(struct view *v, const char *path)
{
    struct share *share = &v->shares[v->share_count];
    struct stat st;

    if (!realpath(path, share->path))
        return exec_fail(v->error, "cannot share '%s'", path);
    share->fd = open(share->path, O_PATH | O_CLOEXEC);
    if (share->fd < 0 || fstat(share->fd, &st) < 0)
        return exec_fail(v->error, "cannot share '%s'", path);
    v->share_count++;
    share->directory = S_ISDIR(st.st_mode);
    for (size_t i = 0; i < ARRAY_SIZE(hidden_dirs); i++)
        if (strcmp(share->path, hidden_dirs[i]) == 0) {
            errno = 0;
            return exec_fail(v->error, "cannot share all of '%s'; name what is in it", path);
        }
    if (!is_hidden(share->path) && !S_ISSOCK(st.st_mode)) {
        errno = 0;
        return exec_fail(v->error, "'%s' is no socket and not below /run, so it is not hidden and needs no --share",
                         path);
    }
    return 0;
}

/*
 * Where the name /etc/resolv.conf leads. A link into /run often leads nowhere once /run is hidden, or already does:
 * then the file is made there. Return: 0; -errno.
 */
static int find_resolv(struct view *v)
{
    char link[PATH_MAX];
    ssize_t len;

    if (realpath("/etc/resolv.conf", v->resolv))
        return 0;
    len = readlink("/etc/resolv.conf", link, sizeof(link) - 1);
    if (len > 0) {
        link[len] = '\0';
        if (link[0] == '/')
            (void)snprintf(v->resolv, sizeof(v->resolv), "%s", link);
        else if (strncmp(link, "../", 3) == 0) /* /etc is one below the top */
            (void)snprintf(v->resolv, sizeof(v->resolv), "/%s", link + 3);
        if (is_hidden(v->resolv) && !strstr(v->resolv, "/../"))
            return 0;
    }
    errno = 0;
    return exec_fail(v->error, "there is no /etc/resolv.conf to cover; make it a file");
}

static int look_around(struct view *v)
{
    const struct args *args = v->guest->args;
    int err;

    for (unsigned i = 0; i < args->share_count; i++) {
        err = open_share(v, args->shares[i]);
        if (err < 0)
            return err;
    }
    if (!getcwd(v->cwd, sizeof(v->cwd)))
        v->cwd[0] = '\0';
    return find_resolv(v);
}

/* ---- hiding ---- */

static int write_file(struct view *v, const char *path, mode_t mode, const char *text)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, mode);
    size_t len = strlen(text);
    bool written = fd >= 0 && write(fd, text, len) == (ssize_t)len;

    if (fd >= 0)
        (void)close(fd);
    return written ? 0 : exec_fail(v->error, "cannot write %s", path);
}

static int hide_dirs(struct view *v)
{
    struct stat run, st;

    if (stat("/run", &run) < 0)
        return exec_fail(v->error, "cannot hide /run");
    for (size_t i = 0; i < ARRAY_SIZE(hidden_dirs); i++) {
        /* /var/run is a link to /run nearly everywhere. */
        if (lstat(hidden_dirs[i], &st) < 0 || !S_ISDIR(st.st_mode))
            continue;
        if (i > 0 && st.st_dev == run.st_dev && st.st_ino == run.st_ino)
            continue;
        if (mount("weir", hidden_dirs[i], "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755,size=64m") < 0)
            return exec_fail(v->error, "cannot hide %s", hidden_dirs[i]);
    }
    if (mkdir(OWN_DIR, 0755) < 0)
        return exec_fail(v->error, "cannot make " OWN_DIR);
    return write_file(v, OWN_NOTHING, 0, "");
}

/* Make the folders above @path, and the thing itself, empty; only below hidden folders, which are ours by now. */
static int make_place(struct view *v, const char *path, bool directory)
{
    char part[PATH_MAX];
    int fd;

    (void)snprintf(part, sizeof(part), "%s", path);
    for (char *slash = strchr(part + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        if (mkdir(part, 0755) < 0 && errno != EEXIST)
            return exec_fail(v->error, "cannot make %s", part);
        *slash = '/';
    }
    if (directory)
        return mkdir(path, 0755) == 0 || errno == EEXIST ? 0 : exec_fail(v->error, "cannot make %s", path);
    fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (fd < 0)
        return exec_fail(v->error, "cannot make %s", path);
    (void)close(fd);
    return 0;
}

static int give_back(struct view *v)
{
    for (unsigned i = 0; i < v->share_count; i++) {
        const struct share *share = &v->shares[i];
        char source[32];
        int err;

        if (!is_hidden(share->path))
            continue; /* a socket that is left unmasked */
        err = make_place(v, share->path, share->directory);
        if (err < 0)
            return err;
        (void)snprintf(source, sizeof(source), "/proc/self/fd/%d", share->fd);
        if (mount(source, share->path, NULL, MS_BIND | MS_REC, NULL) < 0)
            return exec_fail(v->error, "cannot share '%s'", share->path);
    }
    return 0;
}

/* ---- sockets elsewhere ---- */

static int mask_socket(struct view *v, const char *path)
{
    char real[PATH_MAX];
    struct stat st;

    if (!realpath(path, real) || lstat(real, &st) < 0 || !S_ISSOCK(st.st_mode))
        return 0; /* gone, hidden, out of CMD's reach as of ours, or by now something else */
    for (unsigned i = 0; i < v->share_count; i++)
        if (below(real, v->shares[i].path))
            return 0;
    if (v->masked++ == EXEC_SOCKETS_MAX) {
        errno = 0;
        return exec_fail(v->error, "the host has more than %d sockets to hide", EXEC_SOCKETS_MAX);
    }
    if (mount(OWN_NOTHING, real, NULL, MS_BIND, NULL) < 0)
        return exec_fail(v->error, "cannot hide the socket %s", real);
    return 0;
}

/* proc(5): the path is the eighth field of /proc/net/unix; names that are no paths belong to the network namespace. */
static int mask_sockets(struct view *v)
{
    FILE *list = fopen("/proc/net/unix", "re");
    char *line = NULL;
    size_t size = 0;
    int err = 0;

    if (!list)
        return exec_fail(v->error, "cannot read /proc/net/unix");
    while (err == 0 && getline(&line, &size, list) > 0) {
        const char *at = line;

        line[strcspn(line, "\n")] = '\0';
        for (unsigned field = 0; field < 7; field++) {
            at += strspn(at, " ");
            at += strcspn(at, " ");
        }
        at += strspn(at, " ");
        if (*at == '/')
            err = mask_socket(v, at);
    }
    free(line);
    (void)fclose(list);
    return err;
}

/* ---- names ---- */

static void search_line(const struct instance_config *in, char *out, size_t size)
{
    size_t len = 0;

    out[0] = '\0';
    for (const uint8_t *at = in->search, *end = at + in->search_len; at < end; at++) {
        len += (size_t)snprintf(out + len, size - len, "%s", at == in->search ? "search " : " ");
        for (bool first = true; *at != 0; at += 1 + *at, first = false)
            len += (size_t)snprintf(out + len, size - len, "%s%.*s", first ? "" : ".", (int)*at, (const char *)at + 1);
    }
}

static int set_names(struct view *v)
{
    const struct instance_config *in = &v->guest->config->instance;
    struct networks nets = networks_plan(&in->net4, &in->net6);
    const struct addr *resolver = nets.v4.gateway.family != ADDR_NONE ? &nets.v4.gateway : &nets.v6.gateway;
    char text[1024], addr[ADDR_TEXT_MAX], search[2 * GUEST_SEARCH_MAX];
    int err;

    search_line(in, search, sizeof(search));
    (void)snprintf(text, sizeof(text), "nameserver %s\n%s%s", addr_format(resolver, addr), search,
                   search[0] != '\0' ? "\n" : "");
    err = write_file(v, OWN_RESOLV, 0644, text);
    if (err == 0)
        err = write_file(v, OWN_NSSWITCH, 0644, nsswitch_text);
    if (err == 0 && is_hidden(v->resolv))
        err = make_place(v, v->resolv, false);
    if (err < 0)
        return err;
    if (mount(OWN_RESOLV, v->resolv, NULL, MS_BIND, NULL) < 0)
        return exec_fail(v->error, "cannot cover %s", v->resolv);
    /* Without the file, libc's own order is the wanted one. */
    if (mount(OWN_NSSWITCH, "/etc/nsswitch.conf", NULL, MS_BIND, NULL) < 0 && errno != ENOENT)
        return exec_fail(v->error, "cannot cover /etc/nsswitch.conf");
    return 0;
}

static int fresh_proc(struct view *v)
{
    if (mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) < 0)
        return exec_fail(v->error, "cannot mount a fresh /proc (a container that masks parts of /proc forbids it)");
    return 0;
}

/* The working directory itself still leads below what was hidden: look it up again. */
static int reenter(struct view *v)
{
    if (v->cwd[0] == '/' && chdir(v->cwd) == 0)
        return 0;
    return chdir("/") == 0 ? 0 : exec_fail(v->error, "cannot enter /");
}

int exec_mounts(const struct exec_guest *guest, char error[static LINK_ERROR_MAX])
{
    static int (*const stages[])(struct view *v) = {
        look_around, hide_dirs, give_back, mask_sockets, set_names, fresh_proc, reenter,
    };
    static struct view view; /* too big for the stack of a process that is about to become small */
    int err = 0;

    view = (struct view){.guest = guest, .error = error};
    if (mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        return exec_fail(error, "cannot make the mounts private");
    for (size_t i = 0; i < ARRAY_SIZE(stages) && err == 0; i++)
        err = stages[i](&view);
    for (unsigned i = 0; i < view.share_count; i++)
        (void)close(view.shares[i].fd);
    return err;
}
