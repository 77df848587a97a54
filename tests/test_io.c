/* Files: safetensors written and read back, and every way in which a file can be wrong. */
#include "suite.h"
#include "ssa/io.h"
#include <ftw.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

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

/* A path in the test's folder; four may be alive at a time. */
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

static size_t get(const char *name, char **out) {
    ssa_error err = {0};
    size_t bytes;
    ck_assert_msg(!ssa_file_read(at(name), 1 << 20, out, &bytes, &err), "%s", err.text);
    return bytes;
}

static int entries(void) { /* files in the folder: nothing temporary may stay behind */
    char command[128];
    int n = -1;
    snprintf(command, sizeof command, "ls -A %s | wc -l", dir);
    FILE *f = popen(command, "r");
    ck_assert_int_eq(fscanf(f, "%d", &n), 1);
    pclose(f);
    return n;
}

/* -- writing and reading back -------------------------------------------------------------------------------------------- */

static ssa_status fetch_data(void *user, int i, void *host, ssa_error *err) {
    const ssa_file_tensor *t = (const ssa_file_tensor *)user + i;
    (void)err;
    memcpy(host, t->data, (size_t)t->elements * ssa_dtype_size(t->dtype));
    return SSA_OK;
}

static const float    f32[6] = {1, -2, 3.5f, 0, 1e-30f, 7};
static const uint16_t half[3] = {0x3c00, 0x8001, 0x7bff};
static const int32_t  i32[4] = {-1, 0, 1, INT32_MAX};
static const double   f64[2] = {1e300, -0.0};

/* Every dtype and rank, no elements at all, a name that needs escapes; f16 of three elements leaves what follows misaligned. */
static const ssa_file_tensor sample[] = {
    {"model.layers.0.weight", SSA_F32, 2, {2, 3}, f32, 6},
    {"half", SSA_F16, 1, {3}, half, 3},
    {"brain", SSA_BF16, 3, {1, 3, 1}, half, 3},
    {"tokens", SSA_I32, 4, {1, 2, 1, 2}, i32, 4},
    {"odd", SSA_BF16, 1, {1}, half, 1},
    {"crooked \"\\\n name \xc3\xa9", SSA_F64, 1, {2}, f64, 2},
    {"empty", SSA_F32, 2, {0, 7}, f32, 0},
    {"scalar", SSA_F32, 0, {1}, f32, 1},
};
enum { SAMPLES = sizeof sample / sizeof *sample };

static void write_sample(const char *name, int first, int count) {
    static const char *const metadata[] = {"format", "pt", "quote", "a \"b\"", NULL};
    ssa_error err = {0};
    ck_assert_msg(!ssa_safetensors_write(at(name), sample + first, count, metadata, fetch_data, (void *)(sample + first), &err), "%s", err.text);
}

static ssa_safetensors *open_ok(const char *path) {
    ssa_error err = {0};
    ssa_safetensors *st;
    ck_assert_msg(!ssa_safetensors_open(path, &st, &err), "%s", err.text);
    return st;
}

static void compare(const ssa_safetensors *st, const ssa_file_tensor *got, const ssa_file_tensor *want) {
    ck_assert_ptr_nonnull(got);
    ck_assert_int_eq(ssa_safetensors_load(st, got, NULL), SSA_OK);
    ck_assert_str_eq(got->name, want->name);
    ck_assert_int_eq(got->dtype, want->dtype);
    ck_assert_int_eq(got->rank, want->rank);
    ck_assert_int_eq(got->elements, want->elements);
    ck_assert(!got->elements || (uintptr_t)got->data % ssa_dtype_size(got->dtype) == 0);
    for (int d = 0; d < (want->rank ? want->rank : 1); d++) ck_assert_int_eq(got->shape[d], want->shape[d]);
    ck_assert(!want->elements || !memcmp(got->data, want->data, (size_t)want->elements * ssa_dtype_size(want->dtype)));
}

