/* Numbers parse and print alike whatever the program's locale: one with a comma is made here and set. */
#include "io/inside.h"
#include "suite.h"
#include "train/train.h"
#include <ftw.h>
#include <locale.h>
#include <math.h>
#include <string.h>

static char dir[64];

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw) {
    (void)st, (void)type, (void)ftw;
    return remove(path);
}

static const char *at(const char *name) {
    static char path[4][160];
    static int next;
    char *p = path[next++ % 4];
    snprintf(p, sizeof path[0], "%s/%s", dir, name);
    return p;
}

static bool put(const char *name, const char *text) {
    FILE *f = fopen(at(name), "wb");
    return f && fputs(text, f) >= 0 && !fclose(f);
}

/* Whether this process now writes 0.5 as 0,5. */
static bool set_comma(void) {
    char command[512], half[8];
    if (!put("source", "comment_char %\nescape_char /\nLC_NUMERIC\ndecimal_point \"<U002C>\"\nthousands_sep \"<U002E>\"\ngrouping 3;3\nEND LC_NUMERIC\n"))
        return false;
    snprintf(command, sizeof command, "localedef --no-archive -c -i %s %s >%s 2>&1", at("source"), at("comma"), at("log"));
    if (system(command) == -1 || setenv("LOCPATH", dir, 1) || !setlocale(LC_NUMERIC, "comma")) return false; /* it warns, so its status is 1 */
    snprintf(half, sizeof half, "%g", 0.5);
    return !strcmp(half, "0,5");
}

START_TEST(numbers) {
    static const struct { const char *text; double value; } good[] = {{"0.5", 0.5}, {"-1.25e2", -125}, {"1000000", 1e6}, {".5", 0.5}, {"7.", 7}, {"+3", 3}, {"1e-400", 0}};
    static const char *const bad[] = {"", "0,5", "1.000,5", "1 ", " 1", "0x10", "inf", "nan", "1e999", "-", ".", "e5", "1.2.3", "1e", "--1", "0.5x"};
    char text[SSA_NUMBER_SIZE];
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        double x = NAN;
        ck_assert_msg(ssa_number_read(good[i].text, &x) && x == good[i].value, "%s is %f", good[i].text, x);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        double x = 42;
        ck_assert_msg(!ssa_number_read(bad[i], &x) && x == 42, "\"%s\" was read", bad[i]);
    }
    ck_assert_str_eq(ssa_number_print(text, 0.1, false), "0.1");
    ck_assert_str_eq(ssa_number_print(text, (double)0.1f, true), "0.1");
    ck_assert_str_eq(ssa_number_print(text, 1e-5, false), "1e-05");
    ck_assert_str_eq(ssa_number_print(text, 1234567, false), "1234567");
    ck_assert_str_eq(ssa_number_print(text, 1.0 / 3, false), "0.3333333333333333");
    for (uint64_t i = 0; i < 2000; i++) { /* any double comes back */
        double x = ssa_normal(1, 1, i) * pow(10, (double)(i % 600) - 300), y = 0;
        ck_assert(ssa_number_read(ssa_number_print(text, x, false), &y) && x == y);
    }
}
END_TEST

