/* A session: the report as a JSON tree, what the console shows meanwhile, and the time budget. */
#include "clock.h"
#include "session.h"
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

ssa_status session_open(session *s, ssa_error *err) {
    char      when[32];
    time_t    now = time(NULL);
    struct tm utc;
    strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &utc));
    s->started = clock_now();
    s->report = cJSON_CreateObject();
    cJSON_AddStringToObject(s->report, "format", "ssa-verify");
    cJSON_AddNumberToObject(s->report, "version", SESSION_FORMAT);
    cJSON_AddStringToObject(s->report, "time", when);
    cJSON_AddStringToObject(s->report, "limits", s->limits ? s->limits : "");
    cJSON_AddBoolToObject(s->report, "full", s->options.full);
    cJSON_AddNumberToObject(s->report, "seed", (double)s->options.seed);
    s->records = cJSON_AddArrayToObject(s->report, "devices");
    s->rows = cJSON_AddArrayToObject(s->report, "rows");
    return s->rows ? SSA_OK : ssa_fail(err, SSA_ERR_MEMORY, "out of memory for the report");
}

void session_close(session *s) {
    reasons_clear(&s->reasons);
    cJSON_Delete(s->report);
    s->report = s->rows = s->records = NULL;
}

void session_begin(session *s, const char *mode, const char *device, double share) {
    double now = clock_now();
    memset(s->tally, 0, sizeof s->tally);
    s->mode = mode;
    s->device = device;
    s->deadline = s->budget > 0 ? now + fmax(0, s->started + s->budget - now) * share : 0;
    printf("%s on %s\n", mode, device);
    session_tell(s, "%s on %s", mode, device);
}

void session_tell(const session *s, const char *format, ...) {
    char    text[300];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (s->options.activity) s->options.activity(NULL, false, text);
}

bool session_interrupted(const session *s) { return s->options.interrupt && *s->options.interrupt; }

bool session_over(const session *s) { return session_interrupted(s) || (s->deadline > 0 && session_left(s) < 1e-6); }

double session_left(const session *s) { return s->deadline > 0 ? fmax(1e-9, s->deadline - clock_now()) : 0; }

static void print_tally(const char *name, const session_tally *t) {
    char text[128] = "";
    int  used = 0, rows = 0;
    for (int i = 0; i < 4; i++) {
        rows += t->count[i];
        if (t->count[i]) used += snprintf(text + used, sizeof text - (size_t)used, "%s%d %s", used ? ", " : "", t->count[i], verify_status_name(i));
    }
    if (!rows) return;
    printf("  %-17s %-40s", name, text);
    if (t->share > 0) printf(" worst %.1e of its limit", t->share);
    if (t->ulp > 0) printf(", %.3g ULP", t->ulp);
    printf("\n");
}

int session_end(session *s) {
    int ok = 0;
    for (int op = 0; op <= SSA_OP_COUNT; op++) {
        const session_tally *t = &s->tally[op];
        const char          *name = op < SSA_OP_COUNT ? ssa_op_name((ssa_op)op) : s->mode;
        ok += t->count[VERIFY_OK];
        print_tally(name, t);
        if (op < SSA_OP_COUNT && t->count[VERIFY_UNSUPPORTED] && !t->count[VERIFY_OK] && !t->count[VERIFY_FAILED])
            ssa_fail(&s->unverified, SSA_ERR_UNSUPPORTED, "nothing of %s was verified on %s, which does not support it; the reasons stand above", name,
                     s->device);
    }
    reasons_print(&s->reasons, stdout);
    reasons_clear(&s->reasons);
    fflush(stdout);
    return ok;
}

static session_tally *tally_of(session *s, const char *op) {
    for (int i = 0; i < SSA_OP_COUNT; i++)
        if (!strcmp(op, ssa_op_name((ssa_op)i))) return &s->tally[i];
    return &s->tally[SSA_OP_COUNT];
}