/* A file that is cut or written over while it is open is an error and no SIGBUS; what has been read stays. */
START_TEST(changes_while_open) {
    write_sample("a.safetensors", 0, SAMPLES);
    ssa_error err = {0};
    ssa_safetensors *st = open_ok(at("a.safetensors"));
    const ssa_file_tensor *t = ssa_safetensors_find(st, sample[0].name), *later = ssa_safetensors_find(st, sample[1].name);
    compare(st, t, &sample[0]);
    ck_assert_int_eq(truncate(at("a.safetensors"), 16), 0);
    compare(st, t, &sample[0]);
    ck_assert_int_eq(ssa_safetensors_load(st, later, &err), SSA_ERR_RUNTIME);
    ck_assert_msg(strstr(err.text, "a.safetensors has changed while it was in use") && !later->data, "%s", err.text);
    ssa_safetensors_unload(st, t);
    ck_assert_ptr_null(t->data);
    ssa_safetensors_close(st);
}
END_TEST

START_TEST(roundtrip) {
    write_sample("a.safetensors", 0, SAMPLES);
    ssa_safetensors *st = open_ok(at("a.safetensors"));
    ck_assert_int_eq(ssa_safetensors_count(st), SAMPLES);
    for (int i = 0; i < SAMPLES; i++) compare(st, ssa_safetensors_find(st, sample[i].name), &sample[i]);
    for (int i = 0; i < 6; i++) compare(st, ssa_safetensors_at(st, i), &sample[i]);
    ck_assert_ptr_null(ssa_safetensors_find(st, "nothing"));
    ck_assert_str_eq(ssa_safetensors_metadata(st, "quote"), "a \"b\"");
    ck_assert_ptr_null(ssa_safetensors_metadata(st, "nothing"));
    ssa_safetensors_close(st);
    ssa_safetensors_close(NULL);

    char *a, *b;
    write_sample("b.safetensors", 0, SAMPLES);
    size_t bytes = get("a.safetensors", &a);
    ck_assert_uint_eq(get("b.safetensors", &b), bytes);
    ck_assert(!memcmp(a, b, bytes));
    uint64_t header;
    memcpy(&header, a, 8);
    ck_assert_uint_eq(header % 8, 0);
    free(a);
    free(b);
    ck_assert_int_eq(entries(), 2);
}
END_TEST

START_TEST(no_tensors) {
    ssa_error err = {0};
    ck_assert_int_eq(ssa_safetensors_write(at("none"), NULL, 0, NULL, fetch_data, NULL, &err), SSA_OK);
    ssa_safetensors *st = open_ok(at("none"));
    ck_assert_int_eq(ssa_safetensors_count(st), 0);
    ck_assert_ptr_null(ssa_safetensors_find(st, "x"));
    ck_assert_ptr_null(ssa_safetensors_metadata(st, "x"));
    ssa_safetensors_close(st);
}
END_TEST

/* A sentence that does not fit shows that it was cut, and is UTF-8 to its end. */
START_TEST(long_sentence) {
    ssa_error err = {0};
    char      text[2 * sizeof err.text];
    for (size_t i = 0; i + 1 < sizeof text; i += 2) memcpy(text + i, "\xc3\xa4", 2);
    text[sizeof text - 1] = 0;
    ssa_fail(&err, SSA_ERR_INPUT, "%s", text);
    size_t n = strlen(err.text);
    ck_assert(n > sizeof err.text - 8 && n < sizeof err.text);
    ck_assert_str_eq(err.text + n - 3, "...");
    ck_assert_int_eq((unsigned char)err.text[n - 4], 0xa4);
}
END_TEST

START_TEST(write_refuses) {
    ssa_error err = {0};
    ssa_file_tensor twice[2] = {sample[0], sample[0]}, wrong = sample[0];
    ck_assert_int_eq(ssa_safetensors_write(at("w"), twice, 2, NULL, fetch_data, twice, &err), SSA_ERR_INPUT);
    ck_assert_ptr_nonnull(strstr(err.text, "model.layers.0.weight would be written twice"));
    wrong.shape[1] = -3;
    ck_assert_int_eq(ssa_safetensors_write(at("w"), &wrong, 1, NULL, fetch_data, &wrong, &err), SSA_ERR_INPUT);
    ck_assert_int_eq(entries(), 0);
}
END_TEST

/* -- folders -------------------------------------------------------------------------------------------------------------- */

