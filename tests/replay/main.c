/*
 * weir-replay [--family 6] DIR...: run cases (README.md). Each runs in a process of its own: an instance is one a process.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "case.h"
#include "family.h"

enum { STATUS_FAILED = 1, STATUS_USAGE = 2 };

static int run_one(const char *dir, bool show)
{
    pid_t child = fork();
    int status;

    if (child == 0)
        exit(case_run(dir, show) ? 0 : STATUS_FAILED);
    if (child < 0 || waitpid(child, &status, 0) < 0)
        return STATUS_FAILED;
    return WIFEXITED(status) ? WEXITSTATUS(status) : STATUS_FAILED;
}

static void usage(void)
{
    (void)fprintf(stderr, "usage: weir-replay [-v] [--family 4|6] DIR...\n"
                          "Each DIR is a case: guest.txt or guest.pcap, host.txt, weir.yaml, expect.txt.\n");
    exit(STATUS_USAGE);
}

/* Return: the index of the first DIR. */
static int read_options(int argc, char **argv, bool *out_show)
{
    int at = 1;

    for (; at < argc && argv[at][0] == '-' && argv[at][1] != '\0'; at++) {
        const char *value = at + 1 < argc ? argv[at + 1] : "";

        if (strcmp(argv[at], "-v") == 0) {
            *out_show = true;
        } else if (strcmp(argv[at], "--family") == 0 && (strcmp(value, "4") == 0 || strcmp(value, "6") == 0)) {
            family_set(*value == '4' ? ADDR_V4 : ADDR_V6);
            at++;
        } else {
            usage();
        }
    }
    return at;
}

int main(int argc, char **argv)
{
    bool show = false;
    int first = read_options(argc, argv, &show), worst = 0;

    if (first >= argc)
        usage();
    for (int i = first; i < argc; i++) {
        int status = argc == first + 1 ? (case_run(argv[i], show) ? 0 : STATUS_FAILED) : run_one(argv[i], show);

        (void)printf("%s %s\n", status == 0 ? "ok  " : "FAIL", argv[i]);
        (void)fflush(stdout);
        worst = status > worst ? status : worst;
    }
    return worst;
}