static void put_number(cJSON *o, const char *name, double v) {
    if (isfinite(v) && v >= 0) cJSON_AddNumberToObject(o, name, v);
}

void session_row(void *user, const verify_row *row) {
    session       *s = user;
    cJSON         *o = cJSON_CreateObject();
    session_tally *t = tally_of(s, row->op);
    double         share = row->limit > 0 ? row->error / row->limit : 0;
    char           reason[900];
    snprintf(reason, sizeof reason, "%s", row->reason);
    if (row->status == VERIFY_FAILED && !strcmp(row->mode, "stress")) {
        const char *k = strstr(row->text, "case=");
        snprintf(reason, sizeof reason, "%s; again: ssa verify stress --device %s --seed %llu --case %s", row->reason, row->device,
                 (unsigned long long)s->options.seed, k ? k + 5 : "?");
    }
    if (s->first && row->status == VERIFY_FAILED) s->stop = true;
    t->count[row->status]++;
    s->total[row->status]++;
    if (row->status == VERIFY_OK && share > t->share) t->share = share;
    if (row->status == VERIFY_OK && row->ulp > t->ulp) t->ulp = row->ulp;
    cJSON_AddStringToObject(o, "mode", row->mode);
    cJSON_AddStringToObject(o, "op", row->op);
    cJSON_AddStringToObject(o, "dtype", ssa_dtype_name(row->dtype));
    cJSON_AddStringToObject(o, "case", row->text);
    cJSON_AddStringToObject(o, "output", row->output);
    cJSON_AddStringToObject(o, "device", row->device);
    cJSON_AddStringToObject(o, "variant", row->variant ? row->variant : "");
    cJSON_AddStringToObject(o, "status", verify_status_name(row->status));
    cJSON_AddStringToObject(o, "reason", reason);
    if (row->status == VERIFY_OK || row->status == VERIFY_FAILED) {
        put_number(o, "error", row->error);
        put_number(o, "limit", row->limit);
        put_number(o, "ulp", row->ulp);
        put_number(o, "err_device_vs_f64", row->device_wide);
        put_number(o, "err_cpu_vs_f64", row->cpu_wide);
    }
    if (row->bits) {
        char bits[17];
        snprintf(bits, sizeof bits, "%016llx", (unsigned long long)row->bits);
        cJSON_AddStringToObject(o, "bits", bits);
    }
    cJSON_AddItemToArray(s->rows, o);
    if (row->status == VERIFY_OK) return;
    bool first = reasons_add(&s->reasons, row->status, reason);
    if (!first || row->status != VERIFY_FAILED) return;
    printf("FAILED %s %s %s %s [%s %s]: %s: %s\n", row->mode, row->op, ssa_dtype_name(row->dtype), row->text, row->device,
           row->variant ? row->variant : "", row->output, reason);
    fflush(stdout);
}

void session_note(session *s, const char *op, const char *text, const char *variant, verify_status status, const char *format, ...) {
    verify_row row = {.mode = s->mode, .op = op, .text = text, .device = s->device, .variant = variant, .output = "all", .ulp = -1, .device_wide = -1,
                      .cpu_wide = -1, .status = status};
    va_list    args;
    va_start(args, format);
    vsnprintf(row.reason, sizeof row.reason, format, args);
    va_end(args);
    session_row(s, &row);
}

/* -- devices ----------------------------------------------------------------------------------------------------------------- */

static cJSON *list_devices(const char *api, ssa_error *err) {
    char  *text = NULL;
    size_t bytes = 0;
    FILE  *f = open_memstream(&text, &bytes);
    if (!f) {
        ssa_fail(err, SSA_ERR_MEMORY, "out of memory for the list of devices");
        return NULL;
    }
    ssa_status s = ssa_list_devices_of(api, f, true);
    fclose(f);
    cJSON *list = s && s != SSA_ERR_INPUT ? NULL : cJSON_Parse(text);
    free(text);
    if (!list) ssa_fail(err, SSA_ERR_RUNTIME, "the devices cannot be listed");
    return list;
}

