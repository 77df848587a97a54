#include "signals.h"
#include <errno.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* A signal again within this time is the same request: `timeout` sends to the process and to its group, shells hang up twice. */
enum { SAME_NS = 100000000 };

ssa_train_requests requested;
static char            sentence[96];
static struct timespec last[2]; /* SIGINT's, SIGTERM's */

static void say(void) {
    ssize_t unused = write(STDERR_FILENO, sentence, strlen(sentence));
    (void)unused;
}

static void on_stop(int number) {
    int error = errno;
    if (!requested.stop) say();
    requested.stop = number;
    if (number == SIGINT || number == SIGTERM) {
        struct timespec now, *before = &last[number == SIGTERM];
        clock_gettime(CLOCK_MONOTONIC, &now);
        double ns = 1e9 * (double)(now.tv_sec - before->tv_sec) + (double)(now.tv_nsec - before->tv_nsec);
        if (before->tv_sec && ns > SAME_NS) { /* as if it had never been caught; delivered when this handler returns */
            signal(number, SIG_DFL);
            raise(number);
        }
        *before = now;
    }
    errno = error;
}

static void on_save(int number) {
    (void)number;
    requested.save = (requested.save + 1) & 0x3fffffff;
}

static void catch(int number, void (*handler)(int)) {
    struct sigaction old, ours = {.sa_handler = handler, .sa_flags = SA_RESTART};
    sigemptyset(&ours.sa_mask);
    if (!sigaction(number, NULL, &old) && old.sa_handler != SIG_IGN) sigaction(number, &ours, NULL);
}

void signals_catch(const char *until, bool saves) {
    static const int stops[] = {SIGINT, SIGTERM, SIGHUP, SIGXCPU};
    strcpy(sentence, isatty(STDERR_FILENO) ? "\r\033[Kssa: stopping after " : "ssa: stopping after "); /* over a live line */
    strncat(sentence, until, 40);
    strcat(sentence, ", again to leave at once\n");
    for (size_t i = 0; i < sizeof stops / sizeof *stops; i++) catch(stops[i], on_stop);
    if (saves) catch(SIGUSR1, on_save);
}
