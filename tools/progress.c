#include "progress.h"
#include "ssa/io.h"
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static const double LIVE = 1, QUIET = 4.4; /* seconds without output: on a terminal, in a file */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char            phase[200], detail[200];
static double          began, spoke;   /* the phase; the last output */
static bool            running, shown; /* shown: a live line stands on the terminal */
static bool            open_line;      /* standard output stands in the midst of a line */

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void put(const char *text, size_t bytes) { /* not by stdio: that standard error cannot be written is for its messages to notice */
    ssize_t unused = write(STDERR_FILENO, text, bytes);
    (void)unused;
}

static void erase(void) {
    if (shown) put("\r\033[K", 4);
    shown = false;
}

static void show(bool terminal) {
    char   line[480], time[SSA_DURATION_SIZE];
    size_t width = sizeof line - 8; /* room for what ends it */
    if (terminal) {
        struct winsize w;
        if (!ioctl(STDERR_FILENO, TIOCGWINSZ, &w) && w.ws_col > 20 && w.ws_col < width) width = w.ws_col - 1u;
    }
    int n = snprintf(line, sizeof line, "%s... %s%s%s (%s)", terminal ? "\r" : "", phase, detail[0] ? ": " : "", detail, ssa_duration_print(time, now() - began));
    size_t length = n < 0 ? 0 : (size_t)n < width ? (size_t)n : width;
    memcpy(line + length, terminal ? "\033[K" : "\n", terminal ? 4 : 2);
    put(line, strlen(line));
    shown = terminal;
    spoke = terminal ? spoke : now();
}

static void *tick(void *unused) {
    bool terminal = isatty(STDERR_FILENO);
    (void)unused;
    for (bool on = true; on;) {
        nanosleep(&(struct timespec){.tv_nsec = 300000000}, NULL);
        pthread_mutex_lock(&lock);
        on = running;
        if (on && !open_line && now() - spoke > (terminal ? LIVE : QUIET)) show(terminal);
        pthread_mutex_unlock(&lock);
    }
    return NULL;
}

/* -- while drivers are started --------------------------------------------------------------------------------------------------- */

static void remind(int number) {
    static const char text[] = "... waiting for the drivers to tell their devices\n";
    (void)number;
    put(text, sizeof text - 1);
}

static void alarm_every(int seconds) {
    struct sigaction a = {.sa_handler = seconds ? remind : SIG_DFL, .sa_flags = SA_RESTART};
    struct itimerval every = {{seconds, 0}, {seconds, 0}};
    if (seconds) sigaction(SIGALRM, &a, NULL);
    setitimer(ITIMER_REAL, &every, NULL);
    if (!seconds) sigaction(SIGALRM, &a, NULL);
}

void progress_opening(void) { alarm_every(4); }

/* -- afterwards -------------------------------------------------------------------------------------------------------------------- */

void progress_begin(const char *first) {
    pthread_t thread;
    sigset_t  all, before;
    alarm_every(0);
    progress_phase("%s", first);
    if (running) return;
    running = true;
    spoke = now();
    sigfillset(&all); /* signals are the main thread's */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    if (pthread_create(&thread, NULL, tick, NULL)) running = false; else pthread_detach(thread);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

void progress_phase(const char *format, ...) {
    va_list args;
    va_start(args, format);
    pthread_mutex_lock(&lock);
    vsnprintf(phase, sizeof phase, format, args);
    detail[0] = 0;
    began = now();
    pthread_mutex_unlock(&lock);
    va_end(args);
}

void progress_detail(const char *format, ...) {
    va_list args;
    va_start(args, format);
    pthread_mutex_lock(&lock);
    if (format) vsnprintf(detail, sizeof detail, format, args); else detail[0] = 0;
    pthread_mutex_unlock(&lock);
    va_end(args);
}

void progress_activity(void *unused, bool inner, const char *what) {
    (void)unused;
    if (!inner) progress_phase("%s", what);
    else if (what) progress_detail("%s", what);
    else progress_detail(NULL);
}

void progress_end(void) {
    alarm_every(0);
    pthread_mutex_lock(&lock);
    running = false;
    erase();
    pthread_mutex_unlock(&lock);
}

void progress_output_begin(void) {
    pthread_mutex_lock(&lock);
    erase();
}

void progress_output_end(char last) {
    /* What goes into a file is not seen on the terminal. */
    static int seen = -1;
    if (seen < 0) seen = isatty(STDOUT_FILENO) || !isatty(STDERR_FILENO);
    open_line = seen && last && last != '\n';
    if (seen) spoke = now();
    pthread_mutex_unlock(&lock);
}