static void fails(const char *path, const char *a, const char *b) {
    ssa_error err = {0};
    ssa_safetensors *st;
    ck_assert_int_eq(ssa_safetensors_open(path, &st, &err), SSA_ERR_INPUT);
    ck_assert_ptr_null(st);
    ck_assert_msg(strstr(err.text, a) && strstr(err.text, b), "\"%s\" lacks \"%s\" or \"%s\"", err.text, a, b);
    ck_assert_msg(!strpbrk(err.text, "\n\r\x1b"), "%s", err.text);
}

#define INDEX "model.safetensors.index.json"
static void put_index(const char *map) {
    char text[512];
    int n = snprintf(text, sizeof text, "{\"metadata\": {\"total_size\": 1}, \"weight_map\": %s}", map);
    put(INDEX, text, (size_t)n);
}

START_TEST(folder) {
    fails(dir, dir, "neither model.safetensors nor");
    write_sample("one.safetensors", 0, 2);
    write_sample("two.safetensors", 2, 2);
    put_index("{\"brain\": \"two.safetensors\", \"half\": \"one.safetensors\", \"tokens\": \"two.safetensors\"}");
    ssa_safetensors *st = open_ok(dir);
    ck_assert_int_eq(ssa_safetensors_count(st), 4);
    for (int i = 0; i < 4; i++) compare(st, ssa_safetensors_at(st, i), &sample[i]);
    for (int i = 0; i < 4; i++) compare(st, ssa_safetensors_find(st, sample[i].name), &sample[i]);
    ck_assert_str_eq(ssa_safetensors_metadata(st, "format"), "pt");
    ssa_safetensors_close(st);

    put_index("{\"half\": \"three.safetensors\"}");
    fails(dir, "three.safetensors", "No such file");
    put_index("{\"half\": \"two.safetensors\"}");
    fails(dir, INDEX, "tensor half is not in its shard two.safetensors");
    put_index("{\"half\": \"../two.safetensors\"}");
    fails(dir, INDEX, "../two.safetensors");
    put_index("{\"half\": \"/etc/passwd\"}");
    fails(dir, INDEX, "/etc/passwd");
    put_index("{\"half\": \"..\"}");
    fails(dir, INDEX, "leads out of the folder");
    put_index("{\"half\": \"\"}");
    fails(dir, INDEX, "leads out of the folder");
    put_index("{\"half\": 3}");
    fails(dir, INDEX, "half is a number");
    put_index("{}");
    fails(dir, INDEX, "weight_map is empty");
    put_index("[]");
    fails(dir, INDEX, "weight_map is a list");
    put(INDEX, "{}", 2);
    fails(dir, INDEX, "weight_map is missing");
    write_sample("also_one.safetensors", 0, 2);
    put_index("{\"half\": \"one.safetensors\", \"model.layers.0.weight\": \"also_one.safetensors\"}");
    fails(dir, INDEX, "half appears twice");

    write_sample("model.safetensors", 4, 1); /* goes before an index */
    st = open_ok(dir);
    compare(st, ssa_safetensors_at(st, 0), &sample[4]);
    ssa_safetensors_close(st);
}
END_TEST

/* What is no dtype of ours opens too: whether it matters is the reader's to say. */
START_TEST(foreign_types) {
    static const char header[] = "{\"i\":{\"dtype\":\"I64\",\"shape\":[2],\"data_offsets\":[0,16]},\"b\":{\"dtype\":\"BOOL\",\"shape\":[3],"
        "\"data_offsets\":[16,19]},\"f\":{\"dtype\":\"F4\",\"shape\":[2],\"data_offsets\":[19,20]},\"n\":{\"dtype\":\"F3_NEW\",\"shape\":[9],"
        "\"data_offsets\":[20,24]},\"d\":{\"dtype\":\"F32\",\"shape\":[1,1,1,1,1],\"data_offsets\":[24,28]}}";
    static const struct { const char *name, *type; int rank; int64_t bytes; } want[] = {
        {"i", "I64", 1, 16}, {"b", "BOOL", 1, 3}, {"f", "F4", 1, 1}, {"n", "F3_NEW", 1, 4}, {"d", "F32", 5, 4}};
    char     file[8 + sizeof header - 1 + 28] = {0};
    uint64_t n = sizeof header - 1;
    memcpy(file, &n, 8);
    memcpy(file + 8, header, n);
    put("foreign.safetensors", file, sizeof file);
    ssa_safetensors *st = open_ok(at("foreign.safetensors"));
    for (int i = 0; i < 5; i++) {
        const ssa_file_tensor *t = ssa_safetensors_at(st, i);
        ck_assert_str_eq(t->name, want[i].name);
        ck_assert_str_eq(t->type, want[i].type);
        ck_assert(t->dtype == SSA_DTYPE_COUNT && t->rank == want[i].rank && t->bytes == want[i].bytes);
    }
    ck_assert(ssa_dtype_size(SSA_DTYPE_COUNT) == 0 && ssa_dtype_name(SSA_DTYPE_COUNT));
    ssa_safetensors_close(st);
}
END_TEST

