/* The threads of the CPU device: every index once, whatever the threads; a thread that is held up holds up only its piece; waiting
 * takes no processor time. And what goes with them: work in a child process, and the device that auto takes. */
#include "device.h"
#include "fence.h"
#include "pool.h"
#include "suite.h"
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static void nap(double seconds) { nanosleep(&(struct timespec){(time_t)seconds, (long)((seconds - (double)(time_t)seconds) * 1e9)}, NULL); }

static double processor_seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static pool *open_pool(int threads) {
    pool     *p;
    ssa_error err = {0};
    ck_assert_msg(!pool_create(threads, &p, &err), "%s", err.text);
    ck_assert_int_eq(pool_threads(p), threads);
    return p;
}

typedef struct { atomic_int *times; int64_t n, grain; int threads; } counted;

static void count(const void *arg, pool_part part) {
    const counted *c = arg;
    ck_assert(part.first % c->grain == 0 && part.end - part.first <= c->grain && part.end <= c->n && part.thread >= 0 && part.thread < c->threads);
    for (int64_t i = part.first; i < part.end; i++) c->times[i]++;
}

START_TEST(every_index_once) {
    enum { MOST = 1000, LOOPS = 700 };
    atomic_int times[MOST];
    for (int threads = 1; threads <= 5; threads++) {
        pool *p = open_pool(threads);
        for (int64_t k = 0; k < LOOPS; k++) { /* one loop right behind the other: latecomers meet the next one */
            counted c = {times, k % MOST, 1 + k % 7, threads};
            for (int64_t i = 0; i < c.n; i++) times[i] = 0;
            pool_run(p, c.n, c.grain, count, &c);
            for (int64_t i = 0; i < c.n; i++) ck_assert_int_eq(times[i], 1);
        }
        pool_destroy(p);
    }
}
END_TEST

enum { PIECES = 100 };
typedef struct { atomic_int *done; double seconds; } held;

/* Whoever has piece 0 goes on when the others' pieces are done, or fails after a while. */
static void hold_first(const void *arg, pool_part part) {
    const held *h = arg;
    for (int i = 0; part.first == 0 && *h->done < PIECES - 1; i++) {
        ck_assert_msg(i < 10000, "a thread that is held up has more than its piece: %d of %d are done", *h->done, PIECES);
        nap(0.001);
    }
    ++*h->done;
}

START_TEST(the_others_take_the_rest) {
    for (int threads = 2; threads <= 4; threads++) {
        atomic_int done = 0;
        pool      *p = open_pool(threads);
        pool_run(p, PIECES, 1, hold_first, &(held){&done, 0});
        ck_assert_int_eq(done, PIECES);
        pool_destroy(p);
    }
}
END_TEST

static void sleep_in_first(const void *arg, pool_part part) {
    if (part.first == 0) nap(((const held *)arg)->seconds);
}

START_TEST(waiting_takes_no_processor) {
    atomic_int done = 0;
    pool      *p = open_pool(4);
    double     start = processor_seconds();
    pool_run(p, 4, 1, sleep_in_first, &(held){&done, 0.5}); /* in a loop, and between loops */
    nap(0.5);
    ck_assert_double_lt(processor_seconds() - start, 0.05);
    pool_destroy(p);
}
END_TEST

START_TEST(numbers_of_threads) {
    static const struct { const char *text; int threads; } cases[] = {{"1", 1}, {"3", 3}, {" 2", 2}, {"4,2,1", 4}, {"0", -1}, {"-1", -1}, {"abc", -1}, {"100000", -1}, {"3x", -1}, {"99999999999999999999", -1}};
    pool *p;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        ssa_error err = {0};
        setenv("OMP_NUM_THREADS", cases[i].text, 1);
        ssa_status s = pool_create(0, &p, &err);
        if (cases[i].threads < 0) {
            ck_assert_int_eq(s, SSA_ERR_INPUT);
            ck_assert_ptr_nonnull(strstr(err.text, cases[i].text));
        } else ck_assert_int_eq(pool_threads(p), cases[i].threads);
        pool_destroy(p);
        pool_destroy(open_pool(2)); /* whoever asks for a number gets it */
    }
    setenv("OMP_NUM_THREADS", "", 1);
    for (int i = -1; i <= POOL_MOST_THREADS + 1; i += POOL_MOST_THREADS + 2) {
        ssa_error err = {0};
        ck_assert_int_eq(pool_create(i, &p, &err), SSA_ERR_INPUT);
        ck_assert_ptr_null(p);
    }
    pool_destroy(open_pool(POOL_MOST_THREADS));
}
END_TEST

