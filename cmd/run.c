/*
 * `weir run`: open the links, say so, and serve until told to end.
 */
#include "cmd/commands.h"

#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "cmd/reload.h"
#include "cmd/say.h"
#include "cmd/service.h"

/*
 * SIGHUP without a file to read again ends the program like the others, in order: a terminal that closes must not leave
 * flows without records.
 */
static const int signals[] = {SIGTERM, SIGINT, SIGHUP};

struct run {
    struct service service;
    const struct args *args;
    struct config *config; /* in use */
    uv_signal_t signals[ARRAY_SIZE(signals)];
    unsigned signal_count;
};

static void on_signal(uv_signal_t *handle, int number)
{
    struct run *run = handle->data;

    if (number == SIGHUP && run->args->file && !run->service.closing) {
        reload(&run->service, run->args, run->config);
        return;
    }
    say(run->service.config, CONFIG_LEVEL_DEBUG, "ending: %s", strsignal(number));
    service_close(&run->service);
}

static void on_closing(struct service *service)
{
    struct run *run = CONTAINER_OF(service, struct run, service);

    for (unsigned i = 0; i < run->signal_count; i++)
        uv_close((uv_handle_t *)&run->signals[i], NULL);
}

static int watch_signals(struct run *run)
{
    for (size_t i = 0; i < ARRAY_SIZE(signals); i++) {
        int err = uv_signal_init(&run->service.loop, &run->signals[i]);

        if (err < 0)
            return err;
        run->signals[i].data = run;
        run->signal_count++;
        err = uv_signal_start(&run->signals[i], on_signal, signals[i]);
        if (err < 0)
            return err;
    }
    return 0;
}

static int open_links(struct run *run)
{
    const struct config *c = run->service.config;

    for (unsigned i = 0; i < c->link_count; i++) {
        char error[LINK_ERROR_MAX];
        int err = link_open(run->service.instance, &c->links[i].spec, error);

        if (err < 0) {
            say_error(c->links[i].text, "%s", error);
            return err;
        }
        say(c, CONFIG_LEVEL_DEBUG, "link %s is open", c->links[i].text);
    }
    return 0;
}

int run_command(const struct args *args, struct config *config)
{
    struct run run = {.args = args, .config = config};
    int err;

    if (config->link_count == 0) {
        say_error("run", "there is no link to serve; give --link SPEC, or links: in the file");
        return EXIT_USAGE;
    }
    service_raise_limits();
    err = service_open(&run.service, config, STDOUT_FILENO);
    run.service.on_closing = on_closing;
    if (err == 0) {
        err = watch_signals(&run);
        if (err < 0)
            say_error("signals", "cannot be watched: %s", uv_strerror(err));
    }
    if (err == 0)
        err = open_links(&run);
    if (err == 0) {
        (void)fputs("weir: ready\n", stderr);
        say_ready_to_manager();
        err = service_run(&run.service);
    }
    service_deinit(&run.service);
    return err < 0 ? EXIT_FAILED : EXIT_DONE;
}