START_TEST(strangers_in_folder) {
    write_sample("model.safetensors", 0, 2);
    write_sample("golden.safetensors", 2, 2); /* not the model's */
    write_sample("model-of-me.safetensors", 2, 2);
    ssa_safetensors_close(open_ok(dir));
    write_sample("model-00002-of-00002.safetensors", 2, 2);
    fails(dir, "shard model-00002-of-00002.safetensors", "would not be read");
    ck_assert_int_eq(unlink(at("model.safetensors")), 0);
    write_sample("model-00001-of-00002.safetensors", 0, 2);
    put_index("{\"half\": \"model-00001-of-00002.safetensors\"}");
    fails(dir, "shard model-00002-of-00002.safetensors", "does not name");
    put_index("{\"half\": \"model-00001-of-00002.safetensors\", \"brain\": \"model-00002-of-00002.safetensors\"}");
    ssa_safetensors_close(open_ok(dir));
    put("adapter_config.json", "{}", 2);
    fails(dir, dir, "holds an adapter (adapter_config.json)");
}
END_TEST

/* -- hostile files ---------------------------------------------------------------------------------------------------------- */

/* A file of this header and data_bytes of zeros must be refused, naming the file and `why`. */
static void hostile(const char *header, size_t data_bytes, const char *why) {
    uint64_t n = strlen(header);
    char *file = calloc(1, 8 + n + data_bytes);
    memcpy(file, &n, 8);
    memcpy(file + 8, header, n);
    put("bad.safetensors", file, 8 + n + data_bytes);
    free(file);
    fails(at("bad.safetensors"), at("bad.safetensors"), why);
}

#define T(name, dtype, shape, offsets) "\"" name "\":{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":" offsets "}"