static ssa_status add_device(char device[SESSION_DEVICES][32], int *count, const char *name, ssa_error *err) {
    if (*count == SESSION_DEVICES) return ssa_fail(err, SSA_ERR_INPUT, "%s is one device too many: %d are taken at once", name, SESSION_DEVICES);
    snprintf(device[(*count)++], 32, "%s", name);
    return SSA_OK;
}

/* Opens a device by name for its canonical one, or for a sentence that tells what there is. */
static ssa_status add_named(char device[SESSION_DEVICES][32], int *count, const char *name, ssa_error *err) {
    ssa_context *ctx;
    SSA_TRY(ssa_open(name, NULL, &ctx, err));
    ssa_status s = add_device(device, count, ssa_context_device(ctx), err);
    ssa_close(ctx);
    return s;
}

static ssa_status add_all(char device[SESSION_DEVICES][32], int *count, ssa_error *err) {
    cJSON     *list = list_devices(NULL, err), *o;
    ssa_status s = list ? SSA_OK : SSA_ERR_RUNTIME;
    cJSON_ArrayForEach(o, list) {
        const char *why = report_text(o, "unavailable"); /* wrong SSA_LIMITS make every device of an API unavailable */
        if (!s && strstr(why, "SSA_LIMITS")) s = ssa_fail(err, SSA_ERR_INPUT, "%s", why);
        if (!s && *report_text(o, "device")) s = add_device(device, count, report_text(o, "device"), err);
    }
    cJSON_Delete(list);
    return s;
}

/* The capability record of a device; the drivers of other APIs are left alone. */
static ssa_status add_record(session *s, const char *device, ssa_error *err) {
    char api[32];
    snprintf(api, sizeof api, "%.*s", (int)strcspn(device, ":"), device);
    cJSON *list = list_devices(api, err), *o;
    cJSON_ArrayForEach(o, list)
        if (!strcmp(report_text(o, "device"), device)) cJSON_AddItemToArray(s->records, cJSON_Duplicate(o, true));
    cJSON_Delete(list);
    return list ? SSA_OK : SSA_ERR_RUNTIME;
}

ssa_status session_devices(session *s, const char *names, char device[SESSION_DEVICES][32], int *count, ssa_error *err) {
    char name[64];
    *count = 0;
    if (!strcmp(names, "all")) SSA_TRY(add_all(device, count, err));
    else
        for (const char *p = names; *p; p += strspn(p, ",")) {
            snprintf(name, sizeof name, "%.*s", (int)strcspn(p, ","), p);
            SSA_TRY(add_named(device, count, name, err));
            p += strcspn(p, ",");
        }
    if (!*count) return ssa_fail(err, SSA_ERR_INPUT, "--device names no device");
    if (s->limits && *count == 1 && !strcmp(device[0], "cpu"))
        return ssa_fail(err, SSA_ERR_INPUT, "--limits %s: the cpu has no limits to lower", s->limits);
    for (int i = 0; i < *count; i++) SSA_TRY(add_record(s, device[i], err));
    return SSA_OK;
}

ssa_status session_context(session *s, const char *device, const ssa_open_options *options, ssa_context **out, ssa_error *err) {
    ssa_error        why = {0};
    ssa_open_options told = options ? *options : (ssa_open_options){0};
    cJSON           *o;
    (void)err;
    told.activity = s->options.activity;
    if (ssa_open(device, &told, out, &why)) {
        *out = NULL;
        session_note(s, "device", "opening", NULL, why.status == SSA_ERR_UNSUPPORTED ? VERIFY_UNSUPPORTED : VERIFY_FAILED, "%s", why.text);
        return SSA_OK;
    }
    cJSON_ArrayForEach(o, s->records)
        if (!strcmp(report_text(o, "device"), device) && !cJSON_GetObjectItem(o, "description"))
            cJSON_AddStringToObject(o, "description", ssa_context_description(*out));
    return SSA_OK;
}
