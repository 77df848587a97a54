/* Tokens, rows and random numbers. */
#include "suite.h"
#include "ssa/io.h"
#include <fcntl.h>
#include <ftw.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

static char dir[64];

static void make_dir(void) {
    strcpy(dir, "/tmp/ssa_test_io_XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw) {
    (void)st, (void)type, (void)ftw;
    return remove(path);
}

static void remove_dir(void) { nftw(dir, remove_one, 8, FTW_DEPTH | FTW_PHYS); }

static const char *at(const char *name) {
    static char path[4][160];
    static int next;
    char *p = path[next++ % 4];
    snprintf(p, sizeof path[0], "%s/%s", dir, name);
    return p;
}

static void put(const char *name, const void *data, size_t bytes) {
    FILE *f = fopen(at(name), "wb");
    ck_assert_ptr_nonnull(f);
    ck_assert_uint_eq(fwrite(data, 1, bytes, f), bytes);
    ck_assert_int_eq(fclose(f), 0);
}

static void says(const ssa_error *err, const char *text) { ck_assert_msg(strstr(err->text, text), "\"%s\" lacks \"%s\"", err->text, text); }

/* -- tokens ----------------------------------------------------------------------------------------------------------------- */

/* Writes a shard with tokens start, start + 1, ...; a header count of -1 means n. */
static void put_shard(const char *name, int32_t magic, int32_t version, int width, int n, int32_t count, uint32_t start) {
    int32_t header[256] = {magic, version, count < 0 ? n : count};
    unsigned char *file = malloc(sizeof header + (size_t)(n * width));
    memcpy(file, header, sizeof header);
    for (int i = 0; i < n; i++) {
        uint32_t token = start + (uint32_t)i;
        memcpy(file + sizeof header + i * width, &token, (size_t)width); /* little-endian */
    }
    put(name, file, sizeof header + (size_t)(n * width));
    free(file);
}

static ssa_tokens *open_ok(const char *path) {
    ssa_error err = {0};
    ssa_tokens *t;
    ck_assert_msg(!ssa_tokens_open(path, NULL, &t, &err), "%s", err.text);
    return t;
}

static void no_tokens(const char *path, const char *why) {
    ssa_error err = {0};
    ssa_tokens *t;
    ck_assert_int_eq(ssa_tokens_open(path, NULL, &t, &err), SSA_ERR_INPUT);
    ck_assert_ptr_null(t);
    says(&err, path);
    says(&err, why);
}

START_TEST(tokens_bytes) {
    ssa_error err = {0};
    int32_t got[5];
    put("text", "a\n\xffz!", 5);
    ssa_tokens *t = open_ok(at("text"));
    ck_assert(ssa_tokens_count(t) == 5 && ssa_tokens_vocabulary(t) == 256 && ssa_tokens_are_bytes(t));
    ck_assert_int_eq(ssa_tokens_get(t, 0, 5, got, &err), SSA_OK);
    ck_assert(got[0] == 'a' && got[1] == '\n' && got[2] == 255 && got[3] == 'z' && got[4] == '!');
    ssa_tokens_close(t);
    ssa_tokens_close(NULL);
    put("text", "", 0);
    no_tokens(at("text"), "is empty");
    no_tokens(at("missing"), "No such file");
    put("short", "ab", 2); /* shorter than a magic number */
    ssa_tokens_close(open_ok(at("short")));
}
END_TEST

START_TEST(tokens_shards) {
    ssa_error err = {0};
    int32_t got[300];
    ck_assert_int_eq(mkdir(at("data"), 0700), 0);
    no_tokens(at("data"), "no token shards");
    put_shard("data/b.bin", 20240520, 1, 2, 100, -1, 1000);
    put_shard("data/a.bin", 20240520, 1, 2, 7, -1, 993);
    put_shard("data/c.bin", 20240520, 1, 2, 1, -1, 1100);
    put("data/.hidden.bin", "x", 1);
    put("data/readme.txt", "x", 1);
    ssa_tokens *t = open_ok(at("data"));
    ck_assert(ssa_tokens_count(t) == 108 && ssa_tokens_vocabulary(t) == 50257 && !ssa_tokens_are_bytes(t));
    for (int first = 0; first < 108; first++) {
        int n = 108 - first;
        ck_assert_int_eq(ssa_tokens_get(t, first, n, got, &err), SSA_OK);
        for (int i = 0; i < n; i++) ck_assert_int_eq(got[i], 993 + first + i);
    }
    ssa_tokens_close(t);

    put_shard("llama.bin", 20240801, 7, 4, 10, -1, 100000);
    t = open_ok(at("llama.bin"));
    ck_assert(ssa_tokens_count(t) == 10 && ssa_tokens_vocabulary(t) == 128256);
    ck_assert_int_eq(ssa_tokens_get(t, 9, 1, got, &err), SSA_OK);
    ck_assert_int_eq(got[0], 100009);
    ssa_tokens_close(t);

    put_shard("data/d.bin", 20240801, 7, 4, 10, -1, 0);
    no_tokens(at("data"), "d.bin has ids of 4 bytes (Llama 3), the files before it of 2 (GPT-2)");
    put_shard("bad.bin", 20240520, 1, 2, 10, 11, 0);
    no_tokens(at("bad.bin"), "counts 11 tokens, the file has 20 bytes");
    put_shard("bad.bin", 20240520, 1, 2, 0, 0, 0);
    no_tokens(at("bad.bin"), "counts 0 tokens");
    put_shard("bad.bin", 20240520, 2, 2, 10, -1, 0);
    no_tokens(at("bad.bin"), "version 2 is unknown");
    put_shard("bad.bin", 12345, 1, 2, 10, -1, 0);
    no_tokens(at("bad.bin"), "not a token shard: it begins with 12345");
    put("bad.bin", "\x88\xd8\x34\x01", 4);
    no_tokens(at("bad.bin"), "too few for the header");

    put_shard("bad.bin", 20240520, 1, 2, 10, -1, 50250); /* the last tokens lie beyond the vocabulary */
    no_tokens(at("bad.bin"), "token 50257 at position 7 is beyond the vocabulary of 50257");
}
END_TEST

/* A thousand shards are not a thousand descriptors: those beyond the first are opened for each read, and must be what they were. */
START_TEST(tokens_many_files) {
    enum { FILES = 70 };
    ssa_error err = {0};
    int32_t got[FILES * 3];
    char name[32];
    ck_assert_int_eq(mkdir(at("many"), 0700), 0);
    for (int i = 0; i < FILES; i++) {
        snprintf(name, sizeof name, "many/%03d.bin", i);
        put_shard(name, 20240520, 1, 2, 3, -1, (uint32_t)(3 * i));
    }
    int before = open("/dev/null", O_RDONLY);
    ssa_tokens *t = open_ok(at("many"));
    int after = open("/dev/null", O_RDONLY);
    ck_assert_int_lt(after - before, FILES);
    close(before);
    close(after);
    for (int round = 0; round < 2; round++) {
        ck_assert_int_eq(ssa_tokens_get(t, 0, FILES * 3, got, &err), SSA_OK);
        for (int i = 0; i < FILES * 3; i++) ck_assert_int_eq(got[i], i);
        put_shard("many/069.bin", 20240520, 1, 2, 3, -1, 207); /* written again, the same */
    }
    put_shard("many/069.bin", 20240520, 1, 2, 3, -1, 1);
    ck_assert_int_eq(ssa_tokens_get(t, 207, 1, got, &err), SSA_ERR_RUNTIME);
    says(&err, "069.bin has changed while it was in use");
    ssa_error_clear(&err);
    ck_assert_int_eq(unlink(at("many/068.bin")), 0);
    ck_assert_int_eq(ssa_tokens_get(t, 204, 1, got, &err), SSA_ERR_RUNTIME);
    says(&err, "068.bin has vanished while it was in use");
    ssa_error_clear(&err);
    ck_assert_int_eq(unlink(at("many/001.bin")), 0); /* this one is still open */
    ck_assert_int_eq(ssa_tokens_get(t, 3, 1, got, &err), SSA_OK);
    ck_assert_int_eq(truncate(at("many/002.bin"), 1026), 0);
    ck_assert_int_eq(ssa_tokens_get(t, 8, 1, got, &err), SSA_ERR_RUNTIME);
    says(&err, "002.bin has become shorter while it was in use: 1026 bytes, it had 1030");
    ssa_tokens_close(t);
}
END_TEST

/* The identity is of content: not of names, times or folders, and not of how the bytes came. */
START_TEST(tokens_identity) {
    ssa_tokens_id a, b;
    ssa_error err = {0};
    char *text = malloc(3 << 20);
    ck_assert_ptr_nonnull(text);
    for (int i = 0; i < 3 << 20; i++) text[i] = (char)('a' + (i / 7 + i % 5) % 25);
    put("one", text, 3 << 20);
    put("two", text, 3 << 20);
    ssa_tokens *t = open_ok(at("one")), *u = open_ok(at("two"));
    ssa_tokens_identify(t, &a);
    ssa_tokens_identify(u, &b);
    ck_assert_str_eq(a.hash, b.hash);
    ck_assert(a.tokens == 3 << 20 && a.bytes && a.files == 1 && a.vocabulary == 256);
    XXH128_canonical_t whole;
    char hex[33];
    XXH128_canonicalFromHash(&whole, XXH3_128bits(text, 3 << 20));
    for (int i = 0; i < 16; i++) snprintf(hex + 2 * i, 3, "%02x", whole.digest[i]);
    ck_assert_str_eq(a.hash, hex);
    ck_assert_int_eq(ssa_tokens_apart(t, u, &err), SSA_ERR_INPUT);
    says(&err, "two is a copy of training file");
    ssa_error_clear(&err);
    ssa_tokens_close(u);
    text[2 << 20]++;
    put("two", text, 3 << 20);
    u = open_ok(at("two"));
    ssa_tokens_identify(u, &b);
    ck_assert_str_ne(a.hash, b.hash);
    ck_assert_int_eq(ssa_tokens_apart(t, u, &err), SSA_OK);
    ssa_tokens_close(t);
    ssa_tokens_close(u);
    /* Of two files the order counts. */
    char list[400];
    snprintf(list, sizeof list, "%s,%s", at("one"), at("two"));
    t = open_ok(list);
    snprintf(list, sizeof list, "%s,%s", at("two"), at("one"));
    u = open_ok(list);
    ssa_tokens_identify(t, &a);
    ssa_tokens_identify(u, &b);
    ck_assert(a.files == 2 && a.tokens == b.tokens && strcmp(a.hash, b.hash));
    ck_assert_int_eq(ssa_tokens_distinct(t, &err), SSA_OK);
    ssa_tokens_close(t);
    ssa_tokens_close(u);
    free(text);
}
END_TEST

/* -- rows ------------------------------------------------------------------------------------------------------------------- */

START_TEST(rows) {
    ssa_error err = {0};
    ssa_rows train, val;
    int32_t in[10], out[10];
    char text[101];
    for (int i = 0; i < 101; i++) text[i] = (char)(i + 128);
    put("text", text, 101);
    ssa_tokens *t = open_ok(at("text"));
    ck_assert_msg(!ssa_rows_split(t, 10, 0.25, &train, &val, &err), "%s", err.text);
    ck_assert(train.first == 0 && train.count == 8 && val.first == 8 && val.count == 2);
    ck_assert_int_eq(ssa_rows_get(&val, 1, in, out, &err), SSA_OK); /* the very last row */
    for (int i = 0; i < 10; i++) ck_assert(in[i] == 218 + i && out[i] == 219 + i);
    ck_assert_int_eq(ssa_rows_get(&val, 2, in, out, &err), SSA_ERR_INPUT);
    says(&err, "row 2 is out of range 0..1");
    ssa_error_clear(&err);
    ck_assert_int_eq(ssa_rows_split(t, 10, 0, &train, &val, &err), SSA_OK);
    ck_assert(train.count == 9 && val.count == 1);
    ck_assert_int_eq(ssa_rows_split(t, 50, 0.999, &train, &val, &err), SSA_OK);
    ck_assert(train.count == 1 && val.count == 1);
    ck_assert_int_eq(ssa_rows_split(t, 51, 0.1, &train, &val, &err), SSA_ERR_INPUT);
    says(&err, at("text"));
    says(&err, "101 tokens, too few for two rows of sequence length 51");
    ssa_error_clear(&err);
    ck_assert_int_eq(ssa_rows_split(t, 0, 0.1, &train, &val, &err), SSA_ERR_INPUT);
    ssa_error_clear(&err);
    ck_assert_int_eq(ssa_rows_split(t, 10, NAN, &train, &val, &err), SSA_ERR_INPUT);
    ssa_tokens_close(t);
}
END_TEST

START_TEST(shuffle) {
    static const int64_t counts[] = {1, 2, 3, 4, 5, 17, 64, 65, 1000, 4097};
    char seen[4097];
    for (size_t k = 0; k < sizeof counts / sizeof *counts; k++) {
        ssa_rows r = {.seq = 1, .count = counts[k]};
        for (int64_t epoch = 0; epoch < 5; epoch++) {
            memset(seen, 0, sizeof seen);
            for (int64_t i = 0; i < r.count; i++) {
                int64_t row = ssa_rows_shuffled(&r, 42, epoch * r.count + i);
                ck_assert(row >= 0 && row < r.count && !seen[row]);
                seen[row] = 1;
            }
        }
    }
    /* Another seed or epoch is another order; fixed points are about as many as chance has (1), neighbours do not stay so. */
    ssa_rows r = {.seq = 1, .count = 1000};
    int seed = 0, epoch = 0, fixed = 0, neighbours = 0;
    for (int64_t i = 0; i < 1000; i++) {
        int64_t row = ssa_rows_shuffled(&r, 1, i);
        seed += row == ssa_rows_shuffled(&r, 2, i);
        epoch += row == ssa_rows_shuffled(&r, 1, i + 1000);
        fixed += row == i;
        neighbours += i && llabs(row - ssa_rows_shuffled(&r, 1, i - 1)) == 1;
    }
    ck_assert_msg(seed < 10 && epoch < 10 && fixed < 10 && neighbours < 15, "%d %d %d %d", seed, epoch, fixed, neighbours);
    r.count = (int64_t)1 << 40; /* no table: size costs nothing */
    ck_assert_int_ne(ssa_rows_shuffled(&r, 1, 5), ssa_rows_shuffled(&r, 1, 6));
}
END_TEST

/* -- random numbers ---------------------------------------------------------------------------------------------------------- */

static void known(uint64_t seed, uint64_t stream, uint64_t index, uint32_t a, uint32_t b, uint32_t c, uint32_t d) {
    uint32_t r[4];
    ssa_philox(seed, stream, index, r);
    ck_assert(r[0] == a && r[1] == b && r[2] == c && r[3] == d);
}

START_TEST(philox) { /* the known answers of Random123 */
    known(0, 0, 0, 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8);
    known(UINT64_MAX, UINT64_MAX, UINT64_MAX, 0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd);
    known(0x299f31d0a4093822, 0x0370734413198a2e, 0x85a308d3243f6a88, 0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1);
}
END_TEST

START_TEST(distributions) {
    enum { N = 200000 };
    double sum = 0, squares = 0, fourth = 0, mean = 0, low = 1, high = 0;
    for (uint64_t i = 0; i < N; i++) {
        double u = ssa_uniform(7, SSA_STREAM_COIN, i), x = ssa_normal(7, SSA_STREAM_WEIGHTS, i);
        ck_assert(u >= 0 && u < 1 && isfinite(x));
        low = fmin(low, u);
        high = fmax(high, u);
        mean += u / N;
        sum += x / N;
        squares += x * x / N;
        fourth += x * x * x * x / N;
    }
    ck_assert(fabs(mean - 0.5) < 0.003 && low < 1e-4 && high > 1 - 1e-4); /* four deviations and more */
    ck_assert(fabs(sum) < 0.01 && fabs(squares - 1) < 0.015 && fabs(fourth - 3) < 0.1);
}
END_TEST

int main(void) {
    Suite *s = suite_create("io_data");
    TCase *c = tcase_create("data");
    tcase_set_timeout(c, 120);
    tcase_add_checked_fixture(c, make_dir, remove_dir);
    tcase_add_test(c, tokens_bytes);
    tcase_add_test(c, tokens_shards);
    tcase_add_test(c, tokens_many_files);
    tcase_add_test(c, tokens_identity);
    tcase_add_test(c, rows);
    tcase_add_test(c, shuffle);
    tcase_add_test(c, philox);
    tcase_add_test(c, distributions);
    suite_add_tcase(s, c);
    return run_suite(s);
}