START_TEST(hostile_headers) {
    hostile("", 0, "not JSON");
    hostile("{", 0, "not JSON");
    hostile("{\"1\":1,", 0, "not JSON");
    hostile("[]", 0, "a list where an object");
    hostile("{" T("x", "F32", "[1]", "[0,4]") "} junk", 4, "not JSON");
    hostile("{\"x\":3}", 0, "tensor x is a number");
    hostile("{\"x\":{}}", 0, "tensor x: its dtype is missing");
    hostile("{\"x\":{\"dtype\":3,\"shape\":[1],\"data_offsets\":[0,4]}}", 4, "tensor x: its dtype is a number");
    hostile("{\"x\":{\"dtype\":\"F32\",\"data_offsets\":[0,4]}}", 4, "tensor x: its shape is missing");
    hostile("{\"x\":{\"dtype\":\"F32\",\"shape\":[1]}}", 4, "tensor x: its data_offsets are not");
    hostile("{\"x\":{\"dtype\":\"F32\",\"shape\":[1],\"shape\":[1],\"data_offsets\":[0,4]}}", 4, "tensor x has two entries shape");
    hostile("{" T("x", "I64", "[1]", "[0,4]") "}", 4, "tensor x: its shape needs 8 bytes");
    hostile("{" T("x", "F4", "[3]", "[0,1]") "}", 1, "tensor x: its shape needs 2 bytes");
    hostile("{" T("x", "F32", "{}", "[0,4]") "}", 4, "tensor x: its shape is an object");
    hostile("{" T("x", "F32", "[-1]", "[0,4]") "}", 4, "tensor x: dimension 0");
    hostile("{" T("x", "F32", "[1,0.5]", "[0,4]") "}", 4, "tensor x: dimension 1");
    hostile("{" T("x", "F32", "[\"1\"]", "[0,4]") "}", 4, "tensor x: dimension 0");
    hostile("{" T("x", "F32", "[1e300]", "[0,4]") "}", 4, "tensor x: dimension 0");
    hostile("{" T("x", "F32", "[1e999]", "[0,4]") "}", 4, "tensor x: dimension 0");
    hostile("{" T("x", "F32", "[4294967296,4294967296]", "[0,4]") "}", 4, "tensor x: its shape is too large");
    hostile("{" T("x", "F32", "[4611686018427387904]", "[0,4]") "}", 4, "tensor x: dimension 0");
    hostile("{" T("x", "F32", "[2147483648,1073741825]", "[0,4]") "}", 4, "tensor x: its shape is too large");
    hostile("{" T("x", "F32", "[4294967296,4294967296,0]", "[0,0]") "}", 0, "tensor x: its shape is too large");
    hostile("{" T("x", "F32", "[1,1,1,1,2]", "[0,4]") "}", 4, "tensor x: its shape needs 8 bytes");
    hostile("{" T("x", "F32", "[1]", "[0,4,8]") "}", 4, "tensor x: its data_offsets are not");
    hostile("{" T("x", "F32", "[1]", "[-4,0]") "}", 4, "tensor x: its data_offsets are not");
    hostile("{" T("x", "F32", "[1]", "[0,4.5]") "}", 4, "tensor x: its data_offsets are not");
    hostile("{" T("x", "F32", "[1]", "[4,0]") "}", 4, "tensor x: its data_offsets run backwards");
    hostile("{" T("x", "F32", "[2]", "[0,8]") "}", 4, "tensor x ends at byte 8 of the data, the file has 4");
    hostile("{" T("x", "F32", "[1]", "[0,9007199254740992]") "}", 4, "tensor x ends at byte");
    hostile("{" T("x", "F32", "[2]", "[0,4]") "}", 4, "tensor x: its shape needs 8 bytes, its data_offsets give 4");
    hostile("{" T("x", "F32", "[2]", "[0,8]") "," T("y", "F32", "[2]", "[4,12]") "}", 12, "tensors x and y overlap");
    hostile("{" T("x", "F32", "[1]", "[0,4]") "," T("y", "F32", "[1]", "[0,4]") "}", 4, "tensors x and y overlap");
    hostile("{" T("x", "F32", "[1]", "[0,4]") "," T("y", "F32", "[1]", "[8,12]") "}", 12, "bytes 4 to 8 of the data, before tensor y");
    hostile("{" T("x", "F32", "[1]", "[0,4]") "}", 5, "end at byte 4 of the data, the file has 5");
    hostile("{" T("x", "F32", "[1]", "[0,4]") "," T("x", "F32", "[1]", "[4,8]") "}", 8, "tensor x appears twice");
    hostile("{" T("a\\nb\\u001b[31m", "I8", "[1]", "[0,2]") "}", 2, "tensor a?b?[31m: its shape needs 1 bytes");
    hostile("{\"__metadata__\":3}", 0, "__metadata__ is a number");
    hostile("{\"__metadata__\":{\"k\":3}}", 0, "__metadata__ entry k is a number");
    hostile("{\"__metadata__\":{},\"__metadata__\":{}}", 0, "__metadata__ appears twice");
}
END_TEST

START_TEST(hostile_lengths) {
    static const uint64_t lengths[] = {3, 100, INT64_MAX, UINT64_MAX, UINT64_MAX - 7, (uint64_t)1 << 32};
    char file[10] = "        {}";
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        memcpy(file, &lengths[i], 8);
        put("bad.safetensors", file, sizeof file);
        fails(at("bad.safetensors"), at("bad.safetensors"), "its header is said to have");
    }
    uint64_t inside = 2;
    memcpy(file, &inside, 8);
    file[9] = 0; /* a 0 must not end the header early */
    put("bad.safetensors", file, sizeof file);
    fails(at("bad.safetensors"), at("bad.safetensors"), "byte 1 is 0");

    enum { DEEP = 200000 };
    char *deep = malloc(DEEP + 1);
    memset(deep, '[', DEEP);
    deep[DEEP] = 0;
    hostile(deep, 0, "not JSON");
    free(deep);

    char *large = malloc(20 << 20); /* a header within the file, but beyond what is sensible */
    memset(large, ' ', 20 << 20);
    inside = (20 << 20) - 8;
    memcpy(large, &inside, 8);
    put("bad.safetensors", large, 20 << 20);
    free(large);
    fails(at("bad.safetensors"), at("bad.safetensors"), "at most");
}
END_TEST