/* -- work in a child ------------------------------------------------------------------------------------------------------ */

static void add_one(void *memory) { ++*(int *)memory; }
static void crash(void *memory) { ++*(int *)memory; raise(SIGSEGV); }
static void hang(void *memory) { ++*(int *)memory; for (;;) pause(); }
static void leave(void *memory) { ++*(int *)memory; _exit(3); }

START_TEST(fences) {
    static const struct { void (*work)(void *); const char *reason; } cases[] = {{add_one, NULL}, {crash, "crashed (Segmentation fault)"}, {hang, "did not end within 1 s"}, {leave, "with status 3"}};
    for (int ignored = 0; ignored < 2; ignored++) {
        signal(SIGCHLD, ignored ? SIG_IGN : SIG_DFL); /* then the system forgets how the child ended */
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
            char reason[FENCE_REASON] = "";
            int  value = 41;
            ck_assert_int_eq(fence_run(cases[i].work, &value, sizeof value, 1, reason), !cases[i].reason);
            ck_assert_int_eq(value, cases[i].reason ? 41 : 42);
            if (cases[i].reason && (!ignored || cases[i].work == hang)) ck_assert_msg(strstr(reason, cases[i].reason) != NULL, "%s", reason);
        }
    }
    signal(SIGCHLD, SIG_DFL);
    ck_assert(fence_alone());
    pool *p = open_pool(2);
    ck_assert(!fence_alone());
    pool_destroy(p);
}
END_TEST

/* -- auto ------------------------------------------------------------------------------------------------------------------- */

/* Types of an API's devices as letters: d discrete, i integrated, v virtual, c CPU. */
static void make(probe_found *found, const char *types) {
    memset(found, 0, sizeof *found);
    for (; types[found->count]; found->count++)
        found->info[found->count].type = types[found->count] == 'd' ? DEV_DISCRETE : types[found->count] == 'i' ? DEV_INTEGRATED : types[found->count] == 'v' ? DEV_VIRTUAL : DEV_CPU;
}

START_TEST(auto_prefers_discrete) {
    static const struct { const char *vulkan, *opencl; int api, index; } cases[] = {
        {"i", "d", 1, 0}, {"ci", "cd", 1, 1}, {"d", "d", 0, 0}, {"i", "i", 0, 0}, {"cdd", "d", 0, 1}, {"c", "i", 1, 0}, {"id", "d", 0, 1}, {"", "i", 1, 0}, {"c", "c", -1, 0}, {"", "", -1, 0}};
    probe_found *found = calloc(2, sizeof *found);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int api, index;
        make(&found[0], cases[i].vulkan);
        make(&found[1], cases[i].opencl);
        bool there = probe_choose(found, 2, DEV_DISCRETE, &api, &index) || probe_choose(found, 2, DEV_INTEGRATED, &api, &index);
        ck_assert_int_eq(there, cases[i].api >= 0);
        if (there) ck_assert_msg(api == cases[i].api && index == cases[i].index, "%s %s: %d:%d", cases[i].vulkan, cases[i].opencl, api, index);
    }
    free(found);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("threads");
    TCase *tc = tcase_create("pool");
    tcase_set_timeout(tc, 120);
    tcase_add_test(tc, every_index_once);
    tcase_add_test(tc, the_others_take_the_rest);
    tcase_add_test(tc, waiting_takes_no_processor);
    tcase_add_test(tc, numbers_of_threads);
    tcase_add_test(tc, fences);
    tcase_add_test(tc, auto_prefers_discrete);
    suite_add_tcase(suite, tc);
    return run_suite(suite);
}
