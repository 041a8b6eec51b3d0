/*
 * weir-replay DIR...: run cases (README.md). Each runs in a process of its own: an instance is one a process.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "case.h"

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

int main(int argc, char **argv)
{
    bool show = argc > 1 && strcmp(argv[1], "-v") == 0;
    int first = show ? 2 : 1, worst = 0;

    if (argc <= first || (argv[first][0] == '-' && argv[first][1] != '\0')) {
        (void)fprintf(stderr, "usage: weir-replay [-v] DIR...\n"
                              "Each DIR is a case: guest.txt or guest.pcap, host.txt, weir.yaml, expect.txt.\n");
        return STATUS_USAGE;
    }
    for (int i = first; i < argc; i++) {
        int status = argc == first + 1 ? (case_run(argv[i], show) ? 0 : STATUS_FAILED) : run_one(argv[i], show);

        (void)printf("%s %s\n", status == 0 ? "ok  " : "FAIL", argv[i]);
        (void)fflush(stdout);
        worst = status > worst ? status : worst;
    }
    return worst;
}