START_TEST(long_names) { /* neither a path nor a name pushes the reason out of the sentence */
    char header[3000], name[2001];
    memset(name, 'n', 2000);
    memcpy(name + 1990, ".weight", 7);
    name[2000] = 0;
    snprintf(header, sizeof header, "{\"%s\":{\"dtype\":\"I64\",\"shape\":[2],\"data_offsets\":[0,8]}}", name);
    hostile(header, 8, ".weightnnn: its shape needs 16 bytes");
}
END_TEST

START_TEST(not_files) {
    ssa_error err = {0};
    ssa_safetensors *st;
    fails(at("missing"), at("missing"), "No such file");
    put("zero", "", 0);
    fails(at("zero"), at("zero"), "0 bytes, too few");
    ck_assert_int_eq(mkfifo(at("pipe"), 0600), 0);
    fails(at("pipe"), at("pipe"), "not a regular file");
    ck_assert_int_eq(ssa_safetensors_open("/dev/zero", &st, &err), SSA_ERR_INPUT);
    ck_assert_ptr_null(st);
}
END_TEST

START_TEST(truncated) {
    char *file;
    write_sample("whole", 0, SAMPLES);
    size_t bytes = get("whole", &file);
    for (size_t n = 0; n < bytes; n++) {
        put("part", file, n);
        fails(at("part"), at("part"), "");
    }
    free(file);
}
END_TEST

START_TEST(mutated) { /* whatever opens must be readable to its last byte; the sanitizers watch */
    enum { MUTATIONS = 2000 };
    char *file, *copy;
    int opened = 0;
    unsigned sum = 0;
    write_sample("whole", 0, SAMPLES);
    size_t bytes = get("whole", &file);
    copy = malloc(bytes);
    for (uint64_t m = 0; m < MUTATIONS; m++) {
        uint32_t r[4];
        ssa_philox(1, 1, m, r);
        memcpy(copy, file, bytes);
        for (uint32_t k = 0; k <= r[3] % 3; k++) copy[r[k] % bytes] = (char)(r[k] >> 24);
        put("mutant", copy, bytes);
        ssa_error err = {0};
        ssa_safetensors *st;
        if (ssa_safetensors_open(at("mutant"), &st, &err)) {
            ck_assert_str_ne(err.text, "");
            continue;
        }
        for (int i = 0; i < ssa_safetensors_count(st); i++) {
            const ssa_file_tensor *t = ssa_safetensors_at(st, i);
            ck_assert_int_eq(ssa_safetensors_load(st, t, &err), SSA_OK);
            for (int64_t b = 0; b < t->bytes; b++) sum += ((const unsigned char *)t->data)[b];
            ck_assert_ptr_eq(ssa_safetensors_find(st, t->name), t);
        }
        ssa_safetensors_close(st);
        opened++;
    }
    free(file);
    free(copy);
    ck_assert_msg(opened > 0 && opened < MUTATIONS && sum, "%d of %d opened", opened, MUTATIONS);
}
END_TEST

/* -- writing that fails ----------------------------------------------------------------------------------------------------- */

START_TEST(old_file_stays) {
    ssa_error err = {0};
    char *text, *big = calloc(1, 1 << 16);
    put("kept", "old", 3);
    /* A limit on the size of files stands in for a full disk. */
    signal(SIGXFSZ, SIG_IGN);
    struct rlimit old, small = {1 << 12, RLIM_INFINITY};
    ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &old), 0);
    small.rlim_max = old.rlim_max;
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &small), 0);
    ssa_status status = ssa_file_write(at("kept"), big, 1 << 16, &err);
    setrlimit(RLIMIT_FSIZE, &old);
    free(big);
    ck_assert_int_eq(status, SSA_ERR_RUNTIME);
    ck_assert_msg(strstr(err.text, at("kept")) && strstr(err.text, "File too large"), "%s", err.text);
    ck_assert_uint_eq(get("kept", &text), 3);
    ck_assert_str_eq(text, "old");
    free(text);
    ck_assert_int_eq(entries(), 1);
}
END_TEST

static ssa_status fetch_fails(void *user, int i, void *host, ssa_error *err) {
    (void)user, (void)i, (void)host;
    return ssa_fail(err, SSA_ERR_DEVICE_LOST, "the device is gone");
}

