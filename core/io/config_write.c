/* config.json, writing: the rows of the table in their order, so that the authors' class reads the folder. */
#include "io/config_inside.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Always with a point or an exponent, as Python writes floats. */
static void put_number(FILE *f, double x, bool is_float) {
    char text[SSA_NUMBER_SIZE];
    ssa_number_print(text, x, is_float);
    fprintf(f, "%s%s", text, strpbrk(text, ".e") ? "" : ".0");
}

/* transformers 4's spelling, which 5 reads too. Nothing where there is no scaling. */
static void put_scaling(FILE *f, const ssa_model_config *c) {
    const struct { const char *key; double value; } numbers[] = {
        {"factor", c->rope_factor},
        {"low_freq_factor", c->rope_low_freq_factor},
        {"high_freq_factor", c->rope_high_freq_factor},
    };
    fputs("{\n    \"rope_type\": \"llama3\"", f);
    for (int i = 0; i < 3; i++) {
        fprintf(f, ",\n    \"%s\": ", numbers[i].key);
        put_number(f, numbers[i].value, false);
    }
    fprintf(f, ",\n    \"original_max_position_embeddings\": %lld\n  }", (long long)c->rope_original_length);
}

static void put_value(FILE *f, const config_key *k, const ssa_model_config *c) {
    const void *at = (const char *)c + k->offset;
    switch (k->kind) {
    case KEY_WHOLE: fprintf(f, "%lld", (long long)*(const int64_t *)at); break;
    case KEY_INT: fprintf(f, "%d", *(const int *)at); break;
    case KEY_DOUBLE: put_number(f, *(const double *)at, false); break;
    case KEY_FLOAT: put_number(f, (double)*(const float *)at, true); break;
    case KEY_BOOL: fputs(*(const bool *)at ? "true" : "false", f); break;
    case KEY_WORD: fprintf(f, "\"%s\"", k->words[*(const int *)at]); break;
    case KEY_WORD_BOOL: fprintf(f, "\"%s\"", k->words[*(const bool *)at]); break;
    case KEY_CODE: /* of RoPE; the rest has its `write` */
        if (!strcmp(k->name, "rope_theta")) put_number(f, c->rope_theta, false);
        else put_scaling(f, c);
        break;
    default: break;
    }
}

/* Whether a key stands in our files. */
static bool is_written(const config_key *k, const ssa_model_config *c) {
    if (k->write) return true;
    if (k->kind == KEY_CODE) return !strcmp(k->name, "rope_theta") || (!strcmp(k->name, "rope_scaling") && c->rope_factor != 0);
    return k->kind != KEY_ONLY && k->kind != KEY_ANY;
}

static void put_all(FILE *f, const ssa_model_config *c) {
    int               count;
    const config_key *table = config_key_table(&count);
    const char       *before = "{\n";
    for (int i = 0; i < count; i++) {
        if (!is_written(&table[i], c)) continue;
        fprintf(f, "%s  \"%s\": ", before, table[i].name);
        if (table[i].write_ungated && !c->gated) fputs(table[i].write_ungated, f);
        else if (table[i].write) fputs(table[i].write, f);
        else put_value(f, &table[i], c);
        before = ",\n";
    }
    fputs("\n}\n", f);
}

ssa_status ssa_config_write(const char *dir, const ssa_model_config *c, ssa_error *err) {
    char *text = NULL, *path;
    size_t bytes;
    SSA_TRY(ssa_config_check(c, err)); /* what is written can be read back */
    FILE *f = open_memstream(&text, &bytes);
    if (!f) return ssa_fail(err, SSA_ERR_MEMORY, "no memory to write config.json");
    put_all(f, c);
    bool failed = ferror(f);
    failed |= fclose(f) != 0;
    path = io_join(dir, "config.json");
    ssa_status status = failed || !path ? ssa_fail(err, SSA_ERR_MEMORY, "no memory to write config.json") : ssa_file_write(path, text, bytes, err);
    free(path);
    free(text);
    return status;
}
