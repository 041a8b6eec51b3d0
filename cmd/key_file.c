#include "cmd/key_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"

_Static_assert(sizeof(struct siphash_key) == KEY_FILE_BYTES, "the file is the key");

static int read_key(int fd, struct siphash_key *out_key)
{
    struct siphash_key key = {{0, 0}};
    struct stat st;

    if (fstat(fd, &st) < 0)
        return -errno;
    if (!S_ISREG(st.st_mode) || st.st_size != KEY_FILE_BYTES || read(fd, &key, sizeof(key)) != KEY_FILE_BYTES ||
        (key.k[0] | key.k[1]) == 0) /* zero stands for none */
        return -EINVAL;
    *out_key = key;
    return 0;
}

/* Whole or not at all: written beside it, then given its name. Return: 0, also when another was faster. */
static int make_file(const char *path)
{
    char beside[PATH_MAX];
    struct siphash_key key;
    int fd, err = 0;

    if (snprintf(beside, sizeof(beside), "%s.XXXXXX", path) >= (int)sizeof(beside))
        return -ENAMETOOLONG;
    fd = mkostemp(beside, O_CLOEXEC);
    if (fd < 0)
        return -errno;
    siphash_key_random(&key);
    if (write(fd, &key, sizeof(key)) != KEY_FILE_BYTES)
        err = -EIO;
    else if (link(beside, path) < 0 && errno != EEXIST)
        err = -errno;
    (void)unlink(beside);
    (void)close(fd);
    return err;
}

int key_file_read(const char *path, struct siphash_key *out_key)
{
    enum { FLAGS = O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY };
    int fd = open(path, FLAGS), err;

    if (fd < 0 && errno == ENOENT) {
        err = make_file(path);
        if (err < 0)
            return err;
        fd = open(path, FLAGS);
    }
    if (fd < 0)
        return -errno;
    err = read_key(fd, out_key);
    (void)close(fd);
    return err;
}