START_TEST(bad_targets) {
    ssa_error err = {0};
    put("file", "x", 1);
    ck_assert_int_eq(ssa_file_write(at("file/below"), "y", 1, &err), SSA_ERR_INPUT);
    ck_assert_ptr_nonnull(strstr(err.text, "file/below cannot be written"));
    ssa_error_clear(&err);
    ck_assert_int_eq(ssa_file_write(at("no/such"), "y", 1, &err), SSA_ERR_INPUT);
    ssa_error_clear(&err);
    ck_assert_int_eq(ssa_file_write(dir, "y", 1, &err), SSA_ERR_INPUT);
    ssa_error_clear(&err);
    ck_assert_int_eq(ssa_file_write("/dev/full", "y", 1, &err), SSA_ERR_INPUT); /* and it is still a device: */
    ck_assert_ptr_nonnull(strstr(err.text, "/dev/full"));
    struct stat st;
    ck_assert(!stat("/dev/full", &st) && S_ISCHR(st.st_mode));
    ssa_error_clear(&err);
    ck_assert_int_eq(ssa_safetensors_write(at("lost"), sample, 1, NULL, fetch_fails, NULL, &err), SSA_ERR_DEVICE_LOST);
    ck_assert_str_eq(err.text, "the device is gone");
    ck_assert_int_eq(entries(), 1);
    if (getuid()) { /* root may write anywhere */
        ssa_error_clear(&err);
        ck_assert_int_eq(chmod(dir, 0500), 0);
        ck_assert_int_eq(ssa_file_write(at("locked"), "y", 1, &err), SSA_ERR_INPUT);
        ck_assert_int_eq(chmod(dir, 0700), 0);
        ck_assert_ptr_nonnull(strstr(err.text, "Permission denied"));
    }
    /* A relative name without a folder. */
    ck_assert_int_eq(chdir(dir), 0);
    ssa_error_clear(&err);
    ck_assert_msg(!ssa_file_write("plain", "text", 4, &err), "%s", err.text);
    char *text;
    ck_assert_uint_eq(get("plain", &text), 4);
    free(text);
    size_t bytes;
    ck_assert_int_eq(ssa_file_read(at("plain"), 3, &text, &bytes, &err), SSA_ERR_INPUT);
    ck_assert_ptr_nonnull(strstr(err.text, "has 4 bytes, at most 3 are read"));
}
END_TEST

START_TEST(durations) {
    static const struct { double seconds; const char *text; } is[] = {
        {0, "0 s"}, {4.4, "4 s"}, {59.4, "59 s"}, {59.6, "1 min"}, {61, "1 min 1 s"}, {725, "12 min 5 s"}, {3599.7, "1 h"}, {41171, "11 h 26 min"}, {86399, "24 h"}, {86399.7, "1 d"}, {273600, "3 d 4 h"}, {-1, "unknown time"}};
    char text[SSA_DURATION_SIZE];
    for (size_t i = 0; i < sizeof is / sizeof *is; i++) ck_assert_str_eq(ssa_duration_print(text, is[i].seconds), is[i].text);
    ck_assert_str_eq(ssa_duration_print(text, NAN), "unknown time");
}
END_TEST

int main(void) {
    Suite *s = suite_create("io");
    TCase *c = tcase_create("safetensors");
    tcase_set_timeout(c, 120);
    tcase_add_checked_fixture(c, make_dir, remove_dir);
    tcase_add_test(c, changes_while_open);
    tcase_add_test(c, roundtrip);
    tcase_add_test(c, no_tensors);
    tcase_add_test(c, long_sentence);
    tcase_add_test(c, write_refuses);
    tcase_add_test(c, folder);
    tcase_add_test(c, foreign_types);
    tcase_add_test(c, strangers_in_folder);
    tcase_add_test(c, hostile_headers);
    tcase_add_test(c, hostile_lengths);
    tcase_add_test(c, long_names);
    tcase_add_test(c, not_files);
    tcase_add_test(c, truncated);
    tcase_add_test(c, mutated);
    tcase_add_test(c, old_file_stays);
    tcase_add_test(c, bad_targets);
    tcase_add_test(c, durations);
    suite_add_tcase(s, c);
    return run_suite(s);
}