START_TEST(options) {
    ssa_train_options o, back;
    ssa_error         err = {0};
    ck_assert_int_eq(ssa_train_preset("quickstart", &o, &err), SSA_OK);
    ck_assert_msg(!ssa_train_set(&o, "lr", "0.5", &err), "%s", err.text);
    ck_assert(o.lr == 0.5);
    ck_assert_int_eq(ssa_train_set(&o, "lr", "0,5", &err), SSA_ERR_INPUT);
    ck_assert_msg(strstr(err.text, "lr is 0,5 where a number is needed"), "%s", err.text);
    ssa_error_clear(&err);
    ck_assert_int_eq(ssa_train_set(&o, "lr", "-0.5", &err), SSA_ERR_INPUT);
    ssa_error_clear(&err);
    ck_assert(put("config.json", "{\"lr\": 0.25, \"eps\": 1e-7, \"steps\": 3}"));
    ck_assert_msg(!ssa_train_read_config(&o, at("config.json"), &err), "%s", err.text);
    ck_assert(o.lr == 0.25 && o.eps == 1e-7 && o.steps == 3);
    o.lr = 1.0 / 3;
    cJSON *json = options_to_json(&o), *read;
    char  *text = io_json_print(json, true);
    ck_assert_ptr_null(strstr(text, "0,3")); /* lr */
    ck_assert_int_eq(ssa_train_preset("quickstart", &back, &err), SSA_OK);
    ck_assert_msg(!io_json_parse("text", text, strlen(text), &read, &err) && !options_from_json(&back, read, "text", &err), "%s", err.text);
    ck_assert(back.lr == o.lr && back.eps == o.eps && back.model.rms_norm_eps == o.model.rms_norm_eps);
    free(text);
    cJSON_Delete(json);
    cJSON_Delete(read);
}
END_TEST

START_TEST(log_lines) {
    cJSON *json = cJSON_CreateObject(), *read;
    ssa_error err = {0};
    cJSON_AddNumberToObject(json, "ce", 1.5);
    char *text = io_json_print(json, false);
    ck_assert_str_eq(text, "{\"ce\":1.5}");
    ck_assert_msg(!io_json_parse("text", text, strlen(text), &read, &err), "%s", err.text);
    ck_assert(cJSON_GetObjectItem(read, "ce")->valuedouble == 1.5);
    free(text);
    cJSON_Delete(json);
    cJSON_Delete(read);
}
END_TEST

START_TEST(config) {
    ssa_model_config c, back;
    ssa_error        err = {0};
    char            *text;
    size_t           bytes;
    ssa_config_default(&c);
    c.vocab_size = 300, c.hidden_size = 96, c.intermediate_size = 160, c.n_layers = 3, c.n_heads = 6, c.n_kv_heads = 2, c.head_dim = 18;
    c.rope_theta = 12345.5, c.rms_norm_eps = 1.5e-5f, c.alpha = 0.75f, c.rope_factor = 1.5, c.rope_low_freq_factor = 0.5, c.rope_high_freq_factor = 1.25;
    c.rope_original_length = 100;
    ck_assert_msg(!ssa_config_write(dir, &c, &err), "%s", err.text);
    ck_assert_msg(!ssa_file_read(at("config.json"), 1 << 16, &text, &bytes, &err), "%s", err.text);
    ck_assert_msg(strstr(text, "\"rope_theta\": 12345.5") && strstr(text, "\"ssa_alpha\": 0.75") && strstr(text, "\"factor\": 1.5"), "%s", text);
    free(text);
    ck_assert_msg(!ssa_config_read(dir, &back, &err), "%s", err.text);
    ck_assert(back.rope_theta == 12345.5 && back.rms_norm_eps == 1.5e-5f && back.alpha == 0.75f && back.rope_low_freq_factor == 0.5);
    ck_assert(put("config.json", "{\"vocab_size\":8,\"partial_rotary_factor\":0.5}"));
    ck_assert_int_eq(ssa_config_read(dir, &back, &err), SSA_ERR_INPUT);
    ck_assert_msg(strstr(err.text, "partial_rotary_factor 0.5"), "%s", err.text);
}
END_TEST

int main(void) {
    strcpy(dir, "/tmp/ssa_test_locale_XXXXXX");
    if (!mkdtemp(dir)) return 1;
    int status = TEST_SKIPPED;
    if (set_comma()) { /* the tests inherit it */
        Suite *s = suite_create("locale");
        TCase *c = tcase_create("locale");
        tcase_add_test(c, numbers);
        tcase_add_test(c, options);
        tcase_add_test(c, log_lines);
        tcase_add_test(c, config);
        suite_add_tcase(s, c);
        status = run_suite(s);
    } else {
        printf("skipped: no locale with a comma could be made (localedef)\n");
    }
    nftw(dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    return status;
}
