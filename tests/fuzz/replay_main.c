/*
 * Replays a corpus through a fuzz target, with any compiler: every file of the directory as it is, and cut short at
 * every sixteenth of its length.
 */
#include <dirent.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { REPLAY_FILE_BYTES_MAX = 1 << 20, REPLAY_CUTS = 16 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* In an allocation of exactly its size, so that the sanitizer sees a read one byte beyond. */
static void run(const uint8_t *bytes, size_t len)
{
    uint8_t *copy = malloc(len > 0 ? len : 1);

    if (!copy)
        abort();
    memcpy(copy, bytes, len);
    (void)LLVMFuzzerTestOneInput(copy, len); /* always 0: a failed invariant aborts */
    free(copy);
}

static int replay(const char *path)
{
    static uint8_t bytes[REPLAY_FILE_BYTES_MAX];
    FILE *file = fopen(path, "rb");
    size_t len;

    if (!file) {
        (void)fprintf(stderr, "%s: %s\n", path, strerror(errno));
        return -1;
    }
    len = fread(bytes, 1, sizeof(bytes), file);
    (void)fclose(file); /* read only: nothing to lose */
    run(bytes, len);
    for (unsigned cut = 0; cut < REPLAY_CUTS; cut++)
        run(bytes, len * cut / REPLAY_CUTS);
    return 0;
}

static int replay_directory(const char *directory)
{
    char path[4096];
    struct dirent *entry;
    DIR *dir = opendir(directory);
    int count = 0;

    if (!dir) {
        (void)fprintf(stderr, "%s: %s\n", directory, strerror(errno));
        return -1;
    }
    while ((entry = readdir(dir))) {
        if (entry->d_name[0] == '.')
            continue;
        (void)snprintf(path, sizeof(path), "%s/%s", directory, entry->d_name);
        if (replay(path) < 0) {
            count = -1;
            break;
        }
        count++;
    }
    (void)closedir(dir);
    return count;
}

int main(int argc, char **argv)
{
    int count = argc == 2 ? replay_directory(argv[1]) : -1;

    if (count < 0) {
        (void)fprintf(stderr, "usage: %s CORPUS-DIRECTORY\n", argv[0]);
        return EXIT_FAILURE;
    }
    if (count == 0) {
        (void)fprintf(stderr, "%s holds no input: nothing was tested\n", argv[1]);
        return EXIT_FAILURE;
    }
    (void)printf("%d inputs, %d runs\n", count, count * (REPLAY_CUTS + 1));
    return EXIT_SUCCESS;
}
