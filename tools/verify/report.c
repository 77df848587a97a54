/* Reports as JSON and CSV, and reading them back. A row's key is device, mode, operation, dtype, case, variant and output; the
 * driver is a property of the device, not part of the key, so that two drivers' reports can be compared. */
#include "report_file.h"
#include "session.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

const char *report_text(const cJSON *object, const char *name) {
    const cJSON *v = cJSON_GetObjectItemCaseSensitive(object, name);
    return cJSON_IsString(v) ? v->valuestring : "";
}

double report_number(const cJSON *object, const char *name) {
    const cJSON *v = cJSON_GetObjectItemCaseSensitive(object, name);
    return cJSON_IsNumber(v) ? v->valuedouble : NAN;
}

/* One row a line: people look into these files, and compare them with diff. */
ssa_status report_json(const cJSON *report, const char *path, ssa_error *err) {
    report_file  file;
    const cJSON *member, *o;
    bool         first = true;
    SSA_TRY(report_file_open(&file, path, err));
    FILE *f = file.out;
    fprintf(f, "{");
    cJSON_ArrayForEach(member, report) {
        fprintf(f, "%s\n\"%s\": ", first ? "" : ",", member->string);
        first = false;
        if (cJSON_IsArray(member)) {
            fprintf(f, "[");
            cJSON_ArrayForEach(o, member) {
                char *text = cJSON_PrintUnformatted(o);
                fprintf(f, "%s\n%s", o == member->child ? "" : ",", text ? text : "null");
                cJSON_free(text);
            }
            fprintf(f, "]");
            continue;
        }
        char *text = cJSON_PrintUnformatted(member);
        fprintf(f, "%s", text ? text : "null");
        cJSON_free(text);
    }
    fprintf(f, "}\n");
    return report_file_close(&file, err);
}

static void csv_text(FILE *f, const char *text) {
    if (!strpbrk(text, ",\"\n")) {
        fprintf(f, "%s", text);
        return;
    }
    fputc('"', f);
    for (; *text; text++) {
        if (*text == '"') fputc('"', f);
        fputc(*text == '\n' ? ' ' : *text, f);
    }
    fputc('"', f);
}

ssa_status report_csv(const cJSON *report, const char *path, ssa_error *err) {
    static const char *const words[] = {"device", "mode", "op", "dtype", "case", "variant", "output", "status", "reason"};
    static const char *const numbers[] = {"error", "limit", "ulp", "err_device_vs_f64", "err_cpu_vs_f64"};
    report_file  file;
    const cJSON *row;
    SSA_TRY(report_file_open(&file, path, err));
    FILE *f = file.out;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) fprintf(f, "%s,", words[i]);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) fprintf(f, "%s,", numbers[i]);
    fprintf(f, "driver\n");
    cJSON_ArrayForEach(row, cJSON_GetObjectItem(report, "rows")) {
        const cJSON *device;
        for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
            csv_text(f, report_text(row, words[i]));
            fputc(',', f);
        }
        for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
            double v = report_number(row, numbers[i]);
            if (isfinite(v)) fprintf(f, "%.9g", v);
            fputc(',', f);
        }
        cJSON_ArrayForEach(device, cJSON_GetObjectItem(report, "devices"))
            if (!strcmp(report_text(device, "device"), report_text(row, "device"))) csv_text(f, report_text(device, "description"));
        fputc('\n', f);
    }
    return report_file_close(&file, err);
}

ssa_status report_read(const char *path, cJSON **out, ssa_error *err) {
    FILE *f = fopen(path, "rb");
    char *text = NULL;
    long  size = -1;
    *out = NULL;
    if (f && !fseek(f, 0, SEEK_END)) size = ftell(f);
    if (size >= 0 && !fseek(f, 0, SEEK_SET)) text = malloc((size_t)size + 1);
    if (text) text[fread(text, 1, (size_t)size, f)] = 0;
    if (f) fclose(f);
    if (!text) return ssa_fail(err, SSA_ERR_INPUT, "report %s cannot be read", path);
    *out = cJSON_Parse(text);
    free(text);
    double version = *out ? report_number(*out, "version") : NAN;
    if (!*out || strcmp(report_text(*out, "format"), "ssa-verify") || !cJSON_IsArray(cJSON_GetObjectItem(*out, "rows")))
        ssa_fail(err, SSA_ERR_INPUT, "%s is not a report of ssa verify", path);
    else if (version != SESSION_FORMAT)
        ssa_fail(err, SSA_ERR_INPUT, "%s has format version %g, this program reads %d", path, version, SESSION_FORMAT);
    else return SSA_OK;
    cJSON_Delete(*out);
    *out = NULL;
    return SSA_ERR_INPUT;
}
